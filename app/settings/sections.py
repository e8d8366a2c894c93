"""The sections of the settings tree: every setting with its default, bounds and description."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, SecretStr, field_validator

import errors
from app.domain import ExportFormat, LabelConflicts
from app.rules import Level, ValidationRules
from app.settings.secret_value import SecretValue
from app.spec import Compression, Side
from app.strict import Strict
from downloader import FetchLimits, IPVersion
from downloader.host_headers import HostEntry, check_cookie_name, check_header_name, check_referer, check_value, make_entry, read_pattern

__all__ = [
    "CompressSettings",
    "DbSettings",
    "ExportSettings",
    "FetchSettings",
    "HostName",
    "HostSettings",
    "HubSettings",
    "JobsSettings",
    "KeyedSourceSettings",
    "LogSettings",
    "MetricsSettings",
    "QueueSettings",
    "RetrySettings",
    "Section",
    "ServeSettings",
    "SourceSettings",
    "SourcesSettings",
    "StorageSettings",
    "TraceSettings",
    "ValidateSettings",
    "WorkspaceSettings",
]


class Section(Strict):
    """Base of every section. It forbids unknown names itself, because the option of the root model does not apply to nested models."""


class FetchSettings(Section):
    """How URLs are fetched."""

    concurrency: int = Field(64, ge=1, le=4096, description="Requests in flight in one worker.")
    per_host: int = Field(2, ge=1, le=1024, description="Requests in flight to one host, over all workers.")
    rate_per_host: float = Field(0.0, ge=0, description="Requests per second to one host, over all workers; 0: only the learned limit.")
    connect_timeout_s: float = Field(10.0, gt=0, description="Seconds to connect, TLS included.")
    read_timeout_s: float = Field(30.0, gt=0, description="Maximum seconds without received data.")
    attempt_timeout_s: float = Field(35.0, gt=0, description="Seconds for one whole attempt.")
    url_deadline_s: float = Field(120.0, gt=0, description="Seconds for all attempts of one URL and the waits between them.")
    max_bytes: int = Field(30_000_000, ge=1, description="Largest body, bytes, both on the wire and decompressed.")
    max_redirects: int = Field(5, ge=0, le=20, description="Redirects followed; each target is checked like a listed URL.")
    allow_networks: tuple[str, ...] = Field((), description="CIDRs exempt from the address check; the port check still applies.")
    ports: tuple[int, ...] = Field((80, 443, 8080, 8443, 8000), description="Allowed ports; empty allows any.")
    contact: str = Field("", description="Mail address or URL sent in the User-Agent; Wikimedia requires it.")
    robots: bool = Field(True, description="Read robots.txt (RFC 9309) and tdmrep.json of each site, and obey them.")
    crawl_delay_max_s: float = Field(30.0, ge=0, description="Longest Crawl-delay of a robots.txt to obey, seconds; 0 ignores it.")
    opt_out: bool = Field(
        True, description="Obey opt-outs: X-Robots-Tag noai, TDMRep and Content-Usage headers, Content-Signal in robots.txt, tdmrep.json."
    )

    proxy: SecretValue | None = Field(
        None, description="Proxy of all requests: http://host:port, socks5://host:port or socks5h://host:port, or where to find its URL."
    )
    ip_version: IPVersion = Field("any", description="IP version of the addresses that are dialled: any, 4 or 6.")
    ca_file: Path | None = Field(None, description="File of authorities (PEM) trusted besides the public ones.")

    @field_validator("allow_networks")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        from ipaddress import ip_network

        for item in value:
            ip_network(item)
        return value

    @field_validator("contact")
    @classmethod
    def _reaches_somebody(cls, value: str) -> str:
        contact = value.strip(" ")
        if contact and not (contact.isascii() and contact.isprintable() and _ADDRESS.search(contact)):
            raise ValueError("must hold a mail address or an http(s) URL, in printable ASCII; you@example.org or https://example.org/bot")
        return contact

    def limits(self) -> FetchLimits:
        """Return the downloader's limits; the other settings say how hosts are reached."""
        return FetchLimits(**{rule.name: getattr(self, rule.name) for rule in fields(FetchLimits)})


_ADDRESS = re.compile(r"[\w.+-]+@\w|https?://[\w\[]", re.IGNORECASE)


def _host_name(text: str) -> str:
    read_pattern(text)
    return text


HostName = Annotated[str, AfterValidator(_host_name)]


