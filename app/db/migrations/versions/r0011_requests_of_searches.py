"""How many requests a search took, and how many of them were retries; older rows say 0"""

import sqlalchemy as sa
from alembic import op


revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('searches', sa.Column('requests', sa.Integer(), nullable=False, server_default='0'))
    op.add_column('searches', sa.Column('retries', sa.Integer(), nullable=False, server_default='0'))


def downgrade() -> None:
    op.drop_column('searches', 'retries')
    op.drop_column('searches', 'requests')
