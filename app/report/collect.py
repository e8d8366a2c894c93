"""Reads the report of a dataset from its rows. Knows no pixels and no HTML."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from app.db import Database, datasets, image_facts, images, jobs, request_figures, versions
from app.db.funnel import Funnel
from app.db.licences import count_by_licence
from app.db.request_figures import HostRequests
from app.discovery.folders.place import Place
from app.domain import FOLDER_SOURCE, ImageState, Reason, StoredImage
from app.explain import licences
from app.explain.checks import HASH_BITS
from app.explain.image import describe_duplicate
from app.explain.render import evidence_words, verdict_words
from app.formatting import clipped, day, number, size
from app.job_states import JobKind
from app.report.model import DuplicateGroup, HostRow, LeftOut, Picture, Report, Sheet, Stage, Strip
from app.report.sampling import divide, of_each_label
from app.report.tally import REFUSALS, HostTally, Tally, largest

__all__ = ["LOCAL_HOST", "caption_of", "collect", "head_facts", "link_of", "plan_sheets"]

HOSTS_SHOWN: Final = 50

GROUPS_SHOWN, GROUP_PICTURES = 30, 6
"""Groups of duplicates that are shown, and pictures of each, the kept one included."""

URL_CHARS, WORDS_CHARS = 300, 140
"""Of a link, which is left out where it is longer, and of a title or a caption: with them the text of a page stays below a megabyte."""

LOCAL_HOST: Final = "files of this machine"

STAGES: Final = ("candidates", "fetched", "valid", "unique", "kept")

_PAIRS: Final = frozenset({Reason.DUPLICATE_EXACT.value, Reason.DUPLICATE_NEAR.value})
"""Reasons of images that are shown beside the one that is kept."""


async def collect(db: Database, dataset_id: str) -> Report:
    """Read the report of a dataset.

    Raises:
        errors.NotFoundError: there is no such dataset.
    """
    dataset = await datasets.get_dataset(db, dataset_id)
    tally = await _count(db, dataset_id)
    counts = await images.counts(db, dataset_id=dataset_id)
    funnel = Funnel(counts)
    spec = await _spec(db, dataset_id)
    version = (await versions.newest_of_each(db, [dataset_id])).get(dataset_id)
    sheets = plan_sheets(tally)
    groups = largest(tally.duplicates, GROUPS_SHOWN)
    rows = await _load(db, tally, sheets, groups)
    hosts = _hosts(tally.hosts, await request_figures.by_host(db, dataset_id))
    labels = tally.label_rows()
    stages = [Stage(name, getattr(funnel, name)) for name in STAGES]
    through = " > ".join(f"{number(stage.count)} {stage.name}" for stage in stages)
    made = [("funnel", through), ("dataset", dataset.id), ("version", version.number if version else ""), ("made", day(dataset.created_at))]
    return Report(
        name=dataset.name,
        facts=[*head_facts(tally), *((name, words) for name, words in made if words)],
        kept=funnel.kept,
        sheets=_sheets(sheets, rows),
        funnel=stages,
        left_out=[_left_out(reason, total, tally, rows) for reason, total in funnel.reasons.items()],
        groups=[group for original, copies in groups if (group := _group(rows, original, copies, spec)) is not None],
        grouped=len(tally.duplicates),
        distributions=await asyncio.to_thread(tally.distributions),
        labels=labels,
        licences=licences.ledger(await count_by_licence(db, dataset_id)),
        sources=dict(sorted(funnel.by_source().items())),
        hosts=hosts[:HOSTS_SHOWN],
        all_hosts=len(hosts),
        attempts=await request_figures.attempt_counts(db, dataset_id),
        retries=await request_figures.retries(db, dataset_id),
        source_words=f"All of dataset {dataset_id}, by its rows. An export with a selection holds a part of it.",
    )


async def _count(db: Database, dataset_id: str) -> Tally:
    """Count all images; a page of them is counted in a thread, beside the event loop."""
    tally = Tally()
    async with db.read() as connection:
        async for page in image_facts.pages(connection, dataset_id):
            await asyncio.to_thread(tally.add, page)
    return tally


async def _spec(db: Database, dataset_id: str) -> Mapping[str, Any]:
    build = await jobs.newest_of_dataset(db, dataset_id, JobKind.BUILD)
    return build.spec if build is not None else {}


PlannedSheet = tuple[str | None, int, Mapping[str | None, tuple[int, Sequence[int]]]]
"""A label, its images, and for each of its splits how many there are, and the ids of those that are shown."""


def plan_sheets(tally: Tally) -> list[PlannedSheet]:
    """Choose the labels that get a sheet, and the pictures on it."""
    labels = tally.labels()
    shown, each = of_each_label(len(labels))
    planned: list[PlannedSheet] = []
    for label, total in labels[:shown]:
        splits = {split: tally.kept[label, split] for split in tally.splits() if (label, split) in tally.kept}
        places = divide(each, splits)
        planned.append((label, total, {split: (splits[split], tally.picked[label, split].items(places[split])) for split in splits}))
    return planned


def head_facts(tally: Tally) -> list[tuple[str, str]]:
    """How much a dataset holds."""
    kept = tally.kept.total()
    labels = {label for label, _ in tally.kept if label is not None}
    splits = tally.splits()
    facts = [("images", number(kept)), ("bytes", size(tally.size_bytes)), ("labels", number(len(labels)) if labels else "")]
    facts += [("splits", ", ".join(f"{split or 'no split'} {number(found)}" for split, found in splits.items()) if len(splits) > 1 else "")]
    return [(name, words) for name, words in facts if words]


async def _load(
    db: Database, tally: Tally, sheets: Sequence[PlannedSheet], groups: Sequence[tuple[int, Sequence[int]]]
) -> dict[int, StoredImage]:
    """Load the rows of all images that are shown."""
    wanted = {image_id for _, _, splits in sheets for _, ids in splits.values() for image_id in ids}
    wanted |= {image_id for sample in tally.left_out.values() for image_id in sample.items()}
    wanted |= {image_id for original, copies in groups for image_id in (original, *copies[: GROUP_PICTURES - 1])}
    async with db.read() as connection:
        return await image_facts.load_images(connection, wanted)


def _sheets(planned: Sequence[PlannedSheet], rows: Mapping[int, StoredImage]) -> list[Sheet]:
    return [
        Sheet(label, total, [Strip(split, all_of, _present(rows, ids)) for split, (all_of, ids) in splits.items()])
        for label, total, splits in planned
    ]


def _present(rows: Mapping[int, StoredImage], ids: Collection[int]) -> list[Picture]:
    return [_kept_picture(rows[image_id]) for image_id in ids if image_id in rows]


def _kept_picture(image: StoredImage) -> Picture:
    return Picture(
        image.sha256, caption_of(image.label, image.caption or image.title, image.width, image.height, image.license), link_of(image)
    )


def caption_of(label: str | None, text: str | None, width: int | None, height: int | None, licence: str | None) -> str:
    """``cat: a cat on a wall, 640x480, CC-BY-4.0``."""
    what = ": ".join(part for part in (label, text) if part) or "no label"
    facts = [f"{width}x{height}" if width and height else "", licence or "licence unknown"]
    return ", ".join([clipped(what, WORDS_CHARS), *(clipped(fact, 60) for fact in facts if fact)])


def link_of(image: StoredImage) -> str | None:
    """The page of an image, else the image itself, where it is an http or https URL."""
    return next((url for url in (image.page_url, image.url) if url and is_web(url)), None)


def is_web(url: str) -> bool:
    """Whether a URL may be a link: http or https, with a host, and not too long."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc) and len(url) <= URL_CHARS and url.isprintable()


