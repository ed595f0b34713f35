"""The Kubeflow target: its bundle, its limits, the document that wake submits, and a run with the real shim."""

from __future__ import annotations

import copy
import json
import os
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from ctc.compiler.build import build
from ctc.compiler.document import document
from ctc.compiler.ir import Parameter, Pipeline, Ref, Runs, Step, System
from ctc.compiler.lower import lower
from ctc.compiler.target import Machine, Support
from ctc.diagnostics import CtcError, Severity
from ctc.language.spec import (
    Columns,
    Distributed,
    DriftTrigger,
    Evaluation,
    EventTrigger,
    Gate,
    Gpu,
    Holdout,
    Label,
    ManualTrigger,
    Metric,
    NewDataTrigger,
    Parquet,
    PerformanceTrigger,
    Promotion,
    Resources,
    Retraining,
    ScheduleTrigger,
    Secret,
    Source,
    Spec,
    Spot,
    Training,
    Trigger,
    TriggerPolicy,
)
from ctc.language.spec.promotion import Approval
from ctc.language.spec.serving import Batch, Instances, Notification, Online, Rollout, RolloutStep, Serving, Smoke
from ctc.steps.task import StepFailed
from ctc.targets import kubeflow
from ctc.targets.kfp_check import check
from ctc.targets.kfp_ir import pipeline_spec
from ctc.targets.kfp_yaml import as_yaml
from ctc.targets.kubeflow import rehearse
from ctc.targets.kubeflow.services import CHAMPION_EXECUTOR, champion_executor
from ctc.targets.kubeflow.services import build as build_services

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def spec() -> Spec:
    return Spec(
        name="flights",
        description="delays",
        owner="team",
        mode="act",
        task="binary",
        runtime_image="registry.example/ctc@sha256:" + "1" * 64,
        sources=(Source("visits", "rows", Parquet("data/visits.parquet"), event_time="at", key=("id",)),),
        label=Label("visits", "late", DAY, "drop"),
        columns=Columns(),
        checks=(),
        training=Training(
            code=".",
            image="registry.example/model@sha256:" + "2" * 64,
            argv=("python", "train.py", "--data", "{train}"),
            predict=("python", "predict.py", "--model", "{model}", "--out", "{predictions}"),
            retries=1,
        ),
        retraining=Retraining("full", Holdout(time=7 * DAY), window=30 * DAY),
        evaluation=Evaluation((Metric("auc", "roc_auc", {}, "higher"),)),
        promotion=Promotion((Gate("floor", "range", "auc", min=0.5),)),
        triggers=(
            Trigger("weekly", ScheduleTrigger("0 6 * * 1", "Europe/Oslo")),
            Trigger("labels", NewDataTrigger(100)),
            Trigger("asked", ManualTrigger()),
        ),
        trigger_policy=TriggerPolicy(wake_every=6 * HOUR),
        targets={"kubeflow": {"bucket": "acme-ct", "namespace": "ml"}},
        environment="prod",
    )


def contents(system: System) -> dict[str, bytes]:
    return {artifact.path: artifact.content for artifact in kubeflow.emit(system).artifacts}


def codes(system: System) -> list[str]:
    return [item.code for item in kubeflow.limits(system) if item.severity is Severity.ERROR]


def test_the_files_of_a_bundle(spec: Spec) -> None:
    built = build(spec, kubeflow)

    assert built.diagnostics == ()
    assert built.bundle is not None
    assert [artifact.path for artifact in built.bundle.artifacts] == [
        "FIDELITY.md",
        "fidelity.json",
        "pipelines/train.yaml",
        "pipelines/wake.yaml",
        "recurring-run.json",
    ]


@pytest.mark.parametrize("kind", ["wake", "train"])
def test_what_is_emitted_is_sound_and_named_after_the_environment(spec: Spec, kind: str) -> None:
    emitted = yaml.safe_load(contents(lower(spec, "kubeflow"))[f"pipelines/{kind}.yaml"])

    assert check(emitted) == []
    assert emitted["pipelineInfo"]["name"] == f"flights-prod-{kind}"


