"""The composition root: builds the database engine, store, queue, downloader and decoders from the settings. Nothing else builds them."""

import functools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

import errors
from app.db import Database, schema
from app.discovery import SOURCES, JsonClient, Source, SourceOptions, open_source
from app.discovery.folders.unpacked import TarFiles
from app.images.pool.pool import DecoderPool
from app.observability.tracing import exporting
from app.queue import SERVICE_RETRIES, ArqQueue, embedded_queue, redis_queue
from app.settings import KeyedSourceSettings, Settings
from app.storage import Store, open_store
from app.workspace import Workspace
from downloader import Network, RetryRules
from downloader.client import Downloader
from downloader.host_headers import HostEntry, HostHeaders, HostPattern, read_pattern
from downloader.limiter import HostStateStore
from downloader.limiter.redis_store import RedisHostStateStore
from downloader.proxy import read_proxy
from downloader.tls import check_ca_file

__all__ = [
    "Resources",
    "WorkerResources",
    "make_downloader",
    "make_network",
    "make_queue",
    "make_source",
    "open_resources",
    "open_worker_resources",
    "product_version",
    "source_options",
]


@functools.cache
def product_version() -> str:
    """The installed version. Cached, because heartbeats carry it and a worker may have no free file descriptor to read it."""
    try:
        return version("pictrawl")
    except PackageNotFoundError:
        return "0+source"


@dataclass(frozen=True, slots=True)
class Resources:
    """The resources that every entry point needs.

    Attributes:
        workspace: with the embedded queue, whose process works on which job; ``None`` where every due unit may be dispatched.
    """

    settings: Settings
    db: Database
    store: Store
    queue: ArqQueue
    workspace: Workspace | None = None


@dataclass(frozen=True, slots=True)
class WorkerResources:
    """The further resources that workers need."""

    downloader: Downloader
    decoders: DecoderPool
    tars: TarFiles = field(default_factory=TarFiles)


@asynccontextmanager
async def open_resources(
    settings: Settings, *, queue: ArqQueue | None = None, workspace: Workspace | None = None
) -> AsyncIterator[Resources]:
    """Open database, store and queue for the body's time. If tracing is enabled, spans are exported meanwhile.

    An embedded database is migrated to the newest schema; a shared one must have it already.
    """
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(exporting(settings.trace, version=product_version()))
        db = Database(settings.database_url, pool_size=settings.db.pool_size)
        stack.push_async_callback(db.close)
        if settings.db.url is None or db.is_sqlite:
            await schema.upgrade(db, in_use_by=None if workspace is None else workspace.find_other())
        else:
            await schema.require_current(db)
        store = open_store(settings.storage_url)
        stack.push_async_callback(store.close)
        if queue is None:
            queue = await make_queue(settings)
            stack.push_async_callback(queue.close)
        yield Resources(settings, db, store, queue, workspace)


async def make_queue(settings: Settings, *, retries: int = SERVICE_RETRIES) -> ArqQueue:
    """Open the queue that the settings name.

    Args:
        retries: further attempts to connect. A worker waits for its Redis; a command says after the first one that none answers.
    """
    if settings.queue.backend == "embedded":
        return embedded_queue()
    return await redis_queue(settings.queue.url.get_secret_value(), retries=retries)


@asynccontextmanager
async def open_worker_resources(
    settings: Settings, queue: ArqQueue | None = None, *, decoders: DecoderPool | None = None
) -> AsyncIterator[WorkerResources]:
    """Open a downloader and decoders for the body's time.

    Args:
        queue: with a Redis server, the host states are kept there, so that limits per host hold for all workers.
        decoders: used instead of new ones; the caller closes them.
    """
    async with AsyncExitStack() as stack:
        store = None
        if queue is not None and settings.queue.backend == "redis":
            store = RedisHostStateStore(queue.pool)
            stack.push_async_callback(store.aclose)
        downloader = await stack.enter_async_context(make_downloader(settings, store))
        own_decoders = DecoderPool.from_settings(settings) if decoders is None else nullcontext(decoders)
        tars = TarFiles(settings.workspace.path if settings.queue.backend == "embedded" else None)
        stack.callback(tars.close)
        yield WorkerResources(downloader, await stack.enter_async_context(own_decoders), tars)


def make_downloader(settings: Settings, store: HostStateStore | None = None) -> Downloader:
    """Make a downloader with the ``[fetch]`` and ``[retry]`` settings; by default it keeps the host states in memory."""
    return Downloader(settings.fetch.limits(), RetryRules(**settings.retry.model_dump()), make_network(settings), store=store)


def make_network(settings: Settings) -> Network:
    """Read how hosts are reached.

    Raises:
        errors.ConfigurationError: a file is missing or holds nothing usable; the message names the setting.
    """
    if settings.fetch.ca_file is not None:
        check_ca_file(settings.fetch.ca_file)
    proxy = read_proxy(settings.fetch.proxy.reveal("fetch.proxy")) if settings.fetch.proxy is not None else None
    return Network(settings.fetch.ca_file, settings.fetch.ip_version, _make_hosts(settings), proxy)


def _make_hosts(settings: Settings) -> HostHeaders:
    entries: dict[HostPattern, HostEntry] = {}
    for host, section in settings.hosts.items():
        pattern = read_pattern(host)
        if pattern in entries:
            raise errors.ConfigurationError(f'hosts."{host}" is the same host as another entry; write both as one')
        entries[pattern] = section.entry(host)
    return HostHeaders(entries)


def make_source(settings: Settings, name: str, client: JsonClient, *, side_px: int | None = None) -> Source:
    """Make a source by name.

    Args:
        side_px: the shorter side that images are wanted in, pixels; by default that of the settings.
    """
    return open_source(name, client, source_options(settings, name, side_px=side_px))


def source_options(settings: Settings, name: str, *, side_px: int | None = None) -> SourceOptions:
    """Read how a source is asked; an unknown one has no address.

    Raises:
        errors.ConfigurationError: its key is not where the settings say.
    """
    section = settings.sources.of(name)
    key = section.key.reveal(f"sources.{name}.key") if isinstance(section, KeyedSourceSettings) and section.key is not None else None
    base_url = section.base_url or (SOURCES[name].base_url if name in SOURCES else "")
    return SourceOptions(base_url, key=key, contact=settings.fetch.contact, side_px=side_px or settings.sources.side or None)
