"""Tests of app.resources: settings in, everything that is needed out, and all of it closed again."""

from pathlib import Path

import pytest

import errors
from app.db import Database, schema
from app.queue import embedded_queue, redis_queue
from app.resources import (
    make_downloader,
    make_network,
    make_queue,
    make_source,
    open_resources,
    open_worker_resources,
    product_version,
)
from app.rules import ValidationRules
from app.settings import Settings, load_settings
from downloader.limiter.redis_store import RedisHostStateStore
from downloader.limiter.store import LocalHostStateStore
from downloader.url_guard import check_url


async def test_the_embedded_default_makes_its_workspace(settings: Settings) -> None:
    """A folder with a database of the newest schema and a store, and a queue in this process."""
    async with open_resources(settings) as resources:
        assert (settings.workspace.path / "pictrawl.db").is_file()
        assert await schema.current(resources.db) == schema.head()
        await resources.store.put("a", b"b")
        assert (settings.workspace.path / "store" / "a").read_bytes() == b"b"
        await resources.queue.ping()
        assert resources.settings is settings
    async with open_resources(settings) as again:
        assert await again.store.get("a") == b"b"


async def test_any_sqlite_database_is_brought_up_to_date(sqlite_url: str, settings: Settings) -> None:
    """Also where it is named by its URL."""
    async with open_resources(load_settings({"db.url": sqlite_url, "workspace.path": settings.workspace.path})) as resources:
        assert await schema.current(resources.db) == schema.head()


async def test_a_fleets_database_must_be_up_to_date_already(postgres_url: str, settings: Settings) -> None:
    """No process of many changes the schema by itself: the operator is told what to run."""
    fleet = load_settings({"db.url": postgres_url, "workspace.path": settings.workspace.path})
    with pytest.raises(errors.ConfigurationError, match="run `pictrawl db upgrade`"):
        async with open_resources(fleet):
            pass
    db = Database(postgres_url)
    await schema.upgrade(db)
    await db.close()
    async with open_resources(fleet) as resources:
        await resources.db.ping()


async def test_a_queue_that_is_handed_in_stays_open(settings: Settings) -> None:
    """Whoever made it closes it; the API and the workers of one process share one."""
    queue = embedded_queue()
    async with open_resources(settings, queue=queue) as resources:
        assert resources.queue is queue
    await queue.ping()
    await queue.close()


async def test_the_queue_that_the_settings_name(redis_url: str) -> None:
    """In this process, or in Redis."""
    embedded = await make_queue(load_settings())
    real = await make_queue(load_settings({"queue.backend": "redis", "queue.url": redis_url}))
    direct = await redis_queue(redis_url)
    try:
        await embedded.count_failure("unit_1")
        await real.count_failure("unit_2")
        assert [await direct.count_failure(unit_id) for unit_id in ("unit_1", "unit_2")] == [1, 2]
    finally:
        for queue in (embedded, real, direct):
            await queue.close()


async def test_what_was_opened_is_closed_where_the_rest_fails(settings: Settings) -> None:
    """An unknown store after an open database: the error says it, and no thread stays behind to keep the process alive."""
    broken = load_settings({"workspace.path": settings.workspace.path, "storage.url": "ftp://host/x"})
    with pytest.raises(errors.ConfigurationError, match="storage"):
        async with open_resources(broken):
            pass


async def test_worker_resources_fetch_and_decode(settings: Settings) -> None:
    """A downloader, decoders, and sources over the downloader."""
    chosen = load_settings({"workspace.path": settings.workspace.path, "validate.children": 1, "fetch.contact": "ops@example.org"})
    async with open_worker_resources(chosen) as worker_resources:
        verdict = await worker_resources.decoders.validate(b"no image", ValidationRules())
        assert verdict.reason is not None
        assert make_source(chosen, "wikimedia", worker_resources.downloader).info.name == "wikimedia"


