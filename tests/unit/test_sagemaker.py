"""The target SageMaker: what it emits, what it refuses, and what a rehearsal of the emitted files does."""

from __future__ import annotations

import copy
import json
import os
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ctc.compiler.ir import Resources, System
from ctc.compiler.lower import lower
from ctc.compiler.target import Execution, Machine
from ctc.compiler.write import files, write
from ctc.diagnostics import CtcError
from ctc.language.load import load_spec
from ctc.language.spec import Spec, Spot
from ctc.targets import sagemaker
from ctc.targets.sagemaker import jobs as sagemaker_jobs
from ctc.targets.sagemaker import rehearse, schedules
from ctc.targets.sagemaker.definition import check
from ctc.targets.sagemaker.interpreter import run
from ctc.targets.sagemaker.jobs import Host, Refused
from ctc.targets.sagemaker.limit_table import LIMITS
from ctc.targets.sagemaker.limits import ANY_DIGEST, jobs
from ctc.targets.sagemaker.machines import GIB, smallest
from ctc.targets.sagemaker.pipeline import support_digest

SPEC = Path(__file__).resolve().parent.parent.parent / "specs" / "minimal.yaml"


@pytest.fixture(scope="module")
def spec() -> Spec:
    loaded = load_spec(SPEC, None, "sagemaker")
    assert loaded.spec is not None, loaded.diagnostics
    return loaded.spec


@pytest.fixture(scope="module")
def system(spec: Spec) -> System:
    return lower(spec, "sagemaker")


def emitted(system: System) -> dict[str, Any]:
    """Every JSON file of the bundle by path."""
    return {
        item.path: json.loads(item.content) for item in sagemaker.emit(system).artifacts if item.path.endswith(".json")
    }


@pytest.fixture(scope="module")
def train(system: System) -> dict[str, Any]:
    definition: dict[str, Any] = emitted(system)["pipelines/train.json"]
    return definition


def job(definition: dict[str, Any], name: str) -> dict[str, Any]:
    return next(step for step in jobs(definition) if step["Name"] == name)


def test_the_same_system_gives_the_same_bytes(spec: Spec) -> None:
    assert sagemaker.emit(lower(spec, "sagemaker")) == sagemaker.emit(lower(spec, "sagemaker"))


def test_every_feature_has_a_capability(spec: Spec) -> None:
    spotted = replace(spec, training=replace(spec.training, retries=2, spot=Spot(timedelta(1), timedelta(1))))

    assert {feature for feature, _ in lower(spotted, "sagemaker").features} <= set(sagemaker.CAPABILITIES)


def test_uploads_are_keyed_by_their_content_and_are_where_the_steps_look(spec: Spec, system: System) -> None:
    bundle = sagemaker.emit(system)
    changed = sagemaker.emit(lower(replace(spec, mode="observe"), "sagemaker"))
    content = {item.path: item.content for item in bundle.artifacts}
    text = b"".join(content[path] for path in content if path.startswith("pipelines/")).decode()

    assert set(dict(bundle.uploads)) == {path for path in content if path.startswith(("documents/", "support/"))}
    for uri in dict(bundle.uploads).values():
        assert f'"{uri.rpartition("/")[0]}/"' in text
    assert dict(bundle.uploads)["support/shim.py"] != dict(changed.uploads)["support/shim.py"]


def test_the_emitted_definitions_pass_their_own_check(spec: Spec) -> None:
    hard = replace(spec.training, spot=Spot(timedelta(minutes=10), timedelta(hours=6)), retries=2)
    for variant in (spec, replace(spec, training=hard)):
        for path, definition in emitted(lower(variant, "sagemaker")).items():
            if path.startswith("pipelines/"):
                assert check(definition) == [], path


def test_branches_are_root_conditions_and_register_waits_for_both(train: dict[str, Any]) -> None:
    root = {step["Name"]: step for step in train["Steps"]}

    assert [step["Type"] for step in train["Steps"]] == ["Processing", "Processing", "Condition", "Condition"]
    names = [step["Name"] for step in root["if-validate-go"]["Arguments"]["IfSteps"]]
    assert names == ["train", "predict-contender", "predict-champion", "evaluate", "decide"]
    paths = [item["LeftValue"]["Std:JsonGet"]["Path"] for item in root["if-decide-promote"]["Arguments"]["Conditions"]]
    assert paths == ["flags.go", "flags.promote"]


