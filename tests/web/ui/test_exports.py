from app.db import datasets
from app.job_states import JobState
from app.resources import Resources
from tests.web import seeds
from tests.web.ui.conftest import Browser

PART = {"HX-Request": "true"}


async def test_the_form_makes_an_export_and_its_table_follows_it(browser: Browser, resources: Resources) -> None:
    """While one is written the table asks again; without scripts the page is loaded again."""
    job = await seeds.build(resources, ended=JobState.SUCCEEDED)
    await seeds.image(resources, job, "a.jpg", b"aa")
    own = f"/datasets/{job.dataset_id}"
    assert "tick from:body" not in (await browser.get(own)).text
    answer = await browser.post(f"{own}/exports", export_format="csv", also="jsonl", where="width > 0")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{own}#exports")
    part = (await browser.get(f"{own}/exports", **PART)).text
    assert "tick from:body" in part
    assert "where width &gt; 0" in part
    assert "0 of 1" in part
    assert "export at work" in part
    assert 'id="versions-part" hx-swap-oob="innerHTML"' in part
    assert (await browser.get(f"{own}/exports")).headers["location"] == f"{own}#exports"
    made = await datasets.page_exports(resources.db, dataset_id=job.dataset_id)
    assert {export.format for export in made.items} == {"csv", "jsonl"}


async def test_a_form_with_mistakes_comes_back_as_it_was(browser: Browser, resources: Resources) -> None:
    """Each mistake beside its field, whether the form or a later check finds it; nothing is made."""
    job = await seeds.build(resources, ended=JobState.SUCCEEDED)
    own = f"/datasets/{job.dataset_id}"
    await browser.get(own)
    answer = await browser.post(f"{own}/exports", export_format="files", max_per_label="few", where="label = cat", balance="yes")
    assert answer.status_code == 422
    assert 'value="few"' in answer.text
    assert 'aria-describedby="max_per_label-problem" autofocus' in answer.text
    assert 'name="balance" value="yes" checked' in answer.text
    answer = await browser.post(f"{own}/exports", export_format="files", where="label =")
    assert (answer.status_code, 'id="where-problem"' in answer.text) == (422, True)
    answer = await browser.post(f"{own}/exports", export_format="csv", encode="webp")
    assert "holds no images to encode or resize" in answer.text
    answer = await browser.post(f"{own}/exports", export_format="csv", destination="s3://bucket/x")
    assert "is not allowed here" in answer.text
    assert (await datasets.page_exports(resources.db, dataset_id=job.dataset_id)).items == []


async def test_states_of_exports_in_the_table(browser: Browser, resources: Resources) -> None:
    """Ready ones are to be taken; one that failed says why; one on its way to a destination says how far it is."""
    job = await seeds.build(resources, ended=JobState.SUCCEEDED)
    ready = await seeds.export(resources, job, {"a.txt": b"a"})
    failed = await seeds.export(resources, job, {"a.txt": b"a"}, state="failed")
    sending = await seeds.export(resources, job, {"a.txt": b"a"})
    async with resources.db.write() as connection:
        await datasets.set_export(connection, failed, error="no <space>")
        delivery = {"files": 1, "size_bytes": 3, "all_files": 4, "all_bytes": 12, "url": "javascript:alert(1)"}
        await datasets.set_export(connection, sending, destination="hf://org/birds", delivery=delivery)
    part = (await browser.get(f"/datasets/{job.dataset_id}/exports", **PART)).text
    assert f'href="/v1/exports/{ready}/archive?format=zip"' in part
    assert "no &lt;space&gt;" in part
    assert f'href="/v1/exports/{failed}/archive"' not in part
    assert "1 of 4 files to" in part
    assert "javascript:" not in part
    assert "tick from:body" in part


async def test_an_export_with_its_files_and_their_digests(browser: Browser, resources: Resources) -> None:
    """Page by page; one whose files are gone says how to make it again, and one that failed what was found."""
    job = await seeds.build(resources, ended=JobState.SUCCEEDED)
    export_id = await seeds.export(resources, job, {"a.txt": b"a", "b.txt": b"b"})
    page = (await browser.get(f"/exports/{export_id}?limit=1")).text
    assert f'href="/v1/exports/{export_id}/files/a.txt"' in page
    assert "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb" in page
    assert f"/exports/{export_id}?cursor=" in page
    await resources.store.delete_tree(f"exports/{export_id}")
    page = (await browser.get(f"/exports/{export_id}")).text
    assert "The files are gone." in page
    assert f'href="/datasets/{job.dataset_id}#exports"' in page
    failed = await seeds.export(resources, job, {"a.txt": b"a"}, state="failed")
    async with resources.db.write() as connection:
        await datasets.set_export(connection, failed, error="it broke", problems=["a.jpg: <other> bytes"])
    page = (await browser.get(f"/exports/{failed}")).text
    assert "it broke" in page
    assert "a.jpg: &lt;other&gt; bytes" in page
    pending = await seeds.export(resources, job, {}, state="pending")
    assert "once it is ready" in (await browser.get(f"/exports/{pending}")).text
