"""Validators of a reply and the guard of its request, so that its bytes are used again; and which images did so"""

import sqlalchemy as sa
from alembic import op


revision = '0013'
down_revision = '0012'
branch_labels = None
depends_on = None

REUSED = sa.text("reuse IS NOT NULL")


def upgrade() -> None:
    op.add_column('images', sa.Column('etag', sa.Text(), nullable=True))
    op.add_column('images', sa.Column('last_modified', sa.String(40), nullable=True))
    op.add_column('images', sa.Column('exempt_networks', sa.Text(), nullable=True))
    op.add_column('images', sa.Column('reuse', sa.String(24), nullable=True))
    op.add_column('images', sa.Column('reused_from', sa.String(40), nullable=True))
    op.create_index('ix_images_reuse', 'images', ['job_id', 'reuse'], sqlite_where=REUSED, postgresql_where=REUSED)


def downgrade() -> None:
    op.drop_index('ix_images_reuse', table_name='images')
    for name in ('reused_from', 'reuse', 'exempt_networks', 'last_modified', 'etag'):
        op.drop_column('images', name)
