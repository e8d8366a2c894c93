"""``croissant.json``: the dataset as Croissant 1.1 with the RAI vocabulary 1.0 describes it, for search engines and loaders.

Names are those of the specifications, also where mlcroissant 1.1.1 has others: ``dataCollectionTimeframe``, ``dataManipulationProtocol``.
"""

import json
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import quote

from app.discovery.licences import url_of
from app.domain import EXTENSIONS
from app.exports.exporter import ExportOptions
from app.exports.hashed_file import FileFacts
from app.exports.papers import statements
from app.exports.papers.records import JSON, JSON_LINES, Column, Records
from app.exports.papers.statements import Statement
from app.exports.spool import DatasetFacts

__all__ = ["CONTEXT", "CROISSANT", "citation", "render"]

CROISSANT: Final = "croissant.json"

Node = dict[str, Any]
"""An object of JSON-LD."""

CONTEXT: Final[Node] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{
        name: f"cr:{name}"
        for name in (
            *("annotation", "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "excludes", "extract", "field"),
            *("fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5"),
            *("parentField", "path", "readLines", "recordSet", "references", "regex", "repeated", "replace", "samplingRate"),
            *("sdVersion", "separator", "source", "subField", "transform", "unArchive", "value"),
        )
    },
}
"""Appendix 1 of Croissant 1.1 and the context that mlcroissant 1.1 compares with; schema.org by https, as in the datasets beside it."""

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


def render(facts: DatasetFacts, options: ExportOptions, records: Records, files: Mapping[str, FileFacts]) -> bytes:
    """Return the JSON.

    Args:
        records: where rows and images are.
        files: every file of the export that is no image, and is written.
    """
    known = _Layout(records, facts, sorted(files))
    document = _dataset(facts, options) | _responsible(facts, options) | _provenance(facts, options)
    document["distribution"] = [*(_file_object(path, files[path]) for path in sorted(files)), *known.file_sets()]
    if sets := known.record_sets():
        document["recordSet"] = sets
    return json.dumps(document, indent=2, ensure_ascii=False).encode("utf-8", "replace") + b"\n"  # a name may hold a lone surrogate


def citation(options: ExportOptions) -> str:
    """How to cite the dataset: as its creators say, else a BibTeX entry."""
    if options.texts.citation:
        return options.texts.citation
    key = re.sub(r"[^a-z0-9]+", "-", options.dataset_name.casefold()).strip("-") or "dataset"
    year = statements.timestamp(options.created_at)[:4]
    fields = {
        "title": options.dataset_name,
        "author": options.texts.creator,
        "year": year,
        "version": options.version,
        "url": options.texts.url,
    }
    lines = [f"  {name} = {{{_in_braces(text)}}}," for name, text in fields.items() if text]
    return "\n".join([f"@misc{{{key},", *lines, "  note = {Collected with pictrawl}", "}"])


def _in_braces(text: str) -> str:
    return " ".join(re.sub(r"[{}\\]", " ", text).split())


def _dataset(facts: DatasetFacts, options: ExportOptions) -> Node:
    texts, at = options.texts, statements.timestamp(options.created_at)
    creator = {"@type": "sc:Organization", "name": texts.creator or "Unknown (setting papers.creator)"}
    known = options.provenance
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": options.dataset_name,
        "description": texts.description or f"{facts.samples} images, collected and checked by pictrawl.",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "url": texts.url or f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, options.dataset_id)}",
        "creator": creator | ({"email" if "@" in texts.contact else "url": texts.contact} if texts.contact else {}),
        "license": _licences(facts, texts.license),
        "datePublished": at,
        "dateCreated": at,
        "dateModified": at,
        "version": options.version,
        "citeAs": citation(options),
        "isLiveDataset": False,
    } | ({"keywords": list(known.asked.keywords)} if known and known.asked.keywords else {})


def _licences(facts: DatasetFacts, stated: str) -> list[str | Node]:
    """The licence of the collection where one is stated, else those of the images: as URLs, or in words."""
    names = [stated] if stated else [name for name in facts.licenses if name]
    found: list[str | Node] = [_licence(name) for name in names]
    return found or [{"@type": "sc:CreativeWork", "name": "Not stated by the sources; see ATTRIBUTION.md"}]


def _licence(name: str) -> str | Node:
    if name.startswith(("https://", "http://")):
        return name
    return url_of(name) or {"@type": "sc:CreativeWork", "name": name}


