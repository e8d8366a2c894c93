"""The alert rules: Prometheus takes them, each has a test of its own, asks for what there is, and leads into the runbook."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.promql import FOLDER, ROOT, faults_of, selectors
from tests.test_docs import slug, text_of, without_code

RULES: list[dict[str, Any]] = [rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
TESTS = Path(__file__).parent / "alerts_test.yml"
RUNBOOK = "docs/operations/runbook.md"

each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])


def promtool(*arguments: str | Path) -> str:
    """Run promtool; what it says, and a failure where it is not content."""
    result = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.services("prometheus")
def test_prometheus_takes_rules_and_configuration() -> None:
    """As they are mounted by docker-compose.yml."""
    assert f"{len(RULES)} rules found" in promtool("check", "rules", FOLDER / "alerts.yml")
    assert "SUCCESS" in promtool("check", "config", FOLDER / "prometheus.yml")


@pytest.mark.services("prometheus")
def test_each_alert_fires_when_it_should_and_only_then() -> None:
    """The rules' own tests: one where it fires, one beside it where it does not."""
    assert "SUCCESS" in promtool("test", "rules", TESTS)


@pytest.mark.services("prometheus")
def test_the_tests_of_the_rules_can_fail(tmp_path: Path) -> None:
    """A rule that never fires is found out."""
    (tmp_path / "alerts.yml").write_text((FOLDER / "alerts.yml").read_text().replace("> 900", "> 900000"))
    broken = tmp_path / "alerts_test.yml"
    broken.write_text(TESTS.read_text().replace("../../docs/operations/monitoring/alerts.yml", "alerts.yml"))
    with pytest.raises(AssertionError, match="FAILED"):
        promtool("test", "rules", broken)


def test_every_alert_is_tested_twice() -> None:
    """Once firing, once calm; by the names of the tests."""
    names = [test["name"].split(",")[0] for test in yaml.safe_load(TESTS.read_text())["tests"]]
    assert sorted(names) == sorted(2 * [rule["alert"] for rule in RULES])


@each_rule
def test_an_alert_asks_for_what_there_is(rule: dict[str, Any]) -> None:
    """Metrics, labels and their values are those of the code."""
    assert list(selectors(rule["expr"]))
    assert faults_of(rule["expr"]) == []


@each_rule
def test_an_alert_is_complete(rule: dict[str, Any]) -> None:
    """What it is, how bad, for how long, and where to go on: a section of the runbook."""
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert rule["alert"].startswith("Pictrawl")
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert page == RUNBOOK
    headings = re.findall(r"^## (.+)$", without_code(text_of(ROOT / RUNBOOK)), re.MULTILINE)
    assert anchor in {slug(heading) for heading in headings}


def test_the_runbook_names_every_alert() -> None:
    """With what it means, in its table."""
    assert {rule["alert"] for rule in RULES} == set(re.findall(r"^\| `(Pictrawl\w+)`", text_of(ROOT / RUNBOOK), re.MULTILINE))


def test_a_wrong_expression_would_be_found() -> None:
    """The check of expressions can fail."""
    assert faults_of('sum by (colour) (pictrawl_up{part="moon"})') == ["pictrawl_up has no part 'moon'", "no label colour"]
    assert faults_of("rate(pictrawl_nothing_total[5m])") == ["no metric pictrawl_nothing_total"]
    assert faults_of('pictrawl_queue_depth{kind="builder"}') == ["pictrawl_queue_depth has no label kind"]
    assert faults_of('pictrawl_downloads_total{outcome=~"ok|lost"}') == ["pictrawl_downloads_total has no outcome 'lost'"]
