"""Boxes of the rows of a list that name one URL"""

import sqlalchemy as sa
from alembic import op


revision = '0022'
down_revision = '0021'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('list_rows', sa.Column('boxes', sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column('list_rows', 'boxes')
