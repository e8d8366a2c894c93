"""Tests of app.settings: where a value comes from, what is refused and in which words, and what is shown to nobody."""

from pathlib import Path
from typing import Any

import pytest

import errors
from app.rules import CompressionRules, ValidationRules
from app.settings import ENV_PREFIX, RESERVED_VARIABLES, Settings, as_flags, load_settings, origins, setting_names


@pytest.fixture
def set_env(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set settings in the environment by their dotted names."""

    def setter(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(ENV_PREFIX + name.upper(), value)

    return setter


def write_file(text: str, path: str = "pictrawl.toml") -> Path:
    Path(path).write_text(text, encoding="utf-8")
    return Path(path)


def refused(flags: dict[str, Any] | None = None) -> str:
    """The words with which the settings are refused."""
    with pytest.raises(errors.ConfigurationError) as caught:
        load_settings(flags)
    return str(caught.value)


# order and origins


def test_the_defaults_are_the_contract() -> None:
    """The names and values that scripts rely on."""
    settings = load_settings()
    assert (settings.fetch.concurrency, settings.fetch.per_host, settings.fetch.max_bytes) == (64, 2, 30_000_000)
    assert (settings.fetch.ports, settings.fetch.robots, settings.fetch.opt_out) == ((80, 443, 8080, 8443, 8000), True, True)
    assert (settings.retry.attempts, settings.retry.backoff_base_s, settings.retry.jitter) == (3, 2.0, 0.25)
    assert (settings.retry.inline_wait_max_s, settings.retry.retry_after_max_s, settings.retry.defer_max_s) == (10.0, 3600.0, 7200.0)
    assert settings.retry.dead_host_s == 120.0
    assert (settings.jobs.retries, settings.jobs.retry_delay_s, settings.jobs.lease_s, settings.jobs.max_crashes) == (3, 60.0, 30.0, 3)
    assert (settings.queue.backend, settings.validate_.level, settings.compress.format, settings.export.format) == (
        "embedded", "standard", "keep", "files",
    )  # fmt: skip
    assert {origin for _, origin in origins(settings).values()} == {"default"}


def test_each_place_beats_the_one_before(set_env: Any) -> None:
    """Default, file, environment, flag: the nearest one counts, and the table says which it was."""
    flags = {"fetch.per_host": 8}
    write_file("[fetch]\nper_host = 3\nconcurrency = 10\nmax_redirects = 1\n[validate]\nlevel = 'strict'\n")
    set_env(fetch__per_host="5", fetch__concurrency="20", validate__min_width="100")
    settings = load_settings(flags)
    assert (settings.fetch.per_host, settings.fetch.concurrency, settings.fetch.max_redirects) == (8, 20, 1)
    assert (settings.validate_.level, settings.validate_.min_width, settings.validate_.min_height) == ("strict", 100, 64)
    found = {name: entry for name, entry in origins(settings, flags).items() if entry[1] != "default"}
    assert found == {
        "fetch.per_host": (8, "flag"),
        "fetch.concurrency": (20, "environment"),
        "fetch.max_redirects": (1, "pictrawl.toml"),
        "validate.level": ("strict", "pictrawl.toml"),
        "validate.min_width": (100, "environment"),
    }


@pytest.mark.parametrize("name", list(setting_names(Settings)))
def test_every_setting_can_come_from_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the one prefix, in every section; a variable without the prefix is none of ours."""
    values = {
        "fetch.allow_networks": '["10.0.0.0/8"]', "fetch.ports": "[81]", "fetch.ip_version": "4", "retry.extra_statuses": "[520]",
        "queue.backend": "redis", "validate.level": "strict", "validate.child_memory_bytes": "400000000", "compress.format": "png",
        "validate.max_brightness": "99", "validate.label_conflicts": "keep-all", "validate.min_edges": "0.5",
        "compress.resize": "border", "export.format": "webdataset", "export.storage_tier": "standard", "export.shard_bytes": "2000000",
        "log.level": "debug", "log.format": "json", "fetch.robots": "false", "fetch.opt_out": "0", "compress.only_if_bigger": "no",
        "serve.max_body_bytes": "5000", "retry.attempts": "4", "retry.jitter": "0.5", "validate.min_entropy": "5",
        "trace.enabled": "true", "trace.endpoint": "http://127.0.0.1:4318", "trace.sample_ratio": "0.5", "trace.url_ratio": "0.5",
        "fetch.contact": "j@x.de", "hosts": '{"a.test": {"headers": {"X-Key": "hunter2"}}}',
        "papers.use_cases": '["a"]', "papers.limitations": '["a"]', "papers.biases": '["a"]', "papers.sensitive_information": '["a"]',
        "papers.has_synthetic_data": "true", "export.destinations": '["s3://b"]', "hub.endpoint": "http://127.0.0.1:8000",
        "export.report": "false",
    } | {
        known: "https://mirror.test/api" for known in setting_names(Settings) if known.endswith(".base_url")
    } | {
        known: '["20/min"]' for known in setting_names(Settings) if known.endswith(".limits")
    }  # fmt: skip
    variable = name.replace(".", "__").upper()
    before = origins(load_settings())
    monkeypatch.setenv(variable, "not ours")
    monkeypatch.setenv(name.partition(".")[0].upper(), "not ours")
    monkeypatch.setenv(ENV_PREFIX + variable, values.get(name, "9"))
    after = origins(load_settings())
    assert {entry: origin for entry, (_, origin) in after.items() if origin != "default"} == {name: "environment"}
    assert after[name][0] != before[name][0] or name in ("export.storage_tier", "queue.url")  # one has one value, the other is a secret


def test_variables_may_be_written_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """The value and its origin agree."""
    monkeypatch.setenv("pictrawl_fetch__Per_Host", "7")
    assert origins(load_settings())["fetch.per_host"] == (7, "environment")


@pytest.mark.parametrize("variable", sorted(RESERVED_VARIABLES - {"PICTRAWL_CONFIG"}))
def test_some_variables_with_our_prefix_are_no_settings(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the compose file and the test suite read is passed over."""
    monkeypatch.setenv(variable, "1")
    load_settings()


def test_lists_in_the_environment_are_json(set_env: Any) -> None:
    """In files and flags they are lists."""
    set_env(fetch__ports="[80, 8443]", fetch__allow_networks='["10.0.0.0/8", "::1/128"]', retry__extra_statuses="[]")
    settings = load_settings()
    assert (settings.fetch.ports, settings.fetch.allow_networks) == ((80, 8443), ("10.0.0.0/8", "::1/128"))
    assert settings.retry.extra_statuses == ()
    write_file("[retry]\nextra_statuses = [520, 522]\n")
    assert load_settings({"fetch.ports": [1]}).fetch.ports == (1,)


# the file


def test_another_file_is_named_by_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes before the one in the current folder, and shows as the origin."""
    write_file("[fetch]\nper_host = 3\n")
    monkeypatch.setenv("PICTRAWL_CONFIG", str(write_file("[fetch]\nper_host = 4\n", "other.toml")))
    assert origins(load_settings())["fetch.per_host"] == (4, "other.toml")
    monkeypatch.setenv("PICTRAWL_CONFIG", "")
    assert load_settings().fetch.per_host == 3


def test_a_file_that_is_named_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing file is not passed over in silence."""
    monkeypatch.setenv("PICTRAWL_CONFIG", "nowhere.toml")
    assert refused() == "PICTRAWL_CONFIG = nowhere.toml: no such file"


@pytest.mark.parametrize("content", [b"[fetch\n", b"per_host == 3", b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named(content: bytes) -> None:
    """Broken TOML and other encodings."""
    Path("pictrawl.toml").write_bytes(content)
    assert refused().startswith("cannot read the settings file pictrawl.toml: ")


# what does not exist


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[fetch]\nper_hots = 3\n", "setting fetch.per_hots in pictrawl.toml does not exist; did you mean fetch.per_host?"),
        ("[validate]\nlevle = 'strict'\n", "setting validate.levle in pictrawl.toml does not exist; did you mean validate.level?"),
        ("[fetchh]\nper_host = 3\n", "setting fetchh in pictrawl.toml does not exist; did you mean fetch?"),
        ("per_host = 3\n", "setting per_host in pictrawl.toml does not exist; did you mean fetch.per_host?"),
        ("[fetch.per_host]\nx = 1\n", "fetch.per_host = {'x': 1} (pictrawl.toml): must be a whole number"),
        ("zzz = 1\n", "setting zzz in pictrawl.toml does not exist; see `pictrawl config show`"),
    ],
)
def test_an_unknown_name_in_the_file_is_an_error(text: str, words: str) -> None:
    """On every level, with the nearest one that exists."""
    write_file(text)
    assert words in refused()


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("PICTRAWL_FETCH__PER_HOTS", "fetch.per_host"),
        ("PICTRAWL_FETCH_PER_HOST", "fetch.per_host"),
        ("PICTRAWL_VALIDATE__LEVLE", "validate.level"),
        ("PICTRAWL_FETCH__PER_HOST__X", "fetch.per_host"),
        ("PICTRAWL_FETCH", "fetch"),
        ("PICTRAWL_LOG_LEVEL", "log.level"),
    ],
)
def test_an_unknown_name_in_the_environment_is_an_error(variable: str, nearest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A typing error in a compose file must not be a default in production."""
    monkeypatch.setenv(variable, "3")
    assert refused() == f"environment variable {variable} does not exist; did you mean {nearest}?"


def test_an_unknown_flag_is_an_error() -> None:
    """As anywhere else."""
    assert refused({"fetch.per_hots": 3}) == "--set fetch.per_hots does not exist; did you mean fetch.per_host?"


# bad values


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("fetch__per_host", "x", "fetch.per_host = 'x' (PICTRAWL_FETCH__PER_HOST): must be a whole number"),
        ("fetch__per_host", "0", "fetch.per_host = '0' (PICTRAWL_FETCH__PER_HOST): must be at least 1"),
        ("fetch__robots", "maybe", "fetch.robots = 'maybe' (PICTRAWL_FETCH__ROBOTS): must be true or false"),
        (
            "fetch__allow_networks",
            '["10.0.0.1/8"]',
            "fetch.allow_networks = ['10.0.0.1/8'] (PICTRAWL_FETCH__ALLOW_NETWORKS): 10.0.0.1/8 has host bits set",
        ),
        ("compress__size", "0", "compress.size = '0' (PICTRAWL_COMPRESS__SIZE): must be at least 8"),
        ("compress__level", "101", "compress.level = '101' (PICTRAWL_COMPRESS__LEVEL): must be at most 100"),
        ("validate__max_aspect", "nan", "validate.max_aspect = 'nan' (PICTRAWL_VALIDATE__MAX_ASPECT): must be a finite number"),
        ("validate__max_aspect", "inf", "validate.max_aspect = 'inf' (PICTRAWL_VALIDATE__MAX_ASPECT): must be a finite number"),
        ("validate__max_pixels", str(10**30), "must be at most 1000000000"),
        ("validate__near_distance", "17", "validate.near_distance = '17' (PICTRAWL_VALIDATE__NEAR_DISTANCE): must be at most 16"),
        ("validate__min_width", "100001", "validate.min_width = '100001' (PICTRAWL_VALIDATE__MIN_WIDTH): must be at most 100000"),
        ("validate__level", "hard", "validate.level = 'hard' (PICTRAWL_VALIDATE__LEVEL): must be basic, standard or strict"),
        ("queue__backend", "rabbit", "queue.backend = 'rabbit' (PICTRAWL_QUEUE__BACKEND): must be embedded or redis"),
        ("log__level", "loud", "log.level = 'LOUD' (PICTRAWL_LOG__LEVEL): must be DEBUG, INFO, WARNING or ERROR"),
        ("validate__min_brightness", "250", "validate.min_brightness = 250 must be below validate.max_brightness = 247"),
        ("fetch__ports", "80,443", "environment variable PICTRAWL_FETCH__PORTS = '80,443': use a JSON list, such as [80, 443]"),
        ("fetch__ports", "80", "environment variable PICTRAWL_FETCH__PORTS = '80': use a JSON list"),
        ("fetch__ports", '["http"]', "fetch.ports.0 = 'http' (PICTRAWL_FETCH__PORTS): must be a whole number"),
    ],
)
def test_a_bad_value_is_named_with_its_setting_and_the_way_out(set_env: Any, name: str, value: str, words: str) -> None:
    """Enough to mend it without the manual."""
    set_env(**{name: value})
    assert words in refused()


