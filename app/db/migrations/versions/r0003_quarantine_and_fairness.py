"""Who waits is found by index; since when the database has answered without a gap"""

import sqlalchemy as sa
from alembic import op


revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None

PENDING = sa.text("state = 'pending'")


def upgrade() -> None:
    op.add_column('locks', sa.Column('since', sa.Double(), nullable=False, server_default='0'))
    op.create_index(
        'ix_units_waiting', 'units', ['job_id', 'queue', 'not_before', 'id'], postgresql_where=PENDING, sqlite_where=PENDING
    )


def downgrade() -> None:
    op.drop_index('ix_units_waiting', 'units')
    op.drop_column('locks', 'since')
