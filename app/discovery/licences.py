"""Licences as SPDX-like ids: one table, one parser of Creative Commons names and addresses.

What is not understood stays unknown; no version, jurisdiction or permission is ever added that the source did not state.
"""

import re

__all__ = ["PUBLIC_DOMAIN", "normalise", "settle", "url_of"]

PUBLIC_DOMAIN = "LicenseRef-PublicDomain"
"""Said to be in the public domain, with no legal tool named (Commons' ``pd``). SPDX has no id for it."""

_PUBLIC_DOMAIN_TOOLS = frozenset({"CC0-1.0", "CC-PDM-1.0", "CC-PDDC"})
_TABLE = {
    "cc0": "CC0-1.0",
    "cc0-1.0": "CC0-1.0",
    "cc-0": "CC0-1.0",
    "cc-zero": "CC0-1.0",
    "cc-zero-1.0": "CC0-1.0",
    "cc0-1.0-universal": "CC0-1.0",
    "pdm": "CC-PDM-1.0",
    "pdm-1.0": "CC-PDM-1.0",
    "cc-pdm-1.0": "CC-PDM-1.0",
    "public-domain-mark": "CC-PDM-1.0",
    "public-domain-mark-1.0": "CC-PDM-1.0",
    "cc-pddc": "CC-PDDC",
    "pd": PUBLIC_DOMAIN,
    "public-domain": PUBLIC_DOMAIN,
    PUBLIC_DOMAIN.lower(): PUBLIC_DOMAIN,
    "mit": "MIT",
    "apache-2.0": "Apache-2.0",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "fal-1.3": "LAL-1.3",
    "lal-1.3": "LAL-1.3",
    "lal-1.2": "LAL-1.2",
    "odbl-1.0": "ODbL-1.0",
    "odc-by-1.0": "ODC-By-1.0",
    "pddl-1.0": "PDDL-1.0",
    "ogl-uk-1.0": "OGL-UK-1.0",
    "ogl-uk-2.0": "OGL-UK-2.0",
    "ogl-uk-3.0": "OGL-UK-3.0",
    "wtfpl": "WTFPL",
}
_WORDS = (
    ("creative-commons-zero", "cc-zero"),
    ("creative-commons", "cc"),
    ("attribution", "by"),
    ("noncommercial", "nc"),
    ("non-commercial", "nc"),
    ("noderivatives", "nd"),
    ("no-derivatives", "nd"),
    ("noderivs", "nd"),
    ("sharealike", "sa"),
    ("share-alike", "sa"),
)
_ENDING = re.compile(r"-(?:international|unported|generic|deed|licen[cs]e)(?=-|$)")
_NAME = re.compile(r"cc-(?P<parts>(?:by|nc|nd|sa)(?:-(?:by|nc|nd|sa))*)(?:-(?P<version>\d[.-]\d))?(?:-(?P<port>[a-z]{2}|igo|scotland))?")
_ADDRESS = re.compile(
    r"(?:https?:)?//(?:www\.)?creativecommons\.org/(?P<kind>licenses|publicdomain)/(?P<parts>[a-z-]+)"
    r"(?:/(?P<version>\d\.\d))?(?:/(?P<port>[a-z]{2}|igo|scotland))?(?:/(?:deed|legalcode|rdf)?(?:\.[a-z_-]{2,10})?)?/?"
)
_ORDER = ("by", "nc", "nd", "sa")
_VERSIONS = frozenset({"1.0", "2.0", "2.1", "2.5", "3.0", "4.0"})
_MAX_CHARS = 300


def normalise(words: str | None) -> str | None:
    """Return the id of a licence given by its code, name or address, ``None`` if it is not one we know.

    A Creative Commons licence without its version is ``CC-BY``: no version was stated, none is added.
    """
    if not words or len(words) > _MAX_CHARS:
        return None
    folded = words.strip().lower()
    if "//" in folded:
        return _from_address(folded.split("#")[0].split("?")[0])
    return _from_name(re.sub(r"[\s_]+", "-", folded))


def settle(*statements: str | None) -> str | None:
    """Return the one id that all understood ``statements`` agree on, ``None`` if they understood none or contradict each other."""
    found: str | None = None
    for licence in filter(None, map(normalise, statements)):
        if found is None or _refines(licence, found):
            found = licence
        elif not _refines(found, licence):
            return None
    return found


def url_of(licence: str | None) -> str | None:
    """Return the address of a Creative Commons licence or tool by its id, ``None`` for any other and where no version is known."""
    if licence == "CC0-1.0":
        return "https://creativecommons.org/publicdomain/zero/1.0/"
    if licence == "CC-PDM-1.0":
        return "https://creativecommons.org/publicdomain/mark/1.0/"
    match = _NAME.fullmatch(licence.lower()) if licence else None
    if match is None or not match["version"]:
        return None
    port = f"{match['port']}/" if match["port"] else ""
    return f"https://creativecommons.org/licenses/{match['parts']}/{match['version']}/{port}"


def _from_name(name: str) -> str | None:
    for words, short in _WORDS:
        name = name.replace(words, short)
    name = _ENDING.sub("", name)
    if name in _TABLE:
        return _TABLE[name]
    match = _NAME.fullmatch(name)
    return _assemble(match) if match else None


def _from_address(address: str) -> str | None:
    match = _ADDRESS.fullmatch(address)
    if match is None:
        return None
    if match["kind"] == "licenses":
        return "CC-PDDC" if match["parts"] == "publicdomain" else _assemble(match)
    if match["version"] != "1.0":
        return None
    return {"zero": "CC0-1.0", "mark": "CC-PDM-1.0", "certification": "CC-PDDC"}.get(match["parts"])


def _assemble(match: re.Match[str]) -> str | None:
    """Put the parts in their order, or return ``None`` where no such licence was ever published."""
    parts = match["parts"].split("-")
    version = (match["version"] or "").replace("-", ".")
    port = match["port"]
    if len(set(parts)) != len(parts) or not set(parts) <= set(_ORDER) or {"nd", "sa"} <= set(parts):
        return None
    if "by" not in parts and version != "1.0":
        return None
    if (version and version not in _VERSIONS) or (port and version in ("", "4.0")):
        return None
    ordered = (part.upper() for part in _ORDER if part in parts)
    return "-".join(filter(None, ("CC", *ordered, version, (port or "").upper())))


def _refines(licence: str, other: str) -> bool:
    """Whether ``licence`` says all that ``other`` says, and perhaps a version or a tool more."""
    if licence == other or (other == PUBLIC_DOMAIN and licence in _PUBLIC_DOMAIN_TOOLS):
        return True
    return licence.startswith(f"{other}-") and licence[len(other) + 1].isdigit()
