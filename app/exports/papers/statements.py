"""What is known of a dataset in sentences, each with what is behind it. Pure functions; no markup and no layout."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from app.discovery.licences import stated_terms
from app.domain import FOLDER_SOURCE, LISTED_SOURCES, PAGES_SOURCE
from app.exports.exporter import ExportOptions
from app.exports.papers import queries
from app.exports.provenance import Asked, Crawler, Provenance
from app.exports.spool import DatasetFacts
from app.formatting import count, number
from app.images.split_groups import LeakReport

__all__ = [
    "Statement",
    "annotation",
    "asked_for",
    "biases",
    "collection_types",
    "contents",
    "crawler",
    "dropped",
    "duplicates",
    "licences",
    "limitations",
    "manipulation",
    "part",
    "period",
    "preprocessing",
    "selection",
    "sources",
    "splitting",
    "stated",
    "timestamp",
    "unknown",
    "version",
]

SHOWN: Final = 20
"""Names in one sentence; the rest is counted."""

BALANCED: Final = 1.5
"""A largest class of at most so many times the smallest one is no imbalance."""

_TOGETHER: Final = {
    "cluster": "near-duplicates",
    "group": "images of one group",
    "creator": "images by one creator",
    "page": "images from one page",
    "host": "images from one host",
}
"""What stays in one split, by the kinds that a dataset is split by."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence, and what is behind it: an SQL query, a setting, or nothing where it says what nobody knows."""

    text: str
    behind: str = ""


def unknown(name: str) -> Statement:
    """What no query knows and nobody has stated."""
    return Statement(f"Unknown: no query knows it, and nobody has stated it (setting papers.{name}).")


def stated(name: str, texts: str | Sequence[str]) -> list[Statement]:
    """What people have stated in the setting ``papers.name``, or that it is unknown."""
    given = [texts] if isinstance(texts, str) else texts
    return [Statement(text, f"setting papers.{name}") for text in given if text] or [unknown(name)]


