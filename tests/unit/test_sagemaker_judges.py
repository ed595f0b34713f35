"""The vendor's own judges on what is emitted: botocore's request shapes, the published schema, the vendor's SDK."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ctc.compiler.lower import lower
from ctc.language.load import load_spec
from ctc.language.spec import Spot
from ctc.targets import sagemaker
from ctc.targets.sagemaker.definition import check
from ctc.targets.sagemaker.interpreter import run
from ctc.targets.sagemaker.jobs import Host
from ctc.targets.sagemaker.limit_table import LIMITS
from ctc.targets.sagemaker.limits import jobs
from ctc.targets.sagemaker.machines import GPU_TYPES, INSTANCE_TYPES

SPEC = Path(__file__).resolve().parent.parent.parent / "specs" / "minimal.yaml"


@pytest.fixture(scope="module")
def bundle() -> dict[str, Any]:
    """The JSON files of a bundle that uses spot capacity, retries and hyperparameters."""
    loaded = load_spec(SPEC, None, "sagemaker")
    assert loaded.spec is not None, loaded.diagnostics
    spot = Spot(timedelta(minutes=10), timedelta(hours=6))
    training = replace(loaded.spec.training, spot=spot, retries=2, hyperparameters={"depth": 8, "rate": 0.1})
    system = lower(replace(loaded.spec, training=training), "sagemaker")
    artifacts = sagemaker.emit(system).artifacts
    return {item.path: json.loads(item.content) for item in artifacts if item.path.endswith(".json")}


@pytest.fixture(scope="module")
def models() -> Any:
    """botocore's service models, from its own files: no credentials, no network."""
    session = pytest.importorskip("botocore.session").get_session()
    return {name: session.get_service_model(name) for name in ("sagemaker", "events", "scheduler")}


def judge(models: Any, service: str, operation: str, body: Mapping[str, Any]) -> str:
    """botocore's report on a request body, with the lengths that its validator leaves to the service."""
    from botocore.validate import ParamValidator

    shape = models[service].operation_model(operation).input_shape
    report = ParamValidator().validate(body, shape)
    return "\n".join([report.generate_report(), *_bounds(shape, body, operation)]).strip()


CLASSES = {"L": r"\w", "N": r"\d", "Z": r"\s", "M": r"\u0300", "P": r"!-/:-@\[-`{-~", "S": r"$+<->^`|~"}
"""Unicode's classes inside a set of characters, as Python writes them, for ASCII."""


def as_python_writes(pattern: str) -> str:
    """Some patterns of the models bound the length once more, behind their end; that is `max`."""
    classes = re.sub(r"\\p\{(.)\}", lambda found: CLASSES[found[1]], pattern)
    return re.sub(r"\)\$\{[0-9,]+\}$", ")", classes)


def _bounds(shape: Any, value: Any, where: str) -> list[str]:
    """What the model says of sizes, enums and patterns; the validator looks at minima only."""
    found: list[str] = []
    if shape.type_name == "structure" and isinstance(value, dict):
        for key, item in value.items():
            if key in shape.members:
                found += _bounds(shape.members[key], item, f"{where}.{key}")
    elif shape.type_name == "list" and isinstance(value, list):
        for index, item in enumerate(value):
            found += _bounds(shape.member, item, f"{where}[{index}]")
    elif shape.type_name == "map" and isinstance(value, dict):
        for key, item in value.items():
            found += _bounds(shape.key, key, f"{where}.{key}") + _bounds(shape.value, item, f"{where}.{key}")
    most = shape.metadata.get("max")
    size = value if isinstance(value, int) else len(value) if hasattr(value, "__len__") else 0
    if most is not None and size > most:
        found.append(f"{where}: {size} is more than {most}")
    if isinstance(value, str):
        if getattr(shape, "enum", None) and value not in shape.enum:
            found.append(f"{where}: {value!r} is not one of {shape.enum}")
        pattern = shape.metadata.get("pattern")
        if pattern and not re.fullmatch(as_python_writes(pattern), value):
            found.append(f"{where}: {value!r} does not match {pattern}")
    return found


