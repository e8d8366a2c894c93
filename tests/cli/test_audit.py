"""``pictrawl audit``: rules, metrics, exit codes; one real run of the pipeline, whose figures are held against what the hosts did."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from app.audit import pipeline
from app.audit.figures import Figure, Mark, Overhead
from app.audit.overhead import LOGGING, RETRYING, Part
from app.audit.rule import Breach, Rule, Verdict
from app.audit.rules import RULES
from app.audit.sources import PACKAGES
from app.cli.audit.inspecting import Audit
from app.cli.audit.show import document, text
from app.cli.audit.site import numbered
from app.cli.demo import pictures
from tests.cli.conftest import ROOT, Invoke

METRICS = {
    "jobs with an explicit retry rule": "ok",
    "network calls through Tenacity": "ok",
    "modules that log by the rules": "ok",
    "no retry explosion": "ok",
    "no explosion under errors of the job layer": "ok",
    "critical operations with their context": "ok",
    "retries that are logged": "ok",
    "any job traceable by job_id": "ok",
    "retry success rate visible": "ok",
    "test coverage": "not measured",
}
TIMES = ("retry overhead", "logging overhead")


def by_metric(found: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics of a document by their names."""
    return {entry["metric"]: entry for entry in found["metrics"]}


def test_a_run_measures_every_success_metric(invoke: Invoke) -> None:
    """On real builds: no URL costs more than 3 requests, every line of the job has its id, and all of it is one document."""
    result = invoke("audit", "--json", "--images", "20")
    assert result.code == 0, result.out
    found = result.json
    assert (found["ok"], found["failures"]) == (True, [])
    assert [entry["rule"] for entry in found["rules"]] == [rule.name for rule in RULES]
    assert all(entry["ok"] for entry in found["rules"])
    metrics = by_metric(found)
    assert {name: entry["verdict"] for name, entry in metrics.items() if name not in TIMES} == METRICS
    assert {metrics[name]["verdict"] for name in TIMES} <= {"ok", "over"}
    assert metrics["no retry explosion"]["measured"] == "at most 3; 56 requests for 38 URLs"
    faults = "at most 3; 4 runs after MemoryError, DatabaseConnectionError, MemoryError; succeeded"
    assert metrics["no explosion under errors of the job layer"]["measured"] == faults
    assert metrics["retries that are logged"]["measured"] == "18 lines for 18 repeated requests"
    success = "10 of 13 came (77%); retried 3 after 429, 10 after 503, 2 after 504, 3 after TruncatedBodyError"
    assert metrics["retry success rate visible"]["measured"] == success
    assert {part["of"] for part in found["overhead"]["parts"]} == {RETRYING, LOGGING}
    tenacity = next(part for part in found["overhead"]["parts"] if part["what"] == "Tenacity call")
    assert tenacity["calls_per_image"] == 1


def test_static_reads_and_runs_nothing(invoke: Invoke) -> None:
    """What needs a run is named as not measured, and is no failure."""
    result = invoke("audit", "--static")
    assert result.code == 0, result.out
    assert f"all {len(RULES)} rules hold, no metric is missed" in result.out
    assert "no retry explosion" in result.out
    assert "leave --static out" in result.out
    assert result.err == ""
    assert invoke("audit", "--static", "--quiet").out == "ok\n"


