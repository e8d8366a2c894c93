"""Every setting of pictrawl in one tree. Read by entry points only; the parts get plain values from :mod:`app.resources`.

Order: defaults < ``pictrawl.toml`` < environment (``PICTRAWL_FETCH__PER_HOST=4``) < flags. An unknown name is an error.
"""

import difflib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self, get_args, get_origin
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic import ValidationError as PydanticError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

import errors
from app.records import ExportFormat, Level

__all__ = ["ENV_PREFIX", "Settings", "load_settings", "origins"]

ENV_PREFIX = "PICTRAWL_"
CONFIG_FILE = "pictrawl.toml"
RESERVED_VARIABLES = frozenset({"PICTRAWL_CONFIG", "PICTRAWL_TEST_REQUIRE_SERVICES", "PICTRAWL_IMAGE", "PICTRAWL_PORT"})
"""Variables with our prefix that are no settings: the file's path, the test suite's switch, and what docker-compose.yml reads."""


class Section(BaseModel):
    """Base of every section: a name that does not exist is an error (the top-level flag does not reach nested models)."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FetchSettings(Section):
    """How URLs are fetched."""

    concurrency: int = Field(64, ge=1, le=4096, description="Requests in flight in one worker.")
    per_host: int = Field(2, ge=1, le=1024, description="Requests in flight to one host.")
    rate_per_host: float = Field(0.0, ge=0, description="Requests per second to one host; 0 is no limit.")
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


class JobsSettings(Section):
    """The job layer."""

    retries: int = Field(3, ge=0, le=10, description="Retries of a job after MemoryError or a database connection error.")
    retry_delay_s: float = Field(60.0, ge=0, description="Seconds between them.")
    lease_s: float = Field(30.0, gt=0, description="Seconds a unit of work stays a silent worker's own.")
    sweep_interval_s: float = Field(5.0, gt=0, description="Seconds between two sweeps.")
    chunk_size: int = Field(100, ge=1, le=1000, description="URLs in one chunk.")
    max_crashes: int = Field(3, ge=1, description="Crashes after which a unit is taken out of the ordinary run.")
    builder_slots: int = Field(8, ge=1, le=1000, description="Units a builder worker runs at once.")
    validator_slots: int = Field(4, ge=1, le=1000, description="Units a validator worker runs at once.")
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


class CompressSettings(Section):
    """How images leave."""

    format: Literal["keep", "jpeg", "webp", "png"] = Field("keep", description="keep leaves the original encoding.")
    level: int = Field(95, ge=1, le=100, description="Encoder quality.")
    resize: Literal["none", "keep_ratio", "center_crop", "border"] = Field("none", description="How size is reached.")
    size: int = Field(256, ge=8, le=16384, description="Pixels.")
    only_if_bigger: bool = Field(True, description="Never enlarge.")


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


class Environment(PydanticBaseSettingsSource):
    """The environment, in which a variable with our prefix that names no setting is an error.

    Not pydantic-settings' own source: that one gives a section with an alias no prefix, and words a list that is no JSON without its name.
    """

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return self.read().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return dict(self.read())

    @staticmethod
    def read() -> dict[str, dict[str, Any]]:
        """What the environment sets, by section and name."""
        known = set(setting_names(Settings))
        tree: dict[str, dict[str, Any]] = {}
        for variable, text in os.environ.items():
            if not variable.upper().startswith(ENV_PREFIX) or variable.upper() in RESERVED_VARIABLES:
                continue
            name = variable.upper().removeprefix(ENV_PREFIX).lower().replace("__", ".")
            if name not in known:
                raise errors.ConfigurationError(_unknown(f"environment variable {variable}", name))
            section, _, field = name.partition(".")
            tree.setdefault(section, {})[field] = _json_list(variable, text) if name in LISTS else text
        return tree


def _json_list(variable: str, text: str) -> list[Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, list):
        raise errors.ConfigurationError(f'environment variable {variable} = {text!r}: write a JSON list, such as [80, 443] or ["a"]')
    return value


class TomlFile(PydanticBaseSettingsSource):
    """``pictrawl.toml``, from PICTRAWL_CONFIG or the current folder."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return self.read().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self.read()

    @staticmethod
    def read() -> dict[str, Any]:
        path = config_path()
        if path is None:
            return {}
        try:
            return tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise errors.ConfigurationError(f"cannot read the settings file {path}: {error}") from error


