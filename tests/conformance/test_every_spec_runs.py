"""Every spec of `specs/` is run from the files of every target, on small data, and leaves the same records."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import everywhere
import project
import proofs
import pytest
import spec_projects

from ctc import targets

FIRST, *OTHERS = targets.NAMES
SAMPLED = {"sagemaker": "gates", "vertex": "hash_holdout", "azureml": "ranking"}
MAY_DIFFER = ("target", "candidate.uri")
WORDS: dict[str, tuple[str, ...]] = {"environments": ("--env", "prod"), "matrix": ("--row", "no")}
"""What the command line must say beside the spec."""


@functools.cache
def attempted(spec: Path, target: str, base: Path) -> list[dict[str, Any]]:
    file = spec_projects.make(spec, base / f"{spec.stem}-{target}")
    words = ("--manual", "try", "--at", spec_projects.NOW.isoformat(), *WORDS.get(spec.stem, ()))
    return project.run(file, *words, target=target)


def cases() -> Iterator[Any]:
    for spec in everywhere.SPECS:
        for target in OTHERS:
            marks = () if SAMPLED[target] == spec.stem else pytest.mark.soak
            yield pytest.param(spec, target, marks=marks, id=f"{spec.stem}-{target}")


@pytest.mark.parametrize(("spec", "target"), list(cases()))
def test_a_spec_is_the_same_record_on_every_target(
    spec: Path, target: str, tmp_path_factory: pytest.TempPathFactory, proof: proofs.Proof
) -> None:
    counts = proof("specs")
    base = tmp_path_factory.getbasetemp()
    first, other = attempted(spec, FIRST, base), attempted(spec, target, base)

    assert [record["id"] for record in first] == [record["id"] for record in other]
    for left, right in zip(map(everywhere.flat, first), map(everywhere.flat, other), strict=True):
        differing = {path for path in left | right if left.get(path, ...) != right.get(path, ...)}
        assert differing <= set(MAY_DIFFER)
    [attempt] = [record for record in first if record["kind"] == "attempt"]
    assert attempt["outcome"] in {"candidate", "held", "waiting"}, attempt
    assert attempt["decision"]["gates"], "no gate judged the model"
    counts[spec.stem] = 1
