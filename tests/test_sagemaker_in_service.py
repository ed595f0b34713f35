"""Our steps as a SageMaker job runs them: nothing mounted, data, state and executions in a server on loopback."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import project
import pytest
from aws_account import bootstrap
from cloud import Clock, deploy
from moto.server import ThreadedMotoServer

from ctc import targets
from ctc.compiler.build import build
from ctc.compiler.bundle import Bundle
from ctc.compiler.ir import System
from ctc.language.load import load_spec
from ctc.steps import engine
from ctc.steps.task import StepFailed
from ctc.targets.sagemaker import names
from ctc.targets.sagemaker.deploy import connect
from ctc.targets.sagemaker.in_service import ManagedSecrets, PackageRegistry, PipelineLauncher
from ctc.targets.sagemaker.services import build as services_of
from ctc.targets.sagemaker.session import Session

ROOT = Path(__file__).resolve().parent.parent
REGION = "eu-north-1"


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project.make(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def account(spec: Path) -> Iterator[tuple[System, Bundle]]:
    """The toy project with its data in S3, deployed."""
    folder = spec.parent
    text = re.sub(r"path: data/", "path: s3://toy-ct/data/", spec.read_text())
    spec.write_text(text)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }.items():
            patch.setenv(name, value)
        patch.delenv("CTC_MOUNTS", raising=False)
        loaded = load_spec(spec, None, "sagemaker")
        assert loaded.spec is not None, loaded.diagnostics
        built = build(loaded.spec, targets.load("sagemaker"))
        assert built.bundle is not None, built.diagnostics
        made = built.system, built.bundle
        bootstrap(made)
        s3 = boto3.client("s3", region_name=REGION)
        bucket = built.system.root.removeprefix("s3://").partition("/")[0]
        for file in (folder / "data").glob("*.parquet"):
            s3.upload_file(str(file), bucket, f"data/{file.name}")
        deploy(connect(*made), Clock())
        yield made
    server.stop()


def step(made: tuple[System, Bundle], name: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A step's own process, with the document that its job downloads."""
    document = folder / f"{name}.json"
    document.write_bytes(next(item.content for item in made[1].artifacts if item.path == f"documents/{name}.json"))
    environment = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    return subprocess.run(
        [sys.executable, "-m", "ctc.step", name, "--document", str(document), *words],
        env={**environment, "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def executions(made: tuple[System, Bundle]) -> list[Mapping[str, Any]]:
    client = boto3.client("sagemaker", region_name=REGION)
    found = client.list_pipeline_executions(PipelineName=f"{made[0].name}-train")
    return [dict(item) for item in found["PipelineExecutionSummaries"]]


def test_a_wake_reads_s3_starts_the_training_once_and_writes_its_state(
    account: tuple[System, Bundle], tmp_path: Path
) -> None:
    at = ("--parameter", "instant=2024-02-26T06:00:00Z")
    woken = step(account, "wake", tmp_path, *at)
    assert woken.returncode == 0, woken.stderr
    assert "nanobind" not in woken.stderr

    state = services_of({"root": account[0].root, "policy": {}}).state.read().document
    assert state is not None
    attempt = state["attempt"]["id"]
    [started] = executions(account)
    assert started["PipelineExecutionDisplayName"] == attempt
    client = boto3.client("sagemaker", region_name=REGION)
    said = client.list_pipeline_parameters_for_execution(PipelineExecutionArn=started["PipelineExecutionArn"])
    given = {item["Name"]: item["Value"] for item in said["PipelineParameters"]}
    assert given["Attempt"] == attempt and given["Instant"] == "2024-02-26T06:00:00Z"
    assert given["Request"].startswith(f"{account[0].root}/attempts/{attempt}/")
    definition = json.loads(
        next(item.content for item in account[1].artifacts if item.path == "pipelines/train.json"),
    )
    assert set(given) <= {item["Name"] for item in definition["Parameters"]}

    out = tmp_path / "out"
    outputs = [word for name in ("train", "valid", "rows", "holdout") for word in ("--output", f"{name}={out / name}")]
    took = step(account, "snapshot", tmp_path, *at, "--parameter", f"attempt={attempt}", *outputs, "--result", str(out))
    assert took.returncode == 0, took.stderr
    assert json.loads((out / "result.json").read_text())["status"] == "ok"
    assert (out / "train" / "data.parquet").stat().st_size > 0
    key = f"{account[0].root}/attempts/{attempt}".removeprefix("s3://").partition("/")[2]
    kept = boto3.client("s3", region_name=REGION).list_objects_v2(Bucket="toy-ct", Prefix=key)["Contents"]
    assert any(item["Key"].endswith("snapshot.json") for item in kept)


def ctc(spec: Path, *words: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    done = subprocess.run(
        [sys.executable, "-m", "ctc", words[0], str(spec), "--target", "sagemaker", *words[1:]],
        env={**environment, "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_people_tell_a_deployment_its_next_wake_hears(
    account: tuple[System, Bundle], spec: Path, tmp_path: Path
) -> None:
    """`ctc trigger` and `ctc reject --deployed` start the wake; it finds what was said; the verbs read what it did."""
    told = ctc(spec, "trigger", "--why", "labels of the strike\nare in; $(x)")
    assert told.startswith("told toy (default) on sagemaker: arn:aws:sagemaker:")
    ctc(spec, "reject", "0123456789ab", "--why", "wrong numbers", "--deployed")

    client = boto3.client("sagemaker", region_name=REGION)
    listed = client.list_pipeline_executions(PipelineName="toy-wake")["PipelineExecutionSummaries"]
    assert len(listed) == 2
    for number, execution in enumerate(sorted(listed, key=lambda item: str(item["PipelineExecutionArn"]))):
        arn = execution["PipelineExecutionArn"]
        [given] = client.list_pipeline_parameters_for_execution(PipelineExecutionArn=arn)["PipelineParameters"]
        assert given["Name"] == "Manual" and len(given["Value"]) < 200
        at = f"instant=2024-02-27T0{number}:00:00Z"
        woken = step(account, "wake", tmp_path, "--parameter", at, "--parameter", f"manual={given['Value']}")
        assert woken.returncode == 0, woken.stderr

    records = json.loads(ctc(spec, "runs", "--deployed", "-o", "json"))
    said = json.dumps(records, indent=1)
    assert "labels of the strike" in said
    assert "nothing waits for an answer" in said
    kept = boto3.client("s3").list_objects_v2(Bucket="toy-ct", Prefix="toy/default/sagemaker/records/")["Contents"]
    assert len(records) == len(kept) >= 2
    assert "champion   none\n" in ctc(spec, "status")


def test_a_wake_that_is_told_of_nothing_fails(account: tuple[System, Bundle], tmp_path: Path) -> None:
    woken = step(account, "wake", tmp_path, "--parameter", 'manual={"told": "../state"}')

    assert woken.returncode == 1
    assert (
        "the parameter `manual` names what was told as '../state', and there is no told/../state.json" in woken.stderr
    )


def test_a_job_that_nobody_told_its_region_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "CTC_MOUNTS"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StepFailed, match="AWS_REGION is not set: this step runs in a SageMaker job"):
        services_of({"root": "s3://acme-ct/toy", "policy": {}})


def test_a_launch_is_started_once_and_found_by_its_number(account: tuple[System, Bundle]) -> None:
    launcher = PipelineLauncher(Session(REGION), account[0].name)
    told = {"attempt": "20240301T000000Z-1a2b3c4d", "instant": "2024-03-01T00:00:00Z"}
    key = f"{told['attempt']}-1"

    assert launcher.status(key) == "unknown"
    launcher.launch(key, told)
    # moto's executions have ended as soon as they are started.
    assert launcher.status(key) == "dead"
    assert launcher.status(f"{told['attempt']}-2") == "unknown"


def test_versions_are_registered_once_and_aliases_move(account: tuple[System, Bundle]) -> None:
    registry, model = PackageRegistry(Session(REGION)), account[0].name

    def register(key: str) -> str:
        tags = {"ctc.image": "registry.example/toy:1", "ctc.attempt": key, "ctc.code": ""}
        return registry.register(model, key=key, uri=f"s3://acme-ct/{key}", tags=tags, metrics={"auc": 0.75})

    first, second = register("a1"), register("a2")
    assert (first, register("a1"), second) == ("1", "1", "2")
    registry.set_alias(model, "champion", first)
    registry.set_alias(model, "champion", second)
    registry.set_alias(model, "previous", first)

    assert aliases(model) == {"1": {"previous"}, "2": {"champion"}}
    client = boto3.client("sagemaker", region_name=REGION)
    package = client.list_model_packages(ModelPackageGroupName=model)["ModelPackageSummaryList"][0]
    said = client.describe_model_package(ModelPackageName=package["ModelPackageArn"])
    [container] = said["InferenceSpecification"]["Containers"]
    assert container["ModelDataSource"]["S3DataSource"]["S3Uri"] in ("s3://acme-ct/a1/", "s3://acme-ct/a2/")
    registry.set_alias(model, "champion", None)
    assert aliases(model) == {"1": {"previous"}, "2": set()}


def aliases(model: str) -> dict[str, set[str]]:
    client = boto3.client("sagemaker", region_name=REGION)
    found = {}
    for package in client.list_model_packages(ModelPackageGroupName=model)["ModelPackageSummaryList"]:
        told = client.describe_model_package(ModelPackageName=package["ModelPackageArn"])["CustomerMetadataProperties"]
        names = {name.removeprefix("ctc-alias-") for name in told if name.startswith("ctc-alias-")}
        found[str(package["ModelPackageVersion"])] = names
    return found


def test_a_secret_is_read_and_one_that_is_not_there_is_named(account: tuple[System, Bundle]) -> None:
    boto3.client("secretsmanager", region_name=REGION).create_secret(Name="hook", SecretString="s3cr3t")
    secrets = ManagedSecrets(Session(REGION))

    assert secrets.get("hook") == "s3cr3t"
    with pytest.raises(StepFailed, match="there is no secret gone in Secrets Manager of eu-north-1"):
        secrets.get("gone")


def test_csv_in_a_folder_of_the_store_is_read_in_place(account: tuple[System, Bundle]) -> None:
    s3 = boto3.client("s3", region_name=REGION)
    for day, value in (("a", "1.5"), ("b", "2.5")):
        s3.put_object(Bucket="toy-ct", Key=f"csv/day={day}/part.csv", Body=f"\ufeffid;x\n{day};{value}\n".encode())
    described = {"path": "s3://toy-ct/csv", "delimiter": ";", "columns": {"x": "number"}}
    source = {"csv": described, "timezone": None, "key": ["id"], "join": None, "event_time": None, "known_at": None}
    with engine.opened() as connection, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "fetch_arrow_table", DeprecationWarning)
        table = engine.table(connection, "rows", source)
        found = engine.one(connection, table.aggregate(n=table.count(), total=table["x"].sum()))
        with pytest.raises(StepFailed, match="source rows: there is no file below s3://toy-ct/none"):
            engine.table(connection, "rows", {**source, "csv": {**described, "path": "s3://toy-ct/none"}})

    assert found == {"n": 2, "total": 4.0}


def test_our_steps_need_no_more_rights_than_the_pipelines_role_has(
    account: tuple[System, Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every request of the ports is held against the policy that the bundle emits for the role of its jobs."""
    system = account[0]
    policy = json.loads(next(i.content for i in account[1].artifacts if i.path == "identities/pipeline.policy.json"))
    asked, asks = set[tuple[str, str]](), Session.call

    def call(session: Session, service: str, operation: str, about: str, **arguments: Any) -> Mapping[str, Any]:
        name = boto3.client(service, region_name=REGION).meta.method_to_api_mapping[operation]
        if service == "s3":
            resource = f"arn:aws:s3:::{arguments['Bucket']}/{arguments['Key']}"
        else:
            resource = names.arn(system, "sagemaker", about)
        asked.add((f"{service}:{name}", resource))
        return asks(session, service, operation, about, **arguments)

    monkeypatch.setattr(Session, "call", call)
    services = services_of({"root": system.root, "policy": {"triggers": {"model": system.name}}})
    read = services.state.read()
    services.state.compare_and_set(read.token, read.document or {})
    assert services.objects.get("records/none.json") is None
    assert (services.objects.put_once("launches/x.json", {}), services.objects.put_once("launches/x.json", {})) == (
        True,
        False,
    )
    services.launcher.launch("a-9-1", {"attempt": "a-9", "instant": "2024-03-01T00:00:00Z"})
    services.launcher.status("a-9-1")
    services.registry.register(system.name, key="a9", uri="s3://toy-ct/a9", tags={}, metrics={})
    services.registry.set_alias(system.name, "champion", "1")

    assert len(asked) >= 9
    for action, resource in sorted(asked):
        assert any(
            action in _listed(statement["Action"])
            and any(fnmatch.fnmatchcase(resource, pattern) for pattern in _listed(statement["Resource"]))
            for statement in policy["Statement"]
        ), (action, resource)


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
