"""The datasheet answers every question with what is known; each sentence names its query, and what nobody knows is said to be unknown."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from app.paper_texts import PaperTexts
from tests.exports.builders import OPTIONS, samples, tree, write
from tests.exports.test_provenance import FACTS

FULL = replace(OPTIONS, version="1.2.0", provenance=FACTS, texts=FACTS.texts)
SECTIONS = ["Motivation", "Composition", "Collection", "Preprocessing, cleaning, labelling", "Uses", "Distribution", "Maintenance"]
"""Of "Datasheets for Datasets" (Gebru et al., 2021)."""

DOCUMENTS = ("DATASHEET.md", "ORIGINS.md")


async def read(folder: Path, options: object = FULL, name: str = "DATASHEET.md") -> str:
    """One document of an export."""
    await write("files", folder, samples(10), options)  # type: ignore[arg-type]
    return (folder / name).read_text()


async def test_has_the_sections_of_the_proposal(tmp_path: Path) -> None:
    assert re.findall(r"^## (.*)$", await read(tmp_path), re.MULTILINE)[:-1] == SECTIONS


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_every_sentence_names_its_query_or_is_unknown(name: str, tmp_path: Path) -> None:
    text = await read(tmp_path, FULL, name)
    sentences = re.findall(r"^- (.*)$", text, re.MULTILINE)
    assert len(sentences) > 10
    assert not [sentence for sentence in sentences if not re.search(r"\[\^\d+\]$|^Unknown|is not recorded", sentence)]
    used, defined = set(re.findall(r"\[\^(\d+)\]$", text, re.MULTILINE)), set(re.findall(r"^\[\^(\d+)\]: `", text, re.MULTILINE))
    assert used == defined


async def test_what_people_say_is_there_and_the_rest_names_its_setting(tmp_path: Path) -> None:
    texts = PaperTexts(purpose="To tell *cats* from dogs.", biases=("Mostly tabbies.", "Mostly indoors."), has_synthetic_data=True)
    text = await read(tmp_path, replace(FULL, texts=texts))
    assert "- To tell \\*cats\\* from dogs.[^1]" in text
    assert "[^1]: `setting papers.purpose`" in text
    assert "- Mostly tabbies." in text
    assert "- Yes." in text
    assert "nobody has stated it (setting papers.maintenance)" in text


async def test_without_provenance_it_says_what_is_not_recorded(tmp_path: Path) -> None:
    text = await read(tmp_path, OPTIONS)
    for what in ("What the build was asked for", "When the images were collected", "How the images were checked"):
        assert f"{what} is not recorded for this version." in text


@pytest.mark.parametrize("folder", ["one", "two/deep"])
async def test_papers_know_nothing_of_where_they_were_made(folder: str, tmp_path: Path) -> None:
    """The same bytes anywhere."""
    await write("files", tmp_path / "first", samples(10), FULL)
    await write("files", tmp_path / folder, samples(10), FULL)
    assert tree(tmp_path / folder) == tree(tmp_path / "first")
    assert not [path for path, body in tree(tmp_path / folder).items() if str(tmp_path).encode() in body]
