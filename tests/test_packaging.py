"""What is shipped is what is meant to be: the wheel's contents, the locks, the example of the environment, and a tidy top level."""

import configparser
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from app.settings import load_settings

ROOT = Path(__file__).parent.parent
PACKAGES = {"app", "workers", "downloader", "errors", "logging_setup"}
TOP_LEVEL = PACKAGES | {
    *("tests", "docs", "benchmarks", ".ci"),
    *("pyproject.toml", "docker-compose.yml", "Dockerfile", ".dockerignore", "Makefile"),
    *("README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md"),
    *(".env.example", ".gitignore", "requirements.lock", "requirements-dev.lock"),
}

HOSTS = [("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("debian", "org"), ("crates", "io"), ("proxy", "golang", "org")]
REGISTRY = re.compile("|".join(re.escape(".".join(parts)) for parts in HOSTS) + "|" + "|".join(("index" + "-url", "find" + "-links")))
"""Hosts of package registries and the options that name them: where packages come from is the machine's business, not the project's."""

PLACES = ["work/main", "work/shared", "opt/pypi", "opt/wheels", "root/.", "Users/"]
MACHINE_PATH = re.compile("|".join(f"/{re.escape(place)}" for place in PLACES))
"""Paths that exist on somebody's machine only."""


# --- the wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The wheel, built from a copy of what is tracked or new, by the build backend that is installed: no network is needed."""
    source, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in project_files():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    build = f"import hatchling.build; print(hatchling.build.build_wheel({str(dist)!r}))"
    subprocess.run([sys.executable, "-P", "-c", build], cwd=source, check=True, capture_output=True, text=True)
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as archive:
        yield archive


def test_the_wheel_holds_the_five_packages_and_its_metadata(wheel: zipfile.ZipFile) -> None:
    """Import names are generic, so nothing else may slip in beside them."""
    tops = {name.split("/")[0] for name in wheel.namelist()}
    metadata = {name for name in tops if name.endswith(".dist-info")}
    assert tops - metadata == PACKAGES
    assert len(metadata) == 1


def test_the_wheel_holds_every_file_of_the_packages(wheel: zipfile.ZipFile) -> None:
    """Migrations, their template, pages and markers are data: an import would not miss them."""
    expected = {name for name in project_files() if name.split("/")[0] in PACKAGES}
    assert expected - set(wheel.namelist()) == set()
    assert "app/db/migrations/script.py.mako" in expected
    assert any(name.startswith("app/db/migrations/versions/") and name.endswith(".py") for name in expected)


def test_the_wheel_names_the_command(wheel: zipfile.ZipFile) -> None:
    """``pictrawl`` starts app.cli."""
    scripts = configparser.ConfigParser()
    scripts.read_string(_metadata_file(wheel, "entry_points.txt"))
    assert dict(scripts["console_scripts"]) == {"pictrawl": "app.cli:main"}


def test_the_wheel_states_licence_and_python(wheel: zipfile.ZipFile) -> None:
    """What an installer and a reader of the metadata go by."""
    metadata = Parser().parsestr(_metadata_file(wheel, "METADATA"))
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Version"] == pyproject()["project"]["version"]


def _metadata_file(wheel: zipfile.ZipFile, name: str) -> str:
    [found] = [item for item in wheel.namelist() if item.endswith(f".dist-info/{name}")]
    return wheel.read(found).decode()


# --- the locks


def test_every_requirement_is_in_the_lock_at_a_version_that_fits() -> None:
    """The lock is pyproject.toml, resolved."""
    assert _unmet(runtime_requirements(), locked("requirements.lock")) == []


def test_every_requirement_of_developers_is_in_their_lock() -> None:
    """So a developer's machine needs nothing that is not locked."""
    wanted = runtime_requirements() + requirements(pyproject()["dependency-groups"]["dev"])
    assert _unmet(wanted, locked("requirements-dev.lock")) == []


def test_the_developers_lock_is_a_superset() -> None:
    """Tests run on the versions that ship."""
    runtime, dev = locked("requirements.lock"), locked("requirements-dev.lock")
    assert {name: dev.get(name) for name in runtime} == runtime


def test_the_lock_holds_nothing_that_nobody_asked_for() -> None:
    """A dependency that was dropped has left the lock: each entry is reached from pyproject.toml through the installed metadata."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import requires as declared

    pins = locked("requirements.lock")
    reached: set[str] = set()
    todo = [(canonicalize_name(wanted.name), frozenset(wanted.extras)) for wanted in runtime_requirements()]
    seen: set[tuple[str, frozenset[str]]] = set()
    while todo:
        name, extras = todo.pop()
        if (name, extras) in seen or name not in pins:
            continue
        seen.add((name, extras))
        reached.add(name)
        try:
            lines = declared(name) or []
        except PackageNotFoundError:  # for another platform
            continue
        for wanted in requirements(lines):
            if _may_apply(wanted, extras):
                todo.append((canonicalize_name(wanted.name), frozenset(wanted.extras)))
    assert sorted(set(pins) - reached) == []


def _may_apply(wanted: Requirement, extras: frozenset[str]) -> bool:
    """Whether some platform asks for it: the lock is for all of them."""
    if wanted.marker is None or "extra" not in str(wanted.marker):
        return True
    return any(wanted.marker.evaluate({"extra": extra}) for extra in extras)


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_every_entry_of_the_lock_is_one_version_with_hashes(lock: str) -> None:
    """And nothing else stands in it: no option, no address, no comment that dates it."""
    entries = (ROOT / lock).read_text().replace("\\\n", "").splitlines()
    for entry in entries:
        assert re.fullmatch(r"[a-z0-9][a-z0-9._-]*==\S+( ; [^#@]+?)?(\s+--hash=sha256:[0-9a-f]{64})+", entry), entry
    assert "://" not in (ROOT / lock).read_text()


def _unmet(wanted: list[Requirement], pins: dict[str, set[str]]) -> list[str]:
    def is_met(requirement: Requirement) -> bool:
        versions = pins.get(canonicalize_name(requirement.name), set())
        return bool(versions) and all(requirement.specifier.contains(Version(version)) for version in versions)

    return [str(requirement) for requirement in wanted if not is_met(requirement)]


def runtime_requirements() -> list[Requirement]:
    """Dependencies and those of every extra; ``pictrawl[...]`` is the project itself."""
    project = pyproject()["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    return [found for found in requirements(project["dependencies"] + extras) if found.name != project["name"]]


def requirements(lines: list[str]) -> list[Requirement]:
    """Parsed."""
    return [Requirement(line) for line in lines]


@cache
def locked(name: str) -> dict[str, set[str]]:
    """Versions by name; a universal lock may hold several of one name."""
    pins: dict[str, set[str]] = {}
    for line in (ROOT / name).read_text().splitlines():
        if found := re.match(r"([a-z0-9][a-z0-9._-]*)==(\S+)", line):
            pins.setdefault(canonicalize_name(found[1]), set()).add(found[2])
    return pins


@cache
def pyproject() -> dict:
    """The project's own file."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


# --- the environment's example


def example_variables() -> dict[str, str]:
    """Every ``NAME=value`` of .env.example, those that are commented out included."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    found = (re.fullmatch(r"#? ?(PICTRAWL_[A-Z0-9_]+)=(.*)", line) for line in lines)
    return {match[1]: match[2] for match in found if match}


def test_every_name_of_the_example_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uncommented as a whole it loads: an unknown name or a value of the wrong kind would be an error."""
    variables = example_variables()
    assert len(variables) > 30
    for name, value in variables.items():
        if value:
            monkeypatch.setenv(name, value)
    load_settings()


def test_the_example_changes_nothing_as_it_stands() -> None:
    """It is copied to .env first and edited later, so every line is a comment."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    assert [line for line in lines if line.strip() and not line.startswith("#")] == []


# --- the tree


def project_files() -> list[str]:
    """Files that are in git, or would be with the next ``git add``."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, check=True, capture_output=True, text=True, env=_without_git()).stdout.split("\0")
    return [name for name in names if name and (ROOT / name).is_file()]


def _without_git() -> dict[str, str]:
    """The environment, less what a git hook that runs the tests would point git at."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}


def test_the_top_level_holds_what_it_should() -> None:
    """A file that is needed at the top is listed in this test with the others, or lives elsewhere."""
    assert {name.split("/")[0] for name in project_files()} == TOP_LEVEL


def test_no_file_names_a_registry_or_somebodys_machine() -> None:
    """Builds go through whatever the machine is set up with."""
    found = []
    for name in project_files():
        text = (ROOT / name).read_bytes().decode("utf-8", "ignore")
        found += [f"{name}: {hit[0]}" for hit in REGISTRY.finditer(text)]
        found += [f"{name}: {hit[0]}" for hit in MACHINE_PATH.finditer(text)]
    assert found == []


def test_the_readme_shows_the_two_first_commands() -> None:
    """Whoever comes by tries these two."""
    readme = (ROOT / "README.md").read_text()
    assert "make demo" in readme
    assert "make test" in readme


def test_every_target_of_the_makefile_that_is_promised_is_there() -> None:
    """And explains itself in ``make help``."""
    text = (ROOT / "Makefile").read_text()
    promised = {"demo", "test", "browser", "drills", "check", "serve", "bench", "lock", "clean", "help"}
    assert promised == set(re.findall(r"^([a-z]+):.* ## ", text, re.MULTILINE))


def test_make_says_what_is_missing_where_python_is_too_old(tmp_path: Path) -> None:
    """No traceback, and the way out."""
    old = tmp_path / "python-old"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2" && exit 0\nexit 1\n')
    old.chmod(0o755)
    result = _make(tmp_path, f"PYTHON={old}")
    assert result.returncode == 2
    assert "pictrawl needs Python 3.11 or newer" in result.stderr
    assert "Python 3.9.2" in result.stderr


def test_make_says_what_is_missing_where_there_is_no_python(tmp_path: Path) -> None:
    """The names it looked for, and how to name another."""
    result = _make(tmp_path, "PYTHON=")
    assert result.returncode == 2
    assert "no Python 3.11 or newer found" in result.stderr
    assert "make test PYTHON=" in result.stderr


def _make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    for name in ("Makefile", "pyproject.toml", "requirements-dev.lock"):
        shutil.copyfile(ROOT / name, folder / name)
    return subprocess.run(["make", "test", *words], cwd=folder, capture_output=True, text=True, check=False)
