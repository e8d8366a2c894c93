"""What came of a build: exit codes, the document, the words."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.cli import exit_codes
from app.cli.report import BuildReport
from app.db.funnel import Funnel, SourceCount
from app.db.rows import Export
from app.domain import ImageState, Reason
from app.explain.keywords import KeywordFigures, SourceFigures
from app.job_states import JobState
from tests.cli.test_progress import NOW, a_job

SHORT = {"missing": 63, "causes": ["every source is exhausted (1204 found, 1131 distinct)", "too_small: 168"]}


def a_report(state: JobState, kept: int = 437, **more: object) -> BuildReport:
    """A build that has ended so."""
    counts = (SourceCount("list", ImageState.KEPT, None, kept), SourceCount("list", ImageState.FAILED, Reason.HTTP_404, 73))
    fields = {name: more.pop(name) for name in ("shortfall", "error", "min_images", "short_classes") if name in more}
    job = a_job(state, finished_at=NOW if state.value not in ("running", "paused") else None, **fields)  # type: ignore[arg-type]
    return BuildReport(job, Funnel(counts, attempts=560, retried=64, recovered=51), tried=500, **more)  # type: ignore[arg-type]


def an_export(state: str = "ready") -> Export:
    """An export of a build."""
    where = ("exp_x", "local", "ds_x", "job_x", "files", "standard", state, "exports/exp_x")
    return Export(*where, 437, 212_000_000, None, None, None, NOW, NOW)


def further(state: str = "ready") -> Export:
    """The same dataset in another format."""
    return replace(an_export(state), id="exp_c", format="csv", error=None if state == "ready" else "2 problem(s): a.csv: missing")


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (a_report(JobState.SUCCEEDED), exit_codes.OK),
        (a_report(JobState.PARTIAL, shortfall=SHORT), exit_codes.OK),
        (a_report(JobState.PARTIAL, shortfall=SHORT, min_images=500), exit_codes.TOO_FEW),
        (a_report(JobState.PARTIAL, shortfall=SHORT | {"labels": [{"label": "a", "kept": 1, "wanted": 2}]}), exit_codes.TOO_FEW),
        (a_report(JobState.FAILED, 0, shortfall=SHORT), exit_codes.NOTHING_KEPT),
        (a_report(JobState.CANCELLED, 0), exit_codes.NOTHING_KEPT),
        (a_report(JobState.FAILED, error="1 unit(s) of work failed"), exit_codes.BUG),
        (a_report(JobState.SUCCEEDED, exports=(an_export("failed"),)), exit_codes.UNVERIFIED),
        (a_report(JobState.SUCCEEDED, exports=(an_export(), further("failed"))), exit_codes.UNVERIFIED),
        (a_report(JobState.SUCCEEDED, exports=(an_export(), an_export("failed"))), exit_codes.OK),
        (a_report(JobState.RUNNING, interrupted=130), 130),
        (a_report(JobState.RUNNING), exit_codes.OK),
    ],
)
def test_exit_code_says_how_it_ended(report: BuildReport, code: int) -> None:
    """The numbers are contract."""
    assert report.code == code


def test_summary_names_what_each_source_brought() -> None:
    """Over all keywords, where several were asked; what could not be read has its command."""
    cat = (SourceFigures("met", 9, known=2, kept=3, reasons={"licence": 4}), SourceFigures("smk", 5, unusable=1, kept=4))
    dog = (SourceFigures("met", 1, kept=1), SourceFigures("smk"))
    keywords = (KeywordFigures("cat", 7, 14, 7, 7, sources=cat), KeywordFigures("dog", 1, 1, 1, 1, sources=dog))
    text = a_report(JobState.SUCCEEDED, keywords=keywords, bad_results=1).summary()
    assert "  sources    met: 10 results, 4 refused by licence, 2 found before, 4 kept\n" in text
    assert "             smk: 5 results, 1 unusable, 4 kept\n" in text
    assert "--event search.bad_result" in text
    assert "list.bad_line" not in text
    refused = (cat[0], SourceFigures("flickr", ended="refused the API key"))
    text = a_report(JobState.SUCCEEDED, keywords=(KeywordFigures("cat", 3, 9, 3, 3, sources=refused),)).summary()
    assert "             flickr: refused the API key, 0 kept\n" in text
    only = (KeywordFigures("cat", 7, 14, 7, 7, sources=cat[:1]),)
    assert "sources" not in a_report(JobState.SUCCEEDED, keywords=only).summary()


def test_summary_of_a_thousand_keywords_shows_the_short_ones() -> None:
    """The document has all of them."""
    figures = [KeywordFigures(f"word {number}", 1, 9, 2, number % 100 and 1) for number in range(1000)]
    report = a_report(JobState.PARTIAL, keywords=figures)
    text = report.summary()
    assert "word 900: 0 kept" in text
    assert "and 980 more, see --json" in text
    assert "word 42:" not in text
    assert len(text.splitlines()) < 60
    assert len(report.document()["keywords"]) == 1000


def test_summary_tells_why_a_build_is_short_in_80_columns() -> None:
    """State, funnel, reasons, retries, causes, and what to do next."""
    delivered = {"exp_x": Path("datasets/red-panda")}
    report = a_report(JobState.PARTIAL, shortfall=SHORT, bad_lines=2, exports=(an_export(),), delivered=delivered)
    text = report.summary(workspace_options=" --workspace ws")
    assert text.startswith("partial: 437 of 500 images kept in 1m00s\n")
    assert "  dataset    datasets/red-panda\n             files, 437 samples, 212 MB" in text
    assert "64 URLs retried, 51 recovered (80 %), 1.12 attempts per URL" in text
    assert "why short  every source is exhausted (1204 found" in text
    assert "pictrawl explain job_x --workspace ws" in text
    assert all(len(line) <= 80 for line in text.splitlines() if "pictrawl" not in line)


def test_summary_has_a_line_for_each_of_several_keywords() -> None:
    """What it wanted, found and kept, and why it is short; one without an image is a warning. A single keyword is the headline."""
    cat, owl = KeywordFigures("cat", 3, 50, 5, 3), KeywordFigures("owl", 2, 0, 0, 0, "nothing was found")
    text = a_report(JobState.SUCCEEDED, keywords=(cat, owl)).summary()
    assert (
        "\n  keywords   cat: 3 kept, 3 wanted, 50 found, 5 fetched\n             owl: 0 kept, 2 wanted, 0 found, 0 fetched; nothing" in text
    )
    assert "\n  warning    no image was kept for owl\n" in text
    assert "keywords" not in a_report(JobState.SUCCEEDED, keywords=(cat,)).summary()
    assert "warning" not in a_report(JobState.RUNNING, keywords=(cat, owl)).summary()
    assert a_report(JobState.SUCCEEDED, keywords=(cat,)).document()["keywords"] == [
        {
            "keyword": "cat",
            "wanted": 3,
            "found": 50,
            "fetched": 5,
            "kept": 3,
            "why_short": None,
            "label": None,
            "not_expanded": None,
            "sources": (),
        }
    ]


def test_summary_of_an_interrupted_and_of_an_undelivered_build() -> None:
    """How to go on; where the export is instead; what failed."""
    assert "pictrawl resume job_x" in a_report(JobState.RUNNING).summary()
    assert "exp_x (files" in a_report(JobState.SUCCEEDED, exports=(an_export(),)).summary()
    failed = replace(an_export("failed"), error="1 problem(s): a sample is missing")
    assert "failed verification" in a_report(JobState.FAILED, exports=(failed,), error="the export failed").summary()
    none = BuildReport(a_job(JobState.SUCCEEDED, None, finished_at=NOW), Funnel((), attempts=3), tried=3)
    assert "no URL was retried, 1.00 attempts per URL" in none.summary()


@pytest.mark.parametrize(
    ("figures", "more", "said"),
    [
        ({"attempts": 5, "retried": 2}, {"tried": 2, "exhausted": 2}, ["no retry brought an image; 2 URLs failed, 2.50 attempts per URL"]),
        (
            {"attempts": 11, "lost": 6},
            {"tried": 10},
            [
                "no URL was retried, 1.10 attempts per URL",
                "up to 6 requests more may have been sent: reserved when a process died",
            ],
        ),
        ({"search_requests": 18, "search_retries": 17}, {}, ["searches: 18 requests, 17 of them retries"]),
        ({"search_requests": 1}, {}, []),
        ({}, {}, []),
    ],
)
def test_summary_tells_what_retries_brought(figures: dict[str, int], more: dict[str, int], said: list[str]) -> None:
    """In words: what was requested, what may have been, and what the searches took."""
    report = BuildReport(a_job(JobState.SUCCEEDED, None, finished_at=NOW), Funnel((), **figures), **more)  # type: ignore[arg-type]
    words = " ".join(report.summary().replace("retries    ", "").split())
    assert ("retries  " in report.summary()) == bool(said)
    assert all(sentence in words for sentence in said)


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"reused": 417}, "417 reused, 20 fetched"),
        ({"reused": 400, "not_modified": 30}, "400 reused, 30 not modified (304), 7 fetched"),
        ({"not_modified": 437}, "437 not modified (304), 0 fetched"),
        ({}, None),
    ],
)
def test_summary_tells_what_was_stored_before(figures: dict[str, int], said: str | None) -> None:
    """Beside what was fetched; the document has the figures in its funnel."""
    counts = (SourceCount("list", ImageState.KEPT, None, 437),)
    report = BuildReport(a_job(JobState.SUCCEEDED, None, finished_at=NOW), Funnel(counts, **figures))  # type: ignore[arg-type]
    lines = [line for line in report.summary().splitlines() if line.startswith("  reused ")]
    assert lines == ([f"  reused     {said}"] if said else [])
    funnel = report.document()["funnel"]
    assert {name: funnel[name] for name in ("reused", "not_modified")} == {"reused": 0, "not_modified": 0} | figures


def test_summary_names_the_classes_that_are_empty_or_short() -> None:
    """With what became of their candidates; the document has them all."""
    classes = [{"label": "dog", "candidates": 12, "kept": 0, "reasons": {"label_conflict": 12}}]
    classes += [{"label": f"class {n}", "candidates": 30, "kept": n, "reasons": {"http_404": 20, "blurry": 2}} for n in range(1, 10)]
    report = a_report(JobState.SUCCEEDED, short_classes=classes)
    text = report.summary()
    assert "  classes    dog: none of 12 kept; label_conflict 12\n" in text
    assert "             class 1: 1 of 30 kept; http_404 20 · blurry 2\n" in text
    assert "             and 2 more\n" in text
    assert report.document()["short_classes"] == classes
    assert "classes" not in a_report(JobState.SUCCEEDED, short_classes=[]).summary()


def test_document_names_the_path_of_what_was_delivered_only() -> None:
    """An export in the store has no path."""
    report = a_report(JobState.SUCCEEDED, exports=(an_export(), replace(an_export(), id="exp_y")), delivered={"exp_x": Path("out")})
    assert [export["path"] for export in report.document()["exports"]] == ["out", None]
    counted = {"attempts": 560, "urls": 500, "retried": 64, "recovered": 51, "mean_attempts": 1.12}
    assert report.document()["retries"] == counted | {"without_outcome": 0, "search_requests": 0, "search_retries": 0}


def test_summary_warns_of_images_that_loaders_may_refuse() -> None:
    """With the count and the way out."""
    text = " ".join(a_report(JobState.SUCCEEDED, deep=3).summary().split())
    assert "warning 3 images of more than 8 bits a channel left as found (keep)" in text
    assert "--encode png makes 8 bits of them" in text
    assert "warning" not in a_report(JobState.SUCCEEDED).summary()


def test_the_summary_names_every_reason() -> None:
    """None is summed up as other: each is a word to ask about."""
    reasons = list(Reason)[:20]
    counts = tuple(SourceCount("list", ImageState.FAILED, reason, 20 - at) for at, reason in enumerate(reasons))
    words = " ".join(BuildReport(a_job(JobState.SUCCEEDED, None, finished_at=NOW), Funnel(counts)).summary().split())
    assert all(f"{reason.value} {20 - at}" in words for at, reason in enumerate(reasons))
    assert "other" not in words


@pytest.mark.parametrize(
    ("rows", "shown"),
    [
        ([(ImageState.FAILED, Reason.DNS_NOT_FOUND, 5), (ImageState.FAILED, Reason.TLS, 2)], True),
        ([(ImageState.FAILED, Reason.TLS, 5), (ImageState.FAILED, Reason.HTTP_404, 1)], False),
        ([(ImageState.FAILED, Reason.TLS, 5), (ImageState.KEPT, None, 1)], False),
        ([], False),
    ],
)
def test_summary_names_the_doctor_where_no_host_was_reached(rows: list[tuple[ImageState, Reason | None, int]], shown: bool) -> None:
    """A network without a way out looks like many bad URLs."""
    report = replace(a_report(JobState.FAILED, 0), funnel=Funnel(tuple(SourceCount("list", *row) for row in rows)))
    assert ("doctor --only network" in report.summary()) == shown


def test_the_document_has_the_shortfall_of_the_job() -> None:
    """As the API has it: an unmet minimum is a number, not only words."""
    short = SHORT | {"min_images": 500}
    assert a_report(JobState.PARTIAL, shortfall=short, min_images=500).document()["shortfall"] == short
    assert a_report(JobState.SUCCEEDED).document()["shortfall"] is None


def test_summary_names_each_format() -> None:
    """Where each is; what failed in one does not hide the others."""
    both = {"exp_x": Path("out"), "exp_c": Path("out-csv")}
    text = a_report(JobState.SUCCEEDED, exports=(an_export(), further()), delivered=both).summary()
    assert "  dataset    out\n             files, 437 samples, 212 MB\n  also       out-csv\n             csv, 437 samples" in text
    text = a_report(JobState.SUCCEEDED, exports=(an_export("failed"), further()), delivered={"exp_c": Path("out-csv")}).summary()
    assert "  export     files failed verification: None\n  also       out-csv\n" in text
    broken = replace(further("failed"), prefix=None, error="1 of 437 images cannot be written in this form")
    text = a_report(JobState.SUCCEEDED, exports=(an_export(), broken), delivered={"exp_x": Path("out")}).summary()
    assert "  dataset    out\n" in text
    assert "  export     csv not written: 1 of 437 images cannot be written in this form\n" in text
