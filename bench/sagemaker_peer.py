"""The peer of `ctc compile`: a script that defines one comparable pipeline with the SageMaker SDK."""

import os
import sys
from pathlib import Path

os.environ |= {
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_DEFAULT_REGION": "eu-north-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "SAGEMAKER_VALIDATE_ROLE": "false",
    "SAGEMAKER_TELEMETRY_OPT_OUT": "true",
}

from sagemaker.core.processing import Processor
from sagemaker.core.shapes import ProcessingOutput, ProcessingS3Output
from sagemaker.core.workflow.conditions import ConditionEquals
from sagemaker.core.workflow.functions import JsonGet
from sagemaker.core.workflow.parameters import ParameterString
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.steps import ProcessingStep

SESSION = PipelineSession(default_bucket="bucket")
INSTANT = ParameterString(name="Instant", default_value="2024-01-01T00:00:00Z")


def step(name: str, after: tuple[str, ...] = (), **more: object) -> ProcessingStep:
    processor = Processor(
        role="arn:aws:iam::123456789012:role/r",
        image_uri="python:3.11",
        instance_count=1,
        instance_type="ml.m5.large",
        entrypoint=["python3", "-m", "step"],
        sagemaker_session=SESSION,
    )
    kept = ProcessingS3Output(
        s3_uri=f"s3://bucket/{name}", local_path="/opt/ml/processing/out", s3_upload_mode="EndOfJob"
    )
    outputs = [ProcessingOutput(output_name="out", s3_output=kept)]
    asked = processor.run(outputs=outputs, arguments=[name, INSTANT])
    return ProcessingStep(name=name, step_args=asked, depends_on=list(after), **more)


def judged(name: str, after: tuple[str, ...]) -> tuple[ProcessingStep, ConditionEquals]:
    result = PropertyFile(name=f"{name}-result", output_name="out", path="result.json")
    judge = step(name, after, property_files=[result])
    return judge, ConditionEquals(left=JsonGet(step_name=name, property_file=result, json_path="go"), right=True)


snapshot = step("snapshot")
validate, valid = judged("validate", ("snapshot",))
decide, good = judged("decide", ("evaluate",))
chain = [
    step("train"),
    step("predict-contender", ("train",)),
    step("predict-champion", ("train",)),
    step("evaluate", ("predict-contender", "predict-champion")),
    decide,
    ConditionStep(name="promotion", conditions=[good], if_steps=[step("register")], else_steps=[]),
]
gate = ConditionStep(name="validation", conditions=[valid], if_steps=chain, else_steps=[])
pipeline = Pipeline(name="peer", parameters=[INSTANT], steps=[snapshot, validate, gate], sagemaker_session=SESSION)
Path(sys.argv[1]).write_text(pipeline.definition(), encoding="utf-8")