def test_the_champion_runs_in_its_own_image_with_its_own_model(train: dict[str, Any]) -> None:
    arguments = job(train, "predict-champion")["Arguments"]
    sources = {item["InputName"]: item["S3Input"]["S3Uri"] for item in arguments["ProcessingInputs"]}

    assert arguments["AppSpecification"]["ImageUri"] == {"Get": "Parameters.ChampionImage"}
    assert sources["model"] == {"Get": "Parameters.ChampionModel"}
    assert "--" not in arguments["AppSpecification"]["ContainerArguments"]


def test_spot_capacity_waits_beside_running_and_is_for_training_only(spec: Spec) -> None:
    training = replace(
        spec.training, timeout=timedelta(hours=3), retries=1, spot=Spot(timedelta(minutes=10), timedelta(hours=6))
    )
    definition = emitted(lower(replace(spec, training=training), "sagemaker"))["pipelines/train.json"]
    arguments = job(definition, "train")["Arguments"]
    runtime = 2 * 3 * 3600 + 600

    assert arguments["StoppingCondition"] == {
        "MaxRuntimeInSeconds": runtime,
        "MaxWaitTimeInSeconds": runtime + 6 * 3600,
    }
    assert arguments["EnableManagedSpotTraining"] is True
    words = arguments["AlgorithmSpecification"]["ContainerArguments"]
    assert words[words.index("--checkpoints") + 1] == arguments["CheckpointConfig"]["LocalPath"]
    assert "MaxWaitTimeInSeconds" not in job(definition, "predict-contender")["Arguments"]["StoppingCondition"]


def test_hyperparameters_are_strings(spec: Spec) -> None:
    training = replace(spec.training, hyperparameters={"depth": 8, "rate": 0.5, "on": True, "loss": "log"})
    definition = emitted(lower(replace(spec, training=training), "sagemaker"))["pipelines/train.json"]

    assert job(definition, "train")["Arguments"]["HyperParameters"] == {
        "depth": "8",
        "rate": "0.5",
        "on": "true",
        "loss": "log",
    }


@pytest.mark.parametrize(
    ("every", "expression"),
    [
        (timedelta(minutes=1), "rate(1 minute)"),
        (timedelta(minutes=90), "rate(90 minutes)"),
        (timedelta(hours=1), "rate(1 hour)"),
        (timedelta(hours=36), "rate(36 hours)"),
        (timedelta(days=2), "rate(2 days)"),
    ],
)
def test_rates(every: timedelta, expression: str) -> None:
    assert schedules.rate(every) == expression


def test_the_smallest_machine_that_fits() -> None:
    def name(cpu: float, memory: float, training: bool) -> str | None:
        found = smallest(Resources(cpu, int(memory * GIB), GIB), training=training)
        return None if found is None else found.name

    assert name(1, 2, training=False) == "ml.t3.medium"
    assert name(1, 2, training=True) == "ml.m5.large"
    assert name(4, 16.5, training=True) == "ml.r5.xlarge"
    assert name(16, 64, training=True) == "ml.m5.4xlarge"
    assert name(97, 1, training=True) is None


def broken(spec: Spec, **training: Any) -> Spec:
    return replace(spec, training=replace(spec.training, **training))


def settings(spec: Spec, **values: Any) -> Spec:
    return replace(spec, targets={**spec.targets, "sagemaker": {**spec.targets["sagemaker"], **values}})