def test_the_recurring_run_is_a_body_that_the_server_knows(spec: Spec) -> None:
    api = pytest.importorskip("kfp_server_api")
    body = json.loads(contents(lower(spec, "kubeflow"))["recurring-run.json"])

    assert set(body) <= set(api.V2beta1RecurringRun.openapi_types)
    assert set(body["runtime_config"]) <= set(api.V2beta1RuntimeConfig.openapi_types)
    assert set(body["trigger"]["periodic_schedule"]) <= set(api.V2beta1PeriodicSchedule.openapi_types)
    assert body["trigger"]["periodic_schedule"] == {"interval_second": "21600"}
    assert body["max_concurrency"] == "1"
    assert body["no_catchup"] is True
    assert body["runtime_config"]["parameters"] == {"instant": "", "manual": "", "event": ""}


def test_every_feature_has_a_capability(spec: Spec) -> None:
    watching = (
        Trigger("ops", EventTrigger("ops-alert")),
        Trigger("moved", DriftTrigger(("dep_delay",), "psi", HOUR, max=0.2)),
        Trigger("worse", PerformanceTrigger(spec.evaluation.metrics[0].name, HOUR, min=0.6)),
    )
    asking = replace(
        spec,
        training=replace(
            spec.training,
            spot=Spot(HOUR, HOUR),
            env={"TOKEN": Secret("hub-token")},
            resources=Resources(gpu=Gpu("t4")),
        ),
        triggers=(*spec.triggers, *watching),
        trigger_policy=replace(spec.trigger_policy, staleness=HOUR),
        notifications=(Notification("team", "email", {}, ("failed",)),),
        serving=(
            Serving("api", Online("i", ("serve",), 8080, "/health", "/predict", 0.5), instances=Instances(2)),
            Serving("nightly", batch=Batch("flights", "s3://acme-ct/scores", ScheduleTrigger("0 5 * * *", "UTC"))),
        ),
        rollout=Rollout(
            (
                RolloutStep(smoke=Smoke("ask.json")),
                RolloutStep(mirror=0.1),
                RolloutStep(approval=Approval(any_of=("ann",))),
                RolloutStep(traffic=1.0),
            )
        ),
    )

    found = set()
    for launcher in ("torchrun", "mpi"):
        training = replace(asking.training, distributed=Distributed(2, launcher))
        found |= {feature for feature, _ in lower(replace(asking, training=training), "kubeflow").features}
    assert found == set(kubeflow.CAPABILITIES)


def test_the_fidelity_report_names_the_places_that_ask(spec: Spec) -> None:
    files = contents(lower(spec, "kubeflow"))
    rows = {row["feature"]: row for row in json.loads(files["fidelity.json"])["features"]}

    assert rows["trigger.schedule"]["support"] == "emulated"
    assert rows["trigger.schedule"]["used_by"] == ["triggers.weekly"]
    assert "step.spot" not in rows
    assert "| `trigger.schedule` | emulated | fires at the first wake" in files["FIDELITY.md"].decode()


def test_spot_is_refused_with_what_to_do(spec: Spec) -> None:
    built = build(replace(spec, training=replace(spec.training, spot=Spot(HOUR, HOUR))), kubeflow)

    assert kubeflow.CAPABILITIES["step.spot"].support is Support.UNSUPPORTED
    assert built.bundle is None
    assert [(item.code, item.path) for item in built.diagnostics] == [("CT301", "training.spot")]
    assert "leave training.spot out" in built.diagnostics[0].help


def test_a_sound_system_meets_no_limit(spec: Spec) -> None:
    assert kubeflow.limits(lower(spec, "kubeflow")) == ()


@pytest.mark.parametrize(("length", "found"), [(121, []), (122, ["CT310"])])
def test_the_pipelines_name_may_be_128_characters(spec: Spec, length: int, found: list[str]) -> None:
    """With `-prod` left out and `-train` at its end."""
    named = replace(spec, name="a" * (length + 1), environment="default")

    assert codes(lower(named, "kubeflow")) == found


