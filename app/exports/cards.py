"""``README.md``, the dataset card for the Hugging Face hub: contents, counts, licences, and how to load the dataset."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from app.exports.exporter import ExportOptions
from app.exports.papers import croissant, statements
from app.exports.papers.records import Records
from app.exports.spool import DatasetFacts

__all__ = ["CardParts", "autolink", "escape_cell", "one_line", "render", "yaml_string"]

_MAX_LABELS = 200  # rows of the label table
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
_HUB_LICENSES = frozenset(
    {
        *(f"cc-by-{version}" for version in ("2.0", "2.5", "3.0", "4.0")),
        *(f"cc-by-sa-{version}" for version in ("3.0", "4.0")),
        *(f"cc-by-nc-{version}" for version in ("2.0", "3.0", "4.0")),
        *("cc0-1.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"),
    }
)


@dataclass(frozen=True, slots=True)
class CardParts:
    """The parts of the card that depend on the format.

    Attributes:
        layout: the tree of files, for a code block.
        usage: Python that loads it.
        configs: patterns of the data files of each split, for the hub. Without them its loader takes every file, and the kind that is most
            frequent decides how: of a small dataset that may be the JSON of the papers.
        config_features, info_features: columns and classes, where the loader of the format reads them, as lines of YAML.
        has_image_files: whether each image is a separate file.
        folders: the folder of each class, if classes have folders.
        notes: paragraphs for users of this format.
        records: where its rows and images are, for ``croissant.json``; without it that describes the files only.
    """

    layout: str
    usage: str
    configs: Mapping[str, str | Sequence[str]]
    has_image_files: bool
    folders: Mapping[str, str]
    config_features: Sequence[str] = ()
    info_features: Sequence[str] = ()
    notes: tuple[str, ...] = ()
    records: Records | None = None


def render(facts: DatasetFacts, options: ExportOptions, parts: CardParts) -> str:
    """Return the card as Markdown."""
    name = escape_cell(options.dataset_name)
    sections = [
        _front_matter(facts, options, parts),
        f"# {name}\n",
        f"{facts.samples:,} images, collected and checked by pictrawl.\n",
        *(f"{escape_cell(statement.text)}\n" for statement in statements.part(options)),
        *([f"{escape_cell(options.texts.description)}\n"] if options.texts.description else []),
        _version_section(options),
        _count_table("Splits", "Split", facts.splits),
        *([_label_section(facts)] if facts.labels else []),
        *([_extra_section(facts)] if facts.extra else []),
        _license_section(facts, options),
        _count_table("Sources", "Source", facts.sources),
        f"## Files\n\n```text\n{parts.layout}```\n\n`sha256sum -c SHA256SUMS` checks every file.\n",
        f"## Loading\n\n```python\n{parts.usage}```\n",
        *(f"{note}\n" for note in (*parts.notes, *_absent_notes(facts))),
        _PAPERS,
        _citation_section(options),
    ]
    return "\n".join(sections)


_PAPERS = """\
## Papers

