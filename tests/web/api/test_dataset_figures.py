import httpx

from app.domain import ImageState
from app.resources import Resources
from tests.web import seeds


async def test_labels_are_counted_by_split(client: httpx.AsyncClient, resources: Resources) -> None:
    """All are counted, some are listed; images in no split stand under the empty name."""
    job = await seeds.build(resources)
    for at, (label, split) in enumerate([("cat", "train"), ("cat", "val"), ("dog", None), ("cat", "train")]):
        await seeds.image(resources, job, f"{at}.jpg", b"%d" % at, label=label, split=split)
    await seeds.image(resources, job, "gone.jpg", state=ImageState.FAILED, label="cat")
    found = (await client.get(f"/v1/datasets/{job.dataset_id}/labels", params={"limit": 1})).json()
    assert found == {
        "dataset_id": job.dataset_id,
        "kept": 4,
        "splits": {"": 1, "train": 2, "val": 1},
        "labels": [{"label": "cat", "kept": 3, "splits": {"train": 2, "val": 1}}],
        "labels_in_all": 2,
        "largest": 3,
        "smallest": 1,
    }


async def test_a_dataset_without_images_has_no_labels(client: httpx.AsyncClient, resources: Resources) -> None:
    job = await seeds.build(resources)
    found = (await client.get(f"/v1/datasets/{job.dataset_id}/labels")).json()
    assert (found["kept"], found["labels"], found["largest"], found["smallest"]) == (0, [], 0, 0)


async def test_what_a_dataset_takes(client: httpx.AsyncClient, resources: Resources) -> None:
    """And what of it other datasets need too."""
    job, other = await seeds.build(resources), await seeds.build(resources)
    await seeds.image(resources, job, "a.jpg", b"aa")
    await seeds.image(resources, job, "b.jpg", b"bbb")
    await seeds.image(resources, other, "c.jpg", b"aa")
    found = (await client.get(f"/v1/datasets/{job.dataset_id}/usage")).json()
    assert found == {"dataset_id": job.dataset_id, "rows": 2, "images": 2, "size_bytes": 5, "shared_bytes": 2, "own_bytes": 3}


async def test_datasets_are_found_by_their_name(client: httpx.AsyncClient, resources: Resources) -> None:
    await seeds.build(resources)
    assert len((await client.get("/v1/datasets?name=BIR")).json()["items"]) == 1
    assert (await client.get("/v1/datasets?name=cats")).json()["items"] == []
