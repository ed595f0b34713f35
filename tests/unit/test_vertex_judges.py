"""Google's own judges on what is emitted: its SDK, its protocol buffers, its discovery documents."""

from __future__ import annotations

import importlib.resources
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from vertex_system import documents, full_system

from ctc.targets.kfp_words import ARGUMENT_BYTES, Limit
from ctc.targets.kfp_yaml import as_yaml
from ctc.targets.kubeflow import limits as kubeflow_limits
from ctc.targets.vertex.limits import LIMITS
from ctc.targets.vertex.pipeline import payload
from ctc.targets.vertex.rehearse import plain

BODIES = {
    "pipelines/": ("aiplatform.v1", "GoogleCloudAiplatformV1PipelineJob"),
    "schedules/": ("aiplatform.v1", "GoogleCloudAiplatformV1Schedule"),
    "registry/": ("aiplatform.v1", "GoogleCloudAiplatformV1UploadModelRequest"),
    "identities/account-": ("iam.v1", "CreateServiceAccountRequest"),
    "identities/role-": ("iam.v1", "CreateRoleRequest"),
    "serving/api/endpoint": ("aiplatform.v1", "GoogleCloudAiplatformV1Endpoint"),
    "serving/api/candidate/endpoint": ("aiplatform.v1", "GoogleCloudAiplatformV1Endpoint"),
    "serving/api/model": ("aiplatform.v1", "GoogleCloudAiplatformV1UploadModelRequest"),
    "serving/api/deploy": ("aiplatform.v1", "GoogleCloudAiplatformV1DeployModelRequest"),
    "serving/api/candidate/deploy": ("aiplatform.v1", "GoogleCloudAiplatformV1DeployModelRequest"),
    "serving/api/rollout-0-deploy": ("aiplatform.v1", "GoogleCloudAiplatformV1DeployModelRequest"),
    "serving/api/rollout-3-traffic-10": ("aiplatform.v1", "GoogleCloudAiplatformV1Endpoint"),
    "serving/api/rollout-4-traffic-100": ("aiplatform.v1", "GoogleCloudAiplatformV1Endpoint"),
    "serving/api/rollout-back": ("aiplatform.v1", "GoogleCloudAiplatformV1Endpoint"),
    "events/fraud-ops-alert.trigger.json": ("eventarc.v1", "Trigger"),
    "events/fraud-ops-alert.workflow.json": ("workflows.v1", "Workflow"),
    "staleness/workflow.json": ("workflows.v1", "Workflow"),
    "staleness/scheduler-job.json": ("cloudscheduler.v1", "Job"),
    "staleness/alert-policy.json": ("monitoring.v3", "AlertPolicy"),
}
"""The discovery document and the schema in it that judge the files whose path starts so."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The JSON and YAML files of a bundle that uses all that the target has."""
    return documents(full_system(tmp_path_factory.mktemp("full")))


def discovery(name: str) -> dict[str, Any]:
    """A discovery document of Google's, from the files of its own client: no network."""
    pytest.importorskip("googleapiclient", reason="google-api-python-client is not installed")
    folder = importlib.resources.files("googleapiclient.discovery_cache.documents")
    document: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return document


def judge(schemas: Mapping[str, Any], name: str, value: Any, place: str = "") -> Iterator[str]:
    """What a schema of a discovery document says against a value. Unknown and output-only fields are findings."""
    yield from _judged(schemas, schemas[name], value, place or name)


def _judged(schemas: Mapping[str, Any], part: Mapping[str, Any], value: Any, place: str) -> Iterator[str]:
    if "$ref" in part:
        part = schemas[part["$ref"]]
    kinds: dict[str, Any] = {
        "object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float),
    }  # fmt: skip
    kind = part.get("type", "any")
    if kind != "any" and not isinstance(value, kinds[kind]):
        yield f"{place}: {value!r} is no {kind}"
        return
    if part.get("enum") and value not in part["enum"]:
        yield f"{place}: {value!r} is none of {part['enum']}"
    if part.get("format") == "int64" and not (isinstance(value, str) and value.lstrip("-").isdigit()):
        yield f"{place}: {value!r} is no 64-bit integer in a string"
    if kind == "array":
        for index, item in enumerate(value):
            yield from _judged(schemas, part["items"], item, f"{place}[{index}]")
    elif kind == "object":
        for key, item in value.items():
            inner = part.get("properties", {}).get(key, part.get("additionalProperties"))
            if inner is None:
                yield f"{place}: there is no field {key}"
            elif inner.get("readOnly"):
                yield f"{place}: {key} is for the service to fill"
            else:
                yield from _judged(schemas, inner, item, f"{place}.{key}")