class HostSettings(Section):
    """Further headers of one host. The table is ``[hosts."example.org"]``; in the environment PICTRAWL_HOSTS is one JSON object."""

    headers: dict[Annotated[str, AfterValidator(check_header_name)], SecretValue] = Field({}, description="Headers by name.")
    cookies: dict[Annotated[str, AfterValidator(check_cookie_name)], SecretValue] = Field({}, description="Cookies by name.")
    referer: Annotated[str, AfterValidator(check_referer)] = Field("", description="The Referer, a URL.")
    allow_http: bool = Field(False, description="Send headers and cookies over plain http too, readable for everybody on the way.")

    def entry(self, host: str) -> HostEntry:
        """Read the secrets.

        Raises:
            errors.ConfigurationError: one is missing, or cannot be the value of a header; the message does not quote it.
        """
        headers = {name: _header_value(f'hosts."{host}".headers.{name}', value) for name, value in self.headers.items()}
        cookies = {name: _header_value(f'hosts."{host}".cookies.{name}', value, is_cookie=True) for name, value in self.cookies.items()}
        return make_entry(headers, cookies, self.referer, allow_http=self.allow_http)


def _header_value(setting: str, value: SecretValue, *, is_cookie: bool = False) -> bytes:
    try:
        return check_value(value.reveal(setting), is_cookie=is_cookie)
    except ValueError as error:
        raise errors.ConfigurationError(f"{setting}: {error}") from error


class RetrySettings(Section):
    """When a request is retried."""

    attempts: int = Field(3, ge=1, le=5, description="Maximum requests for one URL in a job.")
    backoff_base_s: float = Field(2.0, ge=0, description="Seconds before the first retry; doubles with each further retry.")
    backoff_max_s: float = Field(10.0, ge=0, description="Longest backoff wait, seconds.")
    jitter: float = Field(0.25, ge=0, le=1, description="Random extra share of a backoff wait; 0 for none.")
    inline_wait_max_s: float = Field(10.0, ge=0, description="Longest Retry-After to wait for, seconds; a longer one defers the URL.")
    retry_after_max_s: float = Field(3600.0, ge=0, description="Longest Retry-After to accept, seconds; a longer one fails the URL.")
    defer_max_s: float = Field(7200.0, ge=0, description="Seconds after its first deferral after which a URL fails.")
    dead_host_s: float = Field(
        120.0, ge=0, description="Seconds after which a deferred URL fails whose host has not once answered in its job."
    )
    extra_statuses: tuple[int, ...] = Field((), description="HTTP statuses treated like 503.")
    budget: float = Field(0.1, ge=0, description="Maximum retries of a worker per first attempt; beyond it URLs are deferred.")
    budget_floor: int = Field(50, ge=0, description="Retries that a worker may make in ten minutes whatever the budget.")


class JobsSettings(Section):
    """Jobs, units and the workers that run them."""

    retries: int = Field(3, ge=0, le=10, description="Retries of a unit after MemoryError or a database connection error.")
    retry_delay_s: float = Field(60.0, ge=0, description="Seconds between these retries.")
    lease_s: float = Field(30.0, gt=0, description="Seconds until the lease of a worker without renewals expires.")
    sweep_interval_s: float = Field(5.0, gt=0, description="Seconds between two sweeps.")
    chunk_size: int = Field(100, ge=1, le=1000, description="URLs in one chunk.")
    max_crashes: int = Field(3, ge=1, description="Crashes by one cause after which a unit is quarantined.")
    builder_slots: int = Field(8, ge=1, le=1000, description="Concurrent units of a builder worker.")
    validator_slots: int = Field(4, ge=1, le=1000, description="Concurrent units of a validator worker.")
    recycle_after: int = Field(0, ge=0, description="Units after which a worker process drains and exits, to be restarted; 0: never.")
    recycle_rss_bytes: int = Field(0, ge=0, description="Resident memory, bytes, at which a worker process does the same; 0: never.")
    drain_s: float = Field(20.0, ge=0, description="Seconds that a stopping worker waits for its running units.")
    poll_s: float = Field(0.05, gt=0, description="Seconds between two polls of the queue.")
    max_rounds: int = Field(20, ge=1, description="Maximum rounds of a job's searches for more candidates.")


class QueueSettings(Section):
    """The message queue."""

    backend: Literal["embedded", "redis"] = Field("embedded", description="embedded: in this process; redis: a Redis server.")
    url: SecretStr = Field(SecretStr("redis://127.0.0.1:6379/0"), description="URL of Redis, used if backend is redis.")


