"""Every spec of `specs/` on every target: what policy and steps are told differs in addresses only.

A step's document is all that it sees, and every target runs the same steps. So two targets can decide differently only
where these documents, or what runs when, differ.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import everywhere
import pytest

from ctc import targets
from ctc.compiler.build import build
from ctc.compiler.ir import Branch, Pipeline, Step, System
from ctc.compiler.lower import lower
from ctc.language.load import FIRST_ROW, load_spec

FIRST, *OTHERS = targets.NAMES

MAY_DIFFER = re.compile(r"target|spec_digest|policy\.data\.sources\.[^.]+\.(parquet|csv\.path)")
"""The paths of a step's document that may differ: addresses, and the digest of the text that holds them."""


def system_of(spec: Path, target: str, folder: Path) -> System:
    """The system of a spec's variant. The emitted files are known to be there too: nothing refuses it."""
    file = folder / f"{target}.yaml"
    file.write_text(everywhere.variant(spec, target))
    loaded = load_spec(file, "prod" if "environments:" in spec.read_text() else None, target, FIRST_ROW)
    assert loaded.spec is not None, loaded.diagnostics
    built = build(loaded.spec, targets.load(target))
    assert built.bundle is not None, built.diagnostics
    return lower(loaded.spec, target)


def told(step: Step, system: System) -> dict[str, Any]:
    """A step's document by path, with one name for the place of every target's own state."""
    text = json.dumps(step.document, sort_keys=True).replace(system.root, "ROOT")
    return everywhere.flat(json.loads(text))


def shape(pipeline: Pipeline) -> Any:
    """What runs when, on what: the IR without the documents."""

    def node(item: Step | Branch) -> Any:
        if isinstance(item, Branch):
            return {"if": [item.on.step, item.on.output], "then": [node(inner) for inner in item.then]}
        inputs = sorted((name, ref.step, ref.output) for name, ref in item.inputs)
        return {"step": item.name, "argv": list(item.argv), "inputs": inputs, "outputs": sorted(item.outputs)}

    return [node(item) for item in pipeline.body]


@pytest.mark.parametrize("target", OTHERS)
@pytest.mark.parametrize("spec", everywhere.SPECS, ids=lambda path: path.stem)
def test_what_decides_is_told_the_same(spec: Path, target: str, tmp_path: Path) -> None:
    first, other = (system_of(spec, name, tmp_path) for name in (FIRST, target))

    for ours, theirs in ((other.wake, first.wake), (other.train, first.train)):
        assert shape(ours) == shape(theirs)
        for step, twin in zip(ours.steps(), theirs.steps(), strict=True):
            left, right = told(step, other), told(twin, first)
            differing = {path for path in left | right if left.get(path, ...) != right.get(path, ...)}
            assert not {path for path in differing if not MAY_DIFFER.fullmatch(path)}, step.name


def test_the_comparison_is_not_blind(tmp_path: Path) -> None:
    system = system_of(everywhere.ROOT / "specs" / "gates.yaml", FIRST, tmp_path)
    [decide] = [step for step in system.train.steps() if step.name == "decide"]
    leaves = told(decide, system)
    thresholds = {path for path in leaves if ".gates" in path and isinstance(leaves[path], float)}

    assert thresholds
    assert not any(MAY_DIFFER.fullmatch(path) for path in thresholds)
