"""One spec, one data set, every target: the compiled files are executed and their records compared.

This is the promise of the project, so nothing here is a stand-in for the artifact: each run executes the emitted file.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import project
import pytest
from everywhere import flat

from ctc import targets

INSTANTS = ["2024-02-26T06:00:00Z", "2024-03-04T06:00:00Z", "2024-03-11T06:00:00Z"]

MAY_DIFFER = {
    "target",
    "candidate.uri",
}
"""The only paths at which the records of two targets may differ; the list may only shrink (it is bounded by 8)."""


def differing(left: list[dict[str, Any]], right: list[dict[str, Any]]) -> set[str]:
    paths: set[str] = set()
    assert [record["id"] for record in left] == [record["id"] for record in right]
    for a, b in zip(left, right, strict=True):
        leaves_a, leaves_b = flat(a), flat(b)
        paths |= {path for path in leaves_a | leaves_b if leaves_a.get(path, ...) != leaves_b.get(path, ...)}
    return paths


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same project in a folder for each target."""
    base = tmp_path_factory.mktemp("conformance")
    first = project.make(base / "first")
    made = {}
    for name in targets.NAMES:
        shutil.copytree(first.parent, base / name)
        made[name] = base / name / "ctc.yaml"
    return made


@pytest.fixture(scope="module")
def records(specs: dict[str, Path]) -> dict[str, list[dict[str, Any]]]:
    at = [word for instant in INSTANTS for word in ("--at", instant)]
    return {name: project.run(spec, *at, target=name) for name, spec in specs.items()}


def test_every_target_decides_the_same(records: dict[str, list[dict[str, Any]]]) -> None:
    first, *others = records.values()

    assert len(MAY_DIFFER) <= 8
    for other in others:
        assert differing(first, other) <= MAY_DIFFER


def test_the_run_exercised_what_it_claims(records: dict[str, list[dict[str, Any]]]) -> None:
    """A first champion, then comparisons with it; checks, gates, intervals and slices were all computed."""
    for run in records.values():
        attempts = [record for record in run if record["kind"] == "attempt"]
        assert len(attempts) == 3
        assert attempts[0]["champion"] is None
        assert attempts[0]["outcome"] == "candidate"
        assert attempts[1]["champion"] is not None
        assert attempts[1]["evaluation"]["gates"]["auc_kept"]["method"] == "delong"
        assert attempts[1]["evaluation"]["gates"]["loss_kept"]["method"] == "paired_bootstrap"
        assert {check["name"] for check in attempts[0]["checks"]} == {
            "enough", "shop_present", "sane", "known_shop", "once", "fresh",
        }  # fmt: skip
        assert set(attempts[1]["evaluation"]["slices"]["shop"]) == {"a", "b", "c"}


def test_records_satisfy_their_schema(records: dict[str, list[dict[str, Any]]]) -> None:
    import jsonschema

    schema = json.loads((project.ROOT / "schemas" / "record.v1.schema.json").read_text())
    for run in records.values():
        for record in run:
            jsonschema.validate(record, schema)


def test_one_changed_threshold_in_one_artifact_is_seen(
    specs: dict[str, Path], records: dict[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    """The comparison is not blind: raise the floor in one emitted file alone, and the records no longer agree."""
    for name, spec in specs.items():
        fresh = tmp_path / name
        shutil.copytree(spec.parent, fresh, ignore=shutil.ignore_patterns(".ctc"))
        edited = fresh / "ctc.yaml"
        project.run(edited, "--at", "2024-01-01T00:00:00Z", target=name)
        changed = raise_the_floor(project.state(edited, name) / "bundle")
        assert changed, "no threshold was found in the artifact"
        done = execute_edited(edited, name)
        assert differing(records[name][:2], done[:2]) - MAY_DIFFER


def raise_the_floor(bundle: Path) -> bool:
    """Replaces the floor gate's 0.55 by 0.999 wherever the bundle holds it."""
    changed = False
    for file in bundle.rglob("*"):
        if file.is_file() and file.suffix in {".json", ".yaml"}:
            text = file.read_text()
            if "0.55" in text:
                file.write_text(text.replace("0.55", "0.999"))
                changed = True
    return changed


def execute_edited(spec: Path, target: str) -> list[dict[str, Any]]:
    """Runs the bundle as it stands in the state folder, without compiling it again."""
    from ctc.run.local import run_bundle

    return run_bundle(spec, target, INSTANTS[0], python=sys.executable)
