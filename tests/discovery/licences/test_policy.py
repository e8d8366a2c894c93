"""Which licences a build takes."""

import pytest

import errors
from app.discovery import licences
from app.discovery.licences.policy import ANYTHING, LicencePolicy

NO_KNOWN = "LicenseRef-NoKnownCopyright"


@pytest.mark.parametrize(
    ("words", "taken", "refused"),
    [
        ("cc0", "CC0-1.0", "CC-PDM-1.0 CC-BY-4.0"),
        ("pdm", "CC-PDM-1.0 CC-PDDC LicenseRef-PublicDomain LicenseRef-USGovernmentWork", f"CC0-1.0 {NO_KNOWN}"),
        ("by", "CC-BY-4.0 CC-BY-3.0-DE LicenseRef-CC-BY LicenseRef-CC-BY-2.5-IT", "CC-BY-SA-4.0 CC-BY-NC-4.0 CC0-1.0"),
        ("cc-by-sa", "CC-BY-SA-4.0 LicenseRef-CC-BY-SA", "CC-BY-4.0 CC-SA-1.0"),
        ("CC-BY-4.0", "CC-BY-4.0", "CC-BY-3.0 LicenseRef-CC-BY"),
        ("cc0,by", "CC0-1.0 CC-BY-2.0", "CC-BY-SA-2.0"),
        ("open", "CC0-1.0 CC-PDM-1.0 CC-BY-4.0 CC-BY-SA-4.0 GFDL-1.2-only LAL-1.3 MIT", f"CC-BY-NC-4.0 CC-BY-ND-4.0 {NO_KNOWN}"),
        ("any", f"CC0-1.0 CC-BY-NC-ND-4.0 {NO_KNOWN}", f"{licences.RESERVED} LicenseRef-UsageConditionsApply"),
        ("commercial", "CC0-1.0 CC-BY-ND-4.0 CC-BY-SA-4.0", f"CC-BY-NC-4.0 {licences.RESERVED}"),
        ("derivatives", "CC0-1.0 CC-BY-NC-SA-4.0", f"CC-BY-ND-4.0 {licences.RESERVED}"),
        ("commercial,derivatives", "CC0-1.0 CC-BY-SA-4.0", "CC-BY-NC-4.0 CC-BY-ND-4.0"),
        ("by,by-sa,commercial", "CC-BY-4.0 CC-BY-SA-4.0", "CC0-1.0 CC-BY-ND-4.0"),
        ("any,LicenseRef-AllRightsReserved", f"CC-BY-4.0 {licences.RESERVED}", "LicenseRef-UsageConditionsApply"),
    ],
)
def test_allows_when_words(words: str, taken: str, refused: str) -> None:
    """Ids, families and sets are a union; conditions hold for all of it."""
    policy = LicencePolicy.of([words])
    assert {licence: policy.allows(licence) for licence in taken.split()} == dict.fromkeys(taken.split(), True)
    assert {licence: policy.allows(licence) for licence in refused.split()} == dict.fromkeys(refused.split(), False)


def test_allows_when_unknown() -> None:
    """An image without a known licence is dropped, unless it is to be kept."""
    assert not LicencePolicy.of(["any"]).allows(None)
    assert LicencePolicy.of(["cc0"], "keep").allows(None)


def test_allows_when_no_words() -> None:
    """Without words everything is taken, reserved rights included."""
    assert ANYTHING.allows(None)
    assert ANYTHING.allows(licences.RESERVED)


def test_of_when_repeated_or_with_commas() -> None:
    """Words come as lists with commas, repeated options, in any case, with or without ``cc-``."""
    assert LicencePolicy.of(["CC0, by", "CC-BY"]) == LicencePolicy.of(["cc0,by"])


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("comercial", "there is no licence 'comercial'; did you mean commercial?"),
        ("by-ns", "there is no licence 'by-ns'; did you mean by-sa?"),
        ("cc by 4.0", "there is no licence 'cc by 4.0'; did you mean CC-BY-4.0?"),
        ("cc by-nc 9.0", "did you mean by-nc?"),
        ("by sa", "did you mean by-sa?"),
        ("CC-BY-9.0", "did you mean by?"),
        (", ,", "no licence is named"),
        ("xyzzy", "there is no licence 'xyzzy'; there is any, open, commercial, "),
        ("by-nc,commercial", "by-nc and commercial, which leaves out NC, exclude each other; leave one out"),
        ("CC-BY-ND-4.0,derivatives", "CC-BY-ND-4.0 and derivatives, which leaves out ND, exclude each other"),
    ],
)
def test_of_when_word_makes_no_sense(word: str, message: str) -> None:
    """An unknown word names the nearest one; words of which nothing would be left are refused."""
    with pytest.raises(errors.ValidationError) as caught:
        LicencePolicy.of([word])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("words", "statements", "is_taken", "reason"),
    [
        ("open", ("CC BY 4.0",), True, "CC-BY-4.0: taken by open"),
        ("open", ("CC BY-NC 4.0",), False, "CC-BY-NC-4.0: not taken by open"),
        ("any", ("all rights reserved",), False, "LicenseRef-AllRightsReserved (all rights reserved): it permits no use"),
        ("commercial", ("CC BY-NC 4.0",), False, "CC-BY-NC-4.0: left out by commercial, which leaves out NC"),
        ("by,commercial", ("CC BY 4.0",), True, "CC-BY-4.0: taken by by, meets commercial"),
        ("any", ("see the page", None), False, "no licence is known, and unknown ones are dropped"),
        ("", ("© Jane",), True, "LicenseRef-AllRightsReserved (all rights reserved): every licence is taken"),
        ("open", ("CC BY-SA 3.0, not for commercial use",), False, "LicenseRef-CC-BY-NC-SA: not taken by open"),
        ("derivatives", ("CC BY-NC 3.0, no derivatives",), False, "LicenseRef-CC-BY-NC-ND: left out by derivatives, which leaves out ND"),
        ("by-sa", ("CC BY-SA 4.0", "CC BY 4.0"), True, "CC-BY-SA-4.0: taken by by-sa"),
        ("by-nd", ("CC BY-SA 4.0", "CC BY-ND 4.0"), False, "CC-BY-SA-4.0: not taken by by-nd"),
        ("by-nd", ("CC BY-ND 4.0", "CC BY-SA 4.0"), False, "CC-BY-SA-4.0: not taken by by-nd"),
        ("by", ("CC BY-SA 4.0", "CC BY 4.0"), False, "CC-BY-SA-4.0: not taken by by"),
    ],
)
def test_decide_when_stated(words: str, statements: tuple[str | None, ...], is_taken: bool, reason: str) -> None:
    """A decision names the licence and the word that decided; every statement that forbids something of its own has to be taken."""
    decision = LicencePolicy.of([words] if words else []).decide(*statements)
    assert (decision.is_taken, decision.words) == (is_taken, reason)


def test_decide_when_contradicting() -> None:
    """The stricter of two statements holds, and the decision says so."""
    decision = LicencePolicy.of(["any"]).decide("CC BY 4.0", "https://creativecommons.org/licenses/by-nc/4.0/")
    assert (decision.licence, decision.is_taken) == ("CC-BY-NC-4.0", True)
    assert decision.note == "CC-BY-4.0 and CC-BY-NC-4.0 were stated; the stricter, CC-BY-NC-4.0, holds"
