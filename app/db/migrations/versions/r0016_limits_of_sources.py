"""How often each source was asked, so that all workers keep its limits"""

import sqlalchemy as sa
from alembic import op


revision = '0016'
down_revision = '0015'
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')


def upgrade() -> None:
    op.create_table(
        'source_limits',
        sa.Column('api', sa.String(300), nullable=False),
        sa.Column('taken', SERIAL, nullable=False),
        sa.Column('closed_until', sa.Double(), server_default='0', nullable=False),
        sa.Column('told', sa.JSON(), nullable=True),
        sa.Column('told_by', SERIAL, server_default='0', nullable=False),
        sa.PrimaryKeyConstraint('api', name='pk_source_limits'),
    )
    op.create_table(
        'source_requests',
        sa.Column('api', sa.String(300), nullable=False),
        sa.Column('number', SERIAL, autoincrement=False, nullable=False),
        sa.Column('at', sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint('api', 'number', name='pk_source_requests'),
    )


def downgrade() -> None:
    op.drop_table('source_requests')
    op.drop_table('source_limits')
