"""How far an export is on its way to its destination, and when it arrived"""

import sqlalchemy as sa
from alembic import op


revision = '0021'
down_revision = '0020'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('exports', sa.Column('delivery', sa.JSON(none_as_null=True), nullable=True))
    op.add_column('exports', sa.Column('delivered_at', sa.Double(), nullable=True))


def downgrade() -> None:
    op.drop_column('exports', 'delivered_at')
    op.drop_column('exports', 'delivery')
