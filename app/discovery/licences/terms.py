"""What a licence permits, by its id. A table of terms, and the terms of Creative Commons licences read off their ids.

Ids are SPDX ids, and ``LicenseRef-…`` where SPDX has none. What a text means is :mod:`app.discovery.licences`; what a build takes is
:mod:`app.discovery.licences.policy`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["KNOWN", "PUBLIC_DOMAIN", "PUBLIC_DOMAIN_IDS", "RESERVED", "Terms", "is_same", "refines", "strictest", "terms_of", "undominated"]

PUBLIC_DOMAIN: Final = "LicenseRef-PublicDomain"
"""Said to be in the public domain, with no legal tool named (Commons' ``pd``). SPDX has no id for it."""

RESERVED: Final = "LicenseRef-AllRightsReserved"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a licence permits and asks for.

    Attributes:
        use: copying and passing on, to some at least; False where all rights are reserved.
        commercial, derivatives: the use for money, and of changed works.
        share_alike: what is made of it has to have the same licence.
        attribution: the creator has to be named.
        is_open: the Open Definition 2.1 takes it.
        words: what it is, where the id does not say so.
    """

    use: bool = True
    commercial: bool = True
    derivatives: bool = True
    share_alike: bool = False
    attribution: bool = True
    is_open: bool = True
    words: str = ""

    @property
    def strictness(self) -> tuple[bool, ...]:
        """Key by which the stricter of two licences is the greater."""
        return not self.use, not self.commercial, not self.derivatives, not self.is_open, self.share_alike, self.attribution


_FREE = Terms(attribution=False)
_ATTRIBUTION = Terms()
_COPYLEFT = Terms(share_alike=True)
_CLOSED = Terms(use=False, commercial=False, derivatives=False, is_open=False)


def _refused(words: str) -> Terms:
    return Terms(use=False, commercial=False, derivatives=False, is_open=False, words=words)


_RIGHTS = "LicenseRef-rightsstatements-{}-1.0"
_RIGHTS_STATEMENTS = {
    "InC": _refused("in copyright"),
    "InC-OW-EU": _refused("in copyright, an orphan work of the EU"),
    "InC-EDU": _refused("in copyright, educational use permitted"),
    "InC-NC": Terms(commercial=False, is_open=False, words="in copyright, non-commercial use permitted"),
    "InC-RUU": _refused("in copyright, its rights holders cannot be found"),
    "NoC-CR": _refused("no copyright, restricted by a contract"),
    "NoC-NC": Terms(commercial=False, attribution=False, is_open=False, words="no copyright, non-commercial use only"),
    "NoC-OKLR": _refused("no copyright, restricted by other laws"),
    "NoC-US": Terms(attribution=False, is_open=False, words="no copyright in the United States"),
    "NKC": Terms(attribution=False, is_open=False, words="no known copyright"),
}
"""The statements of rightsstatements.org 1.0 but for CNE and UND, which say that nobody has looked or that it is not known."""

KNOWN: Final[dict[str, Terms]] = {
    **dict.fromkeys(("CC0-1.0", "CC-PDM-1.0", "CC-PDDC", "PDDL-1.0", "WTFPL", "Unlicense", "0BSD", "DL-DE-ZERO-2.0"), _FREE),
    PUBLIC_DOMAIN: Terms(attribution=False, words="public domain"),
    "LicenseRef-USGovernmentWork": Terms(attribution=False, words="a work of the US government"),
    "LicenseRef-CopyrightedFreeUse": Terms(attribution=False, words="any use permitted by the copyright holder"),
    "LicenseRef-NoKnownCopyright": Terms(attribution=False, is_open=False, words="no known copyright restrictions"),
    "LicenseRef-Attribution": Terms(words="any use permitted where the creator is named"),
    **dict.fromkeys(("MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "ODC-By-1.0", "DL-DE-BY-2.0", "etalab-2.0"), _ATTRIBUTION),
    **dict.fromkeys(("OGL-UK-1.0", "OGL-UK-2.0", "OGL-UK-3.0", "OGL-Canada-2.0", "NLOD-1.0", "NLOD-2.0"), _ATTRIBUTION),
    **dict.fromkeys(("LicenseRef-KOGL-Type-1", "LicenseRef-GODL-India", "CDLA-Permissive-2.0", "OFL-1.1"), _ATTRIBUTION),
    **dict.fromkeys(("LicenseRef-GFDL", "GFDL-1.1-only", "GFDL-1.1-or-later", "GFDL-1.2-only", "GFDL-1.2-or-later"), _COPYLEFT),
    **dict.fromkeys(("GFDL-1.3-only", "GFDL-1.3-or-later", "LicenseRef-LAL", "LAL-1.2", "LAL-1.3", "ODbL-1.0", "MPL-2.0"), _COPYLEFT),
    **dict.fromkeys(("GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0-only", "GPL-3.0-or-later"), _COPYLEFT),
    **dict.fromkeys(("LGPL-2.1-only", "LGPL-2.1-or-later", "LGPL-3.0-only", "LGPL-3.0-or-later"), _COPYLEFT),
    **dict.fromkeys(("AGPL-3.0-only", "AGPL-3.0-or-later"), _COPYLEFT),
    "LicenseRef-CC-Sampling-Plus-1.0": Terms(commercial=False, is_open=False),
    "LicenseRef-CC-NC-Sampling-Plus-1.0": Terms(commercial=False, is_open=False),
    **{_RIGHTS.format(name): terms for name, terms in _RIGHTS_STATEMENTS.items()},
    "LicenseRef-UsageConditionsApply": _refused("conditions that the source does not state"),
    RESERVED: _refused("all rights reserved"),
}
"""Terms of the ids that are no Creative Commons licence of the six kinds."""

PUBLIC_DOMAIN_IDS: Final = frozenset({"CC-PDM-1.0", "CC-PDDC", PUBLIC_DOMAIN, "LicenseRef-USGovernmentWork"})
"""What ``pdm`` means to a policy: works that are in the public domain, as against those that were put there (CC0)."""

_PUBLIC_DOMAIN_TOOLS = frozenset({"CC0-1.0", "LicenseRef-USGovernmentWork"}) | PUBLIC_DOMAIN_IDS
_CC = re.compile(r"(?:LicenseRef-)?CC(?P<parts>(?:-(?:BY|NC|ND|SA))+)(?:-(?P<version>\d\.\d)(?:-(?P<port>[A-Z]+))?)?")


def terms_of(licence: str) -> Terms | None:
    """Return the terms of an id; None where it is none of ours."""
    if licence in KNOWN:
        return KNOWN[licence]
    match = _CC.fullmatch(licence)
    if match is None:
        return None
    parts = set(match["parts"].split("-"))
    commercial, derivatives = "NC" not in parts, "ND" not in parts
    return Terms(True, commercial, derivatives, "SA" in parts, "BY" in parts, commercial and derivatives)


def strictest(ids: Iterable[str]) -> str | None:
    """Return the id with the strictest terms, the first of several; None of none."""
    return max(ids, key=lambda licence: (terms_of(licence) or _CLOSED).strictness, default=None)


def undominated(ids: Sequence[str]) -> list[str]:
    """Return the ids of which no other one asks for at least as much, the strictest first."""
    keys = {licence: (terms_of(licence) or _CLOSED).strictness for licence in ids}
    found = [licence for licence in ids if not any(_is_above(other, keys[licence]) for other in keys.values())]
    return sorted(found, key=lambda licence: keys[licence], reverse=True)


def _is_above(strictness: tuple[bool, ...], other: tuple[bool, ...]) -> bool:
    return strictness != other and all(one >= two for one, two in zip(strictness, other, strict=True))


def is_same(licence: str, other: str) -> bool:
    """Whether one id says nothing else than the other, but perhaps more exactly."""
    return refines(licence, other) or refines(other, licence)


def refines(licence: str, other: str) -> bool:
    """Whether ``licence`` says all that ``other`` says, and perhaps a version or a tool more."""
    if licence == other or (other == PUBLIC_DOMAIN and licence in _PUBLIC_DOMAIN_TOOLS):
        return True
    if other == "LicenseRef-Attribution":
        return family_of(licence) == "BY"
    bare = other.removeprefix("LicenseRef-")
    rest = licence.removeprefix("LicenseRef-").removeprefix(f"{bare}-")
    return other.startswith("LicenseRef-") and licence.removeprefix("LicenseRef-") != rest and rest[:1].isdigit()


def family_of(licence: str) -> str | None:
    """Return the kind of a Creative Commons licence, as ``BY-SA``, whatever its version and country; None of any other."""
    match = _CC.fullmatch(licence)
    return match["parts"][1:] if match else None
