"""The ports of `ctc/steps` inside SageMaker: documents in S3, executions of the train pipeline, the model registry."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ctc.steps.ports import RunStatus, Services
from ctc.steps.task import StepFailed
from ctc.targets.sagemaker.endpoint import HostedEndpoint
from ctc.targets.sagemaker.names import shortened
from ctc.targets.sagemaker.pipeline import parameter_name
from ctc.targets.sagemaker.session import Missing, Session
from ctc.targets.sagemaker.stores import S3ObjectStore, S3StateStore

RUNNING = ("Executing", "Stopping")
"""Statuses of an execution that has not ended (botocore PipelineExecutionStatus)."""

ALIAS = "ctc-alias-"
"""Start of the metadata of a version that says which aliases point at it: the registry has no aliases of its own."""

KEY = "ctc-key="
"""Start of a version's description: the key under which it was registered, once. A list of versions shows it."""


def service_services(document: Mapping[str, Any], region: str) -> Services:
    session, root = Session(region), str(document["root"])
    objects = S3ObjectStore(session, root)
    policy = document["policy"]
    # Only wake and register start or register anything; the others know no model.
    model = str(policy.get("triggers", {}).get("model") or policy.get("registry", {}).get("model", ""))
    return Services(
        state=S3StateStore(session, f"{root}/state.json"),
        objects=objects,
        launcher=PipelineLauncher(session, model),
        registry=PackageRegistry(session),
        secrets=ManagedSecrets(session),
        endpoint=HostedEndpoint(session, objects) if policy.get("triggers", {}).get("rollout") else None,
    )


class PipelineLauncher:
    """Executions of the pipelines of a model. The key is the client's token, the attempt (or job) the display name by
    which a launch is found again."""

    def __init__(self, session: Session, model: str) -> None:
        self._session, self._model = session, model

    def launch(self, key: str, parameters: Mapping[str, str], *, pipeline: str = "train") -> None:
        name = f"{self._model}-{pipeline}"
        given = [{"Name": parameter_name(name), "Value": value} for name, value in sorted(parameters.items())]
        self._session.call(
            "sagemaker",
            "start_pipeline_execution",
            f"pipeline/{name}",
            PipelineName=name,
            # The rule on the execution's end takes the record's attempt and instant from these two.
            PipelineExecutionDisplayName=parameters["attempt"],
            PipelineExecutionDescription=parameters["instant"],
            PipelineParameters=given,
            ClientRequestToken=_token(key),
        )

    def status(self, key: str, *, pipeline: str = "train") -> RunStatus:
        """Of a launch of an attempt, `ATTEMPT-NUMBER`: the so many-th execution that bears the attempt's name."""
        attempt, _, number = key.rpartition("-")
        name = f"{self._model}-{pipeline}"
        listed = _pages(
            self._session,
            ("list_pipeline_executions", "PipelineExecutionSummaries", f"pipeline/{name}"),
            PipelineName=name,
            SortBy="CreationTime",
            SortOrder="Ascending",
        )
        launches = [item for item in listed if item.get("PipelineExecutionDisplayName") == attempt]
        if len(launches) < int(number):
            return "unknown"
        return "running" if launches[int(number) - 1]["PipelineExecutionStatus"] in RUNNING else "dead"