REFUSED: dict[str, tuple[Callable[[Spec], Spec], str, str, str]] = {
    "no region": (lambda s: settings(s, region=""), "CT340", "targets.sagemaker", "region"),
    "no role": (lambda s: settings(s, role="me"), "CT341", "targets.sagemaker.role", "me"),
    "an alias": (
        lambda s: settings(s, kms_key="arn:aws:kms:eu-north-1:123456789012:alias/ct"),
        "CT341",
        "targets.sagemaker.kms_key",
        "alias/ct",
    ),
    "not S3": (lambda s: settings(s, bucket="gs://b"), "CT342", "targets.sagemaker.bucket", "gs://b"),
    "long name": (lambda s: replace(s, name="n" * 76), "CT343", "name", "83"),
    "illegal name": (lambda s: replace(s, name="a_b"), "CT343", "name", "a_b"),
    "seconds": (
        lambda s: replace(s, trigger_policy=replace(s.trigger_policy, wake_every=timedelta(seconds=90))),
        "CT344",
        "trigger_policy.wake_every",
        "90",
    ),
    "no machine": (
        lambda s: broken(s, resources=replace(s.training.resources, memory=2000 * GIB)),
        "CT345",
        "training.resources",
        "2000 GiB",
    ),
    "disk": (
        lambda s: broken(s, resources=replace(s.training.resources, disk=20_000 * GIB)),
        "CT346",
        "training.resources.disk",
        "20000",
    ),
    "image": (lambda s: broken(s, image="i" * 300), "CT348", "training.image", "300"),
    "runtime": (lambda s: broken(s, timeout=timedelta(days=5), retries=1), "CT349", "training.timeout", "777600"),
    "many words": (lambda s: broken(s, argv=("a",) * 120), "CT350", "training.argv", "100"),
    "a long word": (lambda s: broken(s, predict=("x" * 257,)), "CT351", "training.predict", "257"),
    "a line break": (lambda s: broken(s, argv=("a\nb",)), "CT352", "training.argv", "line break"),
    "environment": (
        lambda s: broken(s, hyperparameters={f"h{i}": "v" * 20 for i in range(20)}),
        "CT353",
        "training.hyperparameters",
        "256",
    ),
    "hyperparameter": (
        lambda s: broken(s, hyperparameters={"h": "v" * 257}),
        "CT354",
        "training.hyperparameters.h",
        "257",
    ),
    "a deep bucket": (
        lambda s: settings(s, bucket="s3://b/" + "d" * 130),
        "CT351",
        "targets.sagemaker.bucket",
        "256",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_limits_are_met_while_compiling(case: str, spec: Spec) -> None:
    change, code, path, words = REFUSED[case]
    found = sagemaker.limits(lower(change(spec), "sagemaker"))

    assert (code, path) in {(item.code, item.path) for item in found}, found
    assert len({(item.code, item.path) for item in found}) == len(found)
    assert any(words in item.message for item in found if item.code == code)


def test_a_good_spec_meets_no_limit(system: System) -> None:
    assert sagemaker.limits(system) == ()


def test_lengths_are_measured_with_a_digest_of_the_real_length() -> None:
    assert len(ANY_DIGEST) == len(support_digest(()))


def test_every_limit_has_its_source() -> None:
    assert all(limit.value > 0 and limit.source and limit.said and limit.as_of for limit in LIMITS.values())


def steps_of(definition: dict[str, Any], name: str) -> dict[str, Any]:
    return next(step for step in definition["Steps"] if step["Name"] == name)


def _get(step: dict[str, Any], path: str) -> None:
    step["Arguments"]["Environment"] = {"X": {"Get": path}}


MUTATIONS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another version": (lambda d: d.update(Version="2019"), "version"),
    "no steps": (lambda d: d.update(Steps=[]), "no Steps"),
    "a dangling DependsOn": (lambda d: job(d, "train").update(DependsOn=["nobody"]), "nobody"),
    "a dangling Get": (lambda d: _get(job(d, "train"), "Steps.nobody.X"), "Steps.nobody.X"),
    "an unknown parameter": (lambda d: _get(job(d, "train"), "Parameters.Nobody"), "Nobody"),
    "an unknown variable": (lambda d: _get(job(d, "train"), "Execution.Nothing"), "Execution.Nothing"),
    "an unknown root": (lambda d: _get(job(d, "train"), "Nowhere.X"), "Nowhere.X"),
    "an unknown output": (
        lambda d: _get(job(d, "train"), "Steps.snapshot.ProcessingOutputConfig.Outputs['no'].S3Output.S3Uri"),
        "no output 'no'",
    ),
    "a model of a processing step": (
        lambda d: _get(job(d, "train"), "Steps.snapshot.ModelArtifacts.S3ModelArtifacts"),
        "no Training step",
    ),
    "an unreadable path": (lambda d: _get(job(d, "train"), "Steps.snapshot.Outputs[]"), "cannot read"),
    "a doubled step": (lambda d: job(d, "train").update(Name="snapshot"), "2 times"),
    "a step of a condition at the root too": (lambda d: d["Steps"].append(copy.deepcopy(job(d, "decide"))), "2 times"),
    "a doubled parameter": (lambda d: d["Parameters"].append(d["Parameters"][0]), "Instant is there 2 times"),
    "an undeclared property file": (lambda d: job(d, "decide").pop("PropertyFiles"), "property file"),
    "a property file of no output": (
        lambda d: job(d, "decide")["PropertyFiles"][0].update(OutputName="x"),
        "no output 'x'",
    ),
    "a cycle": (lambda d: steps_of(d, "snapshot").update(DependsOn=["validate"]), "wait for each other"),
    "waiting for one's own Condition's inside": (
        lambda d: steps_of(d, "validate").update(DependsOn=["train"]),
        "wait for each other",
    ),
    "depending on a Condition": (lambda d: job(d, "register").update(DependsOn=["if-validate-go"]), "Condition step"),
    "an illegal name": (lambda d: job(d, "register").update(Name="re gister"), "'re gister'"),
    "an unknown type": (lambda d: job(d, "register").update(Type="Lambda"), "Lambda"),
    "a wrong default": (lambda d: d["Parameters"][3].update(DefaultValue=3), "ChampionModel"),
    "a default outside the enum": (lambda d: d["Parameters"][3].update(EnumValues=["a"]), "EnumValues"),
    "an unknown fault": (
        lambda d: job(d, "train").update(RetryPolicies=[{"ExceptionType": ["Container.FAILED"]}]),
        "Container.FAILED",
    ),
    "a Condition without conditions": (
        lambda d: steps_of(d, "if-validate-go")["Arguments"].update(Conditions=[]),
        "no Conditions",
    ),
    "both sides of a Condition": (
        lambda d: steps_of(d, "if-validate-go")["Arguments"].update(
            ElseSteps=[
                {
                    "Name": "other",
                    "Type": "Processing",
                    "Arguments": {"Environment": {"X": {"Get": "Steps.train.TrainingJobName"}}},
                }
            ]
        ),
        "other side",
    ),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_the_check_sees(mutation: str, train: dict[str, Any]) -> None:
    change, words = MUTATIONS[mutation]
    changed = copy.deepcopy(train)
    change(changed)
    found = check(changed)

    assert any(words in text for text in found), found


# A rehearsal. Our steps are played by a small program, since it is the artifact that is under test here.

FAKE_STEP = """\
import json, os, pathlib, sys
step, words = sys.argv[1], sys.argv[2:]
told = {}
for key, value in zip(words[::2], words[1::2]):
    told.setdefault(key, []).append(value)
assert json.load(open(told["--document"][0]))["step"] == step
parameters = dict(pair.split("=", 1) for pair in told["--parameter"])
with open("log.jsonl", "a") as log:
    log.write(json.dumps({"step": step, "uris": told.get("--uri", []), **parameters}) + "\\n")
for pair in told.get("--input", []):
    folder = pathlib.Path(pair.split("=", 1)[1])
    assert any(folder.iterdir()), pair
for pair in told.get("--output", []):
    name, folder = pair.split("=", 1)
    pathlib.Path(folder, "data.parquet").write_text(name)
if "--result" in told:
    flags = {"go": os.environ.get("GO", "1") == "1", "promote": os.environ.get("PROMOTE", "1") == "1"}
    pathlib.Path(told["--result"][0], "result.json").write_text(json.dumps({"flags": flags}))
"""

TRAIN = """\
import sys, pathlib, os
train, out = sys.argv[sys.argv.index("--train") + 1], sys.argv[sys.argv.index("--out") + 1]
print("rows:", pathlib.Path(train, "data.parquet").read_text())
if os.environ.get("FAIL"): sys.exit("the user's code broke")
pathlib.Path(out, "model.txt").write_text("a model")
"""
PREDICT = """\
import sys, pathlib
model, out = sys.argv[sys.argv.index("--model") + 1], sys.argv[sys.argv.index("--out") + 1]
pathlib.Path(out).write_text(pathlib.Path(model, "model.txt").read_text())
"""
PARAMETERS = {"instant": "2024-03-04T06:00:00Z", "attempt": "20240304T060000Z-12345678"}


class Stage:
    """A bundle on disk and a machine to rehearse it on."""

    def __init__(self, system: System, folder: Path) -> None:
        self.system, self.bundle = system, folder / "bundle"
        for name in ("work", "bin", "s3", "scratch"):
            (folder / name).mkdir()
        bundle = sagemaker.emit(system)
        write(files(bundle, system), self.bundle)
        self.work, self.s3, self.scratch = folder / "work", folder / "s3", folder / "scratch"
        (folder / "fake.py").write_text(FAKE_STEP)
        (self.work / "train.py").write_text(TRAIN)
        (self.work / "predict.py").write_text(PREDICT)
        for name in ("python", "python3"):
            script = folder / "bin" / name
            script.write_text(
                f'#!/bin/sh\nif [ "$2" = ctc.step ]; then shift 2; exec {sys.executable} {folder}/fake.py "$@"; fi\n'
                f'exec {sys.executable} "$@"\n'
            )
            script.chmod(0o755)
        self.path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        absent = self.s3 / "absent"
        absent.mkdir()
        (absent / "absent.json").write_text("{}")

    def file(self, path: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.bundle / path).read_text())
        return document

    def edit(self, path: str, change: Callable[[dict[str, Any]], object]) -> None:
        document = self.file(path)
        change(document)
        (self.bundle / path).write_text(json.dumps(document))

    def execute(self, pipeline: str = "train", champion: dict[str, Any] | None = None, **environment: str) -> Execution:
        request = self.s3 / "attempts" / PARAMETERS["attempt"] / "request"
        request.mkdir(parents=True, exist_ok=True)
        (request / "request.json").write_text(json.dumps({"champion": champion}))
        uri = f"{self.system.root}/attempts/{PARAMETERS['attempt']}/request"
        given = {"manual": "", "instant": ""} if pipeline == "wake" else {**PARAMETERS, "request": uri}
        machine = Machine({self.system.root: self.s3}, {"PATH": self.path, **environment}, self.work, self.scratch)
        return rehearse.execute(self.bundle, pipeline, given, machine)

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.work / "log.jsonl").read_text().splitlines()]


