"""Where a version of a dataset comes from, as its papers tell it: plain values that are gathered once and stored with the version.

No path, no row or job id and no secret is in it, so that an export of the same version has the same bytes wherever it is written.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic import ValidationError as PydanticError

import errors
from app.paper_texts import NO_TEXTS, PaperTexts
from app.validation_errors import requirement

__all__ = ["SCHEMA_VERSION", "Asked", "Crawler", "Provenance", "Seconds", "SourceFigures"]

SCHEMA_VERSION: Final = 1
"""Of the JSON form; increased when readers of the old form would misread the new one."""

Seconds = Annotated[float, Field(ge=0, lt=253_402_300_800)]
"""Since 1970, up to the year 9999: what papers can write as a date."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the build was asked for.

    Attributes:
        keywords, languages, synonyms: of the searches; at most so many synonyms of each keyword.
        url_list: name of the list; pages: their URLs without user and query; folder: its name. Only one kind of input is given.
        licenses, unknown_licenses: words of the licence policy, and what becomes of images without a known licence.
        where, max_per_label, balance: which of the images were kept; see :mod:`app.selection`.
        checks: limit of each check by name, with the ``level``.
        near_distance: bits by which near duplicates may differ.
        compression: how exported images are encoded and resized.
        splits: share of each split; ``split_by`` says what stays in one split, joined by commas.
    """

    keywords: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    synonyms: int = 0
    url_list: str = ""
    pages: tuple[str, ...] = ()
    folder: str = ""
    label: str = ""
    licenses: tuple[str, ...] = ()
    unknown_licenses: str = "keep"
    where: str = ""
    max_per_label: int | None = None
    balance: bool = False
    checks: Mapping[str, Any] = field(default_factory=dict)
    dedupe: str = "near"
    near_distance: int = 6
    label_conflicts: str = "drop"
    compression: Mapping[str, Any] = field(default_factory=dict)
    splits: Mapping[str, float] = field(default_factory=dict)
    split_by: str = ""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class SourceFigures:
    """A source of images: requests to it, candidates that it named, and how many of them are in the dataset."""

    name: str
    requests: int
    candidates: int
    kept: int


@dataclass(frozen=True, slots=True)
class Crawler:
    """How the crawler named itself and behaved.

    Attributes:
        rate_per_host: requests a second; 0 where only the learned limit of a host applies.
        configured_hosts: hosts for which the operator set headers or cookies.
    """

    user_agent: str
    robots: bool
    opt_out: bool
    attempts: int
    per_host: int
    rate_per_host: float
    crawl_delay_max_s: float
    retry_after_max_s: float
    configured_hosts: int = 0


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where one version of a dataset comes from. Times are Unix seconds.

    Attributes:
        dataset_id, lineage_id: of the dataset that was built first; a rebuild elsewhere keeps them.
        created_at: of the version: the only time of its making in an export.
        version, previous_version: as in ``1.2.0``; the previous one is empty for the first.
        changes: records ``added``, ``removed`` and ``changed`` since the previous version.
        funnel: images that reached each stage: candidates, fetched, valid, unique, kept.
        reasons: images that were dropped, by reason.
        collected_from, collected_until: when the first and the last of the kept images came from its origin; None where none did.
        pictrawl: version of the program.
    """

    dataset_id: str
    lineage_id: str
    name: str
    created_at: Seconds
    version: str
    asked: Asked
    crawler: Crawler
    pictrawl: str
    previous_version: str = ""
    changes: Mapping[str, int] = field(default_factory=dict)
    funnel: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    sources: tuple[SourceFigures, ...] = ()
    collected_from: Seconds | None = None
    collected_until: Seconds | None = None
    texts: PaperTexts = NO_TEXTS

    __pydantic_config__ = ConfigDict(extra="forbid")

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, the same ones that `from_json` reads, for the database and for locks."""
        values: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return {"schema_version": SCHEMA_VERSION} | values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Provenance":
        """Read what `to_json` returned.

        Raises:
            errors.ValidationError: it is of a newer version, or not a provenance.
        """
        if values.get("schema_version") != SCHEMA_VERSION:
            stated = values.get("schema_version")
            raise errors.ValidationError(f"provenance of version {stated!r}: this pictrawl reads version {SCHEMA_VERSION}; use a newer one")
        try:
            return _ADAPTER.validate_python({name: value for name, value in values.items() if name != "schema_version"})
        except PydanticError as error:
            first = error.errors()[0]
            raise errors.ValidationError(f"provenance: {'.'.join(map(str, first['loc']))} {requirement(first)}") from error


_ADAPTER: Final = TypeAdapter(Provenance)
