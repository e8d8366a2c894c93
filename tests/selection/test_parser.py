"""What is a selection, what its errors say, and that it means what a second, naive reading of it means."""

import fnmatch
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import errors
from app.domain import StoredImage
from app.selection import parse
from app.selection.expressions import And, Comparison, Expression, Not, Or, to_text
from app.selection.fields import FIELDS, Kind, column
from app.selection.parser import MAX_DEPTH
from app.selection.tokens import MAX_CHARS
from tests.selection.images import stored


def test_the_example_of_the_help_selects_what_it_says() -> None:
    """Each of the three comparisons decides."""
    selection = parse("label=cat and width>=512 and license=cc0")
    cat: dict[str, Any] = {"label": "Cat", "width": 512, "license": "CC0-1.0"}
    assert selection.matches(stored(**cat))
    assert not any(selection.matches(stored(**cat | other)) for other in ({"label": "dog"}, {"width": 511}, {"license": "CC-BY-4.0"}))
    assert selection.names == {"label", "width", "license"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "position 1: the selection ends: expected a name, as in label = cat"),
        ("label", "position 6: the selection ends: expected =, !=, in, not in, ~, !~, is known or is unknown"),
        ("lable = cat", 'position 1: "lable": there is no such name; did you mean label?'),
        ("zzz = 1", "and columns.NAME for a column of the list"),
        ("width > big", 'position 9: "big": expected a number for width >'),
        ("width > 1e999", 'position 9: "1e999": expected a number for width >'),
        ("label > 3", 'position 7: ">": label is a text, compared with =, !=, in, not in, ~, !~, is known or is unknown'),
        ("license ~ by", 'position 9: "~": license is a licence, compared with =, !=, in, not in, is known or is unknown'),
        ("label = and", 'position 9: "and": expected a value of label; a value that is this word stands in quotes'),
        ("label = cat dog", 'position 13: "dog": expected and, or, or the end; a value of several words stands in quotes'),
        ("(label = cat", "position 13: the selection ends: expected and, or, or )"),
        ("label in cat", 'position 10: "cat": expected ( after in, as in label in (a, b)'),
        ("label in (a", "position 12: the selection ends: expected , or ) in the list that begins at position 7"),
        ("label in ()", 'position 11: ")": expected a value of label'),
        ("label not cat", 'position 11: "cat": expected in after not'),
        ("label is cat", 'position 10: "cat": expected known or unknown'),
        ("license = cco", "position 11: \"cco\": there is no licence 'cco'; did you mean cc0?"),
        ("format = pong", 'position 10: "pong": there is no such format; there are jpeg, png'),
        ("columns.n < x", 'position 13: "x": expected a number for columns.n <'),
        ("width < none", 'position 9: "none": a missing value is found by width is unknown'),
        ("not", "position 4: the selection ends: expected a name"),
        ('label = "cat', 'position 9: the quote " is not closed'),
        ("label ! cat", "position 7: '!' stands alone"),
        ("not " * (MAX_DEPTH + 1) + "label = a", f"more than {MAX_DEPTH} parentheses or not within each other"),
        ("(" * (MAX_DEPTH + 1) + "label = a", f"more than {MAX_DEPTH} parentheses or not within each other"),
        ("label = " + "a" * MAX_CHARS, f"a selection has at most {MAX_CHARS} characters, this one has {MAX_CHARS + 8}"),
    ],
)
def test_an_error_names_the_place_the_token_and_what_was_expected(text: str, words: str) -> None:
    """With the way out where there is one."""
    with pytest.raises(errors.ValidationError, match=re.escape(words)):
        parse(text)


def test_a_long_token_is_cut_in_the_message() -> None:
    """A message stays a line."""
    with pytest.raises(errors.ValidationError) as caught:
        parse("x" * 3_000 + " = 1")
    assert len(str(caught.value)) < 400


def test_and_binds_stronger_than_or_and_not_strongest() -> None:
    """As everywhere else."""
    selection = parse("not label = a or label = b and width > 1")
    assert [selection.matches(stored(label=label, width=2)) for label in "abc"] == [False, True, True]
    assert not parse("(label = b or label = c) and width > 1").matches(stored(label="b", width=1))


def test_words_are_read_in_any_case_and_quotes_keep_them_texts() -> None:
    """A quoted word is never an operator, a missing value, or the end of a text."""
    assert parse('LABEL IN ("and", "none") OR Caption = "say \\"hi\\""').matches(stored(label="none"))
    assert parse('caption = "say \\"hi\\""').matches(stored(caption='say "hi"'))
    assert not parse("label = none").matches(stored(label="none"))


@given(st.text(st.sampled_from("labelcolumns.nwidth andornotin isknown(),=!<>~\"'\\*0123456789é\n")) | st.text())
def test_any_text_is_a_selection_or_one_kind_of_error(text: str) -> None:
    """And a selection is the same after it was written and read again."""
    try:
        selection = parse(text)
    except errors.ValidationError:
        return
    assert parse(str(selection)) == selection
    assert selection.matches(stored()) in (True, False)


# A naive evaluation

