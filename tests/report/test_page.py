"""Tests of app.report.page: one file that loads nothing, in which no text of others runs, of a bounded size."""

import base64
import hashlib
import re
from dataclasses import replace
from typing import Any

import lxml.html
import pytest

from app.db.request_figures import AttemptCount, RetryFigures
from app.explain.licences import LedgerLine
from app.exports.sidecars import REPORT_MARK
from app.report.contact_sheets import lay_out
from app.report.model import Distribution, DuplicateGroup, HostRow, LabelRow, LeftOut, Picture, Quartiles, Report, Sheet, Stage, Strip
from app.report.page import LABEL_ROWS, MOST_BYTES, POLICY, render
from tests.report.rows import XSS, noise, thumbnail

QUARTILES = Quartiles(1, 2, 3, 4, 5)


def report_of(text: str = "cat", thumb: str | None = "a", **values: Any) -> Report:
    """A report with this text wherever text of others can be."""
    picture = Picture(thumb, text, "https://example.org/?a=1&b=<2>", text)
    distribution = Distribution("width", "px", False, [1, 2], 1, 5, QUARTILES, missing=1)
    full: dict[str, Any] = {
        "name": text,
        "facts": [("splits", text)],
        "kept": 2,
        "sheets": [Sheet(text, 2, [Strip(text, 1, [picture]), Strip(None, 1, [picture])])],
        "funnel": [Stage("candidates", 5), Stage("kept", 2)],
        "left_out": [LeftOut("blurry", 2, [picture, replace(picture, thumb=None), replace(picture, thumb=None, link=None)])],
        "groups": [DuplicateGroup(9, [replace(picture, is_kept=True, caption="kept"), picture])],
        "grouped": 1,
        "distributions": [distribution],
        "labels": [LabelRow(text, 1, {text: 1}, {"width": QUARTILES}), LabelRow(None, 1, {None: 1}, {"width": QUARTILES})],
        "licences": [LedgerLine(text, is_known=False, kept=1, sources={text: 1}, confidence={text: 1}, terms=text)],
        "sources": {text: {"kept": 1}},
        "hosts": [HostRow(text, 1, 1, 1, 0, {text: 1}, None, None, 0.0), HostRow("b", 1, 1, 2, 0, {}, 0.5, 0.1, 61.0)],
        "all_hosts": 3,
        "attempts": [AttemptCount(1, "ok", 3), AttemptCount(1, text, 1)],
        "retries": RetryFigures(1, 1, 2.0, 3.0),
        "source_words": text,
    }
    return Report(**(full | values))


def page_of(report: Report, *thumbs: tuple[str, bytes | None]) -> tuple[str, Any]:
    """The text of a page, and the page."""
    body = render(report, lay_out(thumbs or [("a", thumbnail(1))]))
    assert body.startswith(REPORT_MARK)
    return body.decode(), lxml.html.document_fromstring(body.decode())


@pytest.mark.parametrize("text", XSS)
def test_no_text_of_others_becomes_markup(text: str) -> None:
    """In every place where a source, a host, a list or a person can put one: it is shown as it is."""
    source, page = page_of(report_of(text))
    assert [script.text for script in page.iter("script")] == [page_of(report_of())[1].find(".//script").text]
    attributes = {name for element in page.iter() if isinstance(element.tag, str) for name in element.attrib}
    assert not {name for name in attributes if name.startswith("on") or name == "style"}
    assert {element.tag for element in page.iter()} == {element.tag for element in page_of(report_of())[1].iter()}
    assert page.text_content().count(text) >= 12
    assert source.count("<image ") == 1


def test_links_of_others_tell_them_nothing() -> None:
    """Where a reader came from, and the window, are kept to ourselves."""
    _, page = page_of(report_of())
    outside = [link for link in page.iter("a") if not link.get("href").startswith("#")]
    assert {(link.get("href"), link.get("rel")) for link in outside} == {("https://example.org/?a=1&b=<2>", "noreferrer noopener")}
    assert len(outside) == 6
    inside = [link.get("href")[1:] for link in page.iter("a") if link.get("href").startswith("#")]
    assert set(inside) <= {element.get("id") for element in page.iter()}


