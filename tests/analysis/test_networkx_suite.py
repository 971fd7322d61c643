"""networkx's own tests of every function that has a kernel, run on the kernels."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import networkx

from analysis.kernels import KERNELS

ROOT = Path(__file__).parents[2]
KNOWN = Path(__file__).with_name("networkx_failures.tsv")

ALGORITHMS = (
    *("link_analysis", "components", "assortativity", "community.tests.test_louvain"),
    *(f"centrality.tests.test_{name}_centrality" for name in ("betweenness", "closeness", "harmonic", "degree")),
    *(f"tests.test_{name}" for name in ("core", "cluster", "reciprocity")),
)
MODULES = (*(f"networkx.algorithms.{name}" for name in ALGORITHMS), "networkx.classes.tests.test_function")


def test_networkx_passes_its_own_tests_on_the_kernels(tmp_path: Path) -> None:
    """Nothing fails but what networkx_failures.tsv lists with a reason, nothing listed passes, every kernel is used."""
    report, calls = tmp_path / "report.xml", tmp_path / "calls.json"
    subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-c", os.devnull, "-p", "no:cacheprovider", "-p", "kernel_count", "-q"),
            *(f"--rootdir={Path(networkx.__file__).parents[1]}", f"--junitxml={report}", "--pyargs", *MODULES),
        ],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'support'}",
            "NETWORKX_TEST_BACKEND": "followgraph",
            "NETWORKX_FALLBACK_TO_NX": "True",
            "KERNEL_COUNT": str(calls),
        },
        capture_output=True,
        timeout=540,
        check=False,  # known failures end it with 1
    )
    cases = list(ET.parse(report).iter("testcase"))
    failed = {
        f"{case.get('classname')}::{case.get('name')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    }
    known = [line.split("\t") for line in KNOWN.read_text(encoding="utf-8").splitlines()]
    assert failed == {name for name, reason in known if reason}
    assert len(cases) > 450
    # networkx has no test of leiden_communities, which it only names; ours are in test_backend.
    assert set(json.loads(calls.read_text())) == set(KERNELS) - {"leiden_communities"}
