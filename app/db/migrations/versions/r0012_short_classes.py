"""The classes of which a job kept few images or none"""

import sqlalchemy as sa
from alembic import op


revision = '0012'
down_revision = '0011'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('jobs', sa.Column('short_classes', sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column('jobs', 'short_classes')