def _left_out(reason: str, total: int, tally: Tally, rows: Mapping[int, StoredImage]) -> LeftOut:
    """Images of one reason; duplicates are shown in their groups, and what was forgotten is shown nowhere."""
    if reason in _PAIRS or reason not in tally.left_out:
        return LeftOut(reason, total)
    found = (rows[image_id] for image_id in tally.left_out[reason].items() if image_id in rows)
    return LeftOut(reason, total, [_left_out_picture(image) for image in found])


def _left_out_picture(image: StoredImage) -> Picture:
    why = verdict_words(image).removeprefix(f"{image.state.value}: {image.reason}, ")
    if image.evidence:
        why = f"{why}; {evidence_words(image.reason, image.evidence)}"
    name = _name_of(image)
    return Picture(image.sha256, clipped(f"{name}: {why}", 2 * WORDS_CHARS), link_of(image), clipped(why, WORDS_CHARS))


def _name_of(image: StoredImage) -> str:
    """Where an image is from; of one of this machine the name of its file alone."""
    if image.source == FOLDER_SOURCE:
        place = Place.parse(image.url)
        return clipped((place.member or place.path).rpartition("/")[2], WORDS_CHARS)
    return clipped(image.url, WORDS_CHARS)


def _group(rows: Mapping[int, StoredImage], original_id: int, copies: Sequence[int], spec: Mapping[str, Any]) -> DuplicateGroup | None:
    """The kept image and some of those that show the same; None where it was deleted."""
    original = rows.get(original_id)
    if original is None or original.state is ImageState.TOMBSTONED:
        return None
    found = [rows[image_id] for image_id in copies[: GROUP_PICTURES - 1] if image_id in rows]
    is_kept = original.state is ImageState.KEPT
    first = Picture(original.sha256, _name_of(original), link_of(original), "kept" if is_kept else original.state.value, is_kept)
    return DuplicateGroup(len(copies) + 1, [first, *(_copy(image, original, spec) for image in found)])


def _copy(image: StoredImage, original: StoredImage, spec: Mapping[str, Any]) -> Picture:
    duplicate = describe_duplicate(image, original, spec)
    bits = "same bytes" if duplicate.is_exact else f"{duplicate.distance} of {HASH_BITS} bits" if duplicate.distance is not None else "near"
    return Picture(image.sha256, clipped(f"{_name_of(image)}: {duplicate.why}", 2 * WORDS_CHARS), link_of(image), bits)


def _hosts(tallies: Mapping[str, HostTally], requests: Mapping[str, HostRequests]) -> list[HostRow]:
    """Every host, that with the most requests first."""
    rows = [_host(host, tallies.get(host, HostTally()), requests.get(host, HostRequests(host))) for host in {*tallies, *requests}]
    return sorted(rows, key=lambda row: (-row.requests, -row.candidates, row.host))


def _host(host: str, tally: HostTally, made: HostRequests) -> HostRow:
    """What is known of a host. A refusal that was requested is counted by its requests, one that was not by its images."""
    asked = {reason: found for reason, found in made.failures.items() if reason in REFUSALS}
    refusals = {reason: max(asked.get(reason, 0), tally.refused[reason]) for reason in sorted({*asked, *tally.refused})}
    return HostRow(
        host=host or LOCAL_HOST,
        candidates=tally.candidates,
        kept=tally.kept,
        requests=made.requests,
        failed=made.failures.total(),
        refusals=refusals,
        rate=made.rate,
        mean_s=made.took_s / made.requests if made.requests else None,
        waited_s=made.waited_s,
    )
