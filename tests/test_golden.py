"""The exact bytes of every canonical spec on every target. `make golden` rewrites them; the review is the diff."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctc import targets
from ctc.compiler.build import build
from ctc.compiler.write import differences, files, write
from ctc.language.load import FIRST_ROW, load_spec

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
ENVIRONMENTS = {"environments": "prod"}
"""The environment in which a spec that has some is compiled."""

CASES = [
    (spec.stem, target)
    for spec in sorted((ROOT / "specs").glob("*.yaml"))
    for target in targets.NAMES
    if f"{target}:" in spec.read_text(encoding="utf-8")
]


def compiled(spec: str, target: str) -> dict[str, bytes]:
    loaded = load_spec(ROOT / "specs" / f"{spec}.yaml", ENVIRONMENTS.get(spec), target, FIRST_ROW)
    assert loaded.spec is not None, loaded.diagnostics
    built = build(loaded.spec, targets.load(target))
    assert built.bundle is not None, built.diagnostics
    return files(built.bundle, built.system)


@pytest.mark.parametrize(("spec", "target"), CASES)
def test_the_bundle_is_as_recorded(spec: str, target: str, update: bool) -> None:
    wanted = compiled(spec, target)
    if update:
        write(wanted, GOLDEN / spec / target)

    assert differences(wanted, GOLDEN / spec / target) == []


def test_no_golden_file_is_an_orphan() -> None:
    recorded = {(folder.parent.name, folder.name) for folder in GOLDEN.glob("*/*") if folder.is_dir()}

    assert recorded == set(CASES)
