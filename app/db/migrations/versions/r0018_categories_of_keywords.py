"""The category of a keyword on Wikimedia Commons, and why a keyword was not expanded"""

import sqlalchemy as sa
from alembic import op


revision = '0018'
down_revision = '0017'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('searches', sa.Column('category', sa.String(length=255), nullable=True))
    op.add_column('searches', sa.Column('not_expanded', sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column('searches', 'not_expanded')
    op.drop_column('searches', 'category')
