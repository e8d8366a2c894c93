"""The hand-made documents: what a person lists on each is found, in the best form, and nothing else."""

import pytest

from app.discovery.pages.document import ReadingRules, WebDocument, read
from downloader import Page
from tests.discovery.pages.corpus_files import Sample, load

SAMPLES = load()


def read_sample(sample: Sample) -> WebDocument:
    """A document of the corpus, as a crawl with its options reads it."""
    rules = ReadingRules(sample.more.get("side_px"), css_images=sample.more.get("css_images", False))
    return read(Page(sample.url, sample.body, sample.media_type, sample.charset), rules)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_document_gives_the_images_that_a_person_lists(sample: Sample) -> None:
    """In the largest form that is named, or the smallest that serves; each once."""
    found = [candidate.url for candidate in read_sample(sample).images]
    assert sorted(found) == sorted(forms[0] for forms in sample.expected)


@pytest.mark.parametrize("sample", [sample for sample in SAMPLES if sample.more], ids=lambda sample: sample.name)
def test_a_document_tells_captions_licences_links_and_groups(sample: Sample) -> None:
    """As its JSON file says."""
    document = read_sample(sample)
    images = {candidate.url: candidate for candidate in document.images}
    for url, caption in sample.more.get("captions", {}).items():
        assert images[url].caption == caption
    for url, (licence, confidence, creator) in sample.more.get("licences", {}).items():
        assert (images[url].license, images[url].license_confidence, images[url].creator) == (licence, confidence, creator)
    for url, group in sample.more.get("groups", {}).items():
        assert images[url].group_id == group
    assert set(sample.more.get("links", document.links)) == set(document.links)
    assert sample.more.get("note", "") in document.note
    assert sample.more.get("problem", "") in document.problem


def test_the_corpus_as_a_whole() -> None:
    """At least 98 % of the images, and no tracker, icon or sprite."""
    assert len(SAMPLES) >= 40
    expected = found = trackers = 0
    for sample in SAMPLES:
        urls = {candidate.url for candidate in read_sample(sample).images}
        expected += len(sample.expected)
        found += sum(not urls.isdisjoint(forms) for forms in sample.expected)
        trackers += len(urls.intersection(sample.trackers))
    assert found >= 0.98 * expected > 100
    assert trackers == 0
