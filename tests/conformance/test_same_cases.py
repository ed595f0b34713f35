"""What ends badly or not at all is the same record on every target: each case runs the emitted files of all four."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import project
import proofs
import pytest
from everywhere import flat

from ctc import targets

FIRST, *OTHERS = targets.NAMES
TRIED = ("--manual", "try", "--at", "2024-03-04T06:00:00Z")
TWICE = ("--at", "2024-03-04T06:00:00Z", "--at", "2024-03-11T06:00:00Z")

MAY_DIFFER = ("target", "candidate.uri")


def failing(folder: Path) -> None:
    (folder / "train.py").write_text("import sys\nsys.exit('the disk of the teacher is full')\n")


def changed(old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / "ctc.yaml").read_text()
        assert old in text
        (folder / "ctc.yaml").write_text(text.replace(old, new))

    return change


def resuming(folder: Path) -> None:
    """The first try leaves a checkpoint and fails, the second goes on from it."""
    changed("timeout: 2m", "timeout: 2m\n  retries: 1")(folder)
    changed('"{hp.smooth}"]', '"{hp.smooth}", --kept, "{checkpoints}"]')(folder)
    text = (folder / "train.py").read_text()
    text = text.replace('"--valid", "--out"', '"--valid", "--out", "--kept"')
    text += "kept = pathlib.Path(args.kept, 'half')\n"
    text += "if not kept.exists():\n    kept.write_text('half')\n    raise SystemExit('lost its machine')\n"
    (folder / "train.py").write_text(text)


CASES: dict[str, tuple[Callable[[Path], None], tuple[str, ...], int, tuple[str, ...]]] = {
    "failing train": (failing, TRIED, 3, ("failed",)),
    "failed check": (
        changed("{max_age: 2d}, source: visits, on_fail: warn}", "{max_age: 1s}, source: visits}"),
        TRIED,
        0,
        ("stopped",),
    ),
    "refused contender": (changed("min: 0.55", "min: 0.999"), TRIED, 0, ("held",)),
    "suppressed wake": (changed("cooldown: 12h", "cooldown: 30d"), TWICE, 0, ("candidate",)),
    "not evaluable": (changed("min_rows: 50,", "min_rows: 100000,"), TRIED, 0, ("held",)),
    "resume from checkpoint": (resuming, TRIED, 0, ("candidate",)),
}
"""By its name: what is done to the project, how it is run, the exit code, the outcomes."""


def sampled() -> Iterator[Any]:
    """Every third case on one other target in turn, the rest with `make soak`."""
    for number, case in enumerate(CASES):
        for index, target in enumerate(OTHERS):
            marks = () if number % 3 == 0 and index == number // 3 % len(OTHERS) else pytest.mark.soak
            yield pytest.param(case, target, marks=marks, id=f"{case}-{target}")


@functools.cache
def records(case: str, target: str, base: Path) -> list[dict[str, Any]]:
    spoil, words, code, _ = CASES[case]
    spec = project.make(base / f"{case}-{target}", days=80)
    spoil(spec.parent)
    return project.run(spec, *words, target=target, code=code)


@pytest.mark.parametrize(("case", "target"), list(sampled()))
def test_a_case_is_the_same_record_on_every_target(
    case: str, target: str, tmp_path_factory: pytest.TempPathFactory, proof: proofs.Proof
) -> None:
    counts = proof("cases")
    base = tmp_path_factory.getbasetemp()
    first, other = records(case, FIRST, base), records(case, target, base)
    failed = case == "failing train"

    assert [record["id"] for record in first] == [record["id"] for record in other]
    for left, right in zip(map(comparable, first), map(comparable, other), strict=True):
        differing = {path for path in left | right if left.get(path, ...) != right.get(path, ...)}
        assert not {path for path in differing if not (failed and beside(path))}
    assert tuple(record["outcome"] for record in first if record["kind"] == "attempt") == CASES[case][3]
    assert any(record.get("suppressed") for record in first) == (case == "suppressed wake")
    counts[case] = 1


def comparable(record: dict[str, Any]) -> dict[str, Any]:
    return {path: value for path, value in flat(record).items() if path not in MAY_DIFFER}


def beside(path: str) -> bool:
    """An error names folders of the target's own, and what needs no training may run beside a failing one."""
    return path.startswith(("error", "steps.train.error", "steps.predict-champion"))