def test_what_is_no_number_in_the_file_is_refused() -> None:
    """TOML has truth values and numbers without an end; and two values that do not fit each other."""
    for text, words in {
        "[validate]\nnear_distance = true": "validate.near_distance = True (pictrawl.toml): true and false are no numbers",
        "[fetch]\nports = [true]": "fetch.ports = [True] (pictrawl.toml): true and false are no numbers",
        "[validate]\nmin_entropy = nan": "validate.min_entropy = nan (pictrawl.toml): must be a finite number",
        "[compress]\nlevel = 9.5": "compress.level = 9.5 (pictrawl.toml): must be a whole number",
        "[compress]\nresize = 'border'\nsize = 16384": "size 16384 with resize border and format keep: at most 13377, or another resize",
    }.items():
        Path("pictrawl.toml").write_text(text, encoding="utf-8")
        assert words in refused()


def test_all_bad_values_are_told_at_once(set_env: Any) -> None:
    """Not one by one."""
    set_env(fetch__per_host="x", retry__attempts="9")
    assert "fetch.per_host = 'x'" in refused()
    assert "retry.attempts = '9'" in refused()


@pytest.mark.parametrize(
    "contact", ["notamail", "Jürgen <j@x.de>", "j@x.de\nX-Key: 1", "j@x.de\t", "j@x.de\x7f", "@", "https://", "ftp://x.de"]
)
def test_a_contact_that_no_header_can_carry_is_refused(set_env: Any, contact: str) -> None:
    """It stands in every request: plain text that names somebody."""
    set_env(fetch__contact=contact)
    assert refused() == (
        f"fetch.contact = {contact!r} (PICTRAWL_FETCH__CONTACT): must hold a mail address or an http(s) URL, in printable ASCII; "
        "you@example.org or https://example.org/bot"
    )


