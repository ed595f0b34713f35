"""Secrets of the user's command: there under the spec's name while it runs, and nowhere in what a run leaves."""

from __future__ import annotations

import ast
import base64
import http.server
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
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
    spec.write_text(
        text.replace("  timeout: 2m\n", "  timeout: 2m\n  env: {TOKEN: {secret: hub-token}}\n").replace(
            "datastore: ct\n", "datastore: ct\n    key_vault: toy-vault\n"
        )
    )
    for name in ("train.py", "predict.py"):
        file = spec.parent / name
        file.write_text(file.read_text() + SEES)
    return spec


@pytest.mark.parametrize(
    "target", ["vertex", "azureml", *(pytest.param(name, marks=pytest.mark.soak) for name in ("sagemaker", "kubeflow"))]
)
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
    loaded.targets["azureml"]["key_vault"] = "toy-vault"
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


NAMED = {
    "vertex": "https://secretmanager.googleapis.com/v1/projects/toy-ml/secrets/hub-token/versions/latest:access",
    "azureml": "https://toy-vault.vault.azure.net/secrets/hub-token",
}


def handed(target: str, files: dict[str, bytes], step: str) -> tuple[list[str], list[str]]:
    """The command of a step, and its words from the first secret on."""
    if target == "vertex":
        executors = json.loads(files["pipelines/train.json"])["pipelineSpec"]["deploymentSpec"]["executors"]
        container = executors[f"exec-{step}"]["container"]
        return container["command"], container["args"]
    command = yaml.safe_load(files["pipelines/train.yml"])["jobs"][step.replace("-", "_")]["component"]["command"]
    words = shlex.split(command.replace("\\\n", " "))
    start = next(index for index, word in enumerate(words) if word.startswith("TOKEN="))
    return words[:start], words[start:]


@pytest.mark.parametrize("target", NAMED)
def test_a_container_is_told_where_its_secret_is(target: str, tmp_path: Path) -> None:
    files = compiled(tmp_path, target)
    for step in ("train", "predict-contender", "predict-champion"):
        _, words = handed(target, files, step)
        assert words[:3] == [f"TOKEN=CTC_SECRET_HUB_TOKEN={NAMED[target]}", "--step", step]
    for path, content in files.items():
        if path.startswith("documents/"):
            assert b"hub-token" not in content
    grants = json.loads(files["identities/grants.json"])["grants"]
    assert [grant for grant in grants if "hub-token" in json.dumps(grant)]


class Answers(http.server.BaseHTTPRequestHandler):
    """The metadata server and the secret service of a cloud, on this machine's loopback."""

    token: dict[str, Any] = {"access_token": "t0ken"}  # noqa: RUF012
    answer: tuple[int, Any] = (200, {})
    asked: list[tuple[str, str | None]] = []  # noqa: RUF012
    keys = ("Authorization", "Metadata-Flavor", "Metadata", "secret")

    def do_GET(self) -> None:
        self.asked.append((self.path, next((self.headers[key] for key in self.keys if self.headers[key]), None)))
        status, body = (200, self.token) if "/secrets/" not in self.path else self.answer
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere/secrets/hub-token")
        self.end_headers()
        self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Answers]]:
    """The fake, and an environment in which the container's own is asked."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    host = f"127.0.0.1:{server.server_address[1]}"
    for name in ("CTC_MOUNTS", "CTC_SECRET_HUB_TOKEN", "MSI_ENDPOINT", "MSI_SECRET", "DEFAULT_IDENTITY_CLIENT_ID"):
        monkeypatch.delenv(name, raising=False)
    # A proxy stands between a container and the world, never between it and its metadata server.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("GCE_METADATA_HOST", host)
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"http://{host}")
    monkeypatch.setattr(with_secrets, "PAUSE_SECONDS", 0.0)
    Answers.asked, Answers.token, Answers.answer = [], {"access_token": "t0ken"}, (200, {})
    Answers.host = host  # type: ignore[attr-defined]
    yield Answers
    server.shutdown()
    server.server_close()


GOOD = {
    "vertex": {"name": "x", "payload": {"data": base64.b64encode(f"{VALUE}\n".encode()).decode()}},
    "azureml": {"value": VALUE, "id": "x"},
}
PATHS = {
    "vertex": [
        "/computeMetadata/v1/instance/service-accounts/default/token",
        "/v1/projects/toy-ml/secrets/hub-token/versions/latest:access",
    ],
    "azureml": [
        "/metadata/identity/oauth2/token?resource=https%3A%2F%2Fvault.azure.net&api-version=2018-02-01",
        "/secrets/hub-token?api-version=7.4",
    ],
}


def near(target: str, service: type[Answers]) -> str:
    """The address of the secret, at the fake."""
    return re.sub("https://[^/]+", f"http://{service.host}", NAMED[target])  # type: ignore[attr-defined]


@pytest.mark.parametrize("target", NAMED)
def test_the_compiled_command_reads_it_with_nothing_but_python(
    target: str, service: type[Answers], tmp_path: Path
) -> None:
    """The words of the artifact, run as they are: only the host of the secret service is the fake's."""
    files = compiled(tmp_path, target)
    command, words = handed(target, files, "train")
    service.answer = (200, GOOD[target])
    told = near(target, service)
    words[0] = words[0].replace(NAMED[target], told)
    for name in ("shim.py", "with_secrets.py"):
        if target == "azureml":
            (tmp_path / name).write_bytes(files[f"support/{name}"])
    last = len(command) - 1 - command[::-1].index("python3")
    script = [re.sub(r".*/(with_secrets\.py)$", str(tmp_path / r"\1"), word) for word in command[last:]]
    model = tmp_path / "model"
    asks = "import os, pathlib, sys; pathlib.Path(sys.argv[1], 'm').write_text(os.environ['TOKEN'][::-1])"
    end = ["--step", "train", "--output", f"model={model}", "--", sys.executable, "-c", asks, "{model}"]
    environment = {key: value for key, value in os.environ.items() if key != "CTC_MOUNTS"}
    environment.update(no_proxy="127.0.0.1")
    # -I and -S: no package of this environment, as in an image that has none of ours.
    argv = [sys.executable, "-I", "-S", *script[1:], words[0], *end]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    assert (model / "m").read_text() == VALUE[::-1]
    assert VALUE not in done.stdout + done.stderr + " ".join(argv)
    assert [path for path, _ in service.asked] == PATHS[target]
    assert service.asked[-1][1] == "Bearer t0ken"