def test_a_broken_rule_is_exit_code_7(invoke: Invoke, tmp_path: Path) -> None:
    """Found in a copy of our own sources with one line changed, with its place and the way out."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    assert invoke("audit", "--source", tmp_path).code == 0
    file = tmp_path / "workers" / "builder.py"
    file.write_text(file.read_text().replace("@job(retry_on=INFRASTRUCTURE)", "@job()", 1))
    result = invoke("audit", "--source", tmp_path)
    assert result.code == 7
    assert "BROKEN  jobs-explicit" in result.out
    assert "create_crawl_job does not say retry_on=" in result.out
    assert "write @job(retry_on=INFRASTRUCTURE)" in result.out
    assert "11 of 12" in result.out
    assert result.out.rstrip().splitlines()[-1] == "fails: jobs-explicit, jobs with an explicit retry rule"
    [broken] = [rule for rule in invoke("audit", "--source", tmp_path, "--json").json["rules"] if not rule["ok"]]
    assert [breach["path"] for breach in broken["breaches"]] == ["workers/builder.py"]


def test_a_folder_without_our_sources_is_a_wrong_argument(invoke: Invoke, tmp_path: Path) -> None:
    """Nothing found is not nothing wrong."""
    result = invoke("audit", "--source", tmp_path)
    assert result.code == 2
    assert "there are no sources of pictrawl" in result.err


@pytest.mark.parametrize(("ran", "code", "verdict"), [(95, 0, "ok"), (80, 7, "missed")])
def test_coverage_is_read_where_it_is_named_or_lies(invoke: Invoke, ran: int, code: int, verdict: str) -> None:
    """Below its bound it is a failure; a file of another project that merely lies there is not taken for ours."""
    report = json.dumps({"files": {"app/queue.py": {"summary": {"covered_lines": ran, "num_statements": 100}}}})
    Path("coverage.json").write_text(report.replace("app/", "theirs/"))
    assert by_metric(invoke("audit", "--static", "--json").json)["test coverage"]["verdict"] == "not measured"
    assert invoke("audit", "--static", "--coverage", "coverage.json").code == 2
    Path("coverage.json").write_text(report)
    for options in ((), ("--coverage", "coverage.json")):
        result = invoke("audit", "--static", "--json", *options)
        assert result.code == code
        assert by_metric(result.json)["test coverage"]["verdict"] == verdict


def test_an_audit_is_shown_with_what_failed_and_what_was_over() -> None:
    """A time over its bound stands in the last line and fails nothing."""
    broken = Verdict(Rule("a-rule", "says so", lambda sources: iter(())), (Breach("x.py", 3, "what", "way out"),))
    times = Figure("retry overhead", "< 5%", "6%", Mark.OVER, "this run")
    found = Audit((broken,), (times,), Overhead(1000.0, (Part(RETRYING, "Tenacity call", 1, 60),)))
    shown = text(found).splitlines()
    assert shown[:3] == ["BROKEN  a-rule  says so", "          x.py:3: what", "              way out"]
    assert any(row.startswith("OVER  retry overhead") for row in shown)
    assert any(row.endswith("6.000%") for row in shown)
    assert shown[-1] == "fails: a-rule; over its bound: retry overhead"
    assert document(found)["failures"] == ["a-rule"]
    assert document(Audit((), (times,), None))["ok"] is True


def test_pictures_under_a_number_differ_and_show_the_same() -> None:
    """Their digests differ, their pixels do not, so drawing a dozen is enough for any run."""
    import io

    from PIL import Image

    body = pictures.encoded(pictures.photograph(1))
    first, second = numbered(body, 1), numbered(body, 2)
    assert len({body, first, second}) == 3
    assert Image.open(io.BytesIO(first)).tobytes() == Image.open(io.BytesIO(body)).tobytes()


def test_a_build_that_does_not_run_is_an_error(tmp_path: Path) -> None:
    """With its own words; figures of a run that was none would be made up."""
    with pytest.raises(RuntimeError, match=r"ended with 2: .*no-such-option"):
        pipeline.build(tmp_path / "run", ["http://127.0.0.1:9/x.jpg"], "--no-such-option")


def test_a_build_takes_no_setting_of_the_callers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue elsewhere, or a wrong name, does not reach it."""
    monkeypatch.setenv("PICTRAWL_QUEUE__BACKEND", "redis")
    monkeypatch.setenv("PICTRAWL_NONSENSE__NAME", "1")
    built = pipeline.build(tmp_path / "run", ["http://10.0.0.1/x.jpg"])
    assert built.document["funnel"]["kept"] == 0
    assert built.cpu_s > 0
    assert "worker.started" in {line["event"] for line in built.lines}