TEXTS = st.sampled_from(["cat", "Cat", "", "a*b", 'say "x"', "none", "and", "7", "7.0", "true", "straße", "back\\slash", "a b"])
NUMBERS = st.sampled_from([0.0, 1.0, 7.0, -2.5, 1e300, 0.1])
NAMES = [FIELDS[name] for name in ("label", "labels", "caption", "width", "captions", "license", "format", "sharpness")]
LICENCES = ["CC0-1.0", "CC-BY-4.0", "CC-BY-NC-2.0", "words of a museum", None]


@st.composite
def comparisons(draw: st.DrawFn) -> Comparison:
    """Any comparison that could be parsed."""
    field = draw(st.sampled_from([*NAMES, column("n"), column("odd name")]))
    sign = draw(st.sampled_from(field.kind.operators))
    if field.kind is Kind.NUMBER or "<" in sign or ">" in sign:
        one: st.SearchStrategy[Any] = NUMBERS
    elif field.kind is Kind.LICENCE:
        one = st.sampled_from(["cc0", "by", "open", "commercial"])
    else:
        one = st.sampled_from(["jpg", "jpeg", "png"]) if field.kind is Kind.FORMAT else TEXTS
    if sign in ("=", "!=", "in", "not in"):
        one = one | st.none()
    several = st.lists(one, min_size=1, max_size=3).map(tuple) if sign.endswith("in") else st.tuples(one)
    return Comparison(field, sign, draw(several))


def composed(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.builds(Not, inner) | st.builds(And, several) | st.builds(Or, several)


EXPRESSIONS = st.recursive(comparisons(), composed, max_leaves=6)

IMAGES = st.builds(
    stored,
    label=st.none() | TEXTS,
    labels=st.none() | st.lists(TEXTS, min_size=2, max_size=3),
    caption=st.none() | TEXTS,
    width=st.sampled_from([None, 1, 7]),
    license=st.sampled_from(LICENCES),
    media_type=st.sampled_from(["image/jpeg", "image/png", None]),
    measures=st.sampled_from([None, {}, {"sharpness": 7.0}]),
    extra=st.sampled_from([None, {"n": 7}, {"n": "7"}, {"n": ["7.0"]}, {"n": True}, {"odd name": "Cat"}, {"n": None}]),
)

TAKEN = {
    "cc0": {"CC0-1.0"},
    "by": {"CC-BY-4.0"},
    "open": {"CC0-1.0", "CC-BY-4.0"},
    "commercial": {"CC0-1.0", "CC-BY-4.0"},
}


def found_of(comparison: Comparison, image: StoredImage) -> list[Any]:
    """What the image has of a field, as a list; empty where it is missing."""
    name = comparison.field.name
    if name == "labels":
        values = list(image.labels) if image.labels and image.label in image.labels else [image.label]
    elif name == "captions":
        return [int(bool(image.caption))]
    elif name == "format":
        values = [image.media_type and image.media_type.removeprefix("image/")]
    elif name == "sharpness":
        values = [(image.measures or {}).get(name)]
    elif name == "license":
        values = [image.license if image.license != "words of a museum" else None]
    elif name.startswith("columns."):
        value = (image.extra or {}).get(name.removeprefix("columns."))
        values = value if isinstance(value, list) else [value]
    else:
        values = [getattr(image, name)]
    if name == "labels" and len(values) > 1:
        return values
    return [value for value in values if value not in (None, "")]


def is_number(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and float(value) is not None
    except (TypeError, ValueError):
        return False


def is_equal(comparison: Comparison, found: Any, value: Any) -> bool:
    name = comparison.field.name
    if name == "license":
        return found in TAKEN[value]
    if name == "format":
        return bool(found == {"jpg": "jpeg"}.get(value, value))
    if name == "columns.n" and is_number(found) and is_number(value) and float(found) == float(value):
        return True
    return str(found).casefold() == str(value).casefold() if isinstance(value, str) else bool(found == value)


def one_holds(comparison: Comparison, image: StoredImage) -> bool:
    sign, found = comparison.operator, found_of(comparison, image)
    if sign in ("!=", "not in", "!~"):
        return not one_holds(Comparison(comparison.field, {"!=": "=", "not in": "in", "!~": "~"}[sign], comparison.values), image)
    if sign in ("=", "in"):
        return any(not found if value is None else any(is_equal(comparison, one, value) for one in found) for value in comparison.values)
    (value,) = comparison.values
    if sign == "~":
        pattern = str(value).casefold() if "*" in str(value) else f"*{str(value).casefold()}*"
        literal = re.sub(r"([\[\]?])", r"[\1]", pattern)
        return any(fnmatch.fnmatchcase(str(one).casefold(), literal) for one in found)
    orders = {"<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b}
    return any(is_number(one) and orders[sign](float(one), value) for one in found)


def holds(expression: Expression, image: StoredImage) -> bool:
    match expression:
        case Comparison():
            return one_holds(expression, image)
        case Not(operand):
            return not holds(operand, image)
        case And(operands):
            return all(holds(one, image) for one in operands)
        case Or(operands):
            return any(holds(one, image) for one in operands)


@given(EXPRESSIONS, IMAGES)
def test_a_selection_means_what_a_naive_evaluation_of_it_means(expression: Expression, image: StoredImage) -> None:
    """Written, read again, and asked of an image."""
    selection = parse(to_text(expression))
    assert selection.expression == expression
    assert selection.matches(image) == holds(expression, image)
