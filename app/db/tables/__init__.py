"""The tables. Times are Unix seconds by the clock of the database. Text ids are made by :func:`app.db.engine.new_id`, integer ids by the
database.

The indexes serve the frequent queries: due units by queue, open units by lease, images by job and state.
"""

from app.db.columns import metadata
from app.db.tables.access import api_keys, idempotency_keys, locks, sessions
from app.db.tables.datasets import checks, datasets, derived_images, exports, tombstones, versions
from app.db.tables.fleet import source_limits, source_requests, workers
from app.db.tables.images import attempts, image_identities, images, list_rows, reviews
from app.db.tables.jobs import chunks, crawl_pages, events, jobs, searches, units

__all__ = [
    "api_keys",
    "attempts",
    "checks",
    "chunks",
    "crawl_pages",
    "datasets",
    "derived_images",
    "events",
    "exports",
    "idempotency_keys",
    "image_identities",
    "images",
    "jobs",
    "list_rows",
    "locks",
    "metadata",
    "reviews",
    "searches",
    "sessions",
    "source_limits",
    "source_requests",
    "tombstones",
    "units",
    "versions",
    "workers",
]