OURS = {"fidelity.json", "identities/grants.json"}
"""Documents of our own; the bindings in the grants are IAM's."""


def test_every_grant_is_a_binding_of_iam(bundle: dict[str, Any]) -> None:
    schemas = discovery("iam.v1")["schemas"]
    for grant in bundle["identities/grants.json"]["grants"]:
        assert list(judge(schemas, "Binding", grant["binding"])) == []


def cases(bundle: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Any]]:
    for path, body in bundle.items():
        for folder, (document, schema) in BODIES.items():
            if path.startswith(folder):
                yield path, document, schema, body


def test_every_body_is_one_of_the_service(bundle: dict[str, Any]) -> None:
    judged = list(cases(bundle))
    documents = {name: discovery(name)["schemas"] for name in {document for _, document, _, _ in judged}}

    assert {path for path, *_ in judged} == {path for path in bundle if path.endswith(".json")} - OURS
    for path, document, schema, body in judged:
        assert list(judge(documents[document], schema, body)) == [], path


def test_the_judge_is_not_blind(bundle: dict[str, Any]) -> None:
    schemas = discovery("aiplatform.v1")["schemas"]
    schema = "GoogleCloudAiplatformV1Schedule"
    good = bundle["schedules/every.json"]

    for wrong in (
        {**good, "labels": {}},
        {**good, "maxConcurrentRunCount": 1},
        {**good, "cron": 5},
        {**good, "allowQueueing": "no"},
        {**good, "state": "ACTIVE"},
    ):
        assert list(judge(schemas, schema, wrong))


def test_a_custom_job_is_one_of_the_service(bundle: dict[str, Any]) -> None:
    """The payload is snake_case, as the launcher takes it; the fields are those of the REST document."""
    schemas = discovery("aiplatform.v1")["schemas"]
    job = payload(bundle["pipelines/train.json"]["pipelineSpec"]["deploymentSpec"]["executors"]["exec-train"])
    assert job is not None
    assert list(judge(schemas, "GoogleCloudAiplatformV1CustomJob", strings_of_int64(camel(job)))) == []
    assert job["job_spec"]["scheduling"]["strategy"] == "SPOT"


def camel(value: Any) -> Any:
    if isinstance(value, dict):
        # The keys of labels are the user's own.
        return {
            key if key.startswith("ctc") else key.split("_")[0] + "".join(map(str.capitalize, key.split("_")[1:])): (
                item if key == "labels" else camel(item)
            )
            for key, item in value.items()
        }
    return [camel(item) for item in value] if isinstance(value, list) else value


def strings_of_int64(job: dict[str, Any]) -> dict[str, Any]:
    """JSON of protocol buffers takes a 64-bit integer as a number too; the discovery document says string."""
    for pool in job["jobSpec"]["workerPoolSpecs"]:
        pool["replicaCount"] = str(pool["replicaCount"])
    return job


def test_the_protocol_buffers_take_every_body(bundle: dict[str, Any]) -> None:
    """Unknown fields, enum values and types are refused by the SDK's own messages."""
    types = sdk().types
    for path, body in bundle.items():
        if path.startswith("pipelines/"):
            types.PipelineJob.from_json(json.dumps(body), ignore_unknown_fields=False)
        if path.startswith("schedules/"):
            made = types.Schedule.from_json(json.dumps(body), ignore_unknown_fields=False)
            assert made.max_concurrent_active_run_count == 1
            assert made.create_pipeline_job_request.pipeline_job.service_account.startswith("fraud-ct@")


def test_the_protocol_buffers_take_what_is_served(bundle: dict[str, Any]) -> None:
    types = sdk().types
    kinds = {
        "model": types.UploadModelRequest,
        "deploy": types.DeployModelRequest,
        "0-deploy": types.DeployModelRequest,
    }
    served = {path: body for path, body in bundle.items() if path.startswith("serving/")}
    for path, body in served.items():
        name = path.rpartition("/")[2].removesuffix(".json").removeprefix("rollout-")
        kinds.get(name, types.Endpoint).from_json(json.dumps(body), ignore_unknown_fields=False)
    endpoint = types.Endpoint.from_json(json.dumps(bundle["serving/api/endpoint.json"]))

    assert len(served) == 9
    assert endpoint.predict_request_response_logging_config.sampling_rate == 1.0


