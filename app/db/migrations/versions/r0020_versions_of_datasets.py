"""Versions of datasets, what was removed on request, forms of images, and where exports went"""

import sqlalchemy as sa
from alembic import op


revision = '0020'
down_revision = '0019'
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')
ADDED = (
    ('datasets', 'lineage_id', sa.String(40)),
    ('images', 'boxes', sa.JSON(none_as_null=True)),
    ('images', 'copied_from', SERIAL),
    ('exports', 'version', sa.String(40)),
    ('exports', 'options', sa.JSON(none_as_null=True)),
    ('exports', 'destination', sa.Text()),
)


def upgrade() -> None:
    for table, name, kind in ADDED:
        op.add_column(table, sa.Column(name, kind, nullable=True))
    op.execute('UPDATE datasets SET lineage_id = id')
    op.create_index('ix_datasets_lineage', 'datasets', ['lineage_id', 'created_at', 'id'])
    op.create_table(
        'versions',
        sa.Column('id', sa.String(40), nullable=False),
        sa.Column('dataset_id', sa.String(40), nullable=False),
        sa.Column('lineage_id', sa.String(40), nullable=False),
        sa.Column('parent_id', sa.String(40), nullable=True),
        sa.Column('job_id', sa.String(40), nullable=True),
        sa.Column('kind', sa.String(24), nullable=False),
        sa.Column('major', sa.Integer(), nullable=False),
        sa.Column('minor', sa.Integer(), nullable=False),
        sa.Column('patch', sa.Integer(), nullable=False),
        sa.Column('digest', sa.String(64), nullable=False),
        sa.Column('images', sa.Integer(), nullable=False),
        sa.Column('size_bytes', sa.BigInteger(), nullable=False),
        sa.Column('changes', sa.JSON(none_as_null=True), nullable=True),
        sa.Column('provenance', sa.JSON(none_as_null=True), nullable=True),
        sa.Column('created_at', sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(['dataset_id'], ['datasets.id'], name=op.f('fk_versions_dataset_id'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_versions')),
        sa.UniqueConstraint('lineage_id', 'major', 'minor', 'patch', name=op.f('uq_versions_lineage_id_major_minor_patch')),
    )
    op.create_index('ix_versions_dataset', 'versions', ['dataset_id', 'created_at', 'id'])
    op.create_table(
        'tombstones',
        sa.Column('id', sa.String(40), nullable=False),
        sa.Column('user_id', sa.String(100), nullable=False),
        sa.Column('url', sa.Text(), nullable=True),
        sa.Column('url_key', sa.String(64), nullable=True),
        sa.Column('sha256', sa.String(64), nullable=True),
        sa.Column('phash', sa.String(16), nullable=True),
        sa.Column('reason', sa.Text(), nullable=True),
        sa.Column('image_id', SERIAL, nullable=True),
        sa.Column('created_at', sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_tombstones')),
    )
    op.create_index('ix_tombstones_user', 'tombstones', ['user_id', 'created_at', 'id'])
    op.create_index('ix_tombstones_url', 'tombstones', ['user_id', 'url_key'])
    op.create_index('ix_tombstones_sha', 'tombstones', ['user_id', 'sha256'])
    op.create_table(
        'derived_images',
        sa.Column('source_sha256', sa.String(64), nullable=False),
        sa.Column('recipe', sa.String(64), nullable=False),
        sa.Column('out_sha256', sa.String(64), nullable=False),
        sa.Column('out_media_type', sa.String(40), nullable=False),
        sa.Column('out_size_bytes', sa.BigInteger(), nullable=False),
        sa.Column('out_width', sa.Integer(), nullable=False),
        sa.Column('out_height', sa.Integer(), nullable=False),
        sa.Column('changes', sa.Text(), nullable=True),
        sa.Column('created_at', sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint('source_sha256', 'recipe', name=op.f('pk_derived_images')),
    )
    op.create_index('ix_derived_images_out', 'derived_images', ['out_sha256'])


def downgrade() -> None:
    for table in ('derived_images', 'tombstones', 'versions'):
        op.drop_table(table)
    op.drop_index('ix_datasets_lineage', 'datasets')
    for table, name, _ in reversed(ADDED):
        op.drop_column(table, name)