@pytest.mark.parametrize(("namespace", "found"), [("a" * 63, []), ("a" * 64, ["CT311"]), ("Team_A", ["CT311"])])
def test_a_namespace_is_a_dns_label(spec: Spec, namespace: str, found: list[str]) -> None:
    targets = {"kubeflow": {"bucket": "acme-ct", "namespace": namespace}}

    assert codes(lower(replace(spec, targets=targets), "kubeflow")) == found


@pytest.mark.parametrize(("seconds", "found"), [(60, []), (0.5, ["CT312"]), (0, ["CT312"])])
def test_a_period_is_whole_seconds(spec: Spec, seconds: float, found: list[str]) -> None:
    policy = replace(spec.trigger_policy, wake_every=timedelta(seconds=seconds))

    assert codes(lower(replace(spec, trigger_policy=policy), "kubeflow")) == found


@pytest.mark.parametrize(("length", "found"), [(4000, []), (10_000, ["CT313"])])
def test_parameters_have_a_size(spec: Spec, length: int, found: list[str]) -> None:
    targets = {"kubeflow": {"bucket": "b" * length}}

    assert codes(lower(replace(spec, targets=targets), "kubeflow")) == found


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("{train}", []),
        ("$(touch it) `id`; ${HOME}", []),
        ("{{name}}", []),
        ("{{$.inputs}}", ["CT315"]),
        ("say {{$}}", ["CT315"]),
        ("$(HOME)", ["CT315"]),
        ('{"Concat": [1]}', ["CT315"]),
        ("/kfp-workspace/x", ["CT315"]),
        ("x" * 131_071, []),
        ("x" * 131_072, ["CT316"]),
    ],
)
def test_words_that_would_arrive_as_others_are_refused(spec: Spec, word: str, found: list[str]) -> None:
    """Once, where they were written, though the documents of some steps repeat them."""
    training = replace(spec.training, argv=(*spec.training.argv, word))

    assert codes(lower(replace(spec, training=training), "kubeflow")) == found
    predicting = replace(spec.training, predict=(*spec.training.predict, word))
    system = lower(replace(spec, training=predicting), "kubeflow")
    assert [item.code for item in kubeflow.limits(system) if item.path == "training.predict"] == found


def test_an_upload_has_a_size(spec: Spec) -> None:
    training = replace(spec.training, argv=("x" * 100_000,) * 336)

    assert codes(lower(replace(spec, training=training), "kubeflow")) == ["CT314"]


def test_a_document_fits_into_one_word_of_a_command(spec: Spec) -> None:
    sources = (replace(spec.sources[0], key=tuple(f"column_{n}" for n in range(6000))),)

    assert "CT316" in codes(lower(replace(spec, sources=sources), "kubeflow"))


def test_a_placeholder_in_a_source_is_refused_where_it_stands(spec: Spec) -> None:
    sources = (replace(spec.sources[0], parquet=Parquet("data/{{$.x}}.parquet")),)
    found = kubeflow.limits(lower(replace(spec, sources=sources), "kubeflow"))

    assert {item.code for item in found} == {"CT315"}
    assert "sources" in {item.path for item in found}


def test_a_disk_that_cannot_be_asked_for_is_a_warning(spec: Spec) -> None:
    training = replace(spec.training, resources=Resources(disk=200 * 1024**3))
    found = kubeflow.limits(lower(replace(spec, training=training), "kubeflow"))

    assert [(item.code, item.severity) for item in found] == [("CT317", Severity.WARNING)]


def test_the_champions_image_goes_into_one_executor_and_nowhere_else(spec: Spec) -> None:
    before = pipeline_spec(lower(spec, "kubeflow").train, "s3://b/r")
    untouched = copy.deepcopy(before)
    after = champion_executor(before, "registry.example/old")

    assert before == untouched
    assert after["deploymentSpec"]["executors"][CHAMPION_EXECUTOR]["container"].pop("image") == "registry.example/old"
    del before["deploymentSpec"]["executors"][CHAMPION_EXECUTOR]["container"]["image"]
    assert after == before


