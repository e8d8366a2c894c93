"""``croissant.json``: the dataset as Croissant 1.1 with the RAI vocabulary 1.0 describes it, for search engines and loaders.

Names are those of the specifications, also where mlcroissant 1.1.1 has others: ``dataCollectionTimeframe``, ``dataManipulationProtocol``.
"""

import json
import re
import uuid
from collections.abc import Iterable, Mapping
from typing import Final

from app.discovery.licences import url_of
from app.exports.exporter import ExportOptions
from app.exports.hashed_file import FileFacts
from app.exports.papers import statements
from app.exports.papers.croissant_records import Layout, Node
from app.exports.papers.records import Records
from app.exports.papers.statements import Statement
from app.exports.spool import DatasetFacts
from app.images.split_groups import LeakReport

__all__ = ["CONTEXT", "CROISSANT", "citation", "render"]

CROISSANT: Final = "croissant.json"

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


def render(
    facts: DatasetFacts, options: ExportOptions, records: Records, files: Mapping[str, FileFacts], leaks: LeakReport | None = None
) -> bytes:
    """Return the JSON.

    Args:
        records: where rows and images are.
        files: every file of the export that is no image, and is written.
        leaks: what the splits share.
    """
    layout = Layout(records, facts, files)
    document = _dataset(facts, options) | _responsible(facts, options, leaks) | _provenance(facts, options)
    document["distribution"] = layout.distribution()
    if sets := layout.record_sets():
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


def _responsible(facts: DatasetFacts, options: ExportOptions, leaks: LeakReport | None) -> Node:
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
        "dataManipulationProtocol": _joined(statements.manipulation(facts, options)),
        "dataPreprocessingProtocol": _texts(
            [*statements.preprocessing(known), *statements.selection(options), *statements.splitting(known, leaks)]
        ),
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
