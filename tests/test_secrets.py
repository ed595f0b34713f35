"""Secrets of the user's command: there under the spec's name while it runs, and nowhere in what a run leaves."""

from __future__ import annotations

import ast
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from ctc import targets
from ctc.compiler.lower import lower
from ctc.language.load import load_spec
from ctc.language.spec import Secret
from ctc.steps import with_secrets
from ctc.targets.kfp_check import check_platform
from ctc.targets.sagemaker.interpreter import places
from tests import project

VALUE = "s3cr3t-0f-the-hub"
SEES = """
import hashlib, os
print("SEES", hashlib.sha256(os.environ["TOKEN"].encode()).hexdigest()[:12])
print("OTHERS", sorted(name for name in os.environ if name.startswith("CTC_SECRET_")))
"""


def with_token(folder: Path) -> Path:
    spec = project.make(folder / "toy", days=60)
    text = spec.read_text()
    spec.write_text(text.replace("  timeout: 2m\n", "  timeout: 2m\n  env: {TOKEN: {secret: hub-token}}\n"))
    for name in ("train.py", "predict.py"):
        file = spec.parent / name
        file.write_text(file.read_text() + SEES)
    return spec


@pytest.mark.parametrize("target", ["sagemaker", "kubeflow"])
def test_the_command_sees_it_and_nothing_keeps_it(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = with_token(tmp_path)
    words = ["run", spec, "--target", target, "--python", sys.executable, "--at", "2024-02-19T06:00:00Z"]
    monkeypatch.delenv("CTC_SECRET_HUB_TOKEN", raising=False)
    refused = project.ctc(*words, cwd=spec.parent)
    assert refused.returncode != 0
    assert "training.env.TOKEN.secret: the secret hub-token is not there" in refused.stdout + refused.stderr
    assert "CTC_SECRET_HUB_TOKEN" in refused.stdout + refused.stderr
    assert not (project.state(spec, target) / "state.json").exists()

    monkeypatch.setenv("CTC_SECRET_HUB_TOKEN", VALUE)
    monkeypatch.setenv("CTC_SECRET_SLACK", "another")
    [attempt] = [
        record
        for record in project.run(spec, "--at", "2024-02-19T06:00:00Z", target=target)
        if record["kind"] == "attempt"
    ]
    assert attempt["outcome"] == "candidate", attempt["error"] or attempt["reason"]
    log = (project.state(spec, target) / "attempts" / attempt["id"] / "log.txt").read_text()
    assert log.count("SEES ") == 2, "training and the contender's prediction"
    assert "OTHERS []" in log
    assert "OTHERS ['" not in log
    left = [path for path in spec.parent.rglob("*") if path.is_file()]
    assert any(path.name == "state.json" for path in left)
    assert [path for path in left if VALUE.encode() in path.read_bytes()] == []


def compiled(folder: Path, target: str, secret: str = "hub-token") -> dict[str, bytes]:
    loaded = load_spec(project.make(folder / "toy", days=1)).spec
    assert loaded is not None
    spec = replace(loaded, training=replace(loaded.training, env={"TOKEN": Secret(secret)}))
    return {artifact.path: artifact.content for artifact in targets.load(target).emit(lower(spec, target)).artifacts}


@pytest.mark.parametrize(("name", "key"), [("hub-token", "value"), ("hub/token", "token")])
def test_kubeflow_takes_it_from_a_kubernetes_secret(name: str, key: str, tmp_path: Path) -> None:
    content = compiled(tmp_path, "kubeflow", name)
    pipeline, platform = yaml.safe_load_all(content["pipelines/train.yaml"])
    json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    secret = name.partition("/")[0]
    wanted = {
        "keyToEnv": [{"secretKey": key, "envVar": "TOKEN"}],
        "secretName": secret,
        "secretNameParameter": {"runtimeValue": {"constant": secret}},
    }
    users = ["exec-train", "exec-predict-contender", "exec-predict-champion"]
    assert executors == {executor: {"secretAsEnv": [wanted]} for executor in users}
    assert check_platform(pipeline, [platform]) == []
    assert len(list(yaml.safe_load_all(content["pipelines/wake.yaml"]))) == 1


@pytest.mark.parametrize(
    "documents",
    [[{"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"exec-none": {}}}}}}], [{}], ["x"], [{}, {}]],
)
def test_a_platform_that_leads_nowhere_is_not_run(documents: list[Any]) -> None:
    assert check_platform({"deploymentSpec": {"executors": {"exec-train": {}}}}, documents) != []


def test_sagemaker_names_it_and_reads_it_in_the_job(tmp_path: Path) -> None:
    content = compiled(tmp_path, "sagemaker")
    definition = json.loads(content["pipelines/train.json"])
    jobs = {step.step["Name"]: step.step["Arguments"] for step in places(definition)}
    container = jobs["train"]["AlgorithmSpecification"]
    assert container["ContainerEntrypoint"][-1] == "/opt/ml/input/data/ctc/with_secrets.py"
    assert container["ContainerArguments"][:4] == [
        *("shim.py", "TOKEN=CTC_SECRET_HUB_TOKEN=hub-token", "--step", "train")
    ]
    assert "TOKEN" not in jobs["train"]["Environment"]
    for ours in ("snapshot", "evaluate"):
        assert "hub-token" not in json.dumps(jobs[ours])
    assert content["support/with_secrets.py"].decode() == Path(with_secrets.__file__).read_text()


class Store:
    """Secrets Manager as boto3 shows it."""

    def __init__(self, answer: dict[str, Any] | Exception) -> None:
        self.answer, self.asked = answer, []  # type: ignore[var-annotated]

    def client(self, service: str, region_name: str | None) -> Store:
        self.asked.append((service, region_name))
        return self

    def get_secret_value(self, **words: str) -> dict[str, Any]:
        self.asked.append(words)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CTC_MOUNTS", "CTC_SECRET_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRAINING_JOB_ARN", "arn:aws:sagemaker:eu-north-1:123456789012:training-job/x")


def test_a_job_reads_it_from_the_store_of_its_region(job: None, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store({"SecretString": f"{VALUE}\n"})
    monkeypatch.setitem(sys.modules, "boto3", store)
    assert with_secrets.value_of("CTC_SECRET_HUB_TOKEN", "hub-token") == VALUE
    assert store.asked == [("secretsmanager", "eu-north-1"), {"SecretId": "hub-token"}]
    monkeypatch.setenv("CTC_SECRET_HUB_TOKEN", "local")
    assert with_secrets.value_of("CTC_SECRET_HUB_TOKEN", "hub-token") == "local"


@pytest.mark.parametrize(
    ("store", "told"),
    [
        (None, "which this image lacks; install it in the training image: pip install boto3"),
        (Store(RuntimeError("AccessDenied")), "AccessDenied; the job's role needs secretsmanager:GetSecretValue"),
        (Store({"SecretBinary": b"x"}), "holds no text"),
    ],
)
def test_a_secret_that_cannot_be_had_ends_the_job_with_its_name(
    store: Store | None, told: str, job: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "boto3", store)
    failure = tmp_path / "failure"
    words = [
        "shim.py",
        "TOKEN=CTC_SECRET_HUB_TOKEN=hub-token",
        "--step",
        "train",
        "--failure",
        str(failure),
        "--",
        "true",
    ]
    assert with_secrets.main(words) == 1
    assert failure.read_text().startswith("train failed: the secret hub-token")
    assert told in failure.read_text()


def test_what_travels_is_python_3_7_alone() -> None:
    ast.parse(Path(with_secrets.__file__).read_text(), feature_version=(3, 7))
