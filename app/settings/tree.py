"""The settings tree: the sources of its values, their precedence, and the error messages for invalid ones."""

import difflib
import json
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, get_args, get_origin
from urllib.parse import quote

from pydantic import BaseModel, Field, SecretStr, model_validator
from pydantic import ValidationError as PydanticError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

import errors
from app.settings.papers import PapersSettings
from app.settings.secret_value import SecretValue
from app.settings.sections import (
    CompressSettings,
    DbSettings,
    ExportSettings,
    FetchSettings,
    HostName,
    HostSettings,
    HubSettings,
    JobsSettings,
    LogSettings,
    MetricsSettings,
    QueueSettings,
    RetrySettings,
    Section,
    ServeSettings,
    SourcesSettings,
    StorageSettings,
    TraceSettings,
    ValidateSettings,
    WorkspaceSettings,
)
from app.validation_errors import requirement

__all__ = ["ENV_PREFIX", "RESERVED_VARIABLES", "Settings", "config_path", "load_settings", "origins", "setting_names"]

ENV_PREFIX = "PICTRAWL_"
CONFIG_FILE = "pictrawl.toml"
RESERVED_VARIABLES = frozenset(
    {
        *("PICTRAWL_CONFIG", "PICTRAWL_TEST_REQUIRE_SERVICES", "PICTRAWL_IMAGE", "PICTRAWL_PORT"),
        *("PICTRAWL_PROMETHEUS_IMAGE", "PICTRAWL_PROMETHEUS_PORT", "PICTRAWL_GRAFANA_IMAGE", "PICTRAWL_GRAFANA_PORT"),
    }
)
"""Variables with our prefix that are not settings: the path of the file, a switch of the test suite, variables of docker-compose.yml."""


class Environment(PydanticBaseSettingsSource):
    """Reads environment variables. A variable with our prefix that names no setting is an error.

    pydantic-settings' own source ignores the prefix for a section with an alias, and its error for an invalid list lacks the name.
    """

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return self.read().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return dict(self.read())

    @staticmethod
    def read() -> dict[str, Any]:
        """Return the values in the environment as a tree of sections."""
        tree: dict[str, Any] = {}
        for variable, text in os.environ.items():
            if not variable.upper().startswith(ENV_PREFIX) or variable.upper() in RESERVED_VARIABLES:
                continue
            name = variable.upper().removeprefix(ENV_PREFIX).lower().replace("__", ".")
            if name not in NAMES:
                raise errors.ConfigurationError(_unknown(f"environment variable {variable}", name))
            _put(tree, name, _json_object(variable, text) if name in TABLES else _value(name, variable, text))
        return tree


def _put(tree: dict[str, Any], name: str, value: Any) -> None:
    """Set a setting in a tree of sections. What follows on the name of a table is one key."""
    sections = name.split(".") if name in NAMES else list(filter(None, name.partition(".")[::2]))
    for section in sections[:-1]:
        tree = tree.setdefault(section, {})
    tree[sections[-1]] = value


def _find(tree: Any, name: str) -> Any:
    """Return the value of a setting in a tree of sections, ``ABSENT`` where there is none."""
    for part in name.split("."):
        if not isinstance(tree, Mapping) or part not in tree:
            return ABSENT
        tree = tree[part]
    return tree


def _value(name: str, variable: str, text: str) -> Any:
    if name in LISTS:
        return _json_list(variable, text)
    return _json_object(variable, text) if name in SECRETS and text.startswith("{") else text


def _json_list(variable: str, text: str) -> list[Any]:
    value = _json(text)
    if not isinstance(value, list):
        raise errors.ConfigurationError(f'environment variable {variable} = {text!r}: use a JSON list, such as [80, 443] or ["a"]')
    return value


def _json_object(variable: str, text: str) -> dict[str, Any]:
    """Read an object that may hold secrets: the message does not quote it."""
    value = _json(text)
    if not isinstance(value, dict):
        raise errors.ConfigurationError(f"environment variable {variable} is no JSON object")
    return value


