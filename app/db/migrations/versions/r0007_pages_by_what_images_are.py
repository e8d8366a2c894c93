"""Pages of a dataset's images by source, label and split, in the order of their keys"""

import sqlalchemy as sa
from alembic import op


revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None

LABELLED, SPLIT = sa.text('label IS NOT NULL'), sa.text('split IS NOT NULL')


def upgrade() -> None:
    op.create_index('ix_images_source', 'images', ['dataset_id', 'source', 'id'])
    op.create_index('ix_images_label', 'images', ['dataset_id', 'state', 'label', 'id'], postgresql_where=LABELLED, sqlite_where=LABELLED)
    op.create_index('ix_images_split', 'images', ['dataset_id', 'state', 'split', 'id'], postgresql_where=SPLIT, sqlite_where=SPLIT)


def downgrade() -> None:
    op.drop_index('ix_images_split', 'images')
    op.drop_index('ix_images_label', 'images')
    op.drop_index('ix_images_source', 'images')