@pytest.mark.parametrize("target", NAMED)
@pytest.mark.parametrize(
    ("answer", "said", "times"),
    [
        ((403, {"error": {"message": "Permission denied on resource"}}), "HTTP 403 (Permission denied on resource)", 1),
        ((404, b"<html>"), "HTTP 404; there is none of that name", 1),
        ((302, {}), "HTTP 302", 1),
        ((503, {}), "HTTP 503", 4),
        ((200, b"s3cr3t-0f-the-hub"), "it answers with no JSON", 1),
        ((200, [VALUE]), "it answers with another document", 1),
        ((200, {"payload": {"data": "s3cr3t-0f-the-hub"}, "value": ""}), "holds no text", 1),
    ],
)
def test_what_the_service_refuses_ends_the_step_with_the_name(
    target: str,
    answer: tuple[int, Any],
    said: str,
    times: int,
    service: type[Answers],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("TOKEN", raising=False)
    service.answer = answer
    word = f"TOKEN=CTC_SECRET_HUB_TOKEN={near(target, service)}"
    assert with_secrets.main(["shim.py", word, "--step", "train", "--", "true"]) == 1
    told = capfd.readouterr().err
    assert told.startswith("ctc: train failed: the secret hub-token ")
    assert said in told
    assert VALUE not in told
    assert "TOKEN" not in os.environ
    assert len(service.asked) == 1 + times
    if answer[0] == 403:
        role = {"vertex": "roles/secretmanager.secretAccessor", "azureml": "Key Vault Secrets User"}
        assert role[target] in told


@pytest.mark.parametrize("target", NAMED)
def test_without_a_token_nothing_is_asked(target: str, service: type[Answers], monkeypatch: pytest.MonkeyPatch) -> None:
    service.token = {}
    with pytest.raises(with_secrets.Missing, match=r"hub-token .* without a token"):
        with_secrets.value_of("CTC_SECRET_HUB_TOKEN", near(target, service))
    assert len(service.asked) == 1
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:9")
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9")
    with pytest.raises(with_secrets.Missing, match=r"hub-token .* no answer: .*refused.*; the job needs an identity"):
        with_secrets.value_of("CTC_SECRET_HUB_TOKEN", near(target, service))


def test_a_service_that_hangs_is_left(service: type[Answers], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        monkeypatch.setattr(with_secrets, "PATIENCE_SECONDS", 0.05)
        monkeypatch.setattr(with_secrets, "TRIES", 2)
        monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{deaf.getsockname()[1]}")
        with pytest.raises(with_secrets.Missing, match="no answer: timed out"):
            with_secrets.value_of("CTC_SECRET_HUB_TOKEN", NAMED["vertex"])


def test_azure_ml_names_the_endpoint_of_its_identity(service: type[Answers], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSI_ENDPOINT", f"http://{service.host}/MSI/auth")  # type: ignore[attr-defined]
    monkeypatch.setenv("MSI_SECRET", "header")
    monkeypatch.setenv("DEFAULT_IDENTITY_CLIENT_ID", "me")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    service.answer = (200, GOOD["azureml"])
    assert with_secrets.value_of("CTC_SECRET_HUB_TOKEN", near("azureml", service)) == VALUE
    query = "resource=https%3A%2F%2Fvault.azure.net&api-version=2017-09-01&clientid=me"
    assert service.asked[0] == (f"/MSI/auth?{query}", "header")


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