class PackageRegistry:
    """Model packages of the group that is called like the model. A version's number is the package's."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def register(self, model: str, *, key: str, uri: str, tags: Mapping[str, str], metrics: Mapping[str, float]) -> str:
        group = _group(model)
        for package in self._packages(group):
            if package.get("ModelPackageDescription") == f"{KEY}{key}":
                return str(package["ModelPackageVersion"])
        container: dict[str, Any] = {
            "ModelDataSource": {
                "S3DataSource": {"S3Uri": f"{uri.rstrip('/')}/", "S3DataType": "S3Prefix", "CompressionType": "None"}
            }
        }
        if image := tags.get("ctc.image"):
            container["Image"] = image
        told = {name.replace(".", "-"): value for name, value in tags.items() if value}
        told |= {f"metric-{name}": repr(value) for name, value in metrics.items()}
        made = self._session.call(
            "sagemaker",
            "create_model_package",
            f"model-package-group/{group}",
            ModelPackageGroupName=group,
            ModelPackageDescription=f"{KEY}{key}",
            ModelApprovalStatus="PendingManualApproval",
            InferenceSpecification={
                "Containers": [container],
                "SupportedContentTypes": ["application/vnd.apache.parquet"],
                "SupportedResponseMIMETypes": ["application/vnd.apache.parquet"],
            },
            CustomerMetadataProperties=dict(list(told.items())[:MOST_METADATA]),
            ClientToken=_token(key)[:36],
        )
        return str(made["ModelPackageArn"]).rpartition("/")[2]

    def set_alias(self, model: str, alias: str, version: str | None) -> None:
        group, name = _group(model), f"{ALIAS}{alias}"
        for package in self._packages(group):
            number, arn = str(package["ModelPackageVersion"]), package["ModelPackageArn"]
            about = f"model-package/{group}/{number}"
            said = self._session.call("sagemaker", "describe_model_package", about, ModelPackageName=arn)
            told, status = dict(said.get("CustomerMetadataProperties") or {}), said.get("ModelApprovalStatus")
            if (number == version) is (name in told):
                continue
            changes: dict[str, Any] = {}
            if number == version:
                told[name] = "true"
                status = "Approved" if alias == "champion" else status
            else:
                del told[name]
                changes["CustomerMetadataPropertiesToRemove"] = [name]
            # Whole, and with its status: then it does not matter whether the service adds to what it has.
            changes |= {"CustomerMetadataProperties": told, "ModelApprovalStatus": status}
            self._session.call("sagemaker", "update_model_package", about, ModelPackageArn=arn, **changes)

    def prune(self, model: str, keep: int, used: Collection[str]) -> None:
        group = _group(model)
        packages = sorted(self._packages(group), key=lambda package: -int(package["ModelPackageVersion"]))
        for package in packages[keep:]:
            if str(package["ModelPackageVersion"]) not in used:
                arn = package["ModelPackageArn"]
                self._session.call("sagemaker", "delete_model_package", arn, ModelPackageName=arn)

    def _packages(self, group: str) -> list[Mapping[str, Any]]:
        what = ("list_model_packages", "ModelPackageSummaryList", f"model-package-group/{group}")
        return list(_pages(self._session, what, ModelPackageGroupName=group))


MOST_METADATA = 50
"""Entries of `CustomerMetadataProperties` (CreateModelPackage, "Maximum number of 50 items")."""


class ManagedSecrets:
    """Secrets Manager, by the job's own role."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, name: str) -> str:
        try:
            said = self._session.call("secretsmanager", "get_secret_value", f"secret {name}", SecretId=name)
        except Missing as error:
            raise StepFailed(f"there is no secret {name} in Secrets Manager of {self._session.region}") from error
        if "SecretString" not in said:
            raise StepFailed(f"the secret {name} holds bytes; store a text")
        return str(said["SecretString"])


def _pages(session: Session, what: tuple[str, str, str], **arguments: Any) -> Iterator[Mapping[str, Any]]:
    """All items of a list: `what` is the operation, the member of its answer with the items, and about what."""
    operation, member, about = what
    more: dict[str, str] = {}
    while True:
        said = session.call("sagemaker", operation, about, **arguments, **more)
        yield from said[member]
        if not said.get("NextToken"):
            return
        more = {"NextToken": said["NextToken"]}


def _group(model: str) -> str:
    return shortened(model, "group name")


def _token(key: str) -> str:
    """A client's token: 64 hexadecimal digits; 32 to 128 characters are allowed (StartPipelineExecution)."""
    return hashlib.sha256(key.encode()).hexdigest()
