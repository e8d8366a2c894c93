from app.datasets import versions
from app.domain import ImageState, Reason
from app.job_states import JobState
from app.resources import Resources
from tests.web import seeds
from tests.web.ui.conftest import Browser

PART = {"HX-Request": "true"}


async def test_labels_show_how_even_they_are(browser: Browser, resources: Resources) -> None:
    """Ten times as many images of one label is much; a split without an image of a label is marked."""
    job = await seeds.build(resources)
    path = f"/datasets/{job.dataset_id}/labels"
    assert "No image is kept." in (await browser.get(path, **PART)).text
    for at in range(10):
        await seeds.image(resources, job, f"{at}.jpg", b"%d" % at, label="cat", split="val" if at == 9 else "train")
    await seeds.image(resources, job, "dog.jpg", b"dog", label="<b>dog</b>", split="train")
    part = (await browser.get(path, **PART)).text
    assert 'data-tone="dropped">uneven' in part
    assert "10.0 times" in part
    assert "This split has no image of the label." in part
    assert "&lt;b&gt;dog" in part
    assert "label=%3Cb%3Edog%3C%2Fb%3E" in part
    assert f"/datasets/{job.dataset_id}/leaks" in part
    page = (await browser.get(path)).text
    assert "<h1>Labels and splits</h1>" in page
    assert "uneven" in page


async def test_few_of_many_labels_are_listed(browser: Browser, resources: Resources) -> None:
    job = await seeds.build(resources)
    for at in range(3):
        await seeds.image(resources, job, f"{at}.jpg", b"%d" % at, label=f"label {at}")
    part = (await browser.get(f"/datasets/{job.dataset_id}/labels?limit=2", **PART)).text
    assert "The 2 most frequent of 3 labels." in part
    assert 'data-tone="kept">even' in part


async def test_licences_and_what_a_choice_leaves(browser: Browser, resources: Resources) -> None:
    """The choice stays in the form; fields that were left empty do not count."""
    job = await seeds.build(resources)
    path = f"/datasets/{job.dataset_id}/licences"
    assert "No image is kept or refused" in (await browser.get(path, **PART)).text
    await seeds.image(resources, job, "a.jpg", b"aa", license="CC0-1.0")
    await seeds.image(resources, job, "b.jpg", b"bb", license="CC-BY-4.0")
    assert "would stay under" not in (await browser.get(f"{path}?license=", **PART)).text.replace("What would stay under", "")
    part = (await browser.get(f"{path}?license=cc0,pdm", **PART)).text
    assert "<strong>1 of 2 images</strong> would stay under cc0, pdm." in part
    assert 'value="cc0,pdm"' in part
    assert (await browser.get(f"{path}?license=nonsense")).status_code == 422


async def test_leaks_between_splits(browser: Browser, resources: Resources) -> None:
    job = await seeds.build(resources)
    for split in ("train", "test"):
        await seeds.image(resources, job, f"{split}.jpg", split.encode(), split=split, creator="Ann")
    part = (await browser.get(f"/datasets/{job.dataset_id}/leaks", **PART)).text
    assert 'data-tone="dropped">shared' in part
    assert "creator" in part
    other = await seeds.build(resources)
    assert 'data-tone="kept">clean' in (await browser.get(f"/datasets/{other.dataset_id}/leaks", **PART)).text


async def test_what_differs_between_two_versions_has_pictures(browser: Browser, resources: Resources) -> None:
    """Added, removed, changed and relabelled ones, each with before and after; equal datasets say so."""
    old, new = [await seeds.build(resources) for _ in range(2)]
    gone = await seeds.image(resources, old, "a.jpg", b"aa")
    await seeds.image(resources, old, "b.jpg", b"b1", label="cat")
    await seeds.image(resources, new, "b.jpg", b"b2", label="dog")
    came = await seeds.image(resources, new, "c.jpg", b"cc", label="bird")
    await seeds.image(resources, new, "d.jpg", state=ImageState.REJECTED, reason=Reason.CORRUPT)
    for job in (old, new):
        await seeds.end(resources, job.id, JobState.SUCCEEDED)
    await versions.ensure(resources, old.dataset_id)
    part = (await browser.get(f"/datasets/{new.dataset_id}/diff?against={old.dataset_id}", **PART)).text
    for image_id in (gone, came):
        assert f'href="/images/{image_id}"' in part
    assert "<del><bdi>cat</bdi></del> <ins><bdi>dog</bdi></ins>" in part
    assert "other bytes" in part
    same = (await browser.get(f"/datasets/{old.dataset_id}/diff?against={old.dataset_id}")).text
    assert "Nothing differs" in same
    assert "From 1.0.0 to 1.0.0" in same
