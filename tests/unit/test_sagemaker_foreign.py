"""Definitions that SageMaker's SDK writes, of several shapes, executed by our interpreter as ours are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ctc.targets.sagemaker.interpreter import Report, run
from ctc.targets.sagemaker.jobs import Host, Refused

MADE = """\
import sys
from sagemaker.core.processing import Processor
from sagemaker.core.shapes import ProcessingInput, ProcessingOutput, ProcessingS3Input, ProcessingS3Output
from sagemaker.core.training.configs import Compute, InputData, OutputDataConfig
from sagemaker.core.workflow.conditions import ConditionEquals, ConditionIn, ConditionLessThan, ConditionNot
from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join, JsonGet
from sagemaker.core.workflow.parameters import ParameterBoolean, ParameterInteger, ParameterString
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.retry import StepExceptionTypeEnum, StepRetryPolicy
from sagemaker.mlops.workflow.steps import CacheConfig, ProcessingStep, TrainingStep
from sagemaker.train import ModelTrainer

ROLE = "arn:aws:iam::123456789012:role/r"
SESSION = PipelineSession(default_bucket="bucket")

def step(name, code, arguments=(), data=None, env=None, **more):
    processor = Processor(
        role=ROLE, image_uri="image", instance_count=1, instance_type="ml.m5.large", env=env,
        entrypoint=[sys.executable, "-c", "import os, sys, json, pathlib;"
                    "OUT = pathlib.Path('/opt/ml/processing/out'); IN = pathlib.Path('/opt/ml/processing/in');" + code],
        sagemaker_session=SESSION,
    )
    inputs = [ProcessingInput(input_name="data", s3_input=ProcessingS3Input(
        s3_uri=uri, local_path="/opt/ml/processing/in", s3_data_type="S3Prefix", s3_input_mode="File",
    )) for uri in ([data] if data else [])]
    out = ProcessingOutput(output_name="out", s3_output=ProcessingS3Output(
        s3_uri=f"s3://bucket/{name}", local_path="/opt/ml/processing/out", s3_upload_mode="EndOfJob"))
    asked = processor.run(inputs=inputs, outputs=[out], arguments=list(arguments) or None)
    return ProcessingStep(name=name, step_args=asked, **more)

def of(made):
    return made.properties.ProcessingOutputConfig.Outputs["out"].S3Output.S3Uri

def write(name, steps, parameters=()):
    made = Pipeline(name=name, parameters=list(parameters), steps=steps, sagemaker_session=SESSION)
    open(f"{sys.argv[1]}/{name}.json", "w").write(made.definition())

count, fast = ParameterInteger(name="Count", default_value=3), ParameterBoolean(name="Fast", default_value=False)
word = ParameterString(name="Word", default_value="hi")

said = Join(on="/", values=[word, count, fast, ExecutionVariables.PIPELINE_NAME])
say = step("say", "(OUT / 'x').write_text(os.environ['SAID'])", env={"SAID": said})
write("parameters", [say], [count, fast, word])

first = step("first", "(OUT / 'x').write_text('one')", cache_config=CacheConfig(enable_caching=True, expire_after="1d"))
second = step("second", "(OUT / 'x').write_text((IN / 'x').read_text() + ' two')", data=of(first))
third = step("third", "(OUT / 'x').write_text((IN / 'x').read_text() + ' three')", data=of(second),
             depends_on=["first"])
write("chain", [third, second, first])

file = PropertyFile(name="seen", output_name="out", path="seen.json")
judge = step("judge", "(OUT / 'seen.json').write_text(json.dumps({'loss': [0.5, float(sys.argv[1])], 'kind': 'a'}))",
             arguments=[count.to_string()], property_files=[file])
loss = JsonGet(step_name="judge", property_file=file, json_path="loss[1]")
kind = JsonGet(step_name="judge", property_file=file, json_path="kind")
inner = ConditionStep(name="inner", conditions=[ConditionIn(value=kind, in_values=["a", "b"])],
                      if_steps=[step("yes", "(OUT / 'x').write_text('yes')")], else_steps=[step("no", "pass")])
outer = ConditionStep(name="outer", conditions=[ConditionLessThan(left=loss, right=5)], if_steps=[inner],
                      else_steps=[FailStep(name="stop", error_message=Join(on=": ", values=["too much", loss]))])
