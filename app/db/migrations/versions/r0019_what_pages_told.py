"""By which page a page of a crawl was found, and what its requests told"""

import sqlalchemy as sa
from alembic import op


revision = '0019'
down_revision = '0018'
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')


def upgrade() -> None:
    op.add_column('crawl_pages', sa.Column('parent_id', SERIAL, nullable=True))
    op.add_column('crawl_pages', sa.Column('requests', sa.Integer(), server_default='0', nullable=False))
    op.add_column('crawl_pages', sa.Column('robots', sa.String(24), nullable=True))
    op.add_column('crawl_pages', sa.Column('opt_out', sa.String(24), nullable=True))
    op.add_column('crawl_pages', sa.Column('evidence', sa.Text(), nullable=True))
    op.add_column('crawl_pages', sa.Column('kind', sa.String(24), nullable=True))
    op.add_column('crawl_pages', sa.Column('images', sa.Integer(), nullable=True))
    op.add_column('crawl_pages', sa.Column('links', sa.Integer(), nullable=True))
    op.create_index('ix_crawl_pages_key', 'crawl_pages', ['key'])


def downgrade() -> None:
    op.drop_index('ix_crawl_pages_key', 'crawl_pages')
    for name in ('links', 'images', 'kind', 'evidence', 'opt_out', 'robots', 'requests', 'parent_id'):
        op.drop_column('crawl_pages', name)
