from typing import Any

import httpx
import pytest

from app.db import datasets
from app.job_states import JobState
from app.resources import Resources
from tests.web import seeds


@pytest.mark.parametrize(
    ("body", "spec"),
    [
        ({"kind": "integrity"}, {}),
        ({"kind": "duplicates"}, {"mode": "near", "apply": False}),
        ({"kind": "duplicates", "options": {"mode": "exact", "apply": True}}, {"mode": "exact", "apply": True}),
        ({"kind": "duplicates", "options": {"near_distance": 3}}, {"mode": "near", "near_distance": 3, "apply": False}),
    ],
)
async def test_create_answers_202_with_its_place(client: httpx.AsyncClient, resources: Resources, body: Any, spec: Any) -> None:
    """Each kind has its own options; the job is given them."""
    job = await seeds.build(resources)
    await seeds.image(resources, job, "a.jpg", b"aa")
    answer = await client.post(f"/v1/datasets/{job.dataset_id}/checks", json=body)
    assert answer.status_code == 202
    check = answer.json()
    assert answer.headers["location"] == f"/v1/checks/{check['id']}"
    assert (check["kind"], check["status"], check["options"]) == (body["kind"], "pending", spec)
    assert (await client.get(check["links"]["job"])).json()["spec"] == spec


async def test_create_validation_judges_by_the_datasets_rules_but_for_what_is_said(client: httpx.AsyncClient, resources: Resources) -> None:
    """A level alone leaves the sizes as they were."""
    job = await seeds.build(resources)
    await seeds.image(resources, job, "a.jpg", b"aa")
    check = (await client.post(f"/v1/datasets/{job.dataset_id}/checks", json={"kind": "validation", "options": {"level": "strict"}})).json()
    rules = (await client.get(check["links"]["job"])).json()["spec"]["validation"]
    assert (rules["level"], rules["min_width"]) == ("strict", 64)
    assert check["options"] == {"level": "strict"}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"kind": "magic"}, "#"),
        ({}, "#"),
        ({"kind": "integrity", "options": {"mode": "near"}}, "#/options/mode"),
        ({"kind": "duplicates", "options": {"near_distance": 99}}, "#/options/near_distance"),
        ({"kind": "validation", "options": {"output": "/etc"}}, "#/options/output"),
    ],
)
async def test_create_refuses_options_of_another_kind(client: httpx.AsyncClient, resources: Resources, body: Any, pointer: str) -> None:
    """The pointer names the body's own steps, not the union's."""
    job = await seeds.build(resources)
    answer = await client.post(f"/v1/datasets/{job.dataset_id}/checks", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_get_and_list_show_the_jobs_state_and_the_report(client: httpx.AsyncClient, resources: Resources) -> None:
    """A check's status is its job's."""
    job = await seeds.build(resources)
    await seeds.image(resources, job, "a.jpg", b"aa")
    check_id = await seeds.check(resources, job)
    made = (await client.get(f"/v1/checks/{check_id}")).json()
    async with resources.db.write() as connection:
        await datasets.set_report(connection, made["job_id"], {"checked": 1, "problem_count": 0})
    await seeds.end(resources, made["job_id"], JobState.SUCCEEDED)
    shown = (await client.get(f"/v1/checks/{check_id}")).json()
    assert (shown["status"], shown["report"]) == ("succeeded", {"checked": 1, "problem_count": 0})
    other = await seeds.build(resources)
    for query, expected in (({"dataset_id": job.dataset_id}, [shown]), ({}, [shown]), ({"dataset_id": other.dataset_id}, [])):
        assert (await client.get("/v1/checks", params=query)).json()["items"] == expected