@pytest.fixture
def stage(system: System, tmp_path: Path) -> Stage:
    return Stage(system, tmp_path)


ALL = (
    "snapshot",
    "validate",
    "train",
    "predict-contender",
    "predict-champion",
    "evaluate",
    "decide",
    "register",
    "record",
)


def test_a_whole_cycle(stage: Stage) -> None:
    execution = stage.execute()

    assert execution == Execution(True, ALL)
    artifacts = stage.s3 / "attempts" / PARAMETERS["attempt"] / "artifacts"
    assert (artifacts / "predict-contender/predictions/predictions.parquet").read_text() == "a model"
    assert (artifacts / "predict-champion/predictions/absent.json").is_file()
    [register] = [entry for entry in stage.log() if entry["step"] == "register"]
    [model] = [uri.removeprefix("model=") for uri in register["uris"] if uri.startswith("model=")]
    assert (stage.s3 / model.removeprefix(stage.system.root).strip("/") / "model.txt").read_text() == "a model"
    assert stage.log()[-1] == {"step": "record", "uris": [], **PARAMETERS}
    assert list(stage.scratch.iterdir()) == []


def test_a_wake(stage: Stage) -> None:
    assert stage.execute("wake") == Execution(True, ("wake",))
    assert stage.log() == [{"step": "wake", "uris": [], "instant": "", "manual": "", "event": ""}]


