"""The queries behind the sentences of the papers, as anybody can run them against the database of the dataset.

``:dataset`` is the id of the dataset. The figures of an export are counted over its rows, which are those of these queries.
"""

from typing import Final

__all__ = [
    "ALL",
    "BOXES",
    "CREATED",
    "EXPORTS",
    "FORMATS",
    "FUNNEL",
    "HOSTS",
    "LABELS",
    "LICENSES",
    "PERIOD",
    "REQUESTS",
    "SOURCES",
    "SPEC",
    "SPLITS",
    "TEXTS",
    "TOTAL",
    "VERSION",
]

_KEPT: Final = "from images where dataset_id = :dataset and state = 'kept'"

TOTAL: Final = f"select count(*), sum(coalesce(out_size_bytes, size_bytes)) {_KEPT}"
SPLITS: Final = f"select split, count(*) {_KEPT} group by split"
LABELS: Final = f"select label, count(*) {_KEPT} group by label"
BOXES: Final = f"select boxes {_KEPT} and boxes is not null"
LICENSES: Final = f"select license, count(*) {_KEPT} group by license"
SOURCES: Final = f"select source, count(*) {_KEPT} group by source"
FORMATS: Final = f"select coalesce(out_media_type, media_type), count(*) {_KEPT} group by 1"
HOSTS: Final = f"select url, coalesce(out_size_bytes, size_bytes) {_KEPT}"
TEXTS: Final = f"select count(caption), count(creator), count(changes) {_KEPT}"
PERIOD: Final = f"select min(fetched_at), max(fetched_at) {_KEPT}"
FUNNEL: Final = "select state, reason, count(*) from images where dataset_id = :dataset group by state, reason"
REQUESTS: Final = (
    "select searches.source, sum(searches.requests) from searches join jobs on jobs.id = searches.job_id "
    "where jobs.dataset_id = :dataset group by searches.source"
)
SPEC: Final = "select spec from jobs where dataset_id = :dataset and kind = 'build' order by created_at desc limit 1"
VERSION: Final = (
    "select major, minor, patch, changes, provenance from versions where dataset_id = :dataset order by major desc, minor desc, patch desc"
)
CREATED: Final = "select id, lineage_id, name, created_at from datasets where id = :dataset"

EXPORTS: Final = "select format, options from exports where dataset_id = :dataset"

ALL: Final = (
    *(TOTAL, SPLITS, LABELS, BOXES, LICENSES, SOURCES, FORMATS, HOSTS, TEXTS, PERIOD, FUNNEL, REQUESTS, SPEC, VERSION, CREATED, EXPORTS),
)  # fmt: skip
