"""The same build for a terminal: the command line that is shown asks for what the form asks for."""

import io
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.cli import build
from app.cli.build_options import BuildOptions
from app.cli.entry import command_tree
from app.cli.list_input import Columns, open_url_list
from app.jobs import settle
from app.settings import Settings, load_settings
from app.spec import JobSpec, ListSpec
from app.web.ui.builds.commands import Command, command_of
from app.web.ui.builds.form import DEFAULTS, Values, like, read


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return load_settings({"workspace.path": tmp_path, "fetch.contact": "ops@example.org"})


def spec_of_command(settings: Settings, command: Command, monkeypatch: pytest.MonkeyPatch) -> JobSpec:
    """What `pictrawl build` makes of a command that was copied into a shell."""
    shown, _, rest = str(command).partition(" <<'END'\n")
    stdin = rest.removesuffix("\nEND")
    program, name, *arguments = shlex.split(shown)
    assert (program, name) == ("pictrawl", "build")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(stdin.encode()), isatty=lambda: False))
    root = command_tree()
    found = root.commands["build"].make_context("build", arguments).params
    options = BuildOptions(**{name: _value(found[name]) for name in BuildOptions.__dataclass_fields__})
    columns = Columns(options.url_col, options.caption_col, options.label_col, options.license_col, options.group_col, options.keep_col)
    with open_url_list(options.urls or [], columns, options.list_format) as urls:
        plan = build._plan(settings, options, urls)
        return settle.settle_spec(settings, plan.request, url_list=urls.spec if urls else None)


def _value(found: Any) -> Any:
    """Typer hands an option that was not given on as None, and one that may be repeated as a list."""
    return (list(found) or None) if isinstance(found, tuple) else found


KEYWORDS: dict[str, Any] = {
    "input": "keywords",
    "keywords": 'keyword,label,number\ntabby,"cat\'s",5\nred panda,,\n-dash,dog,\n',
    "sources": ["openverse", "gbif"],
    "expand": "2",
    "lang": "en, de",
    "max_images": "40",
    "per_label": "20",
    "min_images": "3",
    "min_images_per_label": "2",
    "max_per_label": "15",
    "balance": "1",
    "license": "commercial,derivatives",
    "license_unknown": "keep",
    "validation_level": "strict",
    "min_width": "300",
    "where": "width >= 300 and label != 'x y'",
    "dedupe": "exact",
    "label_conflicts": "keep-all",
    "encode": "webp",
    "quality": "80",
    "resize": "longest",
    "size": "512",
    "enlarge": "1",
    "export_format": "webdataset",
    "also": ["parquet", "jsonl"],
    "captions": "all",
    "splits": "train=0.8, val=0.2",
    "split_by": ["creator", "group"],
    "seed": "7",
    "name": "it's cats; rm -rf /",
    "refresh": "1",
}
FORMS: list[dict[str, Any]] = [
    KEYWORDS,
    {"input": "keywords", "keywords": "red panda\n日本\nشجرة\n--help", "sources": ["wikimedia"]},
    {"input": "keywords", "keywords": "\n".join(f"word {number}" for number in range(30)), "sources": ["wikimedia"], "label": "all"},
    {"input": "keywords", "keywords": "owl", "sources": ["met"], "license": "words", "license_words": "cc0, by", "min_height": "99"},
    {"input": "keywords", "keywords": "owl", "sources": ["met"], "encode": "keep", "resize": "border", "size": "64"},
    {"input": "pages", "pages": "https://a.example/x?y=1&z='\nhttps://b.example/",
     "depth": "0", "follow_hosts": "c.example, *", "css_images": "1"},
    {"input": "pages", "pages": "https://a.example/", "max_pages": "7", "license": "open"},
]  # fmt: skip


def filled(form: dict[str, Any]) -> Values:
    return Values({name: value if isinstance(value, list) else [value] for name, value in form.items()})


