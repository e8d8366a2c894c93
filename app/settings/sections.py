"""The sections of the settings tree: every setting with its default, its bounds and what it means."""

from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from app.domain import CompressionRules, ExportFormat, Level, ValidationRules

__all__ = [
    "CompressSettings",
    "DbSettings",
    "ExportSettings",
    "FetchSettings",
    "JobsSettings",
    "LogSettings",
    "MetricsSettings",
    "QueueSettings",
    "RetrySettings",
    "Section",
    "ServeSettings",
    "SourcesSettings",
    "StorageSettings",
    "TraceSettings",
    "ValidateSettings",
    "WorkspaceSettings",
]


class Section(BaseModel):
    """Base of every section: a name that does not exist is an error (the top-level flag does not reach nested models)."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FetchSettings(Section):
    """How URLs are fetched."""

    concurrency: int = Field(64, ge=1, le=4096, description="Requests in flight in one worker.")
    per_host: int = Field(2, ge=1, le=1024, description="Requests in flight to one host, over all workers.")
    rate_per_host: float = Field(0.0, ge=0, description="Requests per second to one host, over all workers; 0 is what the host bears.")
    connect_timeout_s: float = Field(10.0, gt=0, description="Seconds to connect, TLS included.")
    read_timeout_s: float = Field(30.0, gt=0, description="Seconds between two reads.")
    attempt_timeout_s: float = Field(35.0, gt=0, description="Seconds for one attempt as a whole.")
    url_deadline_s: float = Field(120.0, gt=0, description="Seconds of active time for one URL, all attempts and waits.")
    max_bytes: int = Field(30_000_000, ge=1, description="Largest body taken, bytes, on the wire and unpacked.")
    max_redirects: int = Field(5, ge=0, le=20, description="Redirect hops followed; each is checked like a first URL.")
    allow_networks: tuple[str, ...] = Field((), description="CIDRs exempt from the address guard (never from ports).")
    ports: tuple[int, ...] = Field((80, 443, 8080, 8443, 8000), description="Ports that may be dialled; empty allows any.")
    contact: str = Field("", description="Mail address or URL sent in the User-Agent; Wikimedia requires it.")
    robots: bool = Field(True, description="Obey robots.txt (RFC 9309).")
    opt_out: bool = Field(True, description="Obey X-Robots-Tag noai, TDMRep and Content-Usage headers.")

    @field_validator("allow_networks")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        from ipaddress import ip_network

        for item in value:
            ip_network(item)
        return value


class RetrySettings(Section):
    """When a request is tried again."""

    attempts: int = Field(3, ge=1, le=5, description="Requests one URL may cost in a job.")
    backoff_base_s: float = Field(2.0, ge=0, description="First wait; each further one doubles.")
    backoff_max_s: float = Field(10.0, ge=0, description="Longest wait of the backoff.")
    jitter: float = Field(0.25, ge=0, le=1, description="Share added at random on top of a backoff wait; 0 is exact.")
    inline_wait_max_s: float = Field(10.0, ge=0, description="Longest Retry-After that is waited for in place.")
    retry_after_max_s: float = Field(3600.0, ge=0, description="Longest Retry-After that is honoured at all; longer fails the URL.")
    defer_max_s: float = Field(7200.0, ge=0, description="Seconds after its first deferral at which a URL fails.")
    extra_statuses: tuple[int, ...] = Field((), description="Statuses that count like 503.")
    budget: float = Field(0.1, ge=0, description="Retries a worker makes for each first attempt, at most; beyond it URLs are deferred.")
    budget_floor: int = Field(50, ge=0, description="Retries a worker may always make within ten minutes.")


class JobsSettings(Section):
    """The job layer."""

    retries: int = Field(3, ge=0, le=10, description="Retries of a job after MemoryError or a database connection error.")
    retry_delay_s: float = Field(60.0, ge=0, description="Seconds between them.")
    lease_s: float = Field(30.0, gt=0, description="Seconds a unit of work stays a silent worker's own.")
    sweep_interval_s: float = Field(5.0, gt=0, description="Seconds between two sweeps.")
    chunk_size: int = Field(100, ge=1, le=1000, description="URLs in one chunk.")
    max_crashes: int = Field(3, ge=1, description="Crashes without progress after which a unit runs alone, in quarantine.")
    builder_slots: int = Field(8, ge=1, le=1000, description="Units a builder worker runs at once.")
    validator_slots: int = Field(4, ge=1, le=1000, description="Units a validator worker runs at once.")
    recycle_after: int = Field(0, ge=0, description="Units after which a worker process drains and ends, to be started anew; 0 for never.")
    recycle_rss_bytes: int = Field(0, ge=0, description="Resident memory at which it does so; 0 for never.")
    drain_s: float = Field(20.0, ge=0, description="Seconds a stopping worker gives the units in hand.")
    poll_s: float = Field(0.05, gt=0, description="Seconds between two looks at the queue.")
    max_rounds: int = Field(20, ge=1, description="Times a job asks its sources for more before it settles for less.")


class QueueSettings(Section):
    """Where jobs wait."""

    backend: Literal["embedded", "redis"] = Field("embedded", description="In this process, or in Redis.")
    url: SecretStr = Field(SecretStr("redis://127.0.0.1:6379/0"), description="Redis, where backend is redis.")


class DbSettings(Section):
    """Where the truth lives."""

    url: SecretStr | None = Field(None, description="sqlite+aiosqlite:///… or postgresql+asyncpg://…; default: SQLite in the workspace.")
    password_file: Path | None = Field(None, description="File that holds the password for url, as container secrets do.")
    pool_size: int = Field(10, ge=1, le=200, description="Connections of one process (PostgreSQL).")


class StorageSettings(Section):
    """Where bytes rest."""

    url: str | None = Field(None, description="file:///…, s3://bucket/prefix, az://…, gs://…, memory://; default: the workspace.")


class WorkspaceSettings(Section):
    """The folder that holds the embedded database and store."""

    path: Path = Field(Path(".pictrawl"), description="Created where it does not exist.")


class ValidateSettings(Section):
    """What an image must be. A job may set its own level and sizes."""

    level: Level = Field("standard", description="basic, standard or strict.")
    min_width: int = Field(64, ge=1, description="Pixels.")
    min_height: int = Field(64, ge=1, description="Pixels.")
    max_pixels: int = Field(50_000_000, ge=1, description="Width times height above which nothing is decoded.")
    max_aspect: float = Field(4.0, ge=1, description="Longer side over shorter side.")
    min_entropy: float = Field(1.0, ge=0, le=8, description="Bits of the grey histogram.")
    min_sharpness: float = Field(20.0, ge=0, description="Variance of the Laplacian at 256 pixels.")
    min_brightness: float = Field(8.0, ge=0, le=255, description="Mean grey below which an image is too dark.")
    max_brightness: float = Field(247.0, ge=0, le=255, description="Mean grey above which an image is too light.")
    near_distance: int = Field(6, ge=0, le=16, description="Bits of 64 in which near duplicates may differ.")
    children: int = Field(0, ge=0, le=256, description="Decoder processes; 0 is one per core.")
    child_memory_bytes: int = Field(1_000_000_000, ge=300_000_000, description="Address space of one decoder process.")
    deadline_s: float = Field(20.0, gt=0, description="Seconds for one image.")

    def rules(self) -> ValidationRules:
        """The rules that a job carries in its spec."""
        return ValidationRules(**{name: getattr(self, name) for name in _VALIDATION_RULES})


_VALIDATION_RULES = frozenset(rule.name for rule in fields(ValidationRules)) & ValidateSettings.model_fields.keys()
"""Rules that the ``[validate]`` section sets; the formats are not a setting."""


class CompressSettings(Section):
    """How images leave."""

    format: Literal["keep", "jpeg", "webp", "png"] = Field("keep", description="keep leaves the original encoding.")
    level: int = Field(95, ge=1, le=100, description="Encoder quality.")
    resize: Literal["none", "keep_ratio", "center_crop", "border"] = Field("none", description="How size is reached.")
    size: int = Field(256, ge=8, le=16384, description="Pixels.")
    only_if_bigger: bool = Field(True, description="Never enlarge.")

    def rules(self) -> CompressionRules:
        """The rules that a job carries in its spec."""
        return CompressionRules(**self.model_dump())


class ExportSettings(Section):
    """The form of a dataset."""

    format: ExportFormat = Field("files", description="files, imagefolder or webdataset.")
    storage_tier: Literal["standard"] = Field("standard", description="Class of storage of an export.")
    shard_samples: int = Field(10_000, ge=1, description="Samples in one shard.")
    shard_bytes: int = Field(1_000_000_000, ge=1_000_000, description="Bytes in one shard.")


class LogSettings(Section):
    """Logs go to stderr."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severe level that is written.")
    format: Literal["auto", "pretty", "json"] = Field("auto", description="auto is pretty on a terminal, else JSON lines.")
    file: Path | None = Field(None, description="Also write JSON lines here.")

    @field_validator("level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value


class TraceSettings(Section):
    """Spans for OpenTelemetry; needs the extra ``otel``."""

    enabled: bool = Field(False, description="Make spans, and send them. What OTEL_* variables say holds where nothing is set here.")
    endpoint: str = Field("", description="Collector, OTLP over HTTP; without a path /v1/traces is added. Empty: http://localhost:4318.")
    sample_ratio: float | None = Field(None, ge=0, le=1, description="Share of the traces begun here; a caller's own decides for itself.")
    url_ratio: float = Field(0.1, ge=0, le=1, description="Share of a sampled job's URLs whose requests are spans; 1 for all.")
    service_name: str = Field("", description="Name of this service. Empty: pictrawl.")

    @field_validator("endpoint")
    @classmethod
    def _is_url(cls, value: str) -> str:
        from urllib.parse import urlsplit

        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0):
            raise ValueError("write the URL of a collector, such as http://127.0.0.1:4318")
        if parts.username or parts.query or parts.fragment:
            raise ValueError("leave user, query and fragment out; a key goes into OTEL_EXPORTER_OTLP_HEADERS")
        return value


class MetricsSettings(Section):
    """A door for Prometheus in each worker process, and beside the API; the API's own /metrics is always there."""

    host: str = Field("127.0.0.1", description="Address for scrapes. No key is asked for: keep it on loopback or an internal network.")
    port: int = Field(0, ge=0, le=65535, description="Port on which a worker and `serve` answer GET /metrics; 0 is off.")
    ports: int = Field(1, ge=1, le=100, description="Ports tried from there on, for several processes on one machine.")


class ServeSettings(Section):
    """The API server."""

    host: str = Field("127.0.0.1", description="Anything but loopback needs an API key in the database.")
    port: int = Field(8080, ge=0, le=65535, description="0 picks a free one.")
    max_body_bytes: int = Field(16_000_000, ge=1000, description="Largest request body, bytes.")


class SourcesSettings(Section):
    """Where candidates come from."""

    wikimedia_url: str = Field("https://commons.wikimedia.org", description="Scheme and host of Wikimedia Commons.")
    wikidata_url: str = Field("https://www.wikidata.org", description="Scheme and host of Wikidata.")
    wikimedia_width: int = Field(
        960, ge=0, description="Smallest wanted width; a standard thumbnail of at least this is taken. 0: originals."
    )