def _json(text: str) -> Any:
    """Read JSON; ``None`` where it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return None


class TomlFile(PydanticBaseSettingsSource):
    """Reads the file that PICTRAWL_CONFIG names, else ``pictrawl.toml`` in the current folder."""

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
    hub: HubSettings = HubSettings()
    papers: PapersSettings = PapersSettings()
    log: LogSettings = LogSettings()
    trace: TraceSettings = TraceSettings()
    metrics: MetricsSettings = MetricsSettings()
    serve: ServeSettings = ServeSettings()
    sources: SourcesSettings = SourcesSettings()
    hosts: dict[HostName, HostSettings] = Field(
        {}, description='Headers, cookies and referer of some hosts: `{"example.org": {"headers": {"X-Key": {"env": "NAME"}}}}`.'
    )

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
        """The URL of the database, with the password from ``db.password_file`` if set."""
        if self.db.url is None:
            return f"sqlite+aiosqlite:///{self.workspace.path.absolute() / 'pictrawl.db'}"
        url = self.db.url.get_secret_value()
        if self.db.password_file is None:
            return url
        return _with_password(url, self.db.password_file)

    @property
    def storage_url(self) -> str:
        """The URL of the object store."""
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
    """Return the path of the settings file, if one is used."""
    named = os.environ.get("PICTRAWL_CONFIG")
    if named:
        if not Path(named).is_file():
            raise errors.ConfigurationError(f"PICTRAWL_CONFIG = {named}: no such file")
        return Path(named)
    return Path(CONFIG_FILE) if Path(CONFIG_FILE).is_file() else None


def load_settings(flags: Mapping[str, Any] | None = None, *, options: Mapping[str, str] = MappingProxyType({})) -> Settings:
    """Read the tree.

    Args:
        flags: values from the command line, by dotted name: ``{"fetch.per_host": 4}``.
        options: the option that gave a flag, where that was not ``--set``: ``{"fetch.per_host": "--per-host"}``.

    Raises:
        errors.ConfigurationError: a setting is invalid; the message names it, its value and the remedy.
    """
    try:
        return Settings(**_merged(flags or {}))
    except PydanticError as error:
        raise errors.ConfigurationError("; ".join(_explain(item, flags or {}, options) for item in error.errors())) from error


def as_flags(settings: Settings) -> dict[str, Any]:
    """Return the tree as arguments of :func:`load_settings`, in JSON types. Contains secrets: only for child processes, never for logs."""
    tree = settings.model_dump(by_alias=True)
    return {f"{section}.{field}": _plain(value) for section, fields in tree.items() for field, value in fields.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    return value


def _merged(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return flags as a tree of sections. pydantic-settings merges sources deeply, so other settings keep their values."""
    tree: dict[str, Any] = {}
    for name, value in flags.items():
        _put(tree, name, value)
    return tree


def _explain(item: Any, flags: Mapping[str, Any], options: Mapping[str, str]) -> str:
    """``fetch.per_host = 'x' (PICTRAWL_FETCH__PER_HOST): must be a whole number``; ``--per-host 0: must be at least 1``."""
    name = ".".join(str(part) for part in item["loc"] if part != "[key]")
    if item["type"] == "extra_forbidden":
        flag = next((flag for flag in flags if f"{flag}.".startswith(f"{name}.")), None)
        return _unknown(f"--set {flag}", flag) if flag else _unknown(f"setting {name} in {config_path()}", name)
    words = requirement(item)
    if not name:
        return words
    value = "**********" if _may_hold_secret(name) else repr(item["input"])
    setting = next((known for known in NAMES if f"{name}.".startswith(f"{known}.")), name)
    if setting in options and setting in flags:
        return f"{options[setting]} {value}: {words}"
    return f"{name} = {value} ({_place(_origin_finder(flags)(setting), setting)}): {words}"


def _place(origin: str, setting: str) -> str:
    """Where a user finds the value of a setting."""
    return {"flag": "--set", "environment": f"{ENV_PREFIX}{setting.replace('.', '__').upper()}"}.get(origin, origin)


def _may_hold_secret(name: str) -> bool:
    """Whether a setting is secret, has secret parts or is part of a secret one."""
    return any(f"{secret}.".startswith(f"{name}.") or name.startswith(f"{secret}.") for secret in SECRETS)


def _unknown(what: str, name: str) -> str:
    leaves = list(setting_names(Settings))
    near = difflib.get_close_matches(name, [*leaves, *dict.fromkeys(leaf.partition(".")[0] for leaf in leaves)], n=1, cutoff=0.5)
    return f"{what} does not exist" + (f"; did you mean {near[0]}?" if near else "; see `pictrawl config show`")


def setting_names(model: type[BaseModel]) -> Iterator[str]:
    """Yield the dotted name of every setting."""
    return (name for name, _ in _leaves(model))


def _leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        public = prefix + (field.alias or name)
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from _leaves(kind, f"{public}.")
        else:
            yield public, kind


NAMES = tuple(setting_names(Settings))
"""The dotted name of every setting."""

ABSENT = object()
"""No value, which is none of the values that a setting may have."""

LISTS = frozenset(name for name, kind in _leaves(Settings) if tuple in {get_origin(one) for one in (kind, *get_args(kind))})
TABLES = frozenset(name for name, kind in _leaves(Settings) if get_origin(kind) is dict)
SECRETS = TABLES | {name for name, kind in _leaves(Settings) if {SecretStr, SecretValue} & {kind, *get_args(kind)}}
"""Settings whose values are never shown."""


def origins(settings: Settings, flags: Mapping[str, Any] | None = None) -> dict[str, tuple[Any, str]]:
    """Return every setting's value and origin: ``default``, the path of the file, ``environment`` or ``flag``."""
    find_origin = _origin_finder(flags or {})
    dump = settings.model_dump(by_alias=True, mode="json")
    return {name: (_find(dump, name), find_origin(name)) for name in NAMES}


def _origin_finder(flags: Mapping[str, Any]) -> Callable[[str], str]:
    """Return a function that finds where a setting's value comes from."""
    file, path, environment = TomlFile.read(), config_path(), Environment.read()

    def find(name: str) -> str:
        if name in flags or (name in TABLES and any(flag.startswith(f"{name}.") for flag in flags)):
            return "flag"
        if _find(environment, name) is not ABSENT:
            return "environment"
        return "default" if _find(file, name) is ABSENT else str(path)

    return find
