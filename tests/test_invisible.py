"""Characters without ink are named; those that shape their neighbours are not."""

import pytest

from app.invisible import find_invisible


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a\u200bb", "U+200B ZERO WIDTH SPACE"),
        ("\ufeffcat", "U+FEFF ZERO WIDTH NO-BREAK SPACE"),
        ("ca\u00adt", "U+00AD SOFT HYPHEN"),
        ("\u202ecat", "U+202E RIGHT-TO-LEFT OVERRIDE"),
        ("\u2066cat\u2069", "U+2066 LEFT-TO-RIGHT ISOLATE"),
        ("cat\u061c", "U+061C ARABIC LETTER MARK"),
        ("a\x00b", "U+0000 control character"),
        ("a\x1fb", "U+001F control character"),
        ("a\x85b", "U+0085 control character"),
        ("a\u2028b", "U+2028 LINE SEPARATOR"),
        ("a\ud800", "U+D800"),
        ("a\u2060b", "U+2060 WORD JOINER"),
        ("a\U000e0041", "U+E0041 TAG LATIN CAPITAL LETTER A"),
        ("a\u034fb", "U+034F COMBINING GRAPHEME JOINER"),
        ("\u3164", "U+3164 HANGUL FILLER"),
        ("\u2800", "U+2800 BRAILLE PATTERN BLANK"),
        ("ca\u200dt", "U+200D ZERO WIDTH JOINER"),
        ("cat\u200c", "U+200C ZERO WIDTH NON-JOINER"),
        ("\u200dcat", "U+200D ZERO WIDTH JOINER"),
        ("cat\ufe0f", "U+FE0F VARIATION SELECTOR-16"),
        ("\U0001f408\u200d", "U+200D ZERO WIDTH JOINER"),
    ],
)
def test_an_invisible_character_is_named(text: str, found: str) -> None:
    """By code point and name."""
    assert find_invisible(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "red panda",
        "a\tb\n",
        "caf\u00e9",
        "cafe\u0301",
        "\u732b",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian: a non-joiner between letters
        "\u0915\u094d\u200d\u0937",  # Devanagari: a joiner after a virama
        "\u0d28\u0d4d\u200d",  # Malayalam: a joiner at the end of a word
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",  # a family
        "\U0001f469\U0001f3fd\u200d\U0001f680",  # a skin tone between picture and joiner
        "\u2764\ufe0f\u200d\U0001f525",  # a selector between picture and joiner
        "#\ufe0f\u20e3",
        "\u845b\U000e0100",  # an ideograph and its variant
    ],
)
def test_what_shapes_its_neighbours_is_part_of_the_word(text: str) -> None:
    """As scripts and emoji need it."""
    assert find_invisible(text) is None