@pytest.mark.parametrize("contact", ["", "j@x.de", "Juergen <j@x.de>", "https://x.de/bot", "HTTP://[::1]/", "x, mailto:o'neil@x.de"])
def test_a_contact_may_have_a_name_before_it(contact: str) -> None:
    """Spaces around it are not sent."""
    assert load_settings({"fetch.contact": f" {contact} "}).fetch.contact == contact


def test_the_log_level_may_be_written_small(set_env: Any) -> None:
    """In the file and in the environment; what is no text is refused as such."""
    set_env(log__level="debug")
    assert load_settings().log.level == "DEBUG"
    assert "log.level = 5" in refused({"log.level": 5})


def test_settings_do_not_change() -> None:
    """Neither the tree nor a section: they are read once."""
    settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.fetch.per_host = 3  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        settings.fetch = settings.fetch  # type: ignore[misc]


# secrets and addresses


@pytest.mark.parametrize("name", ["db", "queue"])
def test_secrets_are_shown_to_nobody(set_env: Any, name: str) -> None:
    """Neither by the table of settings, nor by a printed tree, nor by an error."""
    set_env(**{f"{name}__url": "redis://user:hunter2@host/0"})
    settings = load_settings()
    assert getattr(settings, name).url.get_secret_value() == "redis://user:hunter2@host/0"
    assert origins(settings)[f"{name}.url"] == ("**********", "environment")
    assert "hunter2" not in f"{settings!r} {settings} {origins(settings)}"


