"""Feeds every parser of foreign input with changed inputs of its corpus, for as long as asked.

    PYTHONPATH=.:tests/support:tests/fuzz python tests/fuzz/fuzz.py --seconds 3600 --seed 1

CPU seconds, shared out among the targets. An input that makes one fail is written into `corpus/TARGET/` under its
checksum, where `test_fuzz.py` finds it from then on; the command ends with 1 then. An input that reaches lines which
none before it reached is changed further.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from hashlib import sha256
from pathlib import Path
from random import Random
from types import CodeType, FrameType
from typing import Any

from targets import TARGETS, Target

CORPUS = Path(__file__).parent / "corpus"
LONGEST = 20_000
_WORDS = (
    b"{", b"}", b"[", b"]", b'"', b":", b",", b"\0", b"\n", b"\r\n", b"\t", b"null", b"true", b"-1", b"1e999", b"0",
    b"18446744073709551616", b"\xff", b"\xed\xa0\x80", b"\\ud800", b"\xe2\x80\xae", b"=", b"../", b"/", b"%00", b"@",
    b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"SQLite format 3\0", b"accounts", b"metrics", b"handle", b"data", b"page",
    b"[policy]\n", b"x-withheld",
)  # fmt: skip


def changed(content: bytes, rng: Random, others: list[bytes]) -> bytes:
    """Return the input with some changes: bits, bytes, words, pieces lost, repeated, or of another input."""
    made = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        at = rng.randrange(len(made) + 1)
        match rng.randrange(7):
            case 0 if made:
                made[at % len(made)] ^= 1 << rng.randrange(8)
            case 1:
                made[at:at] = rng.choice(_WORDS)
            case 2:
                del made[at : at + rng.choice((1, 2, 8, 64))]
            case 3:
                made[at:at] = made[at : at + rng.choice((1, 8, 64))] * rng.choice((1, 2, 50))
            case 4:
                other = rng.choice(others)
                made[at:] = other[rng.randrange(len(other) + 1) :]
            case 5:
                made[at : at + 8] = rng.randbytes(rng.choice((1, 4, 8)))
            case _:
                made[at : at + 4] = str(rng.choice((0, -1, 2**31, 2**63, 2**64, 10**30))).encode()
    return bytes(made[:LONGEST])


class Lines:
    """Which lines of our packages were reached."""

    def __init__(self) -> None:
        self.seen: set[tuple[CodeType, int]] = set()
        self._ours: dict[CodeType, bool] = {}

    def trace(self, frame: FrameType, event: str, _: Any) -> Any:
        """Take note; for sys.settrace."""
        code = frame.f_code
        ours = self._ours.get(code)
        if ours is None:
            ours = self._ours[code] = any(f"/{package}/" in code.co_filename for package in _PACKAGES)
        if not ours:
            return None
        if event == "line":
            self.seen.add((code, frame.f_lineno))
        return self.trace


_PACKAGES = ("socialfetch", "storage", "crawler", "cli")


def fuzz(name: str, target: Target, *, seconds: float, rng: Random) -> tuple[int, int]:
    """Fuzz one target for so many CPU seconds; returns how many inputs it got and how many it failed on."""
    folder = CORPUS / name
    inputs = [path.read_bytes() for path in sorted(folder.glob("*"))] or [b""]
    lines, tried, failures = Lines(), 0, 0
    end = time.process_time() + seconds
    for content in inputs:
        _run(target, content, lines)
    while time.process_time() < end:
        content = changed(rng.choice(inputs), rng, inputs)
        known = len(lines.seen)
        tried += 1
        try:
            _run(target, content, lines if tried % 4 == 0 else None)
        except Exception:
            failures += 1
            _keep(folder, content)
            traceback.print_exc()
            if failures >= 5:
                break
        if len(lines.seen) > known:
            inputs.append(content)
    return tried, failures


def _run(target: Target, content: bytes, lines: Lines | None) -> None:
    if lines is None:
        target(content)
        return
    sys.settrace(lines.trace)
    try:
        target(content)
    finally:
        sys.settrace(None)


def _keep(folder: Path, content: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / sha256(content).hexdigest()[:16]).write_bytes(content)


def main() -> int:
    """Fuzz all targets and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", choices=[*TARGETS])
    asked = parser.parse_args()
    chosen = TARGETS if asked.target is None else {asked.target: TARGETS[asked.target]}
    bad = 0
    for name, target in chosen.items():
        share = asked.seconds / len(chosen)
        tried, failures = fuzz(name, target, seconds=share, rng=Random(f"{asked.seed} {name}"))
        bad += failures
        print(f"{name:<10}{tried:>12,} inputs {share:>8.0f} CPU s  {failures} failures", flush=True)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
