from app.db import exports, jobs
from app.resources import Resources
from app.web.export_views import check_view, export_view
from tests.web import seeds


async def test_export_view_of_one_that_is_not_written_has_no_counts(resources: Resources) -> None:
    """Nothing is guessed before the report is there."""
    export_id = await seeds.export(resources, await seeds.build(resources), {}, state="pending")
    view = export_view(await exports.get_export(resources.db, export_id))
    assert (view.status, view.samples, view.splits, view.labels, view.problems) == ("pending", None, {}, {}, [])


async def test_check_view_has_its_jobs_status_and_links_to_no_export_where_there_is_none(resources: Resources) -> None:
    """A check of a dataset is of no export."""
    job = await seeds.build(resources)
    await seeds.image(resources, job, "a.jpg", b"aa")
    check = await exports.get_check(resources.db, await seeds.check(resources, job))
    view = check_view(check, await jobs.get(resources.db, check.job_id))
    assert (view.status, view.export_id) == ("pending", None)
    assert set(view.links) == {"self", "job", "dataset"}
