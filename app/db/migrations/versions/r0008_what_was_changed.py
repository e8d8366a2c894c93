"""What was removed from the fetched bytes before they were exported"""

import sqlalchemy as sa
from alembic import op


revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('images', sa.Column('changes', sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column('images', 'changes')
