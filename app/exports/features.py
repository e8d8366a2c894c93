"""The columns of an export as Hugging Face datasets load them: ``Features`` in the YAML of a dataset card.

``datasets`` 5.2: the loader of image folders takes ``features`` of a config and passes over ``dataset_info``; that of WebDataset knows no
such parameter and takes ``dataset_info``. Without either both infer columns, and a label is text.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from app.exports import spool
from app.exports.cards import escape_cell, yaml_string
from app.exports.spool import DatasetFacts

__all__ = ["LABEL_NOTE", "of_csv", "of_json", "of_rows", "of_shards", "of_table", "untyped_note"]

LABEL_NOTE: Final = """\
`label` is the number of a class, whose name `features["label"].int2str` gives. `load_dataset("imagefolder", data_dir=...)` reads no card:
there `label` is the name."""
"""For cards whose columns are those of `of_rows`."""

_UNTYPED: Final = """\
**`load_dataset("path/to/this/folder")` fails over columns without a type**: {}. Load each split alone, as in
`load_dataset("imagefolder", data_dir="path/to/this/folder/{}")`, or export as `parquet`, whose columns have types."""

_TEXT: Final = ("  dtype: string",)
_OBJECTS: Final = (
    *("  struct:", "  - name: bbox", "    sequence:", "      sequence: float64", "      length: 4"),
    *("  - name: category", "    sequence: string"),
)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d(?:[ T]|$)")


def of_rows(facts: DatasetFacts) -> tuple[str, ...]:
    """Lines for the loader of image folders: the image beside the columns of its row, where ``label`` is the number of a class.

    Where the name of a class looks like a date it stays a text: the loader reads such texts as times, and finds no class of that name.
    """
    return ("- name: image", "  dtype: image", *of_json(facts))


def untyped_note(facts: DatasetFacts) -> tuple[str, ...]:
    """A paragraph for cards of datasets with rows in each split, where a split has no value of a column: JSON does not say of what type.

    The loader of image folders wants the same types in every split, whatever the card says.
    """
    kinds = {name: kind for name, kind in spool.column_kinds(facts).items() if name == "label" or name in _nullable(facts)}
    lacking = {split: [name for name in kinds if name not in found] for split, found in facts.filled.items()}
    if len(facts.splits) < 2 or len({frozenset(names) for names in lacking.values()}) < 2:
        return ()
    told = "; ".join(f"`{split}` has no value in {', '.join(map(escape_cell, names))}" for split, names in lacking.items() if names)
    return (_UNTYPED.format(told, next(iter(facts.splits))),)


def _nullable(facts: DatasetFacts) -> frozenset[str]:
    """The columns that may be null, or an empty list."""
    return spool.LIST_COLUMNS | {spool.OBJECTS} | {extra.name for extra in facts.extra if extra.dtype != "string"}


def of_table(facts: DatasetFacts) -> tuple[str, ...]:
    """Lines for the loader of Parquet: as `of_rows`, and ``label`` is always the number of a class, since the file says so too."""
    return ("- name: image", "  dtype: image", *_row(facts, _classes(facts)))


def of_json(facts: DatasetFacts) -> tuple[str, ...]:
    """As `of_rows`, for the loader of JSON Lines: without the image."""
    has_dates = any(_DATE.match(name) for name in facts.classes)
    return tuple(_row(facts, _TEXT if has_dates else _classes(facts)))


def of_csv(facts: DatasetFacts) -> tuple[str, ...]:
    """As `of_rows`, for the loader of CSV: without the image, and with the cells of lists and further columns as their text.

    The loader fails over an empty cell in a column of numbers or truth values.
    """
    return tuple(_row(facts, _classes(facts), has_types=False))


def of_shards(facts: DatasetFacts) -> tuple[str, ...]:
    """Lines for the loader of WebDataset: the members of a sample, where ``cls`` is the number of a class, and its key."""
    images = (line for extension in facts.extensions for line in (f"- name: {extension}", "  dtype: image"))
    label = ("- name: cls", *_classes(facts)) if facts.labels else ()
    texts = (*(("txt",) if facts.has_captions else ()), "__key__", "__url__")
    return (
        *images,
        *label,
        *("- name: json", "  struct:", *_indented(_row(facts, _TEXT))),
        *(line for name in texts for line in (f"- name: {name}", "  dtype: string")),
    )


def _classes(facts: DatasetFacts) -> tuple[str, ...]:
    names = (f"        '{number}': {yaml_string(name)}" for number, name in enumerate(facts.classes))
    return ("  dtype:", "    class_label:", "      names:", *names)


def _row(facts: DatasetFacts, label: Iterable[str], *, has_types: bool = True) -> Iterator[str]:
    listed = {extra.name for extra in facts.extra}
    for column, kind in spool.column_kinds(facts).items():
        yield f"- name: {yaml_string(column) if column in listed else column}"
        if kind == "class":
            yield from label
        elif kind == "objects" and has_types:
            yield from _OBJECTS
        elif kind == "list" and has_types:
            yield "  sequence: string"
        else:
            is_typed = has_types or column in spool.INTEGER_COLUMNS
            yield f"  dtype: {kind if is_typed else 'string'}"


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)
