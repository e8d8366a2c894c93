"""Tests of app.web.ui.routes.gallery: the URL is the state, and every part of the filter can be added and taken away by a link."""

import re

import httpx
import pytest
from fastapi import FastAPI

from app.domain import ImageState, Reason
from app.gallery.gallery import Gallery
from app.resources import Resources
from tests.web import seeds

PAGE = {"Accept": "text/html"}
PART = {**PAGE, "HX-Request": "true"}


@pytest.fixture
async def path(resources: Resources) -> str:
    """The gallery of a dataset: three kept images and one that failed."""
    job = await seeds.build(resources)
    for number, label in enumerate(["lynx", "<b>puma</b>", None]):
        await seeds.image(resources, job, f"{number}.jpg", bytes([number]), label=label, width=100 * (number + 1))
    await seeds.image(resources, job, "f.jpg", state=ImageState.FAILED, reason=Reason.HTTP_404)
    return f"/datasets/{job.dataset_id}/images"


def tiles(text: str) -> list[str]:
    return re.findall(r'class="tile" href="/images/(\d+)"', text)


def links(text: str, marker: str) -> list[str]:
    """Targets of the links whose line has a text."""
    return [found.replace("&amp;", "&") for line in text.splitlines() if marker in line for found in re.findall(r'href="([^"]*)"', line)]


async def test_a_gallery_shows_pictures_counts_and_its_twin(client: httpx.AsyncClient, path: str) -> None:
    """Markup in a label is text; an image without a picture says why."""
    answer = await client.get(path, headers=PAGE)
    assert answer.status_code == 200
    assert len(tiles(answer.text)) == 4
    assert "&lt;b&gt;puma&lt;/b&gt;" in answer.text
    assert "<b>puma" not in answer.text
    assert ">http_404</span>" in answer.text
    assert "<strong>4 images</strong>" in answer.text
    assert f"curl &#39;http://127.0.0.1:8080/v1{path}&#39;".replace("&#39;", "'") in answer.text.replace("&#39;", "'")


async def test_links_add_and_take_away(client: httpx.AsyncClient, path: str) -> None:
    """A value of a facet, a missing one, and each part of a filter; the rest of the query stays."""
    text = (await client.get(f"{path}?sort=-width", headers=PAGE)).text
    (lynx,) = [link for link in links(text, 'title="lynx"') if "label=lynx" in link]
    chosen = (await client.get(lynx, headers=PAGE)).text
    assert lynx == f"{path}?sort=-width&label=lynx"
    assert len(tiles(chosen)) == 1
    missing = [link for link in links(chosen, 'title="none"') if link.endswith("label=lynx&label=")]
    both = (await client.get(missing[0], headers=PAGE)).text
    assert len(tiles(both)) == 3
    assert f"{path}?sort=-width&label=" in links(both, 'title="label: lynx"')
    assert f"{path}?sort=-width&label=lynx" in links(both, 'title="label: none"')
    assert 'aria-current="true"' in both
    assert "No image matches all of this" in (await client.get(f"{path}?text=nowhere", headers=PAGE)).text


async def test_empty_fields_of_a_form_are_no_filter(client: httpx.AsyncClient, path: str) -> None:
    """What is typed comes back in its field."""
    text = (await client.get(f"{path}?text=&min_width=150&max_width=&where=&sort=-width", headers=PAGE)).text
    assert len(tiles(text)) == 2
    assert 'name="min_width" value="150"' in text
    assert 'title="width ≥ 150"' in text


async def test_pages_go_on_by_a_link_and_by_a_part(client: httpx.AsyncClient, path: str) -> None:
    """The link works without a script; the part holds pictures and the next link only."""
    first = (await client.get(f"{path}?sort=-width&limit=3", headers=PAGE)).text
    (target,) = links(first, 'rel="next"')
    whole, part = [(await client.get(target, headers=headers)).text for headers in (PAGE, PART)]
    assert set(tiles(first) + tiles(whole)) == set(tiles(first)) | set(tiles(part))
    assert len(tiles(first) + tiles(part)) == 4
    assert "<html" in whole
    assert part.lstrip().startswith("<section")
    assert 'rel="next"' not in part


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("min_width=wide", "must be a number"),
        ("colour=red", "is not known here"),
        ("state=lost", "must be spare"),
        ("where=title+~+x", "where asks for title"),
    ],
)
async def test_what_is_no_filter_is_a_page_that_names_it(client: httpx.AsyncClient, path: str, query: str, words: str) -> None:
    answer = await client.get(f"{path}?{query}", headers=PAGE)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "text/html; charset=utf-8")
    assert words in answer.text


async def test_a_large_gallery_says_that_it_counts(app: FastAPI, client: httpx.AsyncClient, resources: Resources, path: str) -> None:
    """With its first pictures where an index finds them; it asks again by itself."""
    async with Gallery(resources.db, resources.settings.workspace.path / "other", small=2) as app.state.gallery:
        shown = (await client.get(path, headers=PAGE)).text
        assert "Counting" in shown
        assert 'hx-trigger="every 2s"' in shown
        assert len(tiles(shown)) == 4
    async with Gallery(resources.db, resources.settings.workspace.path / "others", small=2) as app.state.gallery:
        waits = (await client.get(f"{path}?text=x", headers=PAGE)).text
        assert "are being read" in waits
        assert '<meta http-equiv="refresh"' in waits


async def test_an_empty_dataset_says_what_comes(client: httpx.AsyncClient, resources: Resources) -> None:
    job = await seeds.build(resources)
    text = (await client.get(f"/datasets/{job.dataset_id}/images", headers=PAGE)).text
    assert "This dataset has no images yet." in text


async def test_reasons_are_written_as_on_the_command_line(client: httpx.AsyncClient, path: str) -> None:
    """In facets, chips and tiles, so that they can be copied into ``--reason``."""
    text = (await client.get(f"{path}?reason=http_404", headers=PAGE)).text
    assert "reason: http_404" in text
    assert 'title="http_404"' in text
    assert "http 404" not in text


async def test_a_filter_that_breaks_a_rule_says_so_once_and_leads_back(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(f"{path}?state=dropped", headers=PAGE)
    assert answer.status_code == 422
    assert answer.text.count("must be spare") == 1
    assert f'<a href="{path}">' in answer.text