def test_a_champion_predicts_with_its_own_command_and_model(stage: Stage) -> None:
    (stage.s3 / "absent/model.txt").write_text("the champion")
    predict = ["python", "predict.py", "--model", "{model}", "--rows", "{rows}", "--out", "{predictions}"]
    execution = stage.execute(champion={"predict": predict, "code": ""})

    assert execution.ok, execution.error
    [file] = stage.s3.rglob("predict-champion/predictions/*")
    assert file.read_text() == "the champion"


def test_a_no_of_validation_ends_the_cycle_well(stage: Stage) -> None:
    assert stage.execute(GO="0") == Execution(True, ("snapshot", "validate", "record"))


def test_a_no_of_promotion_registers_nothing(stage: Stage) -> None:
    assert stage.execute(PROMOTE="0").steps == (*ALL[:-2], "record")


def test_a_failure_is_told_and_recorded(stage: Stage) -> None:
    execution = stage.execute(FAIL="1")

    assert not execution.ok
    assert execution.steps == ("snapshot", "validate", "train", "record")
    assert execution.error.startswith("step train: ")
    assert "the user's code broke" in execution.error


def test_an_edited_command_is_what_runs(stage: Stage) -> None:
    (stage.work / "other.py").write_text(TRAIN.replace("a model", "another model"))

    def change(definition: dict[str, Any]) -> None:
        words = job(definition, "train")["Arguments"]["AlgorithmSpecification"]["ContainerArguments"]
        words[words.index("train.py")] = "other.py"

    stage.edit("pipelines/train.json", change)
    assert stage.execute().ok
    [file] = stage.s3.rglob("predict-contender/predictions/*")
    assert file.read_text() == "another model"