@pytest.mark.parametrize("form", FORMS)
def test_the_command_asks_for_what_the_form_asks_for(settings: Settings, form: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Quotes, spaces, words like options, scripts of all kinds: the shell hands on the same spec."""
    body = read(filled(form), settings).body
    assert body is not None
    command = command_of(body, settings.validate_.rules())
    assert spec_of_command(settings, command, monkeypatch) == settle.settle_spec(settings, body)


@pytest.mark.parametrize(
    ("text", "suffix", "more"),
    [
        ("https://a.example/1.jpg\nEND\nhttps://b.example/2.jpg", ".txt", {}),
        ("link,kind\nhttps://a.example/1.jpg,cat's\n", ".csv", {"url_column": "link", "label_column": "kind", "keep_columns": []}),
        ('{"url": "https://a.example/1.jpg", "weather": "$(id)"}\n', ".jsonl", {"keep_columns": ["weather"]}),
    ],
)
def test_the_command_reads_a_pasted_list(
    settings: Settings, text: str, suffix: str, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From stdin, in its format, with its columns. Its end mark is no line of it."""
    listed = ListSpec(key="lists/list_1", suffix=suffix, **more)
    body = read(filled({"input": "list"}), settings).body
    assert body is not None
    command = command_of(body, settings.validate_.rules(), listed=listed, pasted=text)
    if "END" in text:
        assert str(command).endswith("\nEND_")
        return
    found = spec_of_command(settings, command, monkeypatch).url_list
    assert found is not None
    assert found.model_copy(update={"key": listed.key, "name": listed.name}) == listed


def test_a_long_list_is_shown_in_part(settings: Settings) -> None:
    body = read(filled({"input": "list"}), settings).body
    assert body is not None
    command = command_of(body, settings.validate_.rules(), listed=ListSpec(key="k", suffix=".txt"), pasted="https://a.example/\n" * 250)
    assert (command.stdin.count("\n") + 1, command.left_out) == (200, 50)


def test_an_uploaded_list_is_named(settings: Settings) -> None:
    body = read(filled({"input": "list", "max_images": "3"}), settings).body
    assert body is not None
    command = command_of(body, settings.validate_.rules(), listed=ListSpec(key="k", suffix=".csv", name="my cats.csv"))
    assert str(command) == "pictrawl build -n 3 --urls 'my cats.csv'"


@pytest.mark.parametrize("form", FORMS)
def test_a_job_fills_in_the_form_that_made_it(settings: Settings, form: dict[str, Any]) -> None:
    """Read again, it asks for the same."""
    body = read(filled(form), settings).body
    assert body is not None
    spec = settle.settle_spec(settings, body)
    again = read(like(spec, settings, name="x", priority=3), settings).body
    assert again is not None
    assert settle.settle_spec(settings, again) == spec
    assert (again.name, again.priority) == ("x", 3)


def test_a_job_of_a_list_fills_in_how_it_is_read(settings: Settings) -> None:
    """The list itself is the one that is kept."""
    body = read(filled({"input": "list", "label": "owl"}), settings).body
    assert body is not None
    listed = ListSpec(key="lists/list_1.csv", suffix=".csv", name="a.csv", url_column="link", keep_columns=["x", "y"])
    values = like(settle.settle_spec(settings, body, url_list=listed), settings)
    shown = {name: values.text(name) for name in ("input", "list_key", "list_name", "url_column", "keep_columns", "label")}
    assert shown == {
        "input": "list",
        "list_key": listed.key,
        "list_name": "a.csv",
        "url_column": "link",
        "keep_columns": "x, y",
        "label": "owl",
    }


def test_the_empty_form_asks_for_what_the_command_asks_for(settings: Settings) -> None:
    """Nothing is set that the user did not set."""
    filled_in = read(Values({**DEFAULTS, "keywords": ["owl"]}), settings)
    assert filled_in.document == {"keywords": ["owl"], "sources": ["wikimedia"]}
