"""docker-compose.yml keeps its promises: nothing runs as root or unbounded, what is published is on loopback, all waits are conditions."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import ENV_PREFIX, RESERVED_VARIABLES, Settings, load_settings, setting_names

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if service["image"].endswith("pictrawl:local}"))
ONCE = {"secrets", "migrate", "keys"}
WORKERS = {"workers", "worker-builder", "worker-validator"}
STORES = {"redis", "postgres"}
WATCHERS = {"prometheus", "grafana"}
PUBLISHED = {
    "api": "127.0.0.1:${PICTRAWL_PORT:-8080}:8080",
    "prometheus": "127.0.0.1:${PICTRAWL_PROMETHEUS_PORT:-9090}:9090",
    "grafana": "127.0.0.1:${PICTRAWL_GRAFANA_PORT:-3000}:3000",
}

every_service = pytest.mark.parametrize("name", sorted(SERVICES))
each_of_ours = pytest.mark.parametrize("name", OURS)


def bytes_of(size: str) -> int:
    """``512M`` and ``16m`` as a number."""
    number, unit = re.fullmatch(r"(\d+)([bkmg]?)", size.lower()).groups()
    return int(number) * 1024 ** "bkmg".index(unit or "b")


def test_the_services_are_these() -> None:
    """Stores, three that run once, the API, the workers and who watches them; whoever adds one adds it to the tests."""
    assert set(SERVICES) == STORES | ONCE | WORKERS | WATCHERS | {"api"}
    assert set(OURS) == set(SERVICES) - STORES - WATCHERS


def test_the_file_is_of_the_current_form() -> None:
    """``version`` is obsolete; a name keeps volumes together whatever the folder is called."""
    assert "version" not in COMPOSE
    assert COMPOSE["name"] == "pictrawl"


@every_service
def test_a_service_has_what_keeps_it_in(name: str) -> None:
    """No way to more rights, nothing to write on but volumes and memory."""
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert service["init"] is True
    assert not {"privileged", "pid", "ipc", "devices", "userns_mode"} & set(service)


@every_service
def test_a_service_is_limited(name: str) -> None:
    """Processors, memory, processes, scratch memory and logs all have an end."""
    service = SERVICES[name]
    limits = service["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory", "pids"}
    assert service["logging"]["options"].keys() >= {"max-size", "max-file"}
    scratch = sum(bytes_of(re.search(r"size=(\w+)", mount)[1]) for mount in service["tmpfs"])
    assert scratch <= bytes_of(limits["memory"]), "a full tmpfs counts as memory"


@every_service
def test_a_service_can_be_scaled(name: str) -> None:
    """A fixed container name would allow one only."""
    assert "container_name" not in SERVICES[name]


@each_of_ours
def test_ours_run_as_nobody_in_particular(name: str) -> None:
    """The image's own user, and no capability at all."""
    assert SERVICES[name]["user"] == "10001:10001"
    assert "cap_add" not in SERVICES[name]


@pytest.mark.parametrize("name", sorted(STORES))
def test_stores_get_only_what_their_images_need_to_become_their_user(name: str) -> None:
    """They start as root to hand their folder over, and then step down."""
    assert set(SERVICES[name]["cap_add"]) <= {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}


@every_service
def test_only_what_people_look_at_is_published_and_on_loopback(name: str) -> None:
    """Whoever wants it on the network puts a proxy with TLS before it."""
    ports = SERVICES[name].get("ports", [])
    assert ports == ([PUBLISHED[name]] if name in PUBLISHED else [])
    assert "network_mode" not in SERVICES[name] or SERVICES[name]["network_mode"] == "none"


@every_service
def test_a_service_restarts_unless_it_runs_once(name: str) -> None:
    """A job that runs once must be able to end."""
    assert SERVICES[name]["restart"] == ("no" if name in ONCE else "unless-stopped")


@every_service
def test_what_goes_on_says_whether_it_is_well(name: str) -> None:
    """What runs once answers with its exit code instead."""
    assert ("healthcheck" in SERVICES[name]) == (name not in ONCE)


@every_service
def test_a_service_waits_for_what_it_needs(name: str) -> None:
    """For health, or for the end of what runs once; never only for a start."""
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        assert how == {"condition": "service_completed_successfully" if needed in ONCE else "service_healthy"}


def test_workers_bring_up_all_they_need() -> None:
    """``docker compose up workers`` is enough for jobs to run."""
    for name in WORKERS:
        assert needs(name) == {"redis", "postgres", "secrets", "migrate"}


def test_the_api_comes_up_with_a_key() -> None:
    """It answers its container's network, and that takes a key in the database."""
    assert needs("api") == {"redis", "postgres", *ONCE}
    assert SERVICES["api"]["command"][:2] == ["serve", "--no-worker"]