def timestamp(at: float) -> str:
    """A Unix time as ISO 8601 in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def contents(facts: DatasetFacts) -> list[Statement]:
    """What the dataset holds."""
    found = [
        Statement(f"It holds {count(facts.samples, 'image')} of {number(facts.image_bytes)} bytes.", queries.TOTAL),
        Statement(f"Splits: {_counted(facts.splits)}.", queries.SPLITS),
        Statement(f"File formats: {_counted(facts.extensions)}.", queries.FORMATS),
    ]
    if facts.labels:
        found.append(Statement(f"{_classes(len(facts.labels))}: {_counted(facts.labels)}.", queries.LABELS))
    if facts.unlabelled:
        found.append(Statement(f"{count(facts.unlabelled, 'image')} without a label.", queries.LABELS))
    if facts.boxes:
        found.append(Statement(f"Boxes by class: {_counted(facts.boxes)}.", queries.BOXES))
    words = "Images have captions, as their sources wrote them." if facts.has_captions else "No image has a caption."
    return [*found, Statement(words, queries.TEXTS)]


def sources(facts: DatasetFacts, known: Provenance | None) -> list[Statement]:
    """Where the images come from."""
    found = [Statement(f"Images by source: {_counted(facts.sources)}.", queries.SOURCES)] if facts.samples else []
    for source in known.sources if known else ():
        asked = f", {count(source.requests, 'request')} to its API" if source.requests else ""
        text = f"{source.name}: {count(source.candidates, 'candidate')}, {number(source.kept)} kept{asked}."
        found.append(Statement(text, queries.REQUESTS))
    return found


def asked_for(known: Provenance | None) -> list[Statement]:
    """What the build was asked for."""
    if known is None:
        return [_no_provenance("What the build was asked for")]
    asked = known.asked
    found = []
    if asked.keywords:
        synonyms = f", with up to {count(asked.synonyms, 'synonym')} of each" if asked.synonyms else ""
        found.append(f"Searches for {_listed(asked.keywords)}{synonyms}, in {_listed(asked.languages)}.")
    if asked.url_list:
        found.append(f"Images of a list of URLs, {asked.url_list}.")
    if asked.pages:
        found.append(f"Images of the pages {_listed(asked.pages)} and of pages that these link to.")
    if asked.folder:
        found.append(f"Images of a folder, {asked.folder}.")
    return [Statement(text, queries.SPEC) for text in found] or [_no_provenance("What the build was asked for")]


def period(known: Provenance | None) -> list[Statement]:
    """When the images were collected."""
    if known is None or known.collected_from is None or known.collected_until is None:
        return [_no_provenance("When the images were collected")]
    text = f"The images came from their origins between {timestamp(known.collected_from)} and {timestamp(known.collected_until)}."
    return [Statement(text, queries.PERIOD)]


def crawler(known: Provenance | None) -> list[Statement]:
    """How the crawler named itself and behaved."""
    if known is None:
        return [_no_provenance("How the crawler behaved")]
    return [Statement(text, f"setting {setting}") for text, setting in _behaviour(known.crawler)]


def _behaviour(how: Crawler) -> list[tuple[str, str]]:
    robots = "robots.txt (RFC 9309) and tdmrep.json were read and obeyed" if how.robots else "robots.txt was not read"
    opt_out = "Opt-outs from data mining in headers, robots.txt and tdmrep.json were obeyed" if how.opt_out else "Opt-outs were not read"
    own = count(how.configured_hosts, "host")
    headers = f"Requests to {own} carried headers or cookies of the operator" if how.configured_hosts else "No request carried a login"
    rate = f" and {how.rate_per_host:g} a second" if how.rate_per_host else ""
    return [
        (f"The crawler sent the User-Agent {how.user_agent}.", "fetch.contact"),
        (f"{robots}; a Crawl-delay of up to {how.crawl_delay_max_s:g} s was kept.", "fetch.robots"),
        (f"{opt_out}.", "fetch.opt_out"),
        (f"At most {count(how.per_host, 'request')} to a host at a time{rate}; a host that asked for less got less.", "fetch.per_host"),
        (f"At most {count(how.attempts, 'request')} for an image in a job; Retry-After was obeyed.", "retry.attempts"),
        (f"{headers}; no captcha or paywall was passed.", "hosts"),
    ]


def licences(facts: DatasetFacts, known: Provenance | None) -> list[Statement]:
    """Under which licences the images are, and which ones were taken."""
    counts = {name or "not stated": total for name, total in facts.licenses.items()}
    found = [Statement(f"Licences: {_counted(counts)}.", queries.LICENSES)] if facts.samples else []
    credited = sum(total for name, total in facts.licenses.items() if (terms := stated_terms(name)) is not None and terms.attribution)
    if credited:
        found.append(Statement(f"{count(credited, 'image')} under licences that ask for credit; see ATTRIBUTION.md.", queries.LICENSES))
    if known is not None:
        asked = known.asked
        words = _listed(asked.licenses) if asked.licenses else "every licence"
        found.append(Statement(f"Taken: {words}; images without a known licence were {_past(asked.unknown_licenses)}.", queries.SPEC))
    return found


def dropped(known: Provenance | None) -> list[Statement]:
    """How many candidates reached each stage, and why the others did not."""
    if known is None or not known.funnel:
        return [_no_provenance("How many candidates were dropped")]
    reached = ", ".join(f"{number(total)} {stage}" for stage, total in known.funnel.items() if stage != "candidates")
    found = [Statement(f"Of {count(known.funnel.get('candidates', 0), 'candidate')}: {reached}.", queries.FUNNEL)]
    return [*found, Statement(f"Not kept, by reason: {_counted(known.reasons)}.", queries.FUNNEL)] if known.reasons else found


def preprocessing(known: Provenance | None) -> list[Statement]:
    """Which images were taken out, by checks and as duplicates."""
    if known is None:
        return [_no_provenance("How the images were checked")]
    return [Statement(_checks(known.asked), queries.SPEC), *duplicates(known)]


def duplicates(known: Provenance | None) -> list[Statement]:
    """Which pictures were taken as the same."""
    return [_no_provenance("Whether duplicates were removed") if known is None else Statement(_duplicates(known.asked), queries.SPEC)]


def manipulation(facts: DatasetFacts, options: ExportOptions) -> list[Statement]:
    """What was done to the bytes of the images."""
    known, asked = options.provenance, options.asked.get("compression")
    if asked is not None:
        return [Statement(_encoding(asked, facts), queries.EXPORTS)]
    if known is None:
        return [_no_provenance("Whether the images were encoded anew")]
    return [Statement(_encoding(known.asked.compression, facts), queries.SPEC)]


def _checks(asked: Asked) -> str:
    limits = ", ".join(f"{name} {_value(value)}" for name, value in asked.checks.items() if name != "level")
    return f"Every image was decoded whole and checked at level {asked.checks.get('level', 'unknown')}: {limits}."


def _value(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _duplicates(asked: Asked) -> str:
    if asked.dedupe == "near":
        bits = f"at most {asked.near_distance} of 64 bits"
        return f"Duplicates were removed: equal bytes, and pictures whose perceptual hashes differ by {bits}."
    return "Duplicates of equal bytes were removed." if asked.dedupe == "exact" else "Duplicates were not removed."


def _encoding(how: Mapping[str, Any], facts: DatasetFacts) -> str:
    save = ", save where the column changes says how they differ" if "changes" in facts.columns else ""
    if how.get("format", "keep") == "keep" and how.get("resize", "none") == "none":
        return f"Images have the bytes that came from their origins{save}."
    return f"Images were encoded anew ({', '.join(f'{name} {_value(value)}' for name, value in how.items())}){save}."


def selection(options: ExportOptions) -> list[Statement]:
    """By which words images were chosen from those that passed every check, for the dataset and for this export; nothing without any."""
    asked = options.provenance.asked if options.provenance else Asked()
    for_dataset = _selection("The dataset", asked.where, asked.max_per_label, asked.balance)
    return [*(Statement(text, queries.SPEC) for text in for_dataset), *part(options)]


def part(options: ExportOptions) -> list[Statement]:
    """Which part of the dataset the export holds; nothing where it holds all."""
    asked = (options.asked.get(name) for name in ("where", "max_per_label", "balance"))
    return [Statement(text, queries.EXPORTS) for text in _selection("This export", *asked)]


def _selection(what: str, where: str | None, most: int | None, balance: bool | None) -> Iterator[str]:
    if where:
        yield f"{what} holds only images where {where}."
    if most is not None:
        yield f"{what} holds at most {count(most, 'image')} of a label."
    if balance:
        yield f"{what} holds as many images of every label as of the smallest one."


def splitting(known: Provenance | None, leaks: LeakReport | None = None) -> list[Statement]:
    """How images were assigned to splits, and what these share."""
    if known is None:
        return [_no_provenance("How images were assigned to splits")]
    asked = known.asked
    shares = ", ".join(f"{name} {share:g}" for name, share in asked.splits.items())
    together = ", ".join(_TOGETHER[kind] for kind in asked.split_by.split(",") if kind)
    found = [Statement(f"Shares asked for: {shares}; an image's split is a hash of its group with seed {asked.seed}.", queries.SPEC)]
    if together:
        found.append(Statement(f"Asked to stay in one split: {together}.", queries.SPEC))
    if leaks is not None:
        text = f"Pairs of images in different splits, by what they share: {_counted(leaks.pairs)}."
        found.append(Statement(text, "pictrawl datasets leaks :dataset"))
    return found


def annotation(facts: DatasetFacts, known: Provenance | None) -> list[Statement]:
    """Where labels and captions come from."""
    if not facts.labels:
        return [Statement("Images have no labels.", queries.LABELS)]
    asked = known.asked if known else Asked()
    origin = (
        "the label of the job"
        if asked.label
        else "the keyword that found the image"
        if asked.keywords
        else "what the list or folder states"
    )
    found = [Statement(f"A label is {origin}; no person and no model of pictrawl has checked it.", queries.SPEC)]
    several = "at least one image has several labels" if facts.has_labels else "an image has at most one label"
    found.append(Statement(f"Labels of an image: {several}.", queries.LABELS))
    conflicts = known.reasons.get("label_conflict", 0) if known else 0
    if conflicts:
        text = f"{count(conflicts, 'image')} left out because their picture or URL had several labels (rule {asked.label_conflicts})."
        found.append(Statement(text, queries.FUNNEL))
    return found


def biases(facts: DatasetFacts, known: Provenance | None) -> list[Statement]:
    """What is measurably uneven."""
    found = []
    if len(facts.labels) > 1:
        most, least = max(facts.labels, key=facts.labels.__getitem__), min(facts.labels, key=facts.labels.__getitem__)
        if facts.labels[most] > BALANCED * facts.labels[least]:
            text = f"Classes are uneven: {most} has {count(facts.labels[most], 'image')}, {least} {number(facts.labels[least])}."
            found.append(Statement(text, queries.LABELS))
    if facts.hosts:
        host, (images, _) = max(facts.hosts.items(), key=lambda item: item[1][0])
        share = f"{100 * images / facts.samples:.0f} % of the images"
        found.append(Statement(f"{share} come from one host, {host or 'a folder'}.", queries.HOSTS))
    if known is not None and known.asked.keywords:
        text = f"Images are what searches in {_listed(known.asked.languages)} rank first for their keywords, not a random sample."
        found.append(Statement(text, queries.SPEC))
    return found


def limitations(facts: DatasetFacts, known: Provenance | None) -> list[Statement]:
    """What the dataset measurably lacks."""
    found = [
        Statement(f"Split {split} has no image of {_classes(len(names))}.", queries.LABELS) for split, names in facts.absent_labels.items()
    ]
    if facts.licenses.get(""):
        found.append(Statement(f"No licence is known of {count(facts.licenses[''], 'image')}.", queries.LICENSES))
    if facts.labels:
        found.append(Statement("Labels are not checked; how many of them are wrong is not measured.", queries.SPEC))
    return found


def version(options: ExportOptions) -> list[Statement]:
    """Which version this is, and what changed since the one before."""
    known = options.provenance
    found = [Statement(f"This is version {options.version}, of {timestamp(options.created_at)}.", queries.VERSION)]
    if known is not None and known.previous_version:
        changes = ", ".join(f"{number(total)} {name}" for name, total in known.changes.items()) or "none"
        found.append(Statement(f"Records changed since version {known.previous_version}: {changes}.", queries.VERSION))
    rule = "MAJOR counts versions with records removed or changed, MINOR with records added, PATCH with the same records in another form."
    return [*found, Statement(rule, queries.VERSION)]


def collection_types(facts: DatasetFacts) -> list[str]:
    """How the images were collected, in the words of Croissant RAI."""
    kinds = {"Web Scraping" if _is_scraped(name) else "Others" if name == FOLDER_SOURCE else "Web API" for name in facts.sources}
    return sorted(kinds) or ["Others"]


def _is_scraped(source: str) -> bool:
    return source == PAGES_SOURCE or (source in LISTED_SOURCES and source != FOLDER_SOURCE)


def _no_provenance(what: str) -> Statement:
    return Statement(f"{what} is not recorded for this version.")


def _classes(total: int) -> str:
    return f"{number(total)} class" if total == 1 else f"{number(total)} classes"


def _past(word: str) -> str:
    return {"keep": "kept", "drop": "dropped"}.get(word, word)


def _counted(counts: Mapping[str, int]) -> str:
    """``cat 12, dog 3``: the most frequent first."""
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return _cut([f"{name} {number(total)}" for name, total in most]) or "none"


def _listed(names: Iterable[str]) -> str:
    return _cut(list(names)) or "none"


def _cut(items: Sequence[str]) -> str:
    more = len(items) - SHOWN
    return ", ".join(items[:SHOWN]) + (f" and {number(more)} more" if more > 0 else "")
