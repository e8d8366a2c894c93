"""Which licences a build takes, by the words of ``--license``: ids and families as a union, and conditions that all have to hold."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import errors
from app.discovery.licences import reading
from app.discovery.licences.terms import PUBLIC_DOMAIN_IDS, Terms, family_of, strictest, terms_of, undominated
from app.domain import UnknownLicenses

__all__ = ["ANYTHING", "Decision", "LicencePolicy", "describe", "policy_for"]

FAMILIES: Final = ("by", "by-sa", "by-nc", "by-nd", "by-nc-sa", "by-nc-nd")
CONDITIONS: Final = ("commercial", "derivatives")
_WORDS: Final = ("any", "open", *CONDITIONS, "cc0", "pdm", *FAMILIES)


@dataclass(frozen=True, slots=True)
class Decision:
    """What a policy says about one image.

    Attributes:
        licence: the id that holds; None where no statement was understood.
        is_taken: whether the image may become part of the dataset.
        words: why, with the rule of ``--license`` that decided.
        note: how contradicting statements were settled; None where they agree.
    """

    licence: str | None
    is_taken: bool
    words: str
    note: str | None = None


@dataclass(frozen=True, slots=True)
class LicencePolicy:
    """The licences that are taken.

    Attributes:
        words: as given, lower case; none of them takes everything that states a licence, reserved rights included.
        unknown: what becomes of an image of which no licence is known.
    """

    words: tuple[str, ...] = ()
    unknown: UnknownLicenses = "keep"

    @classmethod
    def of(cls, words: Sequence[str], unknown: UnknownLicenses = "drop") -> "LicencePolicy":
        """Return the policy of some words, each possibly a list with commas.

        Raises:
            errors.ValidationError: a word names no licence, or one that another word excludes; or nothing but commas was given.
        """
        given = [word.strip() for item in words for word in item.split(",") if word.strip()]
        if words and not given:
            raise errors.ValidationError("no licence is named; leave it out for the default")
        policy = cls(tuple(dict.fromkeys(map(_read, given))), unknown)
        for word in policy._members:
            policy._refuse_excluded(word)
        return policy

    def allows(self, licence: str | None) -> bool:
        """Whether an image with this id, as of `licences.normalise`, is taken; None for an unknown licence."""
        return self.decide(licence).is_taken

    def decide(self, *statements: str | None) -> Decision:
        """Decide by all that was stated about an image. Of statements that disagree the strictest holds, or several of them where each
        forbids something else.
        """
        ids = reading.stated_ids(*statements)
        licence = strictest(ids)
        if licence is None:
            is_taken = self.unknown == "keep"
            return Decision(None, is_taken, f"no licence is known, and unknown ones are {'kept' if is_taken else 'dropped'}")
        note = reading.contradiction(*statements)
        refused = next(((stated, why) for stated in undominated(ids) if (why := self._refusal(stated))), None)
        if refused:
            return Decision(licence, False, f"{describe(refused[0])}: {refused[1]}", note)
        return Decision(licence, True, f"{describe(licence)}: {self._grant(licence)}", note)

    @property
    def _members(self) -> list[str]:
        return [word for word in self.words if word not in CONDITIONS and word not in ("any", "open")]

    @property
    def _unions(self) -> list[str]:
        """The words of which one has to take a licence; conditions alone ask that of ``any``."""
        unions = [word for word in self.words if word not in CONDITIONS]
        return unions or (["any"] if self.words else [])

    def _refusal(self, licence: str) -> str | None:
        """Why an id is not taken; None if it is."""
        terms = terms_of(licence) or Terms(use=False)
        if not self.words:
            return None
        if not any(_takes(word, licence, terms) for word in self._unions):
            return f"not taken by {', '.join(self._unions)}" if terms.use or self._unions != ["any"] else "it permits no use"
        left_out = next((word for word in CONDITIONS if word in self.words and not _meets(word, terms)), None)
        return f"left out by {left_out}, {_MEANING[left_out]}" if left_out else None

    def _grant(self, licence: str) -> str:
        if not self.words:
            return "every licence is taken"
        terms = terms_of(licence) or Terms(use=False)
        word = next(word for word in self._unions if _takes(word, licence, terms))
        return ", ".join([f"taken by {word}", *(f"meets {condition}" for condition in CONDITIONS if condition in self.words)])

    def _refuse_excluded(self, word: str) -> None:
        terms = _terms_of_word(word)
        for condition in CONDITIONS:
            if condition in self.words and not _meets(condition, terms):
                raise errors.ValidationError(f"{word} and {condition}, {_MEANING[condition]}, exclude each other; leave one out")


def policy_for(words: Sequence[str] | None, unknown: UnknownLicenses | None, *, is_search: bool) -> LicencePolicy:
    """Return the policy of a build by what was asked for: with nothing asked, a search takes what permits some use, a list takes all.

    Raises:
        errors.ValidationError: as `LicencePolicy.of`.
    """
    if words is None:
        words = ["any"] if is_search or unknown == "drop" else []
    return LicencePolicy.of(words, unknown or ("drop" if words else "keep"))


ANYTHING: Final = LicencePolicy()
"""Everything is taken, and recorded: the policy of lists, pages and folders without ``--license``."""

_MEANING: Final = {"commercial": "which leaves out NC", "derivatives": "which leaves out ND"}


def describe(licence: str) -> str:
    """An id, with what it means where that cannot be read off it."""
    terms = terms_of(licence)
    return f"{licence} ({terms.words})" if terms and terms.words else licence


def _read(word: str) -> str:
    """A word of ``--license`` as the policy knows it: a family, a set, a condition, or an id."""
    lowered = word.lower().removeprefix("cc-")
    if lowered in _WORDS:
        return lowered
    licence = reading.normalise(word)
    if licence is None or any(char.isspace() for char in word):
        raise errors.ValidationError(_unknown(word))
    family = (family_of(licence) or "").lower()
    if licence == f"LicenseRef-CC-{family.upper()}" and family in FAMILIES:
        return family
    return {"CC0-1.0": "cc0", reading.PUBLIC_DOMAIN: "pdm"}.get(licence, licence)


def _unknown(word: str) -> str:
    near = _named_in(word) or next(iter(difflib.get_close_matches(word.lower(), _WORDS, n=1, cutoff=0.5)), None)
    hint = f"did you mean {near}?" if near else f"there is {', '.join(_WORDS)}, and every SPDX id that images have"
    return f"there is no licence {word[:60]!r}; {hint}"


def _named_in(word: str) -> str | None:
    """The word for a spelling that is none: of ``cc by 4.0`` its id, of a version that does not exist its family."""
    licence = reading.normalise(word)
    if licence is not None and any(char.isspace() for char in word):
        return _read(licence)
    family = "-".join(part for part in re.split(r"[\s_-]+", word.lower()) if part.isalpha()).removeprefix("cc-")
    return family if family in FAMILIES else None


def _terms_of_word(word: str) -> Terms:
    if word in FAMILIES:
        return terms_of(f"LicenseRef-CC-{word.upper()}") or Terms()
    return Terms() if word in ("cc0", "pdm") else terms_of(word) or Terms()


def _takes(word: str, licence: str, terms: Terms) -> bool:
    if word == "any":
        return terms.use
    if word == "open":
        return terms.is_open
    if word == "pdm":
        return licence in PUBLIC_DOMAIN_IDS
    if word == "cc0":
        return licence == "CC0-1.0"
    return (family_of(licence) or "").lower() == word if word in FAMILIES else licence == word


def _meets(condition: str, terms: Terms) -> bool:
    return terms.commercial if condition == "commercial" else terms.derivatives