def needs(name: str) -> set[str]:
    """Everything that is started with a service."""
    direct = set(SERVICES[name].get("depends_on", {}))
    return direct.union(*(needs(other) for other in direct))


def test_one_service_runs_both_kinds_of_workers_unless_they_are_kept_apart() -> None:
    """The profile has one service for each kind."""
    assert {name: (SERVICES[name]["command"], SERVICES[name].get("profiles")) for name in WORKERS} == {
        "workers": (["worker", "all"], None),
        "worker-builder": (["worker", "builder"], ["isolated"]),
        "worker-validator": (["worker", "validator"], ["isolated"]),
    }


def test_stores_and_the_isolated_validator_have_no_way_out() -> None:
    """What opens strangers' files and what keeps the data cannot reach the internet."""
    assert COMPOSE["networks"]["internal"] == {"internal": True}
    for name in (*STORES, "worker-validator", "migrate", "keys"):
        assert SERVICES[name]["networks"] == ["internal"]
    assert SERVICES["secrets"]["network_mode"] == "none"


@pytest.mark.parametrize("name", sorted(WORKERS))
def test_a_worker_has_time_to_drain(name: str) -> None:
    """The engine kills it after the grace period; its own is shorter."""
    drain_s = load_settings().jobs.drain_s
    assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) >= 2 * drain_s


@pytest.mark.parametrize("name", sorted(WORKERS))
def test_a_worker_has_as_many_decoders_as_cores(name: str) -> None:
    """The default is one for each core of the machine, and a container may use fewer."""
    assert SERVICES[name]["environment"]["PICTRAWL_VALIDATE__CHILDREN"] == SERVICES[name]["deploy"]["resources"]["limits"]["cpus"]


@each_of_ours
def test_names_in_the_environment_are_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown one would keep every container from starting."""
    environment = {variable: with_defaults(value) for variable, value in SERVICES[name]["environment"].items()}
    known = {f"{ENV_PREFIX}{setting.replace('.', '__')}".upper() for setting in setting_names(Settings)}
    assert set(environment) <= known
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    settings = load_settings()
    assert settings.queue.backend == "redis"
    assert settings.storage_url == "file:///data/store"


def with_defaults(value: str) -> str:
    """What Compose makes of ``${NAME:-default}`` where NAME is not set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def test_names_that_the_file_itself_reads_are_no_error_in_an_env_file() -> None:
    """.env is read by Compose and given to every container, so our strict settings must know these names."""
    read = set(re.findall(r"\$\{(PICTRAWL_\w+)", (ROOT / "docker-compose.yml").read_text()))
    known = {f"{ENV_PREFIX}{setting.replace('.', '__')}".upper() for setting in setting_names(Settings)}
    assert read <= known | RESERVED_VARIABLES


@each_of_ours
def test_an_env_file_is_welcome_and_not_needed(name: str) -> None:
    """A fresh clone has none."""
    assert SERVICES[name]["env_file"] == [{"path": ".env", "required": False}]


def test_the_queue_is_never_thinned_out() -> None:
    """A Redis that evicts keys when it is full loses what waits there."""
    command = SERVICES["redis"]["command"]
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    assert command[command.index("--appendonly") + 1] == "yes"
    assert bytes_of(command[command.index("--maxmemory") + 1][:-1]) < bytes_of(SERVICES["redis"]["deploy"]["resources"]["limits"]["memory"])


def test_no_secret_stands_in_the_file() -> None:
    """The password is a file that is made at the first start, and everybody but its maker only reads it."""
    text = (ROOT / "docker-compose.yml").read_text()
    assert not re.search(r"PASSWORD:|://[^/\s]*:[^/\s@]+@", text)
    assert SERVICES["postgres"]["environment"]["POSTGRES_PASSWORD_FILE"] == "/secrets/db_password"
    for name, service in SERVICES.items():
        mounts = [mount for mount in service["volumes"] if mount.startswith("secrets:")]
        unknowing = {other: [] for other in ("redis", *WATCHERS)}
        assert mounts == ({"secrets": ["secrets:/secrets"]} | unknowing).get(name, ["secrets:/secrets:ro"])


def test_the_first_key_is_shown_to_the_api_alone() -> None:
    """Workers, and what they decode, cannot read it."""
    assert {name for name, service in SERVICES.items() if any(mount.startswith("keys:") for mount in service["volumes"])} == {"keys", "api"}


def test_volumes_are_declared_and_used() -> None:
    """A misspelt one would be a new, empty one."""
    mounts = {mount.split(":")[0] for service in SERVICES.values() for mount in service["volumes"]}
    used = {mount for mount in mounts if not mount.startswith("./")}
    assert used == set(COMPOSE["volumes"])


