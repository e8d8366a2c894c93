"""What people decided about images"""

from typing import Any

import sqlalchemy as sa
from alembic import op


revision = '0023'
down_revision = '0022'
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')
ADDED: tuple[tuple[str, sa.types.TypeEngine[Any]], ...] = (
    ('reviewed', sa.String(24)),
    ('reviewed_by', sa.String(100)),
    ('reviewed_at', sa.Double()),
    ('reviewed_label', sa.String(100)),
    ('review_id', SERIAL),
)
PARTIAL = {'ix_images_reviewed': 'reviewed', 'ix_images_duplicate_of': 'duplicate_of'}


def upgrade() -> None:
    for name, kind in ADDED:
        op.add_column('images', sa.Column(name, kind, nullable=True))
    for name, column in PARTIAL.items():
        has_value = sa.text(f'{column} IS NOT NULL')
        op.create_index(name, 'images', ['dataset_id', column, 'id'], sqlite_where=has_value, postgresql_where=has_value)
    op.create_table(
        'reviews',
        sa.Column('id', SERIAL, autoincrement=True, nullable=False),
        sa.Column('dataset_id', sa.String(40), nullable=False),
        sa.Column('image_id', SERIAL, nullable=False),
        sa.Column('user_id', sa.String(100), nullable=True),
        sa.Column('batch_id', sa.String(40), nullable=True),
        sa.Column('action', sa.String(24), nullable=False),
        sa.Column('note', sa.Text(), nullable=True),
        sa.Column('before', sa.JSON(), nullable=False),
        sa.Column('after', sa.JSON(), nullable=False),
        sa.Column('undoes', SERIAL, nullable=True),
        sa.Column('undone_by', SERIAL, nullable=True),
        sa.Column('created_at', sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(['dataset_id'], ['datasets.id'], name=op.f('fk_reviews_dataset_id'), ondelete='CASCADE'),
        sa.ForeignKeyConstraint(['image_id'], ['images.id'], name=op.f('fk_reviews_image_id'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_reviews')),
        sa.UniqueConstraint('batch_id', 'image_id', name=op.f('uq_reviews_batch_id_image_id')),
    )
    op.create_index('ix_reviews_dataset', 'reviews', ['dataset_id', 'id'])
    op.create_index('ix_reviews_image', 'reviews', ['image_id', 'id'])


def downgrade() -> None:
    op.drop_table('reviews')
    for name in PARTIAL:
        op.drop_index(name, 'images')
    for name, _ in reversed(ADDED):
        op.drop_column('images', name)
