"""What networkx is told about the backend when it is imported: names only, nothing that would slow it down."""

from __future__ import annotations

from typing import Any

FUNCTIONS = (
    *("pagerank", "hits", "core_number"),
    *("weakly_connected_components", "strongly_connected_components", "connected_components"),
    *("number_weakly_connected_components", "number_strongly_connected_components", "number_connected_components"),
    *("is_weakly_connected", "is_strongly_connected", "is_connected"),
    *("louvain_communities", "leiden_communities"),
    *("betweenness_centrality", "closeness_centrality", "harmonic_centrality"),
    *("triangles", "clustering", "average_clustering", "transitivity"),
    *("overall_reciprocity", "reciprocity"),
    *("degree_centrality", "in_degree_centrality", "out_degree_centrality"),
    "degree_assortativity_coefficient",
)
"""The functions of networkx that have a kernel."""


def info() -> dict[str, Any]:
    """Return networkx's description of a backend."""
    return {
        "backend_name": "followgraph",
        "project": "followgraph",
        "package": "analysis",
        "short_summary": "Follow graphs as arrays, on SciPy and networkit.",
        "functions": {name: {} for name in FUNCTIONS},
    }
