"""Uses bytes that an earlier job of the same user stored for a URL: without a request, or with ``refresh`` once the origin confirms them.

A request made under looser rules than today's counts for nothing, nor does one from before the site refused. Bytes are read and compared
with their digest first, so that what was removed or damaged is requested again. Retry: none here; nothing is requested from the network.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

import errors
from app.db import earlier_fetches, images, tombstones
from app.db.earlier_fetches import OF_BYTES, EarlierFetch
from app.db.tombstones import Tombstone
from app.domain import ImageState, Reuse, StoredImage
from app.observability import labels, metrics
from app.settings import FetchSettings
from app.storage import paths
from downloader import OptOutVerdict, RobotsVerdict, Validators
from downloader.url_guard import URLGuard
from workers.unit import ClaimedUnit, JobContext

__all__ = ["Prepared", "choose", "prepare", "stored_columns", "validators_of"]

UNFETCHED = (ImageState.PENDING, ImageState.DEFERRED)

_PERMITS = frozenset({RobotsVerdict.ALLOWED, RobotsVerdict.NO_FILE})


@dataclass(frozen=True, slots=True)
class Prepared:
    """The images of a chunk that are still to be requested.

    Attributes:
        stored: by image id, the bytes that a conditional request may confirm.
        reused: images whose stored bytes were used without a request.
        tombstoned: images that were removed on request before; they are not requested.
        has_tombstones: whether the user had anything removed, so that bytes are compared with it before they are stored.
    """

    to_fetch: Sequence[StoredImage]
    stored: Mapping[int, EarlierFetch] = field(default_factory=dict)
    reused: int = 0
    tombstoned: int = 0
    has_tombstones: bool = False


async def prepare(ctx: JobContext, unit: ClaimedUnit, chunk_id: str, pending: Sequence[StoredImage]) -> Prepared:
    """Take the images of a chunk that need no request out of those to fetch, and write their rows in one transaction."""
    async with ctx.db.read() as connection:
        found = await earlier_fetches.of_chunk(connection, chunk_id, UNFETCHED, user_id=unit.job.user_id)
        has_tombstones = await tombstones.are_any(connection, unit.job.user_id)
        forgotten = await tombstones.of_chunk(connection, chunk_id, unit.job.user_id) if has_tombstones else {}
    if not found and not forgotten:  # a first build
        return Prepared(pending, has_tombstones=has_tombstones)
    settings, is_refresh = ctx.settings.fetch, unit.spec.refresh
    guard = URLGuard(settings.ports, settings.allow_networks)
    removed = {image.id: forgotten[image.id] for image in pending if image.id in forgotten}
    wanted = [image for image in pending if image.id not in removed]
    chosen = {image.id: fetch for image in wanted if (fetch := choose(image, found.get(image.id, ()), settings, guard))}
    if is_refresh:
        chosen = {image_id: fetch for image_id, fetch in chosen.items() if validators_of(fetch)}
    stored = await _intact(ctx, chosen)
    await _write(unit, removed, {} if is_refresh else stored)
    done = removed.keys() | (set() if is_refresh else stored.keys())
    return Prepared(
        [image for image in pending if image.id not in done],
        stored if is_refresh else {},
        reused=0 if is_refresh else len(stored),
        tombstoned=len(removed),
        has_tombstones=has_tombstones,
    )


def choose(image: StoredImage, found: Sequence[EarlierFetch], settings: FetchSettings, guard: URLGuard) -> EarlierFetch | None:
    """Choose the newest bytes that the image may use; None where its URL must be requested.

    Args:
        found: of its URL, newest first.
        settings: the current ones, and the guard made of them. A request counts if it was made under rules at least as strict.
    """
    refused_at = max((fetch.at for fetch in found if fetch.state is ImageState.FAILED), default=0.0)
    usable = (fetch for fetch in found if fetch.sha256 and fetch.at > refused_at and _fits(image, fetch, settings))
    return next((fetch for fetch in usable if _is_permitted(fetch, settings, guard)), None)


def _fits(image: StoredImage, fetch: EarlierFetch, settings: FetchSettings) -> bool:
    """Whether the bytes are those that a list promises, and no larger than a download may be."""
    return fetch.size_bytes <= settings.max_bytes and image.expected_sha256 in (None, fetch.sha256)


def _is_permitted(fetch: EarlierFetch, settings: FetchSettings, guard: URLGuard) -> bool:
    """Whether the request obeyed what is obeyed now: robots.txt, opt-outs, ports and networks."""
    if settings.robots and fetch.robots not in _PERMITS:
        return False
    if settings.opt_out and fetch.opt_out != OptOutVerdict.NONE:
        return False
    try:
        for url in filter(None, (fetch.url, fetch.final_url)):
            guard.check_url(url)
    except (errors.InvalidURLError, errors.BlockedAddressError):
        return False
    return fetch.exempt_networks is not None and _are_exempt(fetch.exempt_networks.split(), settings.allow_networks)


def _are_exempt(recorded: Iterable[str], current: Sequence[str]) -> bool:
    """Whether each recorded network lies within a current one."""
    now = [ip_network(cidr) for cidr in current]
    return all(any(_is_within(ip_network(cidr), network) for network in now) for cidr in recorded)


def _is_within(inner: IPv4Network | IPv6Network, outer: IPv4Network | IPv6Network) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def validators_of(fetch: EarlierFetch) -> Validators | None:
    """The validators of stored bytes; None where their reply had none."""
    if fetch.etag or fetch.last_modified:
        return Validators(fetch.final_url or fetch.url, fetch.etag, fetch.last_modified)
    return None


async def _intact(ctx: JobContext, chosen: Mapping[int, EarlierFetch]) -> dict[int, EarlierFetch]:
    """Those whose bytes are in the store, unchanged."""
    held = await ctx.store.holds_many([(paths.blob(str(fetch.sha256)), str(fetch.sha256)) for fetch in chosen.values()])
    return {image_id: fetch for (image_id, fetch), is_held in zip(chosen.items(), held, strict=True) if is_held}


async def _write(unit: ClaimedUnit, removed: Mapping[int, Tombstone], stored: Mapping[int, EarlierFetch]) -> None:
    if not removed and not stored:
        return
    async with unit.transaction() as connection:
        await images.update_many(connection, [tombstone.change | {"id": image_id} for image_id, tombstone in removed.items()])
        cleared = dict.fromkeys(("reason", "detail", "evidence", "not_before", "deferred_at"))
        common = cleared | {"state": ImageState.FETCHED, "reuse": Reuse.STORED}
        await images.update_many(
            connection, [common | {"id": image_id, "fetched_at": fetch.at} | stored_columns(fetch) for image_id, fetch in stored.items()]
        )
        await unit.record_progress(connection)
    metrics.downloads.labels("reused", labels.NO_REASON).inc(len(stored))


def stored_columns(fetch: EarlierFetch) -> dict[str, Any]:
    """The columns of an image that has these bytes: what they are, whose request brought them, and what was decided about it."""
    return {name: getattr(fetch, name) for name in OF_BYTES} | {"reused_from": fetch.job_id}
