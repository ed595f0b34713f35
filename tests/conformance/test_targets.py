"""Properties that every target owes for every canonical spec."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ctc import targets
from ctc.compiler.build import build
from ctc.compiler.ir import System
from ctc.compiler.lower import lower
from ctc.compiler.target import Capability, Support
from ctc.compiler.write import files
from ctc.language.load import load_spec

ROOT = Path(__file__).resolve().parent.parent.parent
SPECS = sorted((ROOT / "specs").glob("*.yaml"))


def system_of(spec: Path, target: str) -> System | None:
    environment = "prod" if "environments:" in spec.read_text() else None
    loaded = load_spec(spec, environment, target)
    assert loaded.spec is not None, loaded.diagnostics
    return lower(loaded.spec, target) if target in loaded.spec.targets else None


@pytest.mark.parametrize("target", targets.NAMES)
@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.stem)
def test_every_used_feature_has_a_capability_and_a_row_in_the_fidelity_table(spec: Path, target: str) -> None:
    system = system_of(spec, target)
    if system is None:
        pytest.skip(f"{spec.name} does not name {target}")
    bundle = targets.load(target).emit(system)
    content = {artifact.path: artifact.content for artifact in bundle.artifacts}
    rows = {row["feature"]: row for row in json.loads(content["fidelity.json"])["features"]}

    assert set(rows) == {feature for feature, _ in system.features}
    for row in rows.values():
        assert row["support"] == "native" or row["reason"]


@pytest.mark.parametrize("target", targets.NAMES)
def test_a_capability_that_is_not_native_says_why(target: str) -> None:
    for feature, capability in targets.load(target).CAPABILITIES.items():
        assert isinstance(capability, Capability)
        assert capability.support is Support.NATIVE or len(capability.reason) > 20, feature


@pytest.mark.parametrize("target", targets.NAMES)
def test_every_step_of_the_ir_appears_in_the_pipelines(target: str) -> None:
    system = system_of(ROOT / "specs" / "minimal.yaml", target)
    assert system is not None
    bundle = targets.load(target).emit(system)
    text = b"".join(item.content for item in bundle.artifacts if item.path.startswith("pipelines/")).decode()

    for step in (*system.wake.steps(), *system.train.steps()):
        assert step.name in text, step.name


def test_the_same_bytes_under_another_hash_seed_zone_and_folder(tmp_path: Path) -> None:
    """Two processes that share nothing but the spec write the same files."""
    trees = []
    for index, zone in enumerate(("UTC", "Asia/Kathmandu")):
        out = tmp_path / f"out{index}"
        subprocess.run(
            [sys.executable, "-m", "ctc", "compile", str(ROOT / "specs" / "minimal.yaml"), "--out", str(out)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(index), "TZ": zone, "LC_ALL": "C"},
            check=True,
            capture_output=True,
        )
        trees.append({path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()})

    assert trees[0] == trees[1]
    assert trees[0]


@pytest.mark.parametrize("target", targets.NAMES)
def test_the_manifest_satisfies_its_schema(target: str) -> None:
    import jsonschema

    loaded = load_spec(ROOT / "specs" / "minimal.yaml", None, target)
    assert loaded.spec is not None
    built = build(loaded.spec, targets.load(target))
    assert built.bundle is not None
    manifest = json.loads(files(built.bundle, built.system)["manifest.json"])

    jsonschema.validate(manifest, json.loads((ROOT / "schemas" / "manifest.v1.schema.json").read_text()))


@pytest.mark.parametrize("target", targets.NAMES)
def test_text_of_the_spec_never_becomes_shell_or_template_code(target: str, tmp_path: Path) -> None:
    """Words full of quotes, dollars and braces arrive in the artifact as they are, as data."""
    nasty = """$(touch pwned) `id` '; rm -rf / #" {{$.inputs}} ${HOME} \\n"""
    text = (ROOT / "specs" / "minimal.yaml").read_text()
    spec = tmp_path / "spec.yaml"
    assert "argv: [" in text
    spec.write_text(text.replace("argv: [", f"argv: [{json.dumps(nasty)}, ", 1))
    loaded = load_spec(spec, None, target)
    if loaded.spec is None:
        assert loaded.diagnostics
        return
    built = build(loaded.spec, targets.load(target))
    if built.bundle is None:
        assert built.diagnostics
        return
    assert all(b"sh -c" not in item.content.replace(b'"', b"") for item in built.bundle.artifacts)
