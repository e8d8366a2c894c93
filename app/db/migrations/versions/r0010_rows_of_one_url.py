"""Every caption and label of an image, the further columns of its list, and the rows of a list that name a URL again"""

import sqlalchemy as sa
from alembic import op


revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None


def upgrade() -> None:
    serial = sa.BigInteger().with_variant(sa.Integer, 'sqlite')
    for name in ('captions', 'labels', 'extra'):
        op.add_column('images', sa.Column(name, sa.JSON(), nullable=True))
    op.create_table(
        'list_rows',
        sa.Column('image_id', serial, sa.ForeignKey('images.id', name='fk_list_rows_image_id', ondelete='CASCADE'), nullable=False),
        sa.Column('search_id', sa.String(40), nullable=False),
        sa.Column('row', sa.Integer(), nullable=False),
        sa.Column('line', sa.Integer(), nullable=False),
        sa.Column('captions', sa.JSON(), nullable=True),
        sa.Column('labels', sa.JSON(), nullable=True),
        sa.Column('extra', sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint('image_id', 'search_id', 'row', name='pk_list_rows'),
    )


def downgrade() -> None:
    op.drop_table('list_rows')
    for name in ('extra', 'labels', 'captions'):
        op.drop_column('images', name)