def test_the_protocol_buffers_take_the_custom_job(bundle: dict[str, Any]) -> None:
    types = sdk().types
    job = payload(bundle["pipelines/train.json"]["pipelineSpec"]["deploymentSpec"]["executors"]["exec-train"])
    made = types.CustomJob.from_json(json.dumps(job), ignore_unknown_fields=False)

    assert made.job_spec.scheduling.strategy == types.Scheduling.Strategy.SPOT
    assert made.job_spec.worker_pool_specs[0].disk_spec.boot_disk_size_gb == 323


@pytest.mark.parametrize("kind", ["wake", "train"])
def test_the_sdk_makes_a_job_of_each_pipeline(bundle: dict[str, Any], kind: str, tmp_path: Path) -> None:
    """`PipelineJob` takes the whole body as its template, and its parameters' values as they are given here."""
    sdk()
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform

    body = bundle[f"pipelines/{kind}.json"]
    file = tmp_path / "job.json"
    file.write_text(json.dumps(body))
    given = dict.fromkeys(body["pipelineSpec"]["root"]["inputDefinitions"]["parameters"], "x")
    job = aiplatform.PipelineJob(
        display_name=body["displayName"],
        template_path=str(file),
        parameter_values=given,
        project="acme-ml",
        location="europe-west4",
        credentials=AnonymousCredentials(),
        labels=body["labels"],
    )
    message = job.to_dict()

    assert message["runtimeConfig"]["parameterValues"] == given
    assert message["runtimeConfig"]["gcsOutputDirectory"] == body["runtimeConfig"]["gcsOutputDirectory"]
    assert message["labels"].items() >= body["labels"].items()


@pytest.mark.parametrize("kind", ["wake", "train"])
def test_kubeflow_loads_the_specs(bundle: dict[str, Any], kind: str) -> None:
    """kfp's loader and the messages of the PipelineSpec, on what Vertex gets and on what is rehearsed."""
    from google.protobuf import json_format
    from kfp import components
    from kfp.pipeline_spec import pipeline_spec_pb2

    spec = bundle[f"pipelines/{kind}.json"]["pipelineSpec"]
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    for executor in spec["deploymentSpec"]["executors"].values():
        json_format.ParseDict(executor, pipeline_spec_pb2.PipelineDeploymentConfig.ExecutorSpec())
    for document in (spec, plain(spec)):
        loaded = components.load_component_from_text(as_yaml(document).decode())
        assert loaded.name == spec["pipelineInfo"]["name"]
        assert yaml.safe_load(as_yaml(document)) == document


def sdk() -> Any:
    """The SDK's types; its import warns of what it no longer supports."""
    pytest.importorskip("google.cloud.aiplatform_v1", reason="google-cloud-aiplatform is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from google.cloud import aiplatform, aiplatform_v1

    assert aiplatform.__version__.startswith("2.")
    return aiplatform_v1


@pytest.mark.parametrize("name", [name for name, limit in LIMITS.items() if limit.field])
def test_a_limit_is_that_of_the_discovery_document(name: str) -> None:
    limit = LIMITS[name]
    service, _, place = limit.field.partition(":")
    schema, _, member = place.partition(".")
    text = discovery(service)["schemas"][schema]["properties"][member]["description"]
    numbers = {int(number) for number in re.findall(r"\d+", limit.said)}

    assert limit.said in text
    assert limit.value in numbers | {number * 86_400 for number in numbers}


def test_every_limit_has_its_words_or_says_that_it_has_none() -> None:
    ours = [value for value in vars(kubeflow_limits).values() if isinstance(value, Limit)]
    for limit in (*LIMITS.values(), *ours, ARGUMENT_BYTES):
        assert limit.value > 0
        assert re.fullmatch(r"20\d\d-\d\d", limit.as_of)
        assert bool(limit.said) != ("no sentence" in limit.source)
        assert len(limit.said.split()) <= 25


def test_the_name_of_a_pipeline_is_the_one_of_kubeflows_compiler() -> None:
    utils = pytest.importorskip("kfp.dsl.utils")

    assert LIMITS["pipeline name"].said in " ".join(utils.validate_pipeline_name.__doc__.split())
