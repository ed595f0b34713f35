"""What users of such tools complain about in public: one test for each complaint that this project's scope meets.

Those about deploying belong to another part, and those about a runner's conditions are in `unit/test_kfp_foreign.py`.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import everywhere
import project
import pytest
import yaml

from ctc import targets
from ctc.compiler.build import build
from ctc.language.load import load_spec
from ctc.targets.sagemaker.names import LENGTHS, shortened

SPEC = everywhere.ROOT / "specs" / "everywhere.yaml"


def bundle(target: str, spec: Path = SPEC) -> dict[str, Any]:
    """The emitted JSON and YAML documents by path."""
    loaded = load_spec(spec, None, target)
    assert loaded.spec is not None, loaded.diagnostics
    built = build(loaded.spec, targets.load(target))
    assert built.bundle is not None, built.diagnostics
    return {
        item.path: yaml.load(item.content, Loader=yaml.CSafeLoader)
        for item in built.bundle.artifacts
        if item.path.endswith((".json", ".yaml", ".yml")) and b"\n---\n" not in item.content
    }


def changed(folder: Path, old: str, new: str) -> Path:
    text = SPEC.read_text()
    assert old in text
    spec = folder / "spec.yaml"
    spec.write_text(text.replace(old, new, 1))
    return spec


def keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(keys, value.values()))
    return set().union(*map(keys, value)) if isinstance(value, list) else set()


def test_a_schedule_runs_where_the_rest_of_the_system_is() -> None:
    """A schedule forgot the project and the region of its job, so its runs landed in another region."""
    schedules = {path: body for path, body in bundle("vertex").items() if path.startswith("schedules/")}

    assert schedules
    for body in schedules.values():
        assert body["createPipelineJobRequest"]["parent"] == "projects/acme-ml/locations/europe-west4"


def test_scheduled_runs_keep_their_labels() -> None:
    """Labels were lost on scheduled runs, and with them whose costs those are."""
    made = bundle("vertex")
    wanted = made["pipelines/wake.json"]["labels"]

    assert wanted
    for path, body in made.items():
        if path.startswith("schedules/"):
            assert body["createPipelineJobRequest"]["pipelineJob"]["labels"] == wanted


def test_a_schedule_starts_the_pipeline_as_it_is_now() -> None:
    """A schedule went on starting the version of the pipeline that it was made with."""
    vertex, azureml, sagemaker = bundle("vertex"), bundle("azureml"), bundle("sagemaker")

    for path, body in vertex.items():
        if path.startswith("schedules/"):
            assert body["createPipelineJobRequest"]["pipelineJob"] == vertex["pipelines/wake.json"]
    for path, body in azureml.items():
        if path.startswith("schedules/"):
            assert Path(path).parent.joinpath(body["create_job"]).parts[-2:] == ("pipelines", "wake.yml")
    for path, body in sagemaker.items():
        if path.startswith("schedules/"):
            assert body["Target"]["Arn"].endswith(":pipeline/late-parcels-wake")


def test_names_that_people_read_hold_no_digest() -> None:
    """What a tool knows its own resources by stood in the middle of their names."""
    digest, shown = re.compile(r"(?=[0-9a-f]*[0-9])[0-9a-f]{8,}"), ("Name", "name", "displayName", "display_name")
    seen = 0
    for target in targets.NAMES:
        for path, body in bundle(target).items():
            if path.startswith(("schedules/", "recurring-run")):
                names = [str(body[key]) for key in shown if key in body]
                seen += len(names)
                assert not any(map(digest.search, names)), path
    assert seen >= 2 * len(targets.NAMES)


@pytest.mark.parametrize("target", targets.NAMES)
def test_triggers_whose_names_would_meet_are_refused_or_stay_apart(target: str, tmp_path: Path) -> None:
    """Two were given the same name, and one of them was never made."""
    names = ("every", "wake", "x", "x-2", "clocks-x")
    crons = "\n".join(
        f'  {name}: {{schedule: {{cron: "{number} 2 1 * 0", timezone: Europe/Oslo}}}}'
        for number, name in enumerate(names)
    )
    old = '  weekly: {schedule: {cron: "30 2 * * 1", timezone: Europe/Oslo}}'
    loaded = load_spec(changed(tmp_path, old, crons), None, target)
    assert loaded.spec is not None, loaded.diagnostics
    built = build(loaded.spec, targets.load(target))
    errors = [item for item in built.diagnostics if item.severity.name == "ERROR"]

    assert all(item.path.startswith("triggers.") for item in errors)
    if not errors:
        assert built.bundle is not None
        text = b"".join(item.content for item in built.bundle.artifacts).decode()
        assert all(name in text for name in names)
    assert bool(errors) == (target in ("sagemaker", "vertex"))


def test_a_service_s_count_is_met_by_the_compiler_and_not_by_a_run(tmp_path: Path) -> None:
    """A hundred parameters went into an environment that takes less, which only a run told."""
    values = "".join(f"    p{number}: {number}\n" for number in range(130))
    spec = changed(tmp_path, "\nretraining:", f"  hyperparameters:\n{values}\nretraining:")
    loaded = load_spec(spec, None, "sagemaker")
    assert loaded.spec is not None, loaded.diagnostics
    built = build(loaded.spec, targets.load("sagemaker"))

    assert built.bundle is None
    assert {item.path for item in built.diagnostics if item.severity.name == "ERROR"} == {"training.hyperparameters"}
    assert any("130 hyperparameters: SageMaker takes 100" in item.message for item in built.diagnostics)


def test_an_installation_brings_no_vendors_sdk() -> None:
    """Two vendors' SDKs wanted different versions of one library, and could not be installed together."""
    wanted = tomllib.loads((everywhere.ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[^a-z0-9-]", name.lower())[0] for name in wanted}

    assert "click" in names
    assert not any(name.startswith(("kfp", "google", "sagemaker", "boto", "azure", "kubernetes")) for name in names)


@pytest.mark.parametrize("target", targets.NAMES)
def test_a_name_that_is_too_long_is_found_by_the_compiler(target: str, tmp_path: Path) -> None:
    """A name below the documented limit met another one at run time, or the tool itself made it too long."""
    spec = changed(tmp_path, "name: late-parcels", f"name: {'p' * 300}")
    loaded = load_spec(spec, None, target)
    found = loaded.diagnostics if loaded.spec is None else build(loaded.spec, targets.load(target)).diagnostics

    assert [item.path for item in found if item.severity.name == "ERROR"] == ["name"]


def test_two_long_names_that_begin_alike_stay_two() -> None:
    """Names were cut to the same text, and one of two pipelines was never made."""
    for kind, most in LENGTHS.items():
        first, second = (shortened(f"{'p' * 300}-{end}", kind) for end in ("one", "two"))
        assert first != second
        assert max(len(first), len(second)) <= most


@pytest.mark.parametrize("target", targets.NAMES)
def test_the_same_spec_makes_the_same_documents(target: str) -> None:
    """Timestamps in a definition made every deployment a change, and killed caches."""
    assert json.dumps(bundle(target)) == json.dumps(bundle(target))


def test_no_step_is_skipped_for_a_stale_cache() -> None:
    """New data had come, and the pipeline did nothing: an earlier result was taken for this one."""
    for target in ("kubeflow", "vertex"):
        for path, document in bundle(target).items():
            if path.startswith("pipelines/"):
                assert '"enableCache": true' not in json.dumps(document)
    assert "CacheConfig" not in keys(bundle("sagemaker"))


def test_one_mistake_is_one_error_with_its_path_and_line(tmp_path: Path) -> None:
    """A wrong value was refused once for each form that was possible, without saying where, or with no reason."""
    spec = changed(tmp_path, "window: 60d", "window: soon")
    done = project.ctc("validate", spec, "-o", "json", cwd=tmp_path)
    line = spec.read_text()[: spec.read_text().index("window: soon")].count("\n") + 1

    assert done.returncode != 0
    assert done.stdout.count("retraining.window") >= 1
    [error] = [item for item in load_spec(spec).diagnostics if item.severity.name == "ERROR"]
    assert (error.path, error.code) == ("retraining.window", "CT106")
    assert f'"line": {line}' in done.stdout


def test_validating_needs_neither_account_nor_home(tmp_path: Path) -> None:
    """Validation failed for a developer because it looked at the identity of whoever deploys."""
    empty = {"HOME": str(tmp_path), "AWS_PROFILE": "", "GOOGLE_APPLICATION_CREDENTIALS": "/nothing"}
    done = project.ctc("validate", SPEC, cwd=tmp_path, environment=empty)

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_version_is_told_without_any_vendors_sdk(tmp_path: Path) -> None:
    """Seconds went by before a version was printed, for imports of SDKs."""
    environment = {"PYTHONPROFILEIMPORTTIME": "1"}
    done = project.ctc("--version", cwd=tmp_path, environment=environment)
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}

    assert done.returncode == 0
    assert "ctc" in imported
    assert not imported & {"kfp", "sagemaker", "boto3", "azure", "google", "pandas", "numpy", "pyarrow"}