def test_folders_that_volumes_are_mounted_on_belong_to_the_user_in_the_image() -> None:
    """An empty named volume takes over the owner of the image's folder; without it, nothing could be written."""
    mounted = {mount.split(":")[1] for name in OURS for mount in SERVICES[name]["volumes"]}
    made = re.search(r"install -d -o 10001 -g 10001 -m 0750 ([/a-z ]+)", (ROOT / "Dockerfile").read_text())
    assert set(made[1].split()) == mounted


def test_the_image_runs_as_the_same_user_with_base_images_that_can_be_replaced() -> None:
    """A mirror, or another version of Python, is a build argument."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert "USER 10001:10001" in lines
    assert 'ENTRYPOINT ["pictrawl"]' in lines
    assert {line.split()[1] for line in lines if line.startswith("FROM")} == {"${PYTHON_IMAGE}"}


def test_the_image_copies_only_what_the_builder_is_given() -> None:
    """.dockerignore lets through what the Dockerfile copies, and nothing else: no .git, no .env, no data."""
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    ignored, *allowed = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith(("#", "**"))]
    assert ignored == "*"
    assert {line.removeprefix("!") for line in allowed} == {name for names in copied for name in names.split()}


# --- the profile "monitoring"


def test_watchers_come_with_their_profile_only() -> None:
    """Whoever does not ask for them does not get them."""
    for name in WATCHERS:
        assert SERVICES[name]["profiles"] == ["monitoring"]
        assert "cap_add" not in SERVICES[name]
        assert "env_file" not in SERVICES[name], "our settings are none of its business"
    assert all(needs(name).isdisjoint(WATCHERS) for name in set(SERVICES) - WATCHERS)


@pytest.mark.parametrize("name", sorted(WATCHERS))
def test_images_of_watchers_are_pinned_and_can_be_replaced(name: str) -> None:
    """A version that was looked at; a mirror is a line in .env."""
    assert re.fullmatch(rf"\$\{{PICTRAWL_{name.upper()}_IMAGE:-[a-z]+/{name}:v?\d+\.\d+\.\d+\}}", SERVICES[name]["image"])


def test_networks_of_watchers_let_them_see_what_they_need() -> None:
    """Prometheus the processes, Grafana Prometheus alone; neither is where strangers' files are fetched."""
    assert SERVICES["prometheus"]["networks"] == ["internal", "monitoring"]
    assert SERVICES["grafana"]["networks"] == ["monitoring"]
    assert COMPOSE["networks"]["monitoring"] == {}
    assert [name for name in SERVICES if "monitoring" in SERVICES[name].get("networks", [])] == ["prometheus", "grafana"]


@pytest.mark.parametrize("name", sorted(WATCHERS))
def test_files_of_watchers_are_there_and_read_only(name: str) -> None:
    """A path that is not there would be made a folder by the engine."""
    for mount in SERVICES[name]["volumes"]:
        source, _, mode = mount.split(":") if mount.startswith("./") else ("", "", "")
        if source:
            assert (ROOT / source).exists()
            assert mode == "ro"


def test_grafana_has_no_account() -> None:
    """Nobody logs in, so no password is in the file, and none is the default."""
    environment = SERVICES["grafana"]["environment"]
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert environment["GF_AUTH_BASIC_ENABLED"] == "false"
    assert not any("PASSWORD" in variable for variable in environment)


def test_prometheus_scrapes_every_process_that_stays() -> None:
    """All containers of each service, on the port that they are told to listen on."""
    config = yaml.safe_load((ROOT / "docs/operations/monitoring/prometheus.yml").read_text())
    jobs = {job["job_name"]: job["dns_sd_configs"][0] for job in config["scrape_configs"]}
    assert jobs["pictrawl-api"]["names"] == ["api"]
    assert set(jobs["pictrawl-workers"]["names"]) == WORKERS
    for name in ("api", *WORKERS):
        environment = SERVICES[name]["environment"]
        assert int(environment["PICTRAWL_METRICS__PORT"]) == jobs["pictrawl-api"]["port"] == jobs["pictrawl-workers"]["port"]
        assert environment["PICTRAWL_METRICS__HOST"] == "0.0.0.0"
        assert "internal" in SERVICES[name]["networks"]
        assert not any("9464" in port for port in SERVICES[name].get("ports", []))


def test_documents_name_docker_compose_and_still_the_old_command() -> None:
    """Compose is a plugin today; `docker-compose up` is named once for those who have the program."""
    documents = [ROOT / "README.md", ROOT / "docker-compose.yml", ROOT / "docs/how-to/scale-with-compose.md"]
    for path in documents:
        text = path.read_text()
        assert "docker compose up" in text, path
        assert re.findall(r"docker-compose \w+", text) == ["docker-compose up"], path
