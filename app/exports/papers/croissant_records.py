"""The files of an export as the resources of Croissant, and what they hold as its records: rows, images, splits and labels."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import quote

from app.domain import EXTENSIONS
from app.exports.hashed_file import FileFacts
from app.exports.papers.records import JSON, JSON_LINES, Column, Records
from app.exports.spool import DatasetFacts

__all__ = ["Layout", "Node"]

Node = dict[str, Any]
"""An object of JSON-LD."""

_MEDIA_TYPES: Final[Mapping[str, str]] = {
    "csv": "text/csv",
    "json": JSON,
    "jsonl": JSON_LINES,
    "md": "text/markdown",
    "ndjson": JSON_LINES,
    "parquet": "application/x-parquet",
    "tar": "application/x-tar",
    "tfrecord": "application/octet-stream",
    "txt": "text/plain",
    "xml": "application/xml",
    "yaml": "application/yaml",
} | {extension: media_type for media_type, extension in EXTENSIONS.items()}

_SPLIT_URLS: Final[Mapping[str, str]] = {
    "train": "cr:TrainingSplit",
    **dict.fromkeys(("val", "valid", "validation", "dev"), "cr:ValidationSplit"),
    "test": "cr:TestSplit",
}
_NUMBER: Final = "sc:Integer"
_BASE_NAME: Final = "(?:.*/)?([^/]+)"
_KEY: Final = r"(?:.*/)?([^./]+)(?:\..*)?"
"""They match their own result, because mlcroissant applies the transform of a joined field twice."""


def _file_object(path: str, facts: FileFacts) -> Node:
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "contentUrl": path,
        "contentSize": f"{facts.size_bytes} B",
        "encodingFormat": _MEDIA_TYPES.get(path.rpartition(".")[2], "application/octet-stream"),
        "sha256": facts.sha256,
    }


class Layout:
    """The files, rows and images of one export as resources and records."""

    def __init__(self, records: Records, facts: DatasetFacts, files: Mapping[str, FileFacts]) -> None:
        paths = sorted(files)
        self._records = records
        self._facts = facts
        self._files = files
        self._row_files = [path for path in paths if not records.shards and _matches(path, records.rows)]
        self._shards = [path for path in paths if records.shards and fnmatchcase(path, records.shards)]
        self._has_images = bool(facts.samples and (records.image_folders or self._shards))
        self._has_rows = bool(facts.samples and (self._row_files or self._shards))

    def distribution(self) -> list[Node]:
        """The files with their digests, and the sets of files that records read."""
        return [*(_file_object(path, self._files[path]) for path in sorted(self._files)), *self._file_sets()]

    def _file_sets(self) -> list[Node]:
        found = []
        if self._has_rows and (self._shards or len(self._row_files) > 1):
            found.append(self._file_set("row-files", self._records.rows, [self._records.media_type]))
        if self._has_images:
            found.append(
                self._file_set("image-files", self._image_patterns(), sorted(map(_MEDIA_TYPES.__getitem__, self._facts.extensions)))
            )
        return found

    def record_sets(self) -> list[Node]:
        """Splits and labels as enumerations, the rows, and the images joined with their rows."""
        found = [_splits(self._facts.splits)] if self._facts.splits else []
        if self._facts.labels:
            found.append(self._labels())
        if self._has_rows:
            found.append(self._rows())
        if self._has_images:
            found.append(self._images())
        return found

    def _labels(self) -> Node:
        numbers = any(column.name == "label" and column.types[0] == _NUMBER for column in self._records.columns)
        rows = [{"name": name} | ({"number": number} if numbers else {}) for number, name in enumerate(self._facts.labels)]
        return _enumeration("labels", "sc:Enumeration", "Classes of the images.", rows)

    def _file_set(self, name: str, patterns: Sequence[str], media_types: Sequence[str]) -> Node:
        where = {"containedIn": [{"@id": path} for path in self._shards]} if self._shards else {}
        node = {"@type": "cr:FileSet", "@id": name, "name": name, "includes": list(patterns), "encodingFormat": list(media_types)}
        return node | where

    def _image_patterns(self) -> list[str]:
        """``**`` matches no folder in mlcroissant, so each suffix has a pattern with it and one without."""
        places = ("",) if self._shards else [place for name in self._records.image_folders for place in _with_subfolders(name)]
        return [f"{place}*.{extension}" for place in places for extension in self._facts.extensions]

    def _rows(self) -> Node:
        source: Node = {"fileObject": {"@id": self._row_files[0]}} if len(self._row_files) == 1 else {"fileSet": {"@id": "row-files"}}
        fields = [self._row_field(column, source) for column in self._records.columns]
        if self._shards:
            fields = [
                _field("rows/key", ["sc:Text"], "Key of the sample.", _extract(source, "fileProperty", "filename", _KEY)),
                _field("rows/row", ["sc:Text"], "The row of the image, a JSON object.", _extract(source, "fileProperty", "content")),
            ]
        elif self._has_images and any(column.name == "file_name" for column in self._records.columns):
            about = "Name of the file of the image."
            fields.append(_field("rows/image_name", ["sc:Text"], about, _extract(source, "column", "file_name", _BASE_NAME)))
        return {"@type": "cr:RecordSet", "@id": "rows", "name": "rows", "description": "A row for each image.", "field": fields}

    def _row_field(self, column: Column, source: Node) -> Node:
        node = _field(
            f"rows/{quote(column.name, safe='', errors='replace')}",
            column.types,
            column.about,
            _extract(source, "column", column.column or column.name),
        )
        if column.inside:
            node["source"]["transform"] = {"jsonPath": column.inside}
        if column.is_list:
            node |= {"isArray": True, "arrayShape": column.shape}
        return node | {"name": column.name} | ({} if self._has_images else _reference(column))

    def _images(self) -> Node:
        key, regex = ("key", _KEY) if self._shards else ("image_name", None)
        files: Node = {"fileSet": {"@id": "image-files"}}
        name = _field(
            f"images/{key}", ["sc:Text"], "Name that joins an image and its row.", _extract(files, "fileProperty", "filename", regex)
        )
        fields = [_field("images/image", ["sc:ImageObject"], "The image.", _extract(files, "fileProperty", "content")), name]
        if self._has_rows:
            name["references"] = {"field": {"@id": f"rows/{key}"}}
            fields += [self._joined_field(column) for column in self._records.columns if column.name in ("label", "split")]
        if self._shards:
            fields.append(_field("images/row", ["sc:Text"], "The row of the image.", {"field": {"@id": "rows/row"}}))
        described = {"description": "The images, each with its label and split.", "key": {"@id": f"images/{key}"}}
        return {"@type": "cr:RecordSet", "@id": "images", "name": "images", **described, "field": fields}

    def _joined_field(self, column: Column) -> Node:
        node = _field(f"images/{column.name}", column.types, column.about, {"field": {"@id": f"rows/{column.name}"}})
        return node | _reference(column)


def _reference(column: Column) -> Node:
    """To the enumeration that holds the value, which mlcroissant takes as a field, not as the id that the specification shows."""
    if column.name not in ("label", "split"):
        return {}
    what = "number" if column.types[0] == _NUMBER else "name"
    return {"references": {"field": {"@id": f"{column.name}s/{what}"}}}


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)


def _with_subfolders(folder: str) -> tuple[str, str]:
    inside = f"{folder}/" if folder else ""
    return inside, f"{inside}**/"


def _splits(splits: Iterable[str]) -> Node:
    rows = [{"name": name, "url": _SPLIT_URLS.get(name, "cr:Split")} for name in splits]
    return _enumeration("splits", "cr:Split", "Splits of the dataset.", rows)


def _enumeration(name: str, data_type: str, about: str, rows: Sequence[Mapping[str, Any]]) -> Node:
    types = {"number": _NUMBER, "url": "sc:URL"}
    fields = [_field(f"{name}/{column}", [types.get(column, "sc:Text")], about) for column in rows[0]]
    data = [{f"{name}/{column}": value for column, value in row.items()} for row in rows]
    described = {"name": name, "description": about, "dataType": data_type, "key": {"@id": f"{name}/name"}}
    return {"@type": "cr:RecordSet", "@id": name, **described, "field": fields, "data": data}


def _field(identifier: str, types: Sequence[str], about: str, source: Node | None = None) -> Node:
    data_type = types[0] if len(types) == 1 else list(types)
    node: Node = {"@type": "cr:Field", "@id": identifier, "name": identifier.partition("/")[2], "description": about, "dataType": data_type}
    return node if source is None else node | {"source": source}


def _extract(source: Node, kind: str, what: str, regex: str | None = None) -> Node:
    transform = {"transform": {"regex": regex}} if regex else {}
    return source | {"extract": {kind: what}} | transform
