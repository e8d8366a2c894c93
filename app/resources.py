"""The composition root: settings in; engine, store, queue, downloader and decoders out. Nothing else builds them."""

import functools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from app.db import Database, revision
from app.discovery import Source, open_source
from app.images.pool.pool import DecoderPool
from app.queue import ArqQueue, embedded_queue, redis_queue
from app.settings import Settings
from app.storage import Store, open_store
from app.tracing import started
from downloader import FetchLimits, RetryRules
from downloader.client import Downloader
from downloader.limiter import HostStateStore
from downloader.limiter.redis_store import RedisHostStateStore

__all__ = [
    "Resources",
    "Workshop",
    "make_downloader",
    "open_resources",
    "open_workshop",
    "product_version",
]


@functools.cache
def product_version() -> str:
    """The installed version; read once, since a worker without a free descriptor says it with every sign of life."""
    try:
        return version("pictrawl")
    except PackageNotFoundError:
        return "0+source"


@dataclass(frozen=True, slots=True)
class Resources:
    """What every entry point needs."""

    settings: Settings
    db: Database
    store: Store
    queue: ArqQueue


@dataclass(frozen=True, slots=True)
class Workshop:
    """What workers need besides: the way out, and the decoders."""

    downloader: Downloader
    decoders: DecoderPool

    def source(self, settings: Settings, name: str) -> Source:
        """A source by name, over this workshop's downloader."""
        return make_source(settings, name, self.downloader)


@asynccontextmanager
async def open_resources(settings: Settings, *, queue: ArqQueue | None = None) -> AsyncIterator[Resources]:
    """Open database, store and queue, and close them in turn; spans are made meanwhile, where tracing is enabled.

    An embedded database is brought to the newest schema; a fleet's must be there already.
    """
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(started(settings.trace, version=product_version()))
        db = Database(settings.database_url, pool_size=settings.db.pool_size)
        stack.push_async_callback(db.close)
        if settings.db.url is None or db.is_sqlite:
            await revision.bring_up(db)
        else:
            await revision.require_newest(db)
        store = open_store(settings.storage_url)
        stack.push_async_callback(store.close)
        if queue is None:
            queue = await make_queue(settings)
            stack.push_async_callback(queue.close)
        yield Resources(settings, db, store, queue)


async def make_queue(settings: Settings) -> ArqQueue:
    """The queue that the settings name."""
    if settings.queue.backend == "embedded":
        return embedded_queue()
    return await redis_queue(settings.queue.url.get_secret_value())


@asynccontextmanager
async def open_workshop(
    settings: Settings, queue: ArqQueue | None = None, *, decoders: DecoderPool | None = None
) -> AsyncIterator[Workshop]:
    """Open a downloader and decoders, and end them.

    Args:
        decoders: whose end is somebody else's business.
        queue: the fleet's, where there is one: its Redis then holds the host states, and limits per host hold for the fleet.
    """
    async with AsyncExitStack() as stack:
        store = None
        if queue is not None and settings.queue.backend == "redis":
            store = RedisHostStateStore(queue.pool)
            stack.push_async_callback(store.aclose)
        downloader = await stack.enter_async_context(make_downloader(settings, store))
        yield Workshop(downloader, await stack.enter_async_context(DecoderPool.from_settings(settings)) if decoders is None else decoders)


def make_downloader(settings: Settings, store: HostStateStore | None = None) -> Downloader:
    """A downloader with the ``[fetch]`` and ``[retry]`` settings; ``store`` holds the host states, by default its own."""
    return Downloader(FetchLimits(**settings.fetch.model_dump()), RetryRules(**settings.retry.model_dump()), store=store)


def make_source(settings: Settings, name: str, downloader: Downloader) -> Source:
    """A source by name."""
    width_px = settings.sources.wikimedia_width or None
    return open_source(name, downloader, contact=settings.fetch.contact, base_url=settings.sources.wikimedia_url, width_px=width_px)
