"""Properties that every target owes for every canonical spec."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import everywhere
import pytest
import yaml

from ctc import targets
from ctc.compiler.build import build
from ctc.compiler.ir import System
from ctc.compiler.lower import lower
from ctc.compiler.target import Capability, Support
from ctc.compiler.write import files
from ctc.language.load import FIRST_ROW, load_spec

ROOT = Path(__file__).resolve().parent.parent.parent
SPECS = sorted((ROOT / "specs").glob("*.yaml"))


def system_of(spec: Path, target: str, folder: Path | None = None) -> System:
    """The system of a spec on a target; of its variant, written into `folder`, if it does not name that."""
    environment = "prod" if "environments:" in spec.read_text() else None
    if f"{target}:" not in spec.read_text():
        assert folder is not None
        text = everywhere.variant(spec, target)
        spec = folder / spec.name
        spec.write_text(text)
    loaded = load_spec(spec, environment, target, FIRST_ROW)
    assert loaded.spec is not None, loaded.diagnostics
    return lower(loaded.spec, target)


@pytest.mark.parametrize("target", targets.NAMES)
@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.stem)
def test_every_used_feature_has_a_capability_and_a_row_in_the_fidelity_table(
    spec: Path, target: str, tmp_path: Path
) -> None:
    system = system_of(spec, target, tmp_path)
    bundle = targets.load(target).emit(system)
    content = {artifact.path: artifact.content for artifact in bundle.artifacts}
    rows = {row["feature"]: row for row in json.loads(content["fidelity.json"])["features"]}

    not_yet = rows.pop("language", {"used_by": []})
    assert not_yet["used_by"] == list(system.gaps)
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
    system = system_of(ROOT / "specs" / "everywhere.yaml", target)
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
            [sys.executable, "-m", "ctc", "compile", str(ROOT / "specs" / "everywhere.yaml"), "--out", str(out)],
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

    loaded = load_spec(ROOT / "specs" / "everywhere.yaml", None, target)
    assert loaded.spec is not None
    built = build(loaded.spec, targets.load(target))
    assert built.bundle is not None
    manifest = json.loads(files(built.bundle, built.system)["manifest.json"])

    jsonschema.validate(manifest, json.loads((ROOT / "schemas" / "manifest.v1.schema.json").read_text()))


NASTY = [
    """$(touch pwned) `id` '; rm -rf / # "x" \\n""",
    "$HOME",
    "%(x)s",
    "a\nb",
    "{{$.inputs}}",
    "{{inputs.x}}",
    "{% x %}",
]


@pytest.mark.parametrize("target", targets.NAMES)
@pytest.mark.parametrize("word", NASTY)
def test_text_of_the_spec_never_becomes_shell_or_template_code(target: str, word: str, tmp_path: Path) -> None:
    """A word full of quotes, dollars and braces arrives as one word of the command, or is refused with its place."""
    text = (ROOT / "specs" / "everywhere.yaml").read_text()
    spec = tmp_path / "spec.yaml"
    spec.write_text(text.replace("argv: [python, ", f"argv: [python, {json.dumps(word)}, ", 1))
    loaded = load_spec(spec, None, target)
    if loaded.spec is None:
        assert {item.code for item in loaded.diagnostics} == {"CT261"}
        return
    built = build(loaded.spec, targets.load(target))
    if built.bundle is None:
        assert "{{$" in word or "\n" in word, "what the engine cannot pass on"
        assert {item.path for item in built.diagnostics} == {"training.argv"}
        return
    [train] = [item for item in built.bundle.artifacts if item.path.startswith("pipelines/train.")]
    lists = list(word_lists(yaml.safe_load(train.content)))

    assert any(words[index : index + 2] == ["python", word] for words in lists for index in range(len(words)))


def word_lists(value: object) -> Iterator[list[object]]:
    """Every list of a document, and the words of every command that a shell reads."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "command" and isinstance(item, str):
                yield list(shlex.split(item))
            yield from word_lists(item)
    elif isinstance(value, list):
        yield value
        for item in value:
            yield from word_lists(item)
