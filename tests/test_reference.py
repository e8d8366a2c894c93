"""The generated references: complete, and stale ones are named."""

from pathlib import Path

import pytest

from app.cli.settings import setting_lines
from app.domain import Reason
from app.images import structure, unsupported
from app.settings import Settings, load_settings, setting_names
from docs.reference import generate
from downloader import foreign
from tests.cli.test_entry import COMMANDS


def test_cli_reference_has_every_command_and_option() -> None:
    """Each command once, with its options."""
    text = generate.cli_reference()
    for command in COMMANDS:
        assert f"\n## pictrawl {command.replace('-', ' ')}\n" in text
    for option in ("--urls", "--min-images", "--set", "--reason", "--follow", "--origins"):
        assert f"`{option}" in text or f", {option}" in text


def test_settings_reference_has_every_setting() -> None:
    """Name, variable, default; and the defaults read back as they are."""
    text = generate.settings_reference()
    for name in setting_names(Settings):
        assert f"`{name}`" in text


def test_env_example_is_every_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uncommented as a whole, it changes nothing."""
    assert all(not line or line.startswith("#") for line in generate.env_example().splitlines())
    for line in setting_lines():
        if line.default:
            monkeypatch.setenv(line.variable, line.default)
    with_file = load_settings()
    for line in setting_lines():
        monkeypatch.delenv(line.variable, raising=False)
    assert with_file == load_settings()


def test_every_reason_has_a_meaning() -> None:
    """The list is closed, and so is this one."""
    assert set(generate.MEANINGS) == set(Reason)
    assert "`http_404`" in generate.reasons_reference()


def test_files_are_written_and_stale_ones_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Written once they are current; a changed or missing one is named and is exit code 1."""
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    Path(".env.example").write_text("old")
    Path("docs/reference/cli.md").unlink()
    assert generate.main(["--check"]) == 1
    assert [line.split()[1] for line in capsys.readouterr().err.splitlines()] == ["docs/reference/cli.md;", ".env.example;"]


def test_every_image_format_is_listed() -> None:
    """Those that are read with what they leave as, those that are refused by name, in the reference; and the first ones in the README."""
    text, readme = generate.formats_reference(), (Path(__file__).parents[1] / "README.md").read_text().lower()
    for name in structure.FORMATS:
        assert f"| `{name}` | `image/{name}` |" in text
        assert {"heif": "heic"}.get(name, name) in readme
    assert all(words in text for words in (*unsupported.REFUSED.values(), *foreign.WORDS))
    assert "| `heif` | `image/heif` | the extra `heif` | JPEG; PNG with transparency | JPEG; PNG with transparency |" in text
    assert "| `avif` | `image/avif` |  | as it is | PNG | PNG |" in text
