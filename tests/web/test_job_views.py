from app.db.rows import Funnel, SourceCount
from app.domain import ImageState, JobState, Reason
from app.resources import Resources
from app.web.job_views import figures_of, job_summary
from tests.web import seeds


async def test_job_summary_shows_the_request_and_nothing_of_the_servers(resources: Resources) -> None:
    """Neither a key of the store nor a folder that the command line wrote to."""
    job = await seeds.build(resources, "ann", output="/home/ann/birds", label="bird")
    spec = job_summary(job).spec
    assert spec["label"] == "bird"
    assert spec["url_list"] == "birds.txt"
    assert "/home/ann" not in job_summary(job).model_dump_json()
    assert "lists/" not in job_summary(job).model_dump_json()


async def test_figures_of_counts_by_reason_and_source(resources: Resources) -> None:
    """Most frequent reason first; what is open has no reason; the rate is of the retried."""
    job = await seeds.build(resources, ended=JobState.PARTIAL)
    counts = (
        SourceCount("list", ImageState.KEPT, None, 5),
        SourceCount("list", ImageState.FAILED, Reason.TIMEOUT, 1),
        SourceCount("wikimedia", ImageState.REJECTED, Reason.TOO_SMALL, 3),
        SourceCount("wikimedia", ImageState.DEFERRED, Reason.RATE_LIMITED, 2),
    )
    figures = figures_of(job, Funnel(counts, attempts=12, retried=3, recovered=2))
    assert list(figures.reasons.items()) == [("too_small", 3), ("timeout", 1)]
    assert figures.sources == {"list": {"kept": 5, "failed": 1}, "wikimedia": {"rejected": 3, "deferred": 2}}
    assert figures.retries.model_dump() == {"attempts": 12, "retried": 3, "recovered": 2, "success_rate": 0.6667}
    assert (figures.status, figures.progress.open) == (JobState.PARTIAL, 2)