class Settings(BaseSettings):
    """The whole tree; each section is one table of ``pictrawl.toml``."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    fetch: FetchSettings = FetchSettings()
    retry: RetrySettings = RetrySettings()
    jobs: JobsSettings = JobsSettings()
    queue: QueueSettings = QueueSettings()
    db: DbSettings = DbSettings()
    storage: StorageSettings = StorageSettings()
    workspace: WorkspaceSettings = WorkspaceSettings()
    validate_: ValidateSettings = Field(ValidateSettings(), alias="validate")
    compress: CompressSettings = CompressSettings()
    export: ExportSettings = ExportSettings()
    log: LogSettings = LogSettings()
    serve: ServeSettings = ServeSettings()
    sources: SourcesSettings = SourcesSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, Environment(settings_cls), TomlFile(settings_cls)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.validate_.min_brightness >= self.validate_.max_brightness:
            low, high = self.validate_.min_brightness, self.validate_.max_brightness
            raise ValueError(f"validate.min_brightness = {low:g} must be below validate.max_brightness = {high:g}")
        return self

    @property
    def database_url(self) -> str:
        """The database's URL with its password, if a file holds it."""
        if self.db.url is None:
            return f"sqlite+aiosqlite:///{self.workspace.path.absolute() / 'pictrawl.db'}"
        url = self.db.url.get_secret_value()
        if self.db.password_file is None:
            return url
        return _with_password(url, self.db.password_file)

    @property
    def storage_url(self) -> str:
        """The store's URL."""
        return self.storage.url or (self.workspace.path.absolute() / "store").as_uri()


def _with_password(url: str, file: Path) -> str:
    scheme, _, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    user, has_user, host = place.rpartition("@")
    if not has_user or ":" in user:
        raise errors.ConfigurationError("db.password_file needs a db.url with a user and no password: postgresql+asyncpg://user@host/name")
    try:
        password = file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise errors.ConfigurationError(f"db.password_file = {str(file)!r} cannot be read: {error}") from error
    return f"{scheme}://{user}:{quote(password, safe='')}@{host}{slash}{path}"


def config_path() -> Path | None:
    """The settings file in force, if there is one."""
    named = os.environ.get("PICTRAWL_CONFIG")
    if named:
        if not Path(named).is_file():
            raise errors.ConfigurationError(f"PICTRAWL_CONFIG names {named}, which is no file")
        return Path(named)
    return Path(CONFIG_FILE) if Path(CONFIG_FILE).is_file() else None


def load_settings(flags: Mapping[str, Any] | None = None) -> Settings:
    """Read the tree.

    Args:
        flags: what the command line says, by dotted name: ``{"fetch.per_host": 4}``.

    Raises:
        errors.ConfigurationError: naming the setting, its value and the way out.
    """
    try:
        return Settings(**_merged(flags or {}))
    except PydanticError as error:
        raise errors.ConfigurationError("; ".join(_explain(item) for item in error.errors())) from error


def _merged(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Flags as whole sections: pydantic-settings merges sources deeply, so only what a flag names is given."""
    tree: dict[str, Any] = {}
    for name, value in flags.items():
        section, _, field = name.partition(".")
        tree.setdefault(section, {})[field] = value
    return tree


def _explain(item: Any) -> str:
    name = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return _unknown(f"setting {name}", name)
    words = item["msg"].removeprefix("Value error, ")
    is_secret = any(f"{secret}.".startswith(f"{name}.") for secret in SECRETS)
    value = "**********" if is_secret else repr(item["input"])
    return f"{name} = {value}: {words}" if name else words


def _unknown(what: str, name: str) -> str:
    leaves = list(setting_names(Settings))
    near = difflib.get_close_matches(name, [*leaves, *dict.fromkeys(leaf.partition(".")[0] for leaf in leaves)], n=1, cutoff=0.5)
    return f"{what} does not exist" + (f"; did you mean {near[0]}?" if near else "; see `pictrawl config show`")


def setting_names(model: type[BaseModel]) -> Iterator[str]:
    """Every leaf by its dotted name."""
    return (name for name, _ in _leaves(model))


def _leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        public = prefix + (field.alias or name)
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from _leaves(kind, f"{public}.")
        else:
            yield public, kind


LISTS = frozenset(name for name, kind in _leaves(Settings) if get_origin(kind) is tuple)
SECRETS = frozenset(name for name, kind in _leaves(Settings) if SecretStr in (kind, *get_args(kind)))
"""Settings whose values are shown to nobody."""


def origins(settings: Settings, flags: Mapping[str, Any] | None = None) -> dict[str, tuple[Any, str]]:
    """Every setting's value and where it comes from: ``default``, the file's path, ``environment`` or ``flag``."""
    file, path, environment = TomlFile.read(), config_path(), Environment.read()
    dump = settings.model_dump(by_alias=True, mode="json")
    table: dict[str, tuple[Any, str]] = {}
    for name in setting_names(Settings):
        section, _, field = name.partition(".")
        origin = "default"
        if field in file.get(section, {}):
            origin = str(path)
        if field in environment.get(section, {}):
            origin = "environment"
        if name in (flags or {}):
            origin = "flag"
        table[name] = (dump[section][field], origin)
    return table