class DbSettings(Section):
    """The database."""

    url: SecretStr | None = Field(None, description="sqlite+aiosqlite:///… or postgresql+asyncpg://…; default: SQLite in the workspace.")
    password_file: Path | None = Field(None, description="File with the password for url, such as a container secret.")
    pool_size: int = Field(10, ge=1, le=200, description="Connections of one process; PostgreSQL only.")


class StorageSettings(Section):
    """The object store for images and exports."""

    url: str | None = Field(None, description="file:///…, s3://bucket/prefix, az://…, gs://…, memory://; default: the workspace.")
    thumbnail_bytes: int = Field(
        10_000_000_000,
        ge=0,
        description="Bytes of thumbnails that the daily clean-up leaves. The oldest go first; they are made again when somebody looks.",
    )


class WorkspaceSettings(Section):
    """The folder that holds the embedded database and store."""

    path: Path = Field(Path(".pictrawl"), description="The folder; it is created if absent.")


class ValidateSettings(Section):
    """The checks of an image. A job may set its own level and sizes."""

    level: Level = Field("standard", description="Which checks apply: basic, standard or strict.")
    min_width: Side = Field(64, description="Minimum width, pixels.")
    min_height: Side = Field(64, description="Minimum height, pixels.")
    max_pixels: int = Field(
        50_000_000, ge=1, le=1_000_000_000, description="Maximum width times height; larger images are rejected before decoding."
    )
    max_aspect: float = Field(4.0, ge=1, description="Maximum ratio of the longer side to the shorter side.")
    min_entropy: float = Field(1.0, ge=0, le=8, description="Minimum entropy of the grey histogram, bits.")
    min_edges: float = Field(
        0.002, ge=0, le=1, description="Share of pixels at an edge with which an image of less entropy passes; 1: never."
    )
    min_sharpness: float = Field(20.0, ge=0, description="Minimum variance of the Laplacian, measured at 256 pixels.")
    min_brightness: float = Field(8.0, ge=0, le=255, description="Minimum mean grey value.")
    max_brightness: float = Field(247.0, ge=0, le=255, description="Maximum mean grey value.")
    near_distance: int = Field(6, ge=0, le=16, description="Maximum distance of near duplicates, in bits of a 64-bit hash.")
    label_conflicts: LabelConflicts = Field(
        "drop", description="What is kept of one picture with several labels: drop (nothing), keep-first or keep-all (one image per label)."
    )
    placeholder_min: int = Field(
        5,
        ge=0,
        description="Unrelated URLs of one site from which on their common picture is a placeholder; redirects count twice; 0: never.",
    )
    children: int = Field(0, ge=0, le=256, description="Decoder processes; 0 for one per core.")
    child_memory_bytes: int = Field(1_000_000_000, ge=300_000_000, description="Maximum address space of one decoder process, bytes.")
    deadline_s: float = Field(20.0, gt=0, description="Maximum seconds of CPU to decode one image.")

    def rules(self) -> ValidationRules:
        """Return the rules that are stored in a job's spec."""
        return ValidationRules(**{name: getattr(self, name) for name in _VALIDATION_RULES})


_VALIDATION_RULES = frozenset(rule.name for rule in fields(ValidationRules)) & ValidateSettings.model_fields.keys()
"""The fields of :class:`ValidationRules` that are settings; the formats are not."""


class CompressSettings(Compression, Section):
    """How images are encoded and resized for exports."""


class ExportSettings(Section):
    """The format of exports, and where those of the API may go."""

    format: ExportFormat = Field("files", description=f"One of {', '.join(get_args(ExportFormat))}.")
    storage_tier: Literal["standard"] = Field("standard", description="Storage class of exports.")
    shard_samples: int = Field(10_000, ge=1, description="Maximum samples in one shard.")
    shard_bytes: int = Field(1_000_000_000, ge=1_000_000, description="Maximum bytes in one shard.")
    report: bool = Field(True, description="Whether `report.html` is written beside a dataset in a folder; it is no part of the export.")
    destinations: tuple[str, ...] = Field(
        (),
        description="URLs below which requests of the API may send exports: s3://BUCKET/PREFIX, gs://, az://, hf://ORG, hf://ORG/NAME. "
        "Empty: nowhere.",
    )


class HubSettings(Section):
    """The Hugging Face Hub, to which exports are sent as ``hf://ORG/NAME``; needs the extra ``hub``."""

    endpoint: str | None = Field(
        None, pattern=r"^https?://[^@?#]+$", description="Address of the Hub; default: HF_ENDPOINT, or https://huggingface.co."
    )
    token: SecretValue | None = Field(None, description="Token with write access, or where to find it; default: HF_TOKEN.")


