"""The trace a job belongs to; how long requests queued; what robots.txt and opt-out headers said"""

import sqlalchemy as sa
from alembic import op


revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('jobs', sa.Column('traceparent', sa.String(64), nullable=True))
    op.add_column('attempts', sa.Column('queued_s', sa.Double(), nullable=True))
    op.add_column('images', sa.Column('robots', sa.String(24), nullable=True))
    op.add_column('images', sa.Column('opt_out', sa.String(24), nullable=True))


def downgrade() -> None:
    op.drop_column('images', 'opt_out')
    op.drop_column('images', 'robots')
    op.drop_column('attempts', 'queued_s')
    op.drop_column('jobs', 'traceparent')
