"""Alerts and the dashboard: valid by Prometheus's own tool, about metrics that exist, with a section for each alert."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from gigastt.gateway.metrics import Metrics
from tests.deploy.toolbox import DEPLOY, ROOT, passes, run

pytestmark = pytest.mark.slow

ALERTS = DEPLOY / "prometheus" / "alerts.yml"
UNIT_TESTS = DEPLOY / "prometheus" / "alerts.test.yml"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "gigastt.json"
SUFFIXES = ("_bucket", "_sum", "_count")


def alert_rules() -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"][0]["rules"]
    return rules


def panels() -> list[dict[str, Any]]:
    everything: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return [panel for panel in everything if panel["type"] != "row"]


def dashboard_queries() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def known_names() -> set[str]:
    """Return the name of every sample that the server can have, those of no event yet included."""
    names: set[str] = set()
    for family in Metrics().registry.collect():
        endings = {"counter": ("_total",), "histogram": SUFFIXES}.get(family.type, ("",))
        names |= {family.name + ending for ending in endings}
    return names


def test_promtool_takes_the_rules_and_the_configuration() -> None:
    passes("promtool", "check", "rules", ALERTS)
    passes("promtool", "check", "config", DEPLOY / "prometheus" / "prometheus.yml")


def test_the_alerts_pass_their_unit_tests() -> None:
    passes("promtool", "test", "rules", UNIT_TESTS)


def test_the_unit_tests_notice_another_threshold(tmp_path: Any) -> None:
    (tmp_path / "alerts.test.yml").write_bytes(UNIT_TESTS.read_bytes())
    changed = ALERTS.read_text(encoding="utf-8").replace("[5m]))) > 1.5", "[5m]))) > 15")
    assert changed != ALERTS.read_text(encoding="utf-8")
    (tmp_path / "alerts.yml").write_text(changed, encoding="utf-8")
    done = run("promtool", "test", "rules", tmp_path / "alerts.test.yml")
    assert done.returncode != 0
    assert "GigasttFinalsLate" in done.stdout


def test_every_alert_is_seen_to_speak_and_to_be_silent() -> None:
    cases = [case for group in yaml.safe_load(UNIT_TESTS.read_text(encoding="utf-8"))["tests"]
             for case in group["alert_rule_test"]]  # fmt: skip
    names = {rule["alert"] for rule in alert_rules()}
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == names
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == names


def test_the_metrics_are_as_prometheus_wants_them() -> None:
    passes("promtool", "check", "metrics", input=Metrics().render().decode())


@pytest.mark.parametrize("queries", [dashboard_queries(), [rule["expr"] for rule in alert_rules()]],
                         ids=["dashboard", "alerts"])  # fmt: skip
def test_every_query_is_about_metrics_that_exist(queries: list[str]) -> None:
    named = {name for query in queries for name in re.findall(r"\bgigastt_\w+", query)}
    assert named
    assert named <= known_names()


def test_the_dashboard_shows_every_metric() -> None:
    shown = set(re.findall(r"\bgigastt_\w+", " ".join(dashboard_queries())))
    families = {family.name for family in Metrics().registry.collect() if family.name.startswith("gigastt_")}
    assert [name for name in sorted(families) if not any(sample.startswith(name) for sample in shown)] == []


def test_every_alert_has_its_section_in_the_documents() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    sections = re.findall(r"^#+ (Gigastt\w+)$", operations, re.MULTILINE)
    assert sections == [rule["alert"] for rule in alert_rules()]
    for rule in alert_rules():
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"


def test_no_two_panels_share_an_id_or_a_place() -> None:
    everything = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    taken: set[tuple[int, int]] = set()
    for panel in everything:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
