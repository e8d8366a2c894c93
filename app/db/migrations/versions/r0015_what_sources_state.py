"""What a source states of an image, other sources of the same picture, and the Wikidata item of a search"""

import sqlalchemy as sa
from alembic import op


revision = '0015'
down_revision = '0014'
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')


def upgrade() -> None:
    op.add_column('images', sa.Column('license_raw', sa.Text(), nullable=True))
    op.add_column('images', sa.Column('license_confidence', sa.String(24), nullable=True))
    op.add_column('images', sa.Column('license_note', sa.Text(), nullable=True))
    op.add_column('images', sa.Column('creator_url', sa.Text(), nullable=True))
    op.add_column('images', sa.Column('stated', sa.JSON(none_as_null=True), nullable=True))
    op.add_column('images', sa.Column('offers', sa.JSON(none_as_null=True), nullable=True))
    op.add_column('searches', sa.Column('qid', sa.String(20), nullable=True))
    op.create_table(
        'image_identities',
        sa.Column('dataset_id', sa.String(40), nullable=False),
        sa.Column('identity', sa.String(200), nullable=False),
        sa.Column('image_id', SERIAL, nullable=False),
        sa.ForeignKeyConstraint(['dataset_id'], ['datasets.id'], name='fk_image_identities_dataset_id', ondelete='CASCADE'),
        sa.ForeignKeyConstraint(['image_id'], ['images.id'], name='fk_image_identities_image_id', ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('dataset_id', 'identity', name='pk_image_identities'),
    )
    op.create_index('ix_image_identities_image', 'image_identities', ['image_id'])
    # The cursor of a source has another form since this version: an open search begins anew, and skips the URLs that it knows.
    op.execute("UPDATE searches SET cursor = NULL WHERE source = 'wikimedia'")


def downgrade() -> None:
    op.execute("UPDATE searches SET cursor = NULL WHERE source <> 'list'")
    op.drop_table('image_identities')
    op.drop_column('searches', 'qid')
    for name in ('offers', 'stated', 'creator_url', 'license_note', 'license_confidence', 'license_raw'):
        op.drop_column('images', name)
