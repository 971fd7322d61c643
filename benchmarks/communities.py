"""How well communities agree with groups that are known, beside what others published.

    python benchmarks/communities.py [--data FOLDER] [--runs N]

Prints, for each data set with known groups, NMI and adjusted Rand index of the consensus of N seeded runs of Leiden at
resolution 1 and at the resolution of a scan that agrees best with the known groups, and the modularity of the known
groups beside that found. Where the known groups have the lower modularity, no method that optimises it can find them.
Published values are quoted from the papers named, not recomputed here.
"""

from __future__ import annotations

import argparse
import gzip
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from analysis.agreement import ari, nmi  # noqa: E402 - the repository is put on the path first
from analysis.communities import NOWHERE, consensus, described, leiden  # noqa: E402 - as above
from analysis.engine import symmetrised  # noqa: E402 - as above
from analysis.graph import UNKNOWN, Accounts, FollowGraph, from_pairs  # noqa: E402 - as above

RESOLUTIONS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)

SETS = {  # name: column of labels.tsv.gz, what is published
    "karate": (1, "modularity .4198 is optimal (Aloise et al. 2010)"),
    "football": (2, "modularity .6046 is optimal (Aloise et al. 2010)"),
    "polblogs": (1, "NMI .72 for two groups by a degree-corrected block model (Karrer & Newman 2011)"),
    "email-eu-core": (1, "none found that could be checked"),
    "lastfm-asia": (1, "none found that could be checked"),
    "timme-p20-50-follow": (1, "none: published with labels for classification"),
    "lfr-n1000-mu0.1": (1, "planted; at average degree 20 NMI near 1 up to mu .5 (Lancichinetti & Fortunato 2009)"),
    "lfr-n1000-mu0.3": (1, "planted; the same, but this set has average degree 4"),
    "lfr-n1000-mu0.5": (1, "planted; the same, but this set has average degree 4"),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    columns = ("data set", "groups", "found", "NMI", "ARI", "stability", "modularity found / known")
    print("| " + " | ".join((*columns, "best resolution: NMI", "published")) + " |")
    print("| --- " * (len(columns) + 2) + "|")
    for name, (column, published) in SETS.items():
        if (options.data / name).exists():
            print(row(options.data / name, column, published, options.runs), flush=True)


def row(folder: Path, column: int, published: str, runs: int) -> str:
    """Return a line of the table."""
    graph, truth = read(folder, column)
    low, high = symmetrised(graph.src, graph.dst)
    found = consensus(graph, runs=runs)
    label = found.partition.label
    known = (truth != NOWHERE) & (label != NOWHERE)
    both = known[low] & known[high]
    of_known = described(len(graph), low[both], high[both], np.where(known, truth, NOWHERE), resolution=1)
    of_found = described(len(graph), low[both], high[both], np.where(known, label, NOWHERE), resolution=1)
    best = max((nmi(leiden(graph, resolution=scale).label[known], truth[known]), scale) for scale in RESOLUTIONS)
    stability = np.average(found.stability, weights=found.partition.size)
    # Known groups in pieces are parted before they are measured, which only raises their modularity.
    return (
        f"| {folder.name} | {len(set(truth[known].tolist()))} | {len(found.partition.size)} "
        f"| {nmi(label[known], truth[known]):.3f} | {ari(label[known], truth[known]):.3f} | {stability:.2f} "
        f"| {of_found.modularity:.4f} / {of_known.modularity:.4f} | {best[1]:g}: {best[0]:.3f} | {published} |"
    )


def read(folder: Path, column: int) -> tuple[FollowGraph, np.ndarray]:
    """Read a graph and the known group of each account, NOWHERE where none is known."""
    with gzip.open(folder / "edges.tsv.gz", "rt", encoding="utf-8") as file:
        pairs = np.array([[int(word) for word in line.split()[:2]] for line in file])
    with gzip.open(folder / "labels.tsv.gz", "rt", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in list(file)[1:]]
    ids = np.unique(np.concatenate((pairs.ravel(), [int(row[0]) for row in rows])))
    nothing = np.full(len(ids), UNKNOWN)
    facts = {"depth": nothing, "followers": nothing, "following": nothing, "first_seen": nothing}
    accounts = Accounts(id=ids, standing=np.zeros(len(ids), dtype=np.uint8), **facts)
    words = sorted({row[column] for row in rows})
    truth = np.full(len(ids), NOWHERE)
    truth[np.searchsorted(ids, [int(row[0]) for row in rows])] = [words.index(row[column]) for row in rows]
    return from_pairs(accounts, pairs[:, 0], pairs[:, 1]), truth


if __name__ == "__main__":
    main()