def test_the_policy_names_the_only_style_and_script() -> None:
    """By their digests, and nothing else may load or run."""
    _, page = page_of(report_of())
    assert page.find(".//meta[@http-equiv]").get("content") == POLICY
    for tag in ("style", "script"):
        (element,) = page.iter(tag)
        name = base64.b64encode(hashlib.sha256(element.text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{name}'" in POLICY
    assert POLICY.startswith("default-src 'none'; img-src data:; ")
    addresses = [value for element in page.iter() for name, value in element.attrib.items() if name in ("src", "href", "data", "action")]
    assert all(value.startswith(("#", "https://example.org/", "data:image/jpeg;base64,")) for value in addresses)


def test_each_part_is_there_and_in_the_menu() -> None:
    """A reader finds every part by its name, and every table has a caption."""
    _, page = page_of(report_of())
    parts = [section.get("id") for section in page.findall(".//main/section")]
    assert [link.get("href") for link in page.findall(".//nav//a")] == [f"#{part}" for part in parts]
    assert len(parts) == 10
    assert all(table.find("caption") is not None for table in page.iter("table"))
    assert all(svg.find("title") is not None for svg in page.iter("svg") if svg.get("class") == "tile")


def test_an_empty_dataset_says_so() -> None:
    """No part without content is shown, but for the pictures, which say that there are none."""
    _, page = page_of(Report("nothing", [], 0))
    assert [section.get("id") for section in page.findall(".//main/section")] == ["pictures"]
    assert "No image is in this dataset." in page.text_content()
    _, page = page_of(Report("failed", [], 0, left_out=[LeftOut("http_404", 3)]))
    assert "why is said under reasons" in page.text_content()


def test_what_is_not_shown_is_counted() -> None:
    """Of pictures, labels, licences, hosts and groups."""
    labels = [LabelRow(f"label {number}", 1_000 - number, {"train": 1}) for number in range(LABEL_ROWS + 7)]
    licences = [LedgerLine(f"words {number}", is_known=False, kept=1) for number in range(205)]
    sheet = Sheet("cat", 1_204, [Strip("train", 1_204, [Picture("a", "words")] * 60)])
    _, page = page_of(report_of(labels=labels, licences=licences, sheets=[sheet], kept=1_204, grouped=40))
    text = " ".join(page.text_content().split())
    for words in (
        "showing 60 of 1 204",
        "The 1 most frequent of 507 labels have a sheet",
        "And 7 labels more, with 500 images or fewer each.",
        "And 5 licences more.",
        "showing 2 of 3",
        "showing 1 of 40",
        "showing 2 of 9",
    ):
        assert words in text


def test_missing_thumbnails_are_placeholders_with_the_same_words() -> None:
    """And they are counted."""
    _, page = page_of(report_of(), ("a", None))
    assert next(span.get("aria-label") for span in page.iter("span") if span.get("class") == "tile gone") == "cat: no thumbnail"
    assert "1 picture of this report has no thumbnail" in page.text_content()


def test_long_and_right_to_left_labels_are_isolated() -> None:
    """The whole label is in the title; the text around it keeps its direction."""
    label = "قطة " * 75
    _, page = page_of(report_of(label))
    found = [element for element in page.iter("bdi") if element.get("title") == label]
    assert len(found) >= 4
    assert all(element.get("class") == "cut" for element in found)


def test_a_page_stays_below_its_bound_whatever_its_texts_are() -> None:
    """Pictures of noise get what the texts leave."""
    pictures = [Picture(str(number), "&" * 140, f"https://example.org/{'&' * 270}", "<" * 140) for number in range(600)]
    labels = [LabelRow(f"{number}{'&' * 299}", 1, {"train": 1}, {"width": QUARTILES} if number < 40 else {}) for number in range(1_000)]
    sheets = [Sheet(f"{'&' * 300}", 4, [Strip("train", 4, pictures[at : at + 4])]) for at in range(0, 600, 4)]
    body = render(report_of(labels=labels, sheets=sheets), lay_out([(picture.thumb or "", noise(7)) for picture in pictures]))
    assert 1_000_000 < len(body) < MOST_BYTES


def test_the_same_report_gives_the_same_bytes() -> None:
    """No clock, no random name."""
    assert page_of(report_of())[0] == page_of(report_of())[0]
    assert not re.search(r"/(tmp|home|root)/", page_of(report_of())[0])
