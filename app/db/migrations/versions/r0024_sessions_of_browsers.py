"""Sessions of browsers"""

import sqlalchemy as sa
from alembic import op


revision = '0024'
down_revision = '0023'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'sessions',
        sa.Column('digest', sa.String(64), nullable=False),
        sa.Column('key_id', sa.String(40), nullable=False),
        sa.Column('user_id', sa.String(100), nullable=False),
        sa.Column('created_at', sa.Double(), nullable=False),
        sa.Column('expires_at', sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(['key_id'], ['api_keys.id'], name=op.f('fk_sessions_key_id'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('digest', name=op.f('pk_sessions')),
    )
    op.create_index('ix_sessions_expires', 'sessions', ['expires_at'])


def downgrade() -> None:
    op.drop_index('ix_sessions_expires', table_name='sessions')
    op.drop_table('sessions')