def plain(value: Any) -> Any:
    """A dummy for each function: what the service would put there is an S3 URI or a short text."""
    if isinstance(value, dict):
        if set(value) in ({"Get"}, {"Std:Join"}):
            return "s3://dummy/of/a/function"
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def requests(bundle: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Every job of every pipeline as (step, operation, body)."""
    found = []
    for path, definition in bundle.items():
        if path.startswith("pipelines/"):
            for step in jobs(definition):
                name = f"pipelines-abcdefghijkl-{step['Name']}-0123456789"
                body = {f"{step['Type']}JobName": name, **plain(step["Arguments"])}
                found.append((step["Name"], f"Create{step['Type']}Job", body))
    return found


def test_every_step_is_a_valid_request(bundle: dict[str, Any], models: Any) -> None:
    found = requests(bundle)

    assert len(found) == 10
    assert {
        name: report for name, operation, body in found if (report := judge(models, "sagemaker", operation, body))
    } == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("RoleArn", "me"),
        ("Nonsense", 1),
        ("Environment", {"A": "x" * 257}),
        ("AppSpecification", {"ImageUri": "i", "ContainerArguments": ["x" * 257]}),
        (
            "ProcessingResources",
            {"ClusterConfig": {"InstanceType": "ml.nope", "InstanceCount": 1, "VolumeSizeInGB": 1}},
        ),
    ],
)
def test_the_judge_is_not_blind(bundle: dict[str, Any], models: Any, key: str, value: Any) -> None:
    body = next(body for _, operation, body in requests(bundle) if operation == "CreateProcessingJob")

    assert judge(models, "sagemaker", "CreateProcessingJob", {**body, key: value})


def test_the_pipelines_can_be_created(bundle: dict[str, Any], models: Any) -> None:
    for kind in ("wake", "train", "record"):
        definition = json.dumps(bundle[f"pipelines/{kind}.json"])
        token = "0" * 32
        body = {**bundle[f"requests/{kind}.json"], "PipelineDefinition": definition, "ClientRequestToken": token}

        assert judge(models, "sagemaker", "CreatePipeline", body) == ""


def test_the_schedule_and_the_rule_are_valid_requests(bundle: dict[str, Any], models: Any) -> None:
    schedules = [body for path, body in bundle.items() if path.startswith("schedules/")]

    assert len(schedules) == 2
    for body in schedules:
        assert judge(models, "scheduler", "CreateSchedule", {**body, "ClientToken": "0" * 32}) == ""
    assert judge(models, "events", "PutRule", bundle["events/record-rule.json"]) == ""
    assert judge(models, "events", "PutTargets", bundle["events/record-target.json"]) == ""


def test_schedule_and_target_give_parameters_that_their_pipelines_have(bundle: dict[str, Any]) -> None:
    targets = {
        "wake": bundle["schedules/wake.json"]["Target"],
        "record": bundle["events/record-target.json"]["Targets"][0],
    }
    for kind, target in targets.items():
        declared = bundle[f"pipelines/{kind}.json"]["Parameters"]
        given = {item["Name"] for item in target["SageMakerPipelineParameters"]["PipelineParameterList"]}

        assert target["Arn"].endswith(f":pipeline/{bundle[f'requests/{kind}.json']['PipelineName']}")
        assert {item["Name"] for item in declared if "DefaultValue" not in item} <= given
        assert given <= {item["Name"] for item in declared}


def test_the_machines_are_in_the_services_own_lists(models: Any) -> None:
    processing = models["sagemaker"].shape_for("ProcessingInstanceType").enum
    training = models["sagemaker"].shape_for("TrainingInstanceType").enum
    machines = (*INSTANCE_TYPES, *GPU_TYPES)

    assert {machine.name for machine in machines if machine.processing} <= set(processing)
    assert {machine.name for machine in machines if machine.training} <= set(training)
    assert not {machine.name for machine in machines if not machine.processing} & set(processing)


@pytest.mark.parametrize("name", [name for name, limit in LIMITS.items() if limit.shape])
def test_a_limit_is_that_of_the_service_model(name: str) -> None:
    limit = LIMITS[name]
    session = pytest.importorskip("botocore.session").get_session()
    service, _, place = limit.shape.partition(":")
    shape, _, member = place.partition(".")
    found = session.get_service_model(service).shape_for(shape)

    if member:
        text = " ".join(re.sub(r"<[^>]+>", "", found.members[member].documentation).split())
        numbers = {int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", limit.said)}
        assert limit.said in text
        assert limit.value in numbers | {number * 86_400 for number in numbers}
    else:
        assert (limit.value, limit.said) == (found.metadata["max"], f'"max":{limit.value}')


def test_names_and_enums_satisfy_the_published_schema(bundle: dict[str, Any], oracles: Path) -> None:
    """That schema refuses documented parts (joins, property files), so only the parts that it has right are asked."""
    import jsonschema

    schema = json.loads((oracles / "schemas" / "sagemaker-pipeline-definition.schema.json").read_text())

    def holds(part: str, value: Any) -> bool:
        asked = {"$ref": f"#/definitions/{part}", "definitions": schema["definitions"]}
        return bool(jsonschema.Draft7Validator(asked).is_valid(value))

    types = {item["$ref"].rpartition("/")[2] for item in schema["properties"]["Steps"]["items"]["oneOf"]}
    known = {schema["definitions"][name]["properties"]["Type"]["enum"][0] for name in types}
    for path, definition in bundle.items():
        if not path.startswith("pipelines/"):
            continue
        assert definition["Version"] in schema["properties"]["Version"]["enum"]
        assert jsonschema.Draft7Validator(schema["properties"]["Metadata"]).is_valid(definition["Metadata"])
        assert set(definition["Metadata"]) == {"ctc-name", "ctc-environment", "ctc-spec-digest"}
        assert all(holds("StringParameter", parameter) for parameter in definition["Parameters"])
        for step in [*definition["Steps"], *jobs(definition)]:
            assert holds("StepName", step["Name"])
            assert step["Type"] in known
            for policy in step.get("RetryPolicies", []):
                for exception in policy["ExceptionType"]:
                    assert holds("RetryPolicy", {**policy, "ExceptionType": exception})
    assert not holds("StepName", "not a name")


SDK = """\
import json, sys
from sagemaker.core.processing import Processor
from sagemaker.core.shapes import ProcessingInput, ProcessingOutput, ProcessingS3Input, ProcessingS3Output
from sagemaker.core.workflow.conditions import ConditionEquals, ConditionGreaterThanOrEqualTo, ConditionNot
from sagemaker.core.workflow.conditions import ConditionIn, ConditionOr
from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join, JsonGet
from sagemaker.core.workflow.parameters import ParameterFloat, ParameterString
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.steps import ProcessingStep

session = PipelineSession(default_bucket="bucket")
floor = ParameterFloat(name="Floor", default_value=0.8)
word = ParameterString(name="Word", default_value="hello", enum_values=["hello", "bye"])

def step(name, code, inputs=(), **more):
    processor = Processor(
        role="arn:aws:iam::123456789012:role/r", image_uri="image", instance_count=1, instance_type="ml.m5.large",
        entrypoint=[sys.executable, "-c", code], sagemaker_session=session,
    )
    place = Join(on="/", values=["s3://bucket/out", ExecutionVariables.PIPELINE_EXECUTION_ID, name])
    return ProcessingStep(name=name, step_args=processor.run(
        inputs=[ProcessingInput(input_name="data", s3_input=ProcessingS3Input(
            s3_uri=uri, local_path="/opt/ml/processing/input/data", s3_data_type="S3Prefix", s3_input_mode="File",
        )) for uri in inputs],
        outputs=[ProcessingOutput(output_name="out", s3_output=ProcessingS3Output(
            s3_uri=place, local_path="/opt/ml/processing/out", s3_upload_mode="EndOfJob",
        ))],
        arguments=[word],
    ), **more)

score = PropertyFile(name="score", output_name="out", path="score.json")
judge = step("judge", "import json; json.dump({'auc': 0.9}, open('/opt/ml/processing/out/score.json', 'w'))",
             property_files=[score])
read = judge.properties.ProcessingOutputConfig.Outputs["out"].S3Output.S3Uri
use = step("use", "import sys; t = open('/opt/ml/processing/input/data/score.json').read();"
           "open('/opt/ml/processing/out/seen.txt', 'w').write(sys.argv[1] + t)", [read])
fail = FailStep(name="too-bad", error_message=Join(on=" ", values=["below", floor]))
auc = JsonGet(step_name="judge", property_file=score, json_path="auc")
good = [
    ConditionGreaterThanOrEqualTo(left=auc, right=floor),
    ConditionNot(ConditionEquals(left=word, right="nothing")),
    ConditionOr([ConditionIn(value=word, in_values=["hello"]), ConditionEquals(left=word, right="bye")]),
]
gate = ConditionStep(name="gate", conditions=good, if_steps=[use], else_steps=[fail])
pipeline = Pipeline(name="made", parameters=[floor, word], steps=[judge, gate], sagemaker_session=session)
open(sys.argv[1], "w").write(pipeline.definition())
"""


@pytest.fixture(scope="module")
def made_by_the_sdk(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A definition that SageMaker's SDK made, offline, in a process of its own (its import takes seconds)."""
    if importlib.util.find_spec("sagemaker") is None:
        pytest.skip("the SageMaker SDK is not installed")
    folder = tmp_path_factory.mktemp("sdk")
    environment = {
        **os.environ,
        "HOME": str(folder),
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": "eu-north-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "SAGEMAKER_VALIDATE_ROLE": "false",
        "SAGEMAKER_TELEMETRY_OPT_OUT": "true",
    }
    done = subprocess.run(
        [sys.executable, "-c", SDK, str(folder / "made.json")], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    definition: dict[str, Any] = json.loads((folder / "made.json").read_text())
    return definition


def test_the_interpreter_runs_what_the_sdk_made(made_by_the_sdk: dict[str, Any], tmp_path: Path) -> None:
    for name in ("s3", "work", "scratch"):
        (tmp_path / name).mkdir()
    host = Host({"s3://bucket": tmp_path / "s3"}, {"PATH": os.environ["PATH"]}, tmp_path / "work", tmp_path / "scratch")

    assert check(made_by_the_sdk) == []
    good = run(made_by_the_sdk, {}, host)
    assert [(step.name, step.status) for step in good.steps] == [
        ("judge", "Succeeded"),
        ("gate", "Succeeded"),
        ("use", "Succeeded"),
        ("too-bad", "NotExecuted"),
    ], good.reason
    [seen] = (tmp_path / "s3").rglob("seen.txt")
    assert seen.read_text() == 'hello{"auc": 0.9}'
    bad = run(made_by_the_sdk, {"Floor": "0.95"}, host)
    assert bad.status == "Failed"
    assert bad.reason == "step too-bad: below 0.95"


def test_the_sdk_writes_functions_as_we_do(made_by_the_sdk: dict[str, Any], bundle: dict[str, Any]) -> None:
    """The shapes of `Get`, `Std:Join`, `Std:JsonGet` and property files, by the vendor's own hand."""

    def functions(value: Any) -> set[tuple[str, ...]]:
        if isinstance(value, list):
            return set().union(*map(functions, value))
        if not isinstance(value, dict):
            return set()
        own = {
            (key, *sorted(item)) if isinstance(item, dict) else (key,)
            for key, item in value.items()
            if key == "Get" or key.startswith("Std:")
        }
        own |= {tuple(sorted(item)) for item in value.get("PropertyFiles", []) if isinstance(item, dict)}
        return own.union(*map(functions, value.values()))

    assert functions(bundle["pipelines/train.json"]) == functions(made_by_the_sdk)
