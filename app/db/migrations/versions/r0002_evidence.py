"""What a refusal rests on"""

import sqlalchemy as sa
from alembic import op


revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('images', sa.Column('evidence', sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column('images', 'evidence')