def _responsible(facts: DatasetFacts, options: ExportOptions) -> Node:
    """The properties of Croissant RAI 1.0, and ``hasSyntheticData``, which NeurIPS asks for."""
    texts, known = options.texts, options.provenance
    collected = [*statements.asked_for(known), *statements.period(known), *statements.crawler(known)]
    tool = f"pictrawl {known.pictrawl}" if known else "pictrawl"
    values: Node = {
        "dataCollection": _joined(collected),
        "dataCollectionType": statements.collection_types(facts),
        "dataCollectionMissingData": _joined(statements.dropped(known)),
        "dataCollectionRawData": _joined(statements.sources(facts, known)),
        "dataImputationProtocol": "No value was imputed: what a source does not state is empty.",
        "dataManipulationProtocol": _joined(statements.manipulation(facts, known)),
        "dataPreprocessingProtocol": _texts([*statements.preprocessing(known), *statements.splitting(known)]),
        "dataAnnotationProtocol": _joined(statements.annotation(facts, known)),
        "dataAnnotationPlatform": ["None: labels and captions come with the images."],
        "dataAnnotationAnalysis": ["Not analysed: no image was annotated by several people."],
        "annotationsPerItem": "Several labels for at least one image." if facts.has_labels else "At most one label.",
        "annotatorDemographics": ["Unknown: those who named, labelled or captioned the images at their sources are not recorded."],
        "machineAnnotationTools": [f"{tool}: perceptual hashes, checks of quality, licences normalised to SPDX ids."],
        "dataReleaseMaintenancePlan": _joined([*statements.stated("maintenance", texts.maintenance), *statements.version(options)]),
        "personalSensitiveInformation": _texts(statements.stated("sensitive_information", texts.sensitive_information)),
        "dataSocialImpact": _joined(statements.stated("social_impact", texts.social_impact)),
        "dataBiases": _texts([*statements.stated("biases", texts.biases), *statements.biases(facts, known)]),
        "dataLimitations": _texts([*statements.stated("limitations", texts.limitations), *statements.limitations(facts, known)]),
        "dataUseCases": _texts(statements.stated("use_cases", texts.use_cases)),
    }
    if known and known.collected_from is not None and known.collected_until is not None:
        values["dataCollectionTimeframe"] = [statements.timestamp(known.collected_from), statements.timestamp(known.collected_until)]
    if texts.has_synthetic_data is not None:
        values["hasSyntheticData"] = texts.has_synthetic_data
    return {f"rai:{name}": value for name, value in values.items()}


def _provenance(facts: DatasetFacts, options: ExportOptions) -> Node:
    """W3C PROV: from which sources and which earlier version, by which activity of which program."""
    known = options.provenance
    derived: list[Node] = [{"@type": "prov:Entity", "prov:label": f"Images of the source {name}"} for name in facts.sources]
    activity: Node = {"@type": "prov:Activity", "prov:label": "Collection, checks, removal of duplicates and export"}
    if known is not None:
        agent = {"@type": "prov:SoftwareAgent", "prov:label": known.crawler.user_agent}
        activity |= {"prov:wasAssociatedWith": agent}
        if known.previous_version:
            derived.append({"@type": "prov:Entity", "prov:label": f"Version {known.previous_version} of this dataset"})
        if known.collected_from is not None and known.collected_until is not None:
            activity["prov:startedAtTime"] = statements.timestamp(known.collected_from)
            activity["prov:endedAtTime"] = statements.timestamp(known.collected_until)
    return {"prov:wasDerivedFrom": derived, "prov:wasGeneratedBy": activity}


def _joined(found: Iterable[Statement]) -> str:
    return " ".join(_texts(found))


def _texts(found: Iterable[Statement]) -> list[str]:
    return [statement.text for statement in found]


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


class _Layout:
    """The files, rows and images of one export as resources and records."""

    def __init__(self, records: Records, facts: DatasetFacts, paths: Sequence[str]) -> None:
        self._records = records
        self._facts = facts
        self._row_files = [path for path in paths if not records.shards and _matches(path, records.rows)]
        self._shards = [path for path in paths if records.shards and fnmatchcase(path, records.shards)]
        self._has_images = bool(facts.samples and (records.image_folders or self._shards))
        self._has_rows = bool(facts.samples and (self._row_files or self._shards))

    def file_sets(self) -> list[Node]:
        """The sets of files that records read."""
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
