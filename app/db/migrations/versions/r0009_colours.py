"""The colours of an image, so that duplicates are compared by them too; older rows have none and are compared as before"""

import sqlalchemy as sa
from alembic import op


revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('images', sa.Column('colour_grid', sa.String(96), nullable=True))


def downgrade() -> None:
    op.drop_column('images', 'colour_grid')