@pytest.mark.parametrize("text", ["db = 'x://user:hunter2@host'", "[db]\nurl = ['x://user:hunter2@host']", "queue = ['hunter2']"])
def test_an_error_does_not_tell_a_secret(text: str) -> None:
    """A URL in the wrong place, or of the wrong kind, is masked as in the right one."""
    write_file(text)
    words = refused()
    assert "= ********** (pictrawl.toml): must be" in words
    assert "hunter2" not in words


HOSTS = '[hosts."a.test"]\nheaders = {{ X-Key = {} }}\n'


def test_headers_of_hosts_are_shown_to_nobody(set_env: Any) -> None:
    """Where they come from is no secret."""
    write_file(HOSTS.format('"hunter2"') + '[hosts."b.test".cookies]\nsession = { env = "NAME" }\n')
    set_env(hosts='{"c.test": {"headers": {"X-Key": {"file": "path"}, "X-Other": "hunter2"}, "allow_http": true}}')
    settings = load_settings()
    shown, origin = origins(settings)["hosts"]
    assert origin == "environment"
    assert shown["a.test"]["headers"] == {"X-Key": "**********"}
    assert shown["b.test"]["cookies"] == {"session": {"env": "NAME"}}
    assert shown["c.test"]["headers"] == {"X-Key": {"file": "path"}, "X-Other": "**********"}
    assert "hunter2" not in f"{settings!r} {settings} {origins(settings)}"
    assert load_settings(as_flags(settings)) == settings


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HOSTS.format("7"), 'hosts.a.test.headers.X-Key = ********** (pictrawl.toml): write "text", {env = "NAME"} or {file = "path"}'),
        (HOSTS.format('{ env = "hunter2", file = "b" }'), "hosts.a.test.headers.X-Key = ********** (pictrawl.toml): write one of"),
        (HOSTS.format("{}"), "write one of"),
        (HOSTS.replace("X-Key", "Host").format('"hunter2"'), "headers.Host = ********** (pictrawl.toml): Host is not a header to set"),
        ('[hosts."a.test".headers]\nCookie = "hunter2"\n', "use cookies of the same host"),
        ('[hosts."a.test".cookies]\n"a=b" = "hunter2"\n', "no name of a cookie"),
        ('[hosts."a.test"]\nreferer = "hunter2"\n', "hosts.a.test.referer = ********** (pictrawl.toml): write an http or https URL"),
        ('[hosts."*"]\n', "hosts.* = ********** (pictrawl.toml): write a host, such as example.org"),
        ('[hosts."a.test"]\nheadrs = {}\n', "setting hosts.a.test.headrs in pictrawl.toml does not exist"),
    ],
)
def test_bad_headers_of_hosts_are_refused(text: str, words: str) -> None:
    """Each error names the setting and the way out, and no value."""
    write_file(text)
    assert words in refused()
    assert "hunter2" not in refused()


