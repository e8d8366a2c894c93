"""Pages of a job's images by state, of a dataset's by reason, and of a job's log by name or level, in the order of their keys"""

import sqlalchemy as sa
from alembic import op


revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None

WARNED = sa.text("level IN ('WARNING', 'ERROR', 'CRITICAL')")
REASONED = sa.text('reason IS NOT NULL')


def upgrade() -> None:
    op.create_index('ix_images_job', 'images', ['job_id', 'state', 'id'])
    op.create_index('ix_images_reason', 'images', ['dataset_id', 'reason', 'id'], postgresql_where=REASONED, sqlite_where=REASONED)
    _index_warned('job_id', 'level', 'id')
    op.create_index('ix_events_name', 'events', ['job_id', 'event', 'id'])


def downgrade() -> None:
    op.drop_index('ix_events_name', 'events')
    _index_warned('job_id', 'id')
    op.drop_index('ix_images_reason', 'images')
    op.drop_index('ix_images_job', 'images')


def _index_warned(*columns: str) -> None:
    op.drop_index('ix_events_warned', 'events')
    op.create_index('ix_events_warned', 'events', list(columns), postgresql_where=WARNED, sqlite_where=WARNED)