| File | Holds |
| --- | --- |
| `DATASHEET.md` | motivation, composition, collection, uses, maintenance; each sentence with its query |
| `ORIGINS.md`, `origins.json` | domains, period of collection, crawler and its behaviour, what was left out |
| `croissant.json` | the dataset for machines: Croissant 1.1 with RAI 1.0 |
| `ATTRIBUTION.md` | whom to credit, and for what |
"""


def _version_section(options: ExportOptions) -> str:
    lines = [f"- {escape_cell(statement.text)}" for statement in statements.version(options)]
    return "\n".join(["## Version\n", *lines, ""])


def _citation_section(options: ExportOptions) -> str:
    return "\n".join(["## Citation\n", "```bibtex", croissant.citation(options).replace("`", "'"), "```", ""])


_TASKS = ("image-classification", "object-detection", "image-to-text")
"""What images with labels, boxes and captions are for, as the hub calls it."""


def _front_matter(facts: DatasetFacts, options: ExportOptions, parts: CardParts) -> str:
    lines = ["---", f"pretty_name: {yaml_string(options.dataset_name)}", *_license_lines(facts)]
    lines += ["size_categories:", f"- {_size_category(facts.samples)}", "tags:", "- image", "- pictrawl"]
    tasks = [name for name, fits in zip(_TASKS, (facts.labels, facts.boxes, facts.has_captions), strict=True) if fits]
    lines += ["task_categories:", *(f"- {task}" for task in tasks)] if tasks else []
    return "\n".join([*lines, *_config_lines(parts), *_info_lines(parts), "---", ""])


def _config_lines(parts: CardParts) -> list[str]:
    if not parts.configs and not parts.config_features:
        return []
    paths = [line for split, path in parts.configs.items() for line in (f"  - split: {split}", *_path_lines(path))]
    lines = ["configs:", "- config_name: default", *(["  data_files:", *paths] if paths else [])]
    return [*lines, *(["  features:"] if parts.config_features else []), *(f"  {line}" for line in parts.config_features)]


def _path_lines(path: str | Sequence[str]) -> list[str]:
    if isinstance(path, str):
        return [f"    path: {yaml_string(path)}"]
    return ["    path:", *(f"    - {yaml_string(pattern)}" for pattern in path)]


def _info_lines(parts: CardParts) -> list[str]:
    return ["dataset_info:", "  features:", *(f"  {line}" for line in parts.info_features)] if parts.info_features else []


def _license_lines(facts: DatasetFacts) -> list[str]:
    stated = list(facts.licenses)
    if len(stated) == 1 and stated[0].lower() in _HUB_LICENSES:
        return [f"license: {stated[0].lower()}"]
    return ["license: other", "license_name: per-image", "license_link: ATTRIBUTION.md"]


def _size_category(samples: int) -> str:
    return next((name for limit, name in _SIZES if samples < limit), "10M<n<100M")


def _count_table(title: str, column: str, counts: Mapping[str, int]) -> str:
    lines = [f"## {title}\n", f"| {column} | Images |", "| --- | ---: |"]
    lines += [f"| {escape_cell(name)} | {count:,} |" for name, count in counts.items()]
    return "\n".join([*lines, ""])


def _label_section(facts: DatasetFacts) -> str:
    most = dict(sorted(facts.labels.items(), key=lambda item: (-item[1], item[0]))[:_MAX_LABELS])
    table = _count_table("Labels", "Label", most)
    left = len(facts.labels) - len(most)
    return f"{table}\n... and {left:,} more, in `manifest.json`.\n" if left else table


def _extra_section(facts: DatasetFacts) -> str:
    lines = ["## Columns of the list\n", "| Column | Type | In the list |", "| --- | --- | --- |"]
    lines += [f"| {escape_cell(column.name)} | {column.dtype} | {escape_cell(column.source)} |" for column in facts.extra]
    return "\n".join([*lines, ""])


def _license_section(facts: DatasetFacts, options: ExportOptions) -> str:
    stated = {name or "not stated by the source": count for name, count in facts.licenses.items()}
    text = _count_table("Licences", "Licence", stated)
    text += "\nEach image keeps its own licence; `ATTRIBUTION.md` lists whom to credit, and for what.\n"
    return text + (f"\n{escape_cell(options.texts.licence_note)}\n" if options.texts.licence_note else "")


def _absent_notes(facts: DatasetFacts) -> list[str]:
    return [
        f"**Split `{split}` has no image of {len(classes)} of {len(facts.labels)} classes** (see `absent_labels` in `manifest.json`): "
        "a loader that numbers classes by their folders numbers them differently there."
        for split, classes in facts.absent_labels.items()
    ]


_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~$!])")
_URL_SAFE = "/:?#@&=+,;%-._~"


def one_line(text: str) -> str:
    """Text on one line, without control or direction characters."""
    return "".join(char for char in " ".join(text.split()) if char.isprintable())


def escape_cell(text: str | None) -> str:
    """Text for a table cell or a heading, with all Markdown and HTML characters escaped."""
    return _SPECIAL.sub(r"\\\1", one_line(text or ""))


def autolink(url: str | None) -> str:
    """A Markdown autolink if the URL is a web address, else escaped text."""
    if not url or _scheme(url) not in ("http", "https"):
        return escape_cell(url)
    return f"<{quote(one_line(url), safe=_URL_SAFE)}>"


def yaml_string(text: str) -> str:
    """A YAML double-quoted scalar that parses to exactly ``text``."""
    return '"' + "".join(map(_yaml_char, text)) + '"'


def _yaml_char(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme.lower()
    except ValueError:
        return ""