def test_a_document_without_the_champions_executor_is_refused() -> None:
    with pytest.raises(CtcError, match="no executor `exec-predict-champion`"):
        champion_executor({"deploymentSpec": {"executors": {}}}, "registry.example/old")


def test_inside_a_cluster_a_step_says_what_is_missing(spec: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CTC_MOUNTS", raising=False)

    with pytest.raises(StepFailed, match="ctc deploy"):
        build_services(document(spec, "wake", target="kubeflow", root="s3://b/r", spec_digest="0" * 64))


TRAIN = "import pathlib, sys; pathlib.Path(sys.argv[1], 'm').write_text(sys.argv[2] + ' python3'); print('trained')"
PREDICT = "import pathlib, sys; pathlib.Path(sys.argv[2]).write_bytes(pathlib.Path(sys.argv[1], 'm').read_bytes())"


def users(name: str, **fields: Any) -> Step:
    return Step(name, fields.pop("runs", Runs.USER), "registry.example/model", "x", **fields)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle of user steps only, whose shim is the real one: train, predict by both models."""
    pipeline = Pipeline(
        "toy-train",
        "train",
        (Parameter("attempt"), Parameter("request"), Parameter("champion_model"), Parameter("champion_image", "new")),
        (
            users("train", argv=("python3", "-c", TRAIN, "{model}", "it's"), outputs=("model",)),
            users(
                "predict-contender",
                argv=("python3", "-c", PREDICT, "{model}", "{predictions}"),
                inputs=(("model", Ref("train", "model")),),
                outputs=("predictions",),
            ),
            users(
                "predict-champion",
                runs=Runs.CHAMPION,
                imports=(("model", "champion_model"), ("request", "request")),
                outputs=("predictions",),
                parameters=("champion_image", "attempt"),
            ),
        ),
        None,
        "x",
    )
    (tmp_path / "bundle" / "pipelines").mkdir(parents=True)
    (tmp_path / "bundle" / "pipelines" / "train.yaml").write_bytes(as_yaml(pipeline_spec(pipeline, "s3://b/toy")))
    return tmp_path / "bundle"


@pytest.mark.parametrize("champion", [True, False], ids=["champion", "no champion"])
def test_the_emitted_file_runs_the_users_commands_through_the_real_shim(bundle: Path, champion: bool) -> None:
    pytest.importorskip("kfp")
    root, work = bundle.parent / "root", bundle.parent / "work"
    for folder in (root / "attempts/a/request", root / "old", work / "bin"):
        folder.mkdir(parents=True)
    (root / "old" / "m").write_text("old model")
    told = {"predict": ["python3", "-c", PREDICT, "{model}", "{predictions}"], "code": "", "image": "old"}
    request = {"version": 1, "champion": told if champion else None}
    (root / "attempts/a/request/request.json").write_text(json.dumps(request))
    (work / "bin" / "python3").symlink_to(sys.executable)
    machine = Machine(
        mounts={"s3://b/toy": root},
        environment={"PATH": f"{work / 'bin'}{os.pathsep}{os.environ['PATH']}"},
        working=work,
        scratch=bundle.parent / "scratch",
    )
    parameters = {
        "attempt": "a",
        "request": "s3://b/toy/attempts/a/request",
        "champion_model": "s3://b/toy/old",
        "champion_image": "old",
    }

    done = rehearse.execute(bundle, "train", parameters, machine)

    assert done.error == ""
    assert set(done.steps) == {"train", "predict-contender", "predict-champion"}
    written = {path.parent.parent.name: path for path in root.glob("attempts/a/artifacts-1/*/*/predictions/*")}
    assert written["predict-contender"].read_text() == "it's python3"
    if champion:
        assert written["predict-champion"].read_text() == "old model"
    else:
        assert written["predict-champion"].name == "absent.json"
    ran = yaml.safe_load((bundle.parent / "scratch" / "train.yaml").read_text())
    assert ran["deploymentSpec"]["executors"][CHAMPION_EXECUTOR]["container"]["image"] == "old"
