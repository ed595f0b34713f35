"""The long proofs and what they counted: `make soak` writes `docs/proofs.json`, which the table of the docs shows.

A test says with the fixture `proof` which proof it is part of, before it counts, and then what it counted. A test that
fails counts as one that is broken. A run of some of the tests replaces the numbers of their proofs only.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

TITLES = {
    "kills": "runs of a cycle, each ended by SIGKILL at a random moment: an independent reader finds every "
    "invariant true, and the next run finishes the cycle as if nothing had been",
    "mutations": "specs, each broken at random: no traceback, no hang, the same verdict on the shape as the "
    "jsonschema library, and what is formatted loads as before",
    "worlds": "states of the controller's model in which every invariant holds: crashes at each point, doubled and "
    "late events and answers, lost leases, two controllers",
    "batch": "states of the model of a batch entry in which each row has one score, and none that should have one is "
    "left out: the same, and runs that publish and then die",
    "equal": "comparisons of simulated, equal models at a one-sided confidence: as many are promoted as it allows, "
    "within three and a half standard errors",
    "cases": "runs that end badly or not at all, each from the files of two targets: the same records, but for "
    "addresses",
    "specs": "runs of a canonical spec on small data, each from the files of two targets: the same records, but for "
    "addresses",
}

PROPERTY = "proof"

Proof = Callable[[str], dict[str, int]]
"""The fixture `proof`: given a proof's name, what a test counts in, by kind."""


class Tally:
    """What the tests of one run counted, by proof and kind."""

    def __init__(self) -> None:
        self.found: dict[str, Counter[str]] = {}
        self.broken: Counter[str] = Counter()

    def add(self, properties: list[tuple[str, object]], *, passed: bool) -> None:
        """`properties` are a test's: what the fixture `proof` has left there."""
        for key, value in properties:
            if key == PROPERTY and isinstance(value, Mapping):
                name = str(value["name"])
                own = self.found.setdefault(name, Counter())
                if passed:
                    own.update({str(kind): int(count) for kind, count in value["counts"].items()})
                else:
                    self.broken[name] += 1

    def write(self, file: Path) -> None:
        known = json.loads(file.read_text()) if file.exists() else {}
        for name, counts in self.found.items():
            known[name] = {"counts": dict(sorted(counts.items())), "broken": self.broken[name]}
        file.write_text(json.dumps(dict(sorted(known.items())), indent=2) + "\n")


def table(file: Path) -> str:
    """What was counted, how many of it, of which, and how many tests were broken, for the docs."""
    known = json.loads(file.read_text())
    lines = ["| what was counted | how many | of which | broken |", "|---|---|---|---|"]
    for name in (name for name in TITLES if name in known):
        counts = known[name]["counts"]
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in counts.items())
        lines.append(f"| {TITLES[name]} | {sum(counts.values()):,} | {kinds} | {known[name]['broken']} |")
    return "\n".join(lines) + "\n"
