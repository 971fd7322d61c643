"""What is shipped for operators fits the program: metrics, states, settings and files that are named exist."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
from pathlib import Path
from shutil import which

import pytest

from cli.settings import every
from crawler.duty import State

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
SOURCE = (ROOT / "crawler" / "metrics.py").read_text()


def metrics() -> set[str]:
    """Return the names that the program exposes, with the endings that their kind adds."""
    plain = set(re.findall(r'_(?:one|gauge)\(\s*"(followgraph_\w+)"', SOURCE))
    counters = {f"{name}_total" for name in re.findall(r'_counter\(\s*"(followgraph_\w+)"', SOURCE)}
    histograms = {
        f"{name}_{ending}"
        for name in re.findall(r'HistogramMetricFamily\(\s*"(followgraph_\w+)"', SOURCE)
        for ending in ("bucket", "count", "sum")
    }
    return plain | counters | histograms | {"followgraph_db_bytes", "followgraph_wal_bytes"}


@pytest.mark.parametrize("name", ["alerts.yml", "grafana.json"])
def test_every_metric_that_is_asked_for_exists(name: str) -> None:
    """No rule and no panel asks for a metric that is never exposed."""
    asked = set(re.findall(r"followgraph_[a-z_]+", (DEPLOY / name).read_text()))
    assert len(asked) > 5
    assert asked <= metrics()


def test_every_state_that_is_asked_for_exists() -> None:
    """Rules name states that the daemon has."""
    asked = set(re.findall(r'followgraph_state\{state="(\w+)"', (DEPLOY / "alerts.yml").read_text()))
    assert asked <= set(State.ALL)


def test_every_alarm_is_explained() -> None:
    """docs/operations.md has a word on each rule, and on each state."""
    text = (DEPLOY / "alerts.yml").read_text()
    rules = re.findall(r"- alert: (\w+)", text)
    assert len(rules) > 5
    for part in ("expr: ", "severity: ", "summary: "):
        assert text.count(part) == len(rules)
    assert set(re.findall(r"severity: (\w+)", text)) == {"page", "ticket"}
    guide = (ROOT / "docs" / "operations.md").read_text()
    assert [rule for rule in rules if f"**{rule}**" not in guide] == []
    assert [state for state in State.ALL if f"`{state}`" not in guide and state != State.STARTING] == []


def test_prometheus_takes_the_rules() -> None:
    """promtool finds nothing wrong, where it is to be had."""
    tool = which("promtool")
    if tool is None:
        pytest.skip("there is no promtool on this machine")
    subprocess.run([tool, "check", "rules", str(DEPLOY / "alerts.yml")], check=True)


def test_the_dashboard_is_whole() -> None:
    """Every panel has a title, a place of its own and a query."""
    panels = json.loads((DEPLOY / "grafana.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 8
    assert all(panel["title"] and panel["targets"][0]["expr"] for panel in panels)


def test_the_unit() -> None:
    """It waits for the daemon's word, restarts what a restart can help, and names settings that exist."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    # As configparser's documentation has it: keys keep their case.
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "followgraph@.service")
    service = parser["Service"]
    assert service["Type"] == "notify"
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == "2 5"
    variables = {f"FOLLOWGRAPH_{key.replace('.', '__').upper()}" for key in every()}
    for name in ("followgraph@.service", "Containerfile"):
        assert set(re.findall(r"FOLLOWGRAPH_[A-Z_]+", (DEPLOY / name).read_text())) <= variables
    verify = which("systemd-analyze")
    if verify is not None:
        done = subprocess.run(
            [verify, "verify", "--man=no", str(DEPLOY / "followgraph@.service")], capture_output=True, check=False
        )
        assert b"Unknown" not in done.stderr
