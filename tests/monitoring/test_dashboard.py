"""The Grafana dashboard and its provisioning. Grafana is not here: what it reads is held against its schema, and what it documents."""

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.monitoring.promql import FOLDER, faults_of, selectors
from tests.monitoring.test_alerts import promtool

GRAFANA = FOLDER / "grafana"
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards/pictrawl.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
ROWS = ["Throughput", "Failures and reasons", "Retries and waits", "Queues and workers", "Latency", "Resources"]
UNITS = {"none", "short", "ops", "reqps", "s", "bytes", "Bps", "percentunit"}
"""Ids of Grafana's units (its `valueFormats`)."""

COLUMNS = 24
VARIABLES = {"$__rate_interval": "5m", "$__range": "1h", "$instance": ".*"}


def charts() -> list[dict[str, Any]]:
    """Panels but rows."""
    return [panel for panel in PANELS if panel["type"] != "row"]


def expressions() -> Iterator[str]:
    """Every expression, with Grafana's variables filled in."""
    for panel in charts():
        for target in panel["targets"]:
            expr = target["expr"]
            for name, value in VARIABLES.items():
                expr = expr.replace(name, value)
            yield expr


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    """The fields of its JSON model, of a schema that Grafana 11 migrates nothing of."""
    assert set(DASHBOARD) == {
        *("uid", "title", "tags", "schemaVersion", "version", "editable", "graphTooltip", "timezone", "refresh", "time"),
        *("annotations", "links", "templating", "panels"),
    }
    assert "id" not in DASHBOARD, "Grafana gives it"
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,40}", DASHBOARD["uid"])
    assert 36 <= DASHBOARD["schemaVersion"] <= 41
    assert DASHBOARD["time"] == {"from": "now-6h", "to": "now"}


def _missing(given: Any, taken: Any, path: str = "") -> Iterator[str]:
    """Paths of what is given and not taken."""
    if isinstance(given, dict) and isinstance(taken, dict):
        for name, value in given.items():
            yield from _missing(value, taken.get(name), f"{path}.{name}")
    elif isinstance(given, list) and isinstance(taken, list) and len(given) == len(taken):
        for at, (one, other) in enumerate(zip(given, taken, strict=True)):
            yield from _missing(one, other, f"{path}[{at}]")
    elif given != taken:
        yield path


def test_nothing_in_the_dashboard_is_unknown_to_grafanas_own_schema() -> None:
    """Read into the types that Grafana's project makes from the schema of 11.6, and written again, it is what it was."""
    register_default_plugins()
    taken = json.loads(JSONEncoder().encode(Dashboard.from_json(DASHBOARD)))
    unknown = set(_missing(DASHBOARD, taken))
    assert unknown == {".templating.list[0].definition"}, "the editor's text of the query beside it; the schema leaves it out"
    misspelt = {**DASHBOARD, "panels": [{**charts()[0], "gridpos": {}}]}
    assert ".panels[0].gridpos" in set(_missing(misspelt, json.loads(JSONEncoder().encode(Dashboard.from_json(misspelt)))))


def test_rows_are_those_that_were_wanted() -> None:
    """In order, each with panels below it."""
    assert [panel["title"] for panel in PANELS if panel["type"] == "row"] == ROWS
    assert all(one["type"] != "row" or other["type"] != "row" for one, other in itertools.pairwise(PANELS))


def test_panels_have_ids_and_titles_of_their_own() -> None:
    """Two of an id, and one is not shown."""
    assert sorted(panel["id"] for panel in PANELS) == list(range(1, len(PANELS) + 1))
    for row in ROWS:
        titles = [panel["title"] for panel in _below(row)]
        assert len(titles) == len(set(titles))


def _below(row: str) -> list[dict[str, Any]]:
    after = itertools.dropwhile(lambda panel: panel["title"] != row, PANELS)
    return list(itertools.takewhile(lambda panel: panel["type"] != "row", itertools.islice(after, 1, None)))


def test_no_two_panels_lie_on_each_other() -> None:
    """Each cell of the grid belongs to one, and none lies outside."""
    cells = set()
    for panel in PANELS:
        place = panel["gridPos"]
        assert set(place) == {"h", "w", "x", "y"}
        mine = set(itertools.product(range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])))
        assert place["x"] + place["w"] <= COLUMNS
        assert not cells & mine, panel["title"]
        cells |= mine


@pytest.mark.parametrize("panel", charts(), ids=lambda panel: panel["title"])
def test_a_panel_is_complete(panel: dict[str, Any]) -> None:
    """A type that Grafana has, a unit, the provisioned source, and expressions with a name for each series."""
    fields = {"id", "type", "title", "description", "datasource", "targets", "fieldConfig", "options", "gridPos"}
    assert set(panel) == fields
    assert panel["type"] in ("timeseries", "stat")
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert [target["refId"] for target in panel["targets"]] == [chr(65 + number) for number in range(len(panel["targets"]))]
    for target in panel["targets"]:
        assert target["datasource"] == panel["datasource"] == source()
        assert target["expr"].strip()
        assert target["legendFormat"] or panel["type"] == "stat"
        shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        assert shown <= set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", target["expr"])))) | {"job", "instance"}


@pytest.mark.parametrize("expr", sorted(set(expressions())))
def test_an_expression_asks_for_what_there_is(expr: str) -> None:
    """Metrics, labels and values are those of the code."""
    assert list(selectors(expr))
    assert faults_of(expr) == []


@pytest.mark.services("prometheus")
def test_every_expression_can_be_read_by_prometheus(tmp_path: Path) -> None:
    """As the expressions of recording rules."""
    rules = [{"record": f"dashboard:{number}", "expr": expr} for number, expr in enumerate(expressions())]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", file)


def source() -> dict[str, str]:
    """The provisioned data source, as a panel names it."""
    found = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())
    (one,) = found["datasources"]
    return {"type": one["type"], "uid": one["uid"]}


def test_the_data_source_is_provisioned() -> None:
    """With the fields that Grafana documents; it leads to the service of docker-compose.yml."""
    found = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())
    (one,) = found["datasources"]
    assert found["apiVersion"] == 1
    assert set(one) <= {"name", "uid", "type", "access", "url", "isDefault", "editable", "jsonData", "orgId", "version"}
    assert one["access"] == "proxy"
    assert one["url"] == "http://prometheus:9090"
    assert set(one["jsonData"]) <= {"timeInterval", "httpMethod"}


def test_the_dashboards_folder_is_provisioned_where_it_is_mounted() -> None:
    """And nobody's clicks change what is in the file."""
    found = yaml.safe_load((GRAFANA / "provisioning/dashboards/pictrawl.yml").read_text())
    (one,) = found["providers"]
    assert found["apiVersion"] == 1
    assert set(one) <= {"name", "type", "folder", "disableDeletion", "allowUiUpdates", "updateIntervalSeconds", "options", "orgId"}
    assert one["type"] == "file"
    assert one["allowUiUpdates"] is False
    mounts = yaml.safe_load((FOLDER.parents[2] / "docker-compose.yml").read_text())["services"]["grafana"]["volumes"]
    assert f"./docs/operations/monitoring/grafana/dashboards:{one['options']['path']}:ro" in mounts


def test_variables_are_defined() -> None:
    """Each that an expression names, from a query that Prometheus can answer."""
    used = {name for panel in charts() for target in panel["targets"] for name in re.findall(r"\$(\w+)", target["expr"])}
    defined = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert used - {"__rate_interval", "__range"} == set(defined)
    for variable in defined.values():
        assert variable["datasource"] == source()
        assert re.fullmatch(r"label_values\(.+, \w+\)", variable["query"]["query"])
