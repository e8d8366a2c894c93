"""How a format stores its rows and images, as far as ``croissant.json`` describes them as records. Each format states its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from app.exports import spool
from app.exports.spool import DatasetFacts

__all__ = ["CSV", "JSON", "JSON_LINES", "PARQUET", "Column", "Records", "columns_of"]

CSV: Final = "text/csv"
JSON: Final = "application/json"
JSON_LINES: Final = "application/jsonlines"
PARQUET: Final = "application/x-parquet"
"""Media types as mlcroissant 1.1 spells them; it reads files of these types as tables."""

TEXT: Final = "sc:Text"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the rows, or a part of one.

    Attributes:
        name: of the field.
        types: of its values, as Croissant names them.
        about: what it holds, in a sentence.
        is_list: whether a row holds a list of values.
        column: its name in the file, where that is another one.
        inside: JSONPath to the value inside of the cell, as in a struct of Parquet.
        shape: of a list of lists, ``-1`` for any length.
    """

    name: str
    types: tuple[str, ...] = (TEXT,)
    about: str = ""
    is_list: bool = False
    column: str = ""
    inside: str = ""
    shape: str = "-1"


@dataclass(frozen=True, slots=True)
class Records:
    """Where the rows and the images of an export are.

    Attributes:
        rows: patterns of the files with the rows, relative to the export; with ``shards``, of the members that hold one row each.
        media_type: of these files.
        columns: of each row; rows in shards are described as a whole.
        image_folders: folders of the image files, ``""`` for the export itself. Where there are columns, ``file_name`` ends with the name
            of the image.
        shards: pattern of the tar archives that hold rows and images as members with one key.
    """

    rows: tuple[str, ...] = ()
    media_type: str = ""
    columns: tuple[Column, ...] = ()
    image_folders: tuple[str, ...] = ()
    shards: str = ""


def columns_of(
    facts: DatasetFacts, *, file_name: bool = False, with_image: bool = False, lists_as_text: bool = False
) -> tuple[Column, ...]:
    """The columns that `spool.to_row` writes.

    Args:
        file_name: whether rows name the file of their image.
        with_image: whether rows hold the image, and the label as the number of its class, as tables of Hugging Face do.
        lists_as_text: whether the format has no lists, and writes them as JSON.
    """
    named = [*((_FILE_NAME,) if file_name else ()), *((_IMAGE,) if with_image else ())]
    known = [name for name in spool.column_names(facts) if name != spool.OBJECTS or lists_as_text]
    return (
        *named,
        *(_NUMBER if with_image and name == "label" else _column(name, lists_as_text) for name in known),
        *(_BOXES if facts.boxes and not lists_as_text else ()),
        *(Column(extra.name, (_TYPES[extra.dtype],), f"Column {extra.source} of the list.") for extra in facts.extra),
    )


_TYPES: Final[Mapping[str, str]] = {"int64": "sc:Integer", "float64": "sc:Float", "bool": "sc:Boolean", "string": TEXT}

_FILE_NAME: Final = Column("file_name", about="Path of the image, relative to the file of its row.")
_IMAGE: Final = Column("image", ("sc:ImageObject",), "The image.", inside="bytes")
_NUMBER: Final = Column("label", ("sc:Integer", "cr:Label"), "Number of the class of the image.")
_BOXES: Final = (
    Column("objects.bbox", ("sc:Float",), "Boxes as x, y, width, height, pixels.", True, spool.OBJECTS, "bbox", "-1,4"),
    Column("objects.category", (TEXT,), "Class of each box.", True, spool.OBJECTS, "category"),
)

_ABOUT: Final[Mapping[str, str]] = {
    "label": "Class of the image.",
    "labels": "All classes of the image.",
    "split": "Split of the image.",
    "width": "Width, pixels.",
    "height": "Height, pixels.",
    "size_bytes": "Size of the image, bytes.",
    "media_type": "Media type of the image.",
    "sha256": "SHA-256 of the image in this export.",
    "source_sha256": "SHA-256 of the bytes that came from the origin.",
    "source": "Source that named the image.",
    "url": "URL that the image came from.",
    "caption": "Caption of the image, as its source wrote it.",
    "captions": "All captions of the image.",
    "title": "Title of the image, as its source wrote it.",
    "page_url": "Page that shows the image.",
    "license": "Licence of the image, an SPDX id where it is known.",
    "license_url": "Page of the licence.",
    "license_raw": "What was stated of the licence.",
    "license_confidence": "How the licence is known: asserted, derived or unknown.",
    "license_note": "How statements that disagree were settled.",
    "creator": "Creator of the image, as its source names them.",
    "creator_url": "Page of the creator.",
    "attribution": "Credit line.",
    "group_id": "Images with the same one are in one split.",
    "phash": "Perceptual hash of the image, 64 bits as hex digits.",
    spool.OBJECTS: "Boxes of the image with their classes.",
    "changes": "How the image differs from the bytes that came from the origin.",
}


def _column(name: str, lists_as_text: bool) -> Column:
    return Column(name, _types_of(name), _ABOUT.get(name, ""), is_list=name in spool.LIST_COLUMNS and not lists_as_text)


def _types_of(name: str) -> tuple[str, ...]:
    if name in spool.INTEGER_COLUMNS:
        return ("sc:Integer",)
    if name in ("label", "labels"):
        return (TEXT, "cr:Label")
    return ("sc:URL",) if name == "url" or name.endswith("_url") else (TEXT,)
