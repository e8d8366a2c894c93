"""Lines of a job's log are found by host, chunk and URL; warnings without reading the rest; images by their URL in any dataset"""

import hashlib
import json
from urllib.parse import urlsplit

import sqlalchemy as sa
from alembic import op


revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None

WARNED = sa.text("level IN ('WARNING', 'ERROR', 'CRITICAL')")
SUBJECTS = {'host': 255, 'chunk_id': 40, 'url_key': 64}
BATCH = 5_000


def upgrade() -> None:
    for name, length in SUBJECTS.items():
        op.add_column('events', sa.Column(name, sa.String(length), nullable=True))
    _fill()
    for name in SUBJECTS:
        told = sa.text(f'{name} IS NOT NULL')
        op.create_index(f'ix_events_{name}', 'events', ['job_id', name, 'id'], postgresql_where=told, sqlite_where=told)
    op.create_index('ix_events_warned', 'events', ['job_id', 'id'], postgresql_where=WARNED, sqlite_where=WARNED)
    op.create_index('ix_images_url_key', 'images', ['url_key'])


def downgrade() -> None:
    op.drop_index('ix_images_url_key', 'images')
    op.drop_index('ix_events_warned', 'events')
    for name in SUBJECTS:
        op.drop_index(f'ix_events_{name}', 'events')
        op.drop_column('events', name)


def _fill() -> None:
    """What lines written before say of themselves."""
    connection = op.get_bind()
    query = sa.text('SELECT id, data FROM events WHERE id > :last ORDER BY id LIMIT :batch')
    change = sa.text('UPDATE events SET host = :host, chunk_id = :chunk_id, url_key = :url_key WHERE id = :id')
    last = 0
    while rows := connection.execute(query, {'last': last, 'batch': BATCH}).all():
        last = rows[-1].id
        told = [{'id': row.id, **_subject(json.loads(row.data) if isinstance(row.data, str) else row.data)} for row in rows]
        if told := [values for values in told if any(values[name] for name in SUBJECTS)]:
            connection.execute(change, told)


def _subject(data: dict[str, object]) -> dict[str, str | None]:
    url, host = data.get('url'), data.get('host')
    place = f'//{host}' if isinstance(host, str) and host else url
    key = hashlib.sha256(url.encode('utf-8', 'surrogatepass')).hexdigest() if isinstance(url, str) else None
    return {
        'host': _fit(_host_of(place) if isinstance(place, str) else None, 255),
        'chunk_id': _fit(data.get('chunk_id'), 40),
        'url_key': key,
    }


def _host_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _fit(value: object, length: int) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= length and value.isprintable() else None
