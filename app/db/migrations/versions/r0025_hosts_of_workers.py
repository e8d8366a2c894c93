"""Hosts that workers ask"""

import sqlalchemy as sa
from alembic import op


revision = '0025'
down_revision = '0024'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('workers', sa.Column('hosts', sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column('workers', 'hosts')