class LogSettings(Section):
    """Logs, written to stderr."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Minimum level that is written.")
    format: Literal["auto", "pretty", "json"] = Field("auto", description="auto is pretty on a terminal, else JSON lines.")
    file: Path | None = Field(None, description="Also write JSON lines to this file.")

    @field_validator("level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value


class TraceSettings(Section):
    """OpenTelemetry traces; needs the extra ``otel``."""

    enabled: bool = Field(False, description="Record spans and export them. OTEL_* variables apply where a setting is empty.")
    endpoint: str = Field("", description="Collector, OTLP over HTTP; without a path /v1/traces is added. Empty: http://localhost:4318.")
    sample_ratio: float | None = Field(None, ge=0, le=1, description="Share of sampled traces. A caller's traceparent header overrides it.")
    url_ratio: float = Field(0.1, ge=0, le=1, description="Share of a sampled job's URLs whose requests get spans; 1 for all.")
    service_name: str = Field("", description="service.name of the spans. Empty: pictrawl.")

    @field_validator("endpoint")
    @classmethod
    def _is_url(cls, value: str) -> str:
        from urllib.parse import urlsplit

        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0):
            raise ValueError("use the URL of a collector, such as http://127.0.0.1:4318")
        if parts.username or parts.query or parts.fragment:
            raise ValueError("remove user, query and fragment; put a key into OTEL_EXPORTER_OTLP_HEADERS")
        return value


class MetricsSettings(Section):
    """The metrics port of each worker process and of ``serve``. The API also serves /metrics on its own port."""

    host: str = Field("127.0.0.1", description="Address of the metrics port. It needs no key: use loopback or an internal network.")
    port: int = Field(0, ge=0, le=65535, description="Port where workers and `serve` answer GET /metrics; 0 for none.")
    ports: int = Field(1, ge=1, le=100, description="How many ports to try, counted from port, for several processes on one machine.")


class ServeSettings(Section):
    """The API server."""

    host: str = Field("127.0.0.1", description="Address to listen on. Addresses other than loopback need an API key in the database.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 for any free port.")
    max_body_bytes: int = Field(16_000_000, ge=1000, description="Largest request body, bytes.")


class SourceSettings(Section):
    """One source."""

    base_url: str | None = Field(None, description="Scheme and host, perhaps a path, to ask instead of the source's own, such as a mirror.")
    limits: tuple[str, ...] | None = Field(
        None,
        description="How often the source may be asked, all workers together, such as 20/min or 200/day; by default what it declares. "
        "An empty list is no limit, for a mirror of your own.",
    )

    @field_validator("base_url")
    @classmethod
    def _is_a_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", value):
            raise ValueError("must be http(s)://host or http(s)://host/path")
        return value.rstrip("/")

    @field_validator("limits")
    @classmethod
    def _are_rates(cls, values: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for value in values or ():
            if not re.fullmatch(r"[1-9][0-9]{0,8}/(s|min|hour|day)", value):
                raise ValueError(f"{value!r} must be a number of requests for each s, min, hour or day, such as 20/min")
        return values


class KeyedSourceSettings(SourceSettings):
    """One source that takes an API key."""

    key: SecretValue | None = Field(None, description="API key of the source, or where to find it.")


class SourcesSettings(Section):
    """Sources of candidates."""

    side: int = Field(
        640,
        ge=0,
        description="Shorter side that images are wanted in where neither --size nor --min-size says it, pixels; 0 for originals. "
        "The smallest size that a source offers and that reaches it is fetched.",
    )
    artic: SourceSettings = SourceSettings()
    cleveland: SourceSettings = SourceSettings()
    europeana: KeyedSourceSettings = KeyedSourceSettings()
    flickr: KeyedSourceSettings = KeyedSourceSettings()
    gbif: SourceSettings = SourceSettings()
    inaturalist: SourceSettings = SourceSettings()
    internet_archive: SourceSettings = SourceSettings()
    met: SourceSettings = SourceSettings()
    nasa: SourceSettings = SourceSettings()
    openverse: KeyedSourceSettings = KeyedSourceSettings()
    smithsonian: KeyedSourceSettings = KeyedSourceSettings()
    smk: SourceSettings = SourceSettings()
    wikidata: SourceSettings = SourceSettings()
    wikimedia: SourceSettings = SourceSettings()

    def of(self, name: str) -> SourceSettings:
        """Return the settings of a source, those of none where it has none."""
        found = getattr(self, name, None)
        return found if isinstance(found, SourceSettings) else SourceSettings()