write("nested", [judge, outer], [count])

trainer = ModelTrainer(
    training_image="image", role=ROLE, sagemaker_session=SESSION, base_job_name="fit",
    hyperparameters={"depth": 8}, environment={"WORD": "deep"},
    compute=Compute(instance_type="ml.m5.large", instance_count=1),
    output_data_config=OutputDataConfig(s3_output_path="s3://bucket/models", compression_type="NONE"),
)
rows = step("rows", "(OUT / 'x').write_text('1,2')")
fit = TrainingStep(name="fit", step_args=trainer.train(
    input_data_config=[InputData(channel_name="train", data_source=of(rows))], wait=False))
use = step("use", "(OUT / 'x').write_text((IN / 'm').read_text())", data=fit.properties.ModelArtifacts.S3ModelArtifacts)
write("training", [rows, fit, use])

policy = StepRetryPolicy(exception_types=[StepExceptionTypeEnum.SERVICE_FAULT], max_attempts=3)
broken = step("broken", "print('no rows'); sys.exit(4)", retry_policies=[policy])
write("failing", [broken, step("after", "pass", depends_on=["broken"])])
"""

FIT = (
    "import json, os, pathlib; hp = json.load(open('/opt/ml/input/config/hyperparameters.json'));"
    "rows = pathlib.Path('/opt/ml/input/data/train/x').read_text();"
    "pathlib.Path('/opt/ml/model/m').write_text(' '.join([os.environ['WORD'], hp['depth'], rows]))"
)
"""In place of the entry point of an image, which is not in the definition."""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the SDK wrote its definitions, offline, in a process of its own."""
    pytest.importorskip("sagemaker")
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
    words = [sys.executable, "-W", "ignore", "-c", MADE, str(folder)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def host(tmp_path: Path) -> Host:
    for name in ("s3", "work", "scratch"):
        (tmp_path / name).mkdir()
    return Host({"s3://bucket": tmp_path / "s3"}, {"PATH": os.environ["PATH"]}, tmp_path / "work", tmp_path / "scratch")


def definition(written: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((written / f"{name}.json").read_text())
    for step in found["Steps"]:
        if step["Type"] == "Training":
            step["Arguments"]["AlgorithmSpecification"]["ContainerEntrypoint"] = [sys.executable, "-c", FIT]
    return found


def ran(report: Report) -> list[str]:
    return [step.name for step in report.ran]


@pytest.mark.parametrize(
    ("name", "given", "steps", "file", "text"),
    [
        ("parameters", {}, ["say"], "say/x", "hi/3/false/parameters"),
        ("parameters", {"Count": "4", "Fast": "true", "Word": "$(id)"}, ["say"], "say/x", "$(id)/4/true/parameters"),
        ("chain", {}, ["first", "second", "third"], "third/x", "one two three"),
        ("nested", {}, ["judge", "outer", "inner", "yes"], "yes/x", "yes"),
        ("training", {}, ["rows", "fit", "use"], "use/x", "deep 8 1,2"),
    ],
)
def test_a_definition_of_the_sdk_runs(
    written: Path, host: Host, name: str, given: Mapping[str, str], steps: list[str], file: str, text: str
) -> None:
    report = run(definition(written, name), given, host, name=name)

    assert report.status == "Succeeded", report.reason
    assert ran(report) == steps
    assert (host.mounts["s3://bucket"] / file).read_text() == text


@pytest.mark.parametrize(
    ("name", "given", "steps", "reason"),
    [
        ("failing", {}, ["broken"], "no rows"),
        ("nested", {"Count": "7"}, ["judge", "outer", "stop"], "step stop: too much: 7.0"),
    ],
)
def test_a_definition_of_the_sdk_fails_where_it_says(
    written: Path, host: Host, name: str, given: Mapping[str, str], steps: list[str], reason: str
) -> None:
    report = run(definition(written, name), given, host, name=name)

    assert report.status == "Failed"
    assert ran(report) == steps
    assert reason in report.reason


def test_a_definition_of_the_sdk_with_a_step_of_another_type_is_refused_by_name(written: Path, host: Host) -> None:
    made = definition(written, "chain")
    made["Steps"].append({"Name": "tune", "Type": "Tuning", "Arguments": {}})

    with pytest.raises(Refused, match="Tuning"):
        run(made, {}, host)