def test_a_proxy_may_be_read_from_elsewhere(set_env: Any) -> None:
    """Its URL holds a password; in the environment an object says where it is."""
    set_env(fetch__proxy="http://ann:hunter2@proxy.test:3128")
    settings = load_settings()
    assert settings.fetch.proxy is not None
    assert settings.fetch.proxy.reveal("fetch.proxy") == "http://ann:hunter2@proxy.test:3128"
    assert origins(settings)["fetch.proxy"] == ("**********", "environment")
    assert "hunter2" not in f"{settings!r}"
    set_env(fetch__proxy='{"file": "secret"}')
    assert origins(load_settings())["fetch.proxy"] == ({"file": "secret"}, "environment")
    assert load_settings(as_flags(load_settings())) == load_settings()
    set_env(fetch__proxy='{"hunter2": ')
    assert "hunter2" not in refused()


def test_hosts_in_the_environment_are_an_object(set_env: Any) -> None:
    """The message does not quote what may hold a secret."""
    for text in ("hunter2", '["hunter2"]'):
        set_env(hosts=text)
        assert refused() == "environment variable PICTRAWL_HOSTS is no JSON object"


def test_without_addresses_everything_is_in_the_workspace() -> None:
    """Absolute paths, so that a later change of folder moves nothing."""
    settings = load_settings({"workspace.path": Path("work")})
    assert settings.database_url == f"sqlite+aiosqlite:///{Path.cwd() / 'work' / 'pictrawl.db'}"
    assert settings.storage_url == (Path.cwd() / "work" / "store").as_uri()