def test_a_flipped_condition_is_what_decides(stage: Stage) -> None:
    def change(definition: dict[str, Any]) -> None:
        steps_of(definition, "if-validate-go")["Arguments"]["Conditions"][0]["RightValue"] = False

    stage.edit("pipelines/train.json", change)
    assert stage.execute().steps == ("snapshot", "validate", "record")


def test_a_rule_that_misses_the_end_records_nothing_and_says_so(stage: Stage) -> None:
    def change(rule: dict[str, Any]) -> None:
        rule["EventPattern"] = rule["EventPattern"].replace('"Failed"', '"Flailed"')

    stage.edit("events/record-rule.json", change)
    assert stage.execute().ok
    with pytest.raises(CtcError, match="record-rule"):
        stage.execute(FAIL="1")


def test_the_target_of_the_rule_is_what_is_started(stage: Stage) -> None:
    def change(target: dict[str, Any]) -> None:
        target["Targets"][0]["Arn"] += "-elsewhere"

    stage.edit("events/record-target.json", change)
    with pytest.raises(CtcError, match="elsewhere"):
        stage.execute()


def test_a_broken_bundle_is_told_in_a_sentence(stage: Stage) -> None:
    (stage.bundle / "pipelines/train.json").write_text("{")
    with pytest.raises(CtcError, match=r"train\.json"):
        stage.execute()


def test_an_edited_document_is_what_the_step_reads(stage: Stage) -> None:
    stage.edit("documents/decide.json", lambda document: document.update(step="other"))

    assert "step decide" in stage.execute().error


def test_event_patterns() -> None:
    event = {"source": "aws.sagemaker", "detail": {"status": "Failed"}}

    assert rehearse.matches({"source": ["aws.sagemaker"], "detail": {"status": ["Failed", "Stopped"]}}, event)
    assert not rehearse.matches({"detail": {"status": ["Succeeded"]}}, event)
    assert not rehearse.matches({"detail": {"other": ["Failed"]}}, event)
    assert not rehearse.matches({"source": {"status": ["Failed"]}}, event)


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every member of a document."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in members for found in ((*path, key), *paths_of(item, (*path, key)))]


def test_no_broken_definition_makes_a_traceback(
    train: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member of the definition is taken away, or is of another type: some of them, drawn with a seed."""

    def contain(container: Any, variables: Any, seconds: Any, host: Host, sandbox: Path) -> str:
        for folder in sandbox.rglob("opt/ml/processing/output/result"):
            (folder / "result.json").write_text('{"flags": {"go": true, "promote": true}}')
        return ""

    monkeypatch.setattr(sagemaker_jobs, "_contain", contain)
    monkeypatch.setattr(sagemaker_jobs, "_download", lambda uri, folder, host: host.path(uri))
    host = Host({"s3://acme-ct": tmp_path / "s3"}, {}, tmp_path, tmp_path / "scratch")
    given = {"Instant": PARAMETERS["instant"], "Attempt": PARAMETERS["attempt"], "Request": "s3://acme-ct/request"}
    assert run(train, given, host).status == "Succeeded"

    draw = random.Random(7)
    for path in draw.sample(paths_of(train), 120):
        broken = draw.choice([None, "", 7, [7], {"Get": 7}, ...])
        changed = copy.deepcopy(train)
        parent: Any = changed
        for key in path[:-1]:
            parent = parent[key]
        if broken is ...:
            del parent[path[-1]]
        else:
            parent[path[-1]] = broken
        try:
            run(changed, given, host)
        except Refused:
            continue
        except Exception as error:
            raise AssertionError(f"{path} as {broken!r}") from error
