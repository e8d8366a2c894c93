"""Addresses of licences: read one as an id, write the address of an id. Pure."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

from app.discovery.licences.names import IDS, PORTS, PORTS_OF_SPDX

__all__ = ["assemble", "find", "read", "strip", "url_of"]

_ADDRESS = re.compile(
    r"(?:https?:)?//[^\s\"'<>|]+|(?<![\w./@=:-])(?:www\.)?(?:creativecommons|rightsstatements)\.org/[^\s\"'<>|]+", re.IGNORECASE
)
_TRAILING = ").,;:]}»”"
_ORDER = ("by", "nc", "nd", "sa")
_VERSIONS = frozenset({"1.0", "2.0", "2.5", "3.0", "4.0"})
_ONLY_PORTED = frozenset({"2.1"})
_ENDING = re.compile(r"(?:deed|legalcode|rdf|88x31|80x15|index)?(?:[.-][a-z0-9_]{2,10})*")
_LANGUAGE = re.compile(r"[a-z]{2}(?:[_-][a-z]+)?")
_ID = re.compile(r"(?:LicenseRef-)?CC-(?P<parts>[A-Z]{2}(?:-(?:NC|ND|SA))*)-(?P<version>\d\.\d)(?:-(?P<port>[A-Z]+))?")
_RIGHTS = re.compile(r"(?:vocab|page)/(?P<name>[A-Za-z-]+)(?:/1\.0)?", re.IGNORECASE)
_RIGHTS_IDS: Final = {name: licence for name, licence in IDS.items() if name.startswith("rightsstatements-")}

_WHOLE: Final[Mapping[str, str]] = {
    "artlibre.org": "LicenseRef-LAL",
    "gnu.org/copyleft/fdl": "LicenseRef-GFDL",
    "gnu.org/licenses/fdl": "LicenseRef-GFDL",
    "gnu.org/licenses/old-licenses/fdl-1.2": "GFDL-1.2-only",
    "gnu.org/licenses/fdl-1.3": "GFDL-1.3-only",
    "flickr.com/commons/usage": "LicenseRef-NoKnownCopyright",
    "usa.gov/copyright": "LicenseRef-USGovernmentWork",
    "usa.gov/government-copyright": "LicenseRef-USGovernmentWork",
    "usa.gov/government-works": "LicenseRef-USGovernmentWork",
    "usa.gov/publicdomain": "LicenseRef-USGovernmentWork",
    "creativecommons.org/share-your-work/public-domain/cc0": "CC0-1.0",
    "creativecommons.org/share-your-work/public-domain/pdm": "CC-PDM-1.0",
    "creativecommons.org/public-domain/cc0": "CC0-1.0",
    "creativecommons.org/public-domain/pdm": "CC-PDM-1.0",
    "nationalarchives.gov.uk/doc/open-government-licence/version/1": "OGL-UK-1.0",
    "nationalarchives.gov.uk/doc/open-government-licence/version/2": "OGL-UK-2.0",
    "nationalarchives.gov.uk/doc/open-government-licence/version/3": "OGL-UK-3.0",
    "opendatacommons.org/licenses/pddl": "PDDL-1.0",
    "opendatacommons.org/licenses/by": "ODC-By-1.0",
    "opendatacommons.org/licenses/odbl": "ODbL-1.0",
    "etalab.gouv.fr/licence-ouverte": "etalab-2.0",
    "govdata.de/dl-de/by-2-0": "DL-DE-BY-2.0",
    "govdata.de/dl-de/zero-2-0": "DL-DE-ZERO-2.0",
    "europeana.eu/rights/rr-f": IDS["all-rights-reserved"],
    "europeana.eu/rights/rr-p": IDS["all-rights-reserved"],
    "europeana.eu/rights/rr-r": IDS["all-rights-reserved"],
    "europeana.eu/rights/out-of-copyright-non-commercial": "LicenseRef-rightsstatements-NoC-NC-1.0",
}
"""Beginnings of addresses, without scheme and ``www``."""


def find(words: str) -> list[str]:
    """Return the addresses in a text or a piece of HTML."""
    return [match.rstrip(_TRAILING) for match in _ADDRESS.findall(words)]


def strip(words: str) -> str:
    """Return a text without its addresses."""
    return _ADDRESS.sub(" ", words)


def read(address: str) -> str | None:
    """Return the id of the licence at an address, ``None`` if it is not one we know."""
    try:
        parts = urlsplit(address if "//" in address else f"//{address}")
    except ValueError:
        return None
    host, path = parts.netloc.lower().removeprefix("www."), unquote(parts.path).strip("/")
    if host in ("creativecommons.org", "i.creativecommons.org", "licensebuttons.net") and (licence := _of_creative_commons(path.lower())):
        return licence
    if host == "rightsstatements.org":
        match = _RIGHTS.match(path)
        return _RIGHTS_IDS.get(f"rightsstatements-{match['name'].lower()}-1.0") if match else None
    if host in ("spdx.org", "opensource.org") and path.lower().startswith("license"):
        return _by_id(path.rpartition("/")[2].removesuffix(".html").removesuffix(".json").lower())
    return _by_beginning(f"{host}/{path.lower()}")


def _by_id(name: str) -> str | None:
    match = _ID.fullmatch(name.upper())
    return assemble(match["parts"], match["version"], match["port"]) if match else IDS.get(name)


def _by_beginning(address: str) -> str | None:
    found = [start for start in _WHOLE if address.startswith(start) and address[len(start) : len(start) + 1] in ("", "/", ".")]
    return _WHOLE[max(found, key=len)] if found else None


def _of_creative_commons(path: str) -> str | None:
    """``licenses/by/4.0/deed.de``, ``publicdomain/zero/1.0``, and the pictures of the badges, ``l/by/4.0/88x31.png``."""
    kind, *rest = path.split("/")
    name, rest = (rest[0], rest[1:]) if rest else ("", [])
    version, rest = (rest[0], rest[1:]) if rest and re.fullmatch(r"\d\.\d", rest[0]) else ("", rest)
    port, rest = (rest[0], rest[1:]) if rest and rest[0] in PORTS and version not in ("", "4.0") else (None, rest)
    rest = rest[1:] if rest and version != "3.0" and _LANGUAGE.fullmatch(rest[0]) else rest
    if len(rest) > 1 or not all(map(_ENDING.fullmatch, rest)):
        return None
    if kind in ("publicdomain", "p"):
        return {"zero": "CC0-1.0", "mark": "CC-PDM-1.0", "certification": "CC-PDDC"}.get(name) if version in ("", "1.0") else None
    if kind not in ("licenses", "l"):
        return None
    if name in ("publicdomain", "sampling+", "nc-sampling+"):
        return IDS.get("cc-pddc" if name == "publicdomain" else f"cc-{name}-{version}")
    return assemble(name, version, port)


def assemble(parts: str, version: str, port: str | None) -> str | None:
    """Return the id of a Creative Commons licence, or ``None`` where no such licence was ever published.

    Args:
        parts: ``by-nc-sa``, in any order.
        version: empty where none was stated.
        port: the country that it was adapted to.
    """
    named, port = parts.lower().split("-"), (port or "").lower()
    if len(set(named)) != len(named) or not set(named) <= set(_ORDER) or {"nd", "sa"} <= set(named):
        return None
    if "by" not in named and version != "1.0":
        return None
    if (version and version not in (_VERSIONS | _ONLY_PORTED if port else _VERSIONS)) or (port and version in ("", "4.0")):
        return None
    if port and port not in PORTS:
        return None
    bare = "-".join(filter(None, (*(part.upper() for part in _ORDER if part in named), version, port.upper())))
    is_of_spdx = bare in PORTS_OF_SPDX if port else bool(version) and ("by" in named or bare == "SA-1.0")
    return f"CC-{bare}" if is_of_spdx else f"LicenseRef-CC-{bare}"


def url_of(licence: str | None) -> str | None:
    """Return the address of a Creative Commons licence or tool, or of a rights statement; ``None`` of others and without a version."""
    if licence in ("CC0-1.0", "CC-PDM-1.0"):
        return f"https://creativecommons.org/publicdomain/{'zero' if licence == 'CC0-1.0' else 'mark'}/1.0/"
    if licence and licence.startswith("LicenseRef-rightsstatements-"):
        return f"https://rightsstatements.org/vocab/{licence.removeprefix('LicenseRef-rightsstatements-').removesuffix('-1.0')}/1.0/"
    match = _ID.fullmatch(licence) if licence else None
    if match is None:
        return None
    parts = match["parts"].lower()
    if match["version"] == "1.0":  # written in another order then
        parts = parts.replace("nc-nd", "nd-nc")
    port = f"{match['port'].lower()}/" if match["port"] else ""
    return f"https://creativecommons.org/licenses/{parts}/{match['version']}/{port}"