def test_addresses_are_taken_as_they_are() -> None:
    """A URL that is given goes before the workspace."""
    settings = load_settings({"db.url": "postgresql+asyncpg://ann:pw@host/name", "storage.url": "s3://bucket/prefix"})
    assert (settings.database_url, settings.storage_url) == ("postgresql+asyncpg://ann:pw@host/name", "s3://bucket/prefix")


def with_password_file(url: str, password: str = "p@ss/w:rd#é\n") -> Settings:
    Path("secret").write_text(password, encoding="utf-8")
    return load_settings({"db.url": url, "db.password_file": Path("secret")})


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ann@host/name", "ann:PASSWORD@host/name"),
        ("ann@host:5433/name?ssl=require", "ann:PASSWORD@host:5433/name?ssl=require"),
        ("ann@host/name?x=a@b", "ann:PASSWORD@host/name?x=a@b"),
        ("ann@host", "ann:PASSWORD@host"),
    ],
)
def test_a_password_comes_from_its_file(url: str, expected: str) -> None:
    """As container secrets do; escaped, without the line's end."""
    settings = with_password_file(f"postgresql+asyncpg://{url}")
    assert settings.database_url == f"postgresql+asyncpg://{expected.replace('PASSWORD', 'p%40ss%2Fw%3Ard%23%C3%A9')}"


@pytest.mark.parametrize("url", ["postgresql+asyncpg://host/name", "postgresql+asyncpg://ann:old@host/name", "nonsense"])
def test_a_password_file_needs_a_user_to_belong_to(url: str) -> None:
    """And only one password."""
    with pytest.raises(errors.ConfigurationError, match=r"db\.password_file needs a db\.url with a user and no password"):
        _ = with_password_file(url).database_url


def test_a_password_file_that_cannot_be_read_is_named() -> None:
    """Missing or not text: a mistake of the operator's, not of ours."""
    settings = load_settings({"db.url": "postgresql+asyncpg://ann@host/name", "db.password_file": Path("nowhere")})
    with pytest.raises(errors.ConfigurationError, match=r"db\.password_file = 'nowhere' cannot be read: .*No such file"):
        _ = settings.database_url
    Path("nowhere").write_bytes(b"\xff\xfe")
    with pytest.raises(errors.ConfigurationError, match=r"db\.password_file = 'nowhere' cannot be read"):
        _ = settings.database_url


def test_a_password_file_without_an_address_is_not_read() -> None:
    """SQLite in the workspace has no password."""
    assert load_settings({"db.password_file": Path("nowhere")}).database_url.startswith("sqlite")


def test_the_sections_of_images_become_the_rules_of_a_job() -> None:
    """Each setting becomes the rule of the same name; the defaults are the same."""
    values: dict[str, Any] = {
        "level": "strict", "min_width": 11, "min_height": 12, "max_pixels": 13, "max_aspect": 1.4, "min_entropy": 1.5, "min_edges": 0.4,
        "min_sharpness": 16.0, "min_brightness": 17.0, "max_brightness": 180.0,
    }  # fmt: skip
    settings = load_settings({f"validate.{name}": value for name, value in values.items()})
    assert settings.validate_.rules() == ValidationRules(**values)
    wanted = {"format": "jpeg", "level": 33, "resize": "border", "size": 99, "only_if_bigger": False}
    assert load_settings({f"compress.{name}": value for name, value in wanted.items()}).compress.rules() == CompressionRules(**wanted)  # type: ignore[arg-type]
    assert load_settings().validate_.rules() == ValidationRules()
    assert load_settings().compress.rules() == CompressionRules()
