"""The keyword that a search for a synonym is for, and an index that counts a job's images by search"""

import sqlalchemy as sa
from alembic import op


revision = '0014'
down_revision = '0013'
branch_labels = None
depends_on = None

COUNTED = ['job_id', 'state', 'reason', 'source']


def upgrade() -> None:
    op.add_column('searches', sa.Column('root_keyword', sa.String(length=400), nullable=True))
    _index_counted([*COUNTED, 'search_id'])


def downgrade() -> None:
    _index_counted(COUNTED)
    op.drop_column('searches', 'root_keyword')


def _index_counted(columns: list[str]) -> None:
    op.drop_index('ix_images_job_state', 'images')
    op.create_index('ix_images_job_state', 'images', columns)
