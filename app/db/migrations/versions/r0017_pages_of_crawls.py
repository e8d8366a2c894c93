"""The pages of a crawl, and which of them are read next"""

import sqlalchemy as sa
from alembic import op


revision = '0017'
down_revision = '0016'
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')


def upgrade() -> None:
    op.create_table(
        'crawl_pages',
        sa.Column('id', SERIAL, autoincrement=True, nullable=False),
        sa.Column('search_id', sa.String(40), nullable=False),
        sa.Column('key', sa.String(64), nullable=False),
        sa.Column('url', sa.Text(), nullable=False),
        sa.Column('depth', sa.Integer(), nullable=False),
        sa.Column('state', sa.String(24), nullable=False),
        sa.Column('tries', sa.Integer(), nullable=False, server_default='0'),
        sa.Column('not_before', sa.Double(), nullable=False, server_default='0'),
        sa.Column('reason', sa.String(24), nullable=True),
        sa.Column('detail', sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(['search_id'], ['searches.id'], name='fk_crawl_pages_search_id', ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('id', name='pk_crawl_pages'),
        sa.UniqueConstraint('search_id', 'key', name='uq_crawl_pages_search_id_key'),
    )
    op.create_index('ix_crawl_pages_next', 'crawl_pages', ['search_id', 'state', 'depth', 'id'])


def downgrade() -> None:
    op.drop_table('crawl_pages')