async def test_a_fleet_shares_what_it_knows_of_hosts(settings: Settings) -> None:
    """In the Redis of its queue; the embedded default, and whoever has no queue, keeps it to itself."""
    path = settings.workspace.path
    for backend, store in (("redis", RedisHostStateStore), ("embedded", LocalHostStateStore)):
        chosen = load_settings({"workspace.path": path, "validate.children": 1, "queue.backend": backend})
        queue = embedded_queue()
        async with open_worker_resources(chosen, queue) as worker_resources:
            assert isinstance(worker_resources.downloader._gate._store, store)
        await queue.close()


@pytest.mark.parametrize(("name", "error"), [("flicker", errors.PermanentError), ("", errors.PermanentError)])
async def test_an_unknown_source_is_refused(settings: Settings, name: str, error: type[Exception]) -> None:
    """By whoever asks."""
    async with make_downloader(settings) as downloader:
        with pytest.raises(error):
            make_source(settings, name, downloader)


def test_the_version_is_the_installed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or says that nothing is installed; it is read once, and known without a free descriptor from then on."""
    installed = product_version()
    assert installed[0].isdigit()
    monkeypatch.setattr("sys.path", [])
    monkeypatch.setattr("sys.meta_path", [])
    assert product_version() == installed
    assert product_version.__wrapped__() == "0+source"


def test_network_of_the_settings_is_checked(tmp_path: Path) -> None:
    """A file of authorities that is missing ends the start, not each URL."""
    assert make_network(load_settings({"fetch.ip_version": "6"})).ip_version == "6"
    with pytest.raises(errors.ConfigurationError, match=r"fetch\.ca_file"):
        make_network(load_settings({"fetch.ca_file": tmp_path / "none.pem"}))


def test_headers_of_hosts_are_read_from_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plainly, from the environment, and from a file, whose last line break is not part of the secret."""
    monkeypatch.setenv("TOKEN", "Bearer one")
    Path("cookie").write_text("two\r\n")
    Path("pictrawl.toml").write_text(
        '[hosts."a.test"]\nheaders = { Authorization = { env = "TOKEN" }, X-Key = "three" }\n'
        'cookies = { session = { file = "cookie" } }\nreferer = "https://a.test/"\n'
    )
    lines = make_network(load_settings()).hosts.lines(check_url("https://a.test/x"))
    assert dict(lines) == {
        b"Referer": b"https://a.test/", b"Authorization": b"Bearer one", b"X-Key": b"three", b"Cookie": b"session=two",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"env": "NOWHERE"}, 'hosts."a.test".headers.X-Key: the environment variable NOWHERE is not set; set it'),
        ({"file": "nowhere"}, 'hosts."a.test".headers.X-Key: cannot read nowhere: No such file or directory; mount the file'),
        ({"file": "latin"}, "cannot read latin: it is not UTF-8"),
        ({"file": "two lines"}, 'hosts."a.test".headers.X-Key: the value holds a line break'),
        ("", 'hosts."a.test".headers.X-Key: the value is empty'),
    ],
)
def test_secret_that_cannot_be_read_ends_the_start(value: object, words: str) -> None:
    """With the name of the setting and the remedy, and without the secret."""
    Path("latin").write_bytes(b"hunter2 \xe9")
    Path("two lines").write_text("hunter2\nhunter2")
    settings = load_settings({"hosts.a.test": {"headers": {"X-Key": value}}})
    with pytest.raises(errors.ConfigurationError) as caught:
        make_network(settings)
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_host_has_one_entry() -> None:
    """Two spellings of one host would be two sets of credentials."""
    with pytest.raises(errors.ConfigurationError, match="same host"):
        make_network(load_settings({"hosts.a.test": {}, "hosts.A.test": {}}))


def test_proxy_is_read_from_its_place() -> None:
    """A wrong one ends the start; the message names the setting."""
    Path("secret").write_text("http://ann:hunter2@proxy.test:3128\n")
    proxy = make_network(load_settings({"fetch.proxy": {"file": "secret"}})).proxy
    assert proxy is not None
    assert (proxy.url, proxy.user, proxy.password) == ("http://proxy.test:3128", "ann", "hunter2")
    with pytest.raises(errors.ConfigurationError, match=r"fetch\.proxy is no http"):
        make_network(load_settings({"fetch.proxy": "ftp://proxy.test"}))
