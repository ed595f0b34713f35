"""How each kind of resource is read, made, changed and taken away. Bodies are those of the bundle's requests.

What a service adds by itself (defaults, times, order) is taken off when it is read, or stated when it is asked for: a
plan after a deploy is empty.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Protocol

from ctc.deploy.resource import CloudError, Live, Resource
from ctc.targets.sagemaker.bootstrap import POLICY
from ctc.targets.sagemaker.session import Missing, Session
from ctc.targets.sagemaker.stores import place, put


class Kind(Protocol):
    def read(self, resource: Resource) -> Live: ...

    def create(self, resource: Resource) -> None: ...

    def update(self, resource: Resource) -> None: ...

    def delete(self, resource: Resource) -> None: ...


class _OfSession:
    def __init__(self, session: Session, own: str) -> None:
        """`own` is the start of the ARNs of what this deployment's pipelines are: `arn:...:pipeline/NAME-`."""
        self.session, self.own = session, own


def tag_list(labels: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": labels[key]} for key in sorted(labels)]


def _labels(tags: Any, key: str = "Key", value: str = "Value") -> dict[str, str]:
    return {tag[key]: tag[value] for tag in tags}


class Files(_OfSession):
    """Files that jobs read, below a prefix that is named after their content. `body` has each one's SHA-256.

    They stand below the deployment's own root, so all of them are its own.
    """

    def read(self, resource: Resource) -> Live:
        found = {path: digest for path in resource.body if (digest := self._digest(resource, path))}
        if not found:
            raise Missing(f"{resource.address} is not there")
        return Live(found, resource.labels)

    def create(self, resource: Resource) -> None:
        for path, content in resource.content.items():
            put(self.session, self._uri(resource, path), content, {})

    def update(self, resource: Resource) -> None:
        self.create(resource)

    def delete(self, resource: Resource) -> None:
        for path in resource.body:
            bucket, key = place(self._uri(resource, path))
            self.session.call("s3", "delete_object", resource.address, Bucket=bucket, Key=key)

    def _digest(self, resource: Resource, path: str) -> str:
        bucket, key = place(self._uri(resource, path))
        try:
            answer = self.session.call("s3", "get_object", resource.address, Bucket=bucket, Key=key)
        except Missing:
            return ""
        return hashlib.sha256(answer["Body"].read()).hexdigest()

    def _uri(self, resource: Resource, path: str) -> str:
        return f"{self.own}/{resource.name}/{path}"


class Pipelines(_OfSession):
    def read(self, resource: Resource) -> Live:
        call, about = self.session.call, resource.address
        said = call("sagemaker", "describe_pipeline", about, PipelineName=resource.name)
        tags = call("sagemaker", "list_tags", about, ResourceArn=said["PipelineArn"])["Tags"]
        body = {field: said.get(field) for field in ("PipelineName", "PipelineDescription", "RoleArn")}
        return Live({**body, "PipelineDefinition": json.loads(said["PipelineDefinition"])}, _labels(tags))

    def create(self, resource: Resource) -> None:
        body, definition = self._body(resource)
        # The same request again is the same pipeline: a lost answer does no harm.
        token = hashlib.sha256(f"{resource.address}{definition}".encode()).hexdigest()
        tags = tag_list(resource.labels)
        self.session.call("sagemaker", "create_pipeline", resource.address, **body, ClientRequestToken=token, Tags=tags)

    def update(self, resource: Resource) -> None:
        body, _ = self._body(resource)
        said = self.session.call("sagemaker", "update_pipeline", resource.address, **body)
        tags = tag_list(resource.labels)
        self.session.call("sagemaker", "add_tags", resource.address, ResourceArn=said["PipelineArn"], Tags=tags)

    def delete(self, resource: Resource) -> None:
        token = hashlib.sha256(f"delete {resource.address}".encode()).hexdigest()
        arguments = {"PipelineName": resource.name, "ClientRequestToken": token}
        self.session.call("sagemaker", "delete_pipeline", resource.address, **arguments)

    def _body(self, resource: Resource) -> tuple[dict[str, Any], str]:
        definition = json.dumps(resource.body["PipelineDefinition"], sort_keys=True, separators=(",", ":"))
        return {**resource.body, "PipelineDefinition": definition}, definition


class Groups(_OfSession):
    """Model package groups. The service has no request that changes one."""

    def read(self, resource: Resource) -> Live:
        call, about = self.session.call, resource.address
        said = call("sagemaker", "describe_model_package_group", about, ModelPackageGroupName=resource.name)
        tags = call("sagemaker", "list_tags", about, ResourceArn=said["ModelPackageGroupArn"])["Tags"]
        fields = ("ModelPackageGroupName", "ModelPackageGroupDescription")
        return Live({field: said.get(field) for field in fields}, _labels(tags))

    def create(self, resource: Resource) -> None:
        arguments = {**resource.body, "Tags": tag_list(resource.labels)}
        self.session.call("sagemaker", "create_model_package_group", resource.address, **arguments)

    def update(self, resource: Resource) -> None:
        """Nothing of it can be changed: every field is `fixed`."""

    def delete(self, resource: Resource) -> None:
        """With its versions: the service deletes no group that has some."""
        call, about = self.session.call, resource.address
        more: dict[str, str] = {}
        while True:
            said = call("sagemaker", "list_model_packages", about, ModelPackageGroupName=resource.name, **more)
            for item in said["ModelPackageSummaryList"]:
                call("sagemaker", "delete_model_package", about, ModelPackageName=item["ModelPackageArn"])
            if not said.get("NextToken"):
                break
            more = {"NextToken": said["NextToken"]}
        call("sagemaker", "delete_model_package_group", about, ModelPackageGroupName=resource.name)


class Topics(_OfSession):
    def read(self, resource: Resource) -> Live:
        about, arn = resource.address, self._arn(resource)
        self.session.call("sns", "get_topic_attributes", about, TopicArn=arn)
        tags = self.session.call("sns", "list_tags_for_resource", about, ResourceArn=arn)["Tags"]
        return Live({"Name": resource.name}, _labels(tags))

    def create(self, resource: Resource) -> None:
        tags = tag_list(resource.labels)
        self.session.call("sns", "create_topic", resource.address, **resource.body, Tags=tags)

    def update(self, resource: Resource) -> None:
        """A topic is its name."""

    def delete(self, resource: Resource) -> None:
        self.session.call("sns", "delete_topic", resource.address, TopicArn=self._arn(resource))

    def _arn(self, resource: Resource) -> str:
        return f"{self.own}{resource.name}"


class Alarms(_OfSession):
    def read(self, resource: Resource) -> Live:
        call, about = self.session.call, resource.address
        found = call("cloudwatch", "describe_alarms", about, AlarmNames=[resource.name])["MetricAlarms"]
        if not found:
            raise Missing(f"{about} is not there")
        [said] = found
        tags = call("cloudwatch", "list_tags_for_resource", about, ResourceARN=said["AlarmArn"])["Tags"]
        return Live({key: value for key, value in said.items() if key not in _STATE}, _labels(tags))

    def create(self, resource: Resource) -> None:
        arguments = {**resource.body, "Tags": tag_list(resource.labels)}
        self.session.call("cloudwatch", "put_metric_alarm", resource.address, **arguments)

    def update(self, resource: Resource) -> None:
        self.session.call("cloudwatch", "put_metric_alarm", resource.address, **resource.body)

    def delete(self, resource: Resource) -> None:
        self.session.call("cloudwatch", "delete_alarms", resource.address, AlarmNames=[resource.name])


_STATE = {
    *("AlarmArn", "AlarmConfigurationUpdatedTimestamp", "StateReason", "StateReasonData", "StateUpdatedTimestamp"),
    *("StateValue", "StateTransitionedTimestamp", "EvaluationState"),
}
"""What an alarm says of its moment rather than of itself."""


class Rules(_OfSession):
    """A rule with its targets: without them it does nothing. The name holds the bus, unless it is the default one."""

    def read(self, resource: Resource) -> Live:
        call, about = self.session.call, resource.address
        bus, name = _bus(resource.name)
        said = call("events", "describe_rule", about, Name=name, EventBusName=bus)
        targets = call("events", "list_targets_by_rule", about, Rule=name, EventBusName=bus)["Targets"]
        tags = call("events", "list_tags_for_resource", about, ResourceARN=said["Arn"])["Tags"]
        body = {
            "Name": name,
            "EventBusName": bus,
            "Description": said.get("Description"),
            "State": said.get("State"),
            "EventPattern": json.loads(said["EventPattern"]) if said.get("EventPattern") else None,
            "Targets": sorted(targets, key=lambda target: str(target["Id"])),
        }
        return Live(body, _labels(tags))

    def create(self, resource: Resource) -> None:
        # With its tags at once: a rule that was made and not yet tagged would be nobody's.
        self._put(resource, Tags=tag_list(resource.labels))

    def update(self, resource: Resource) -> None:
        self._put(resource)

    def delete(self, resource: Resource) -> None:
        call, about = self.session.call, resource.address
        bus, name = _bus(resource.name)
        targets = call("events", "list_targets_by_rule", about, Rule=name, EventBusName=bus)["Targets"]
        if targets:
            ids = [target["Id"] for target in targets]
            call("events", "remove_targets", about, Rule=name, EventBusName=bus, Ids=ids)
        call("events", "delete_rule", about, Name=name, EventBusName=bus)

    def _put(self, resource: Resource, **more: Any) -> None:
        call, about = self.session.call, resource.address
        bus, name = _bus(resource.name)
        rule = {key: value for key, value in resource.body.items() if key != "Targets"}
        rule["EventPattern"] = json.dumps(rule["EventPattern"], sort_keys=True)
        call("events", "put_rule", about, **rule, **more)
        targets = list(resource.body["Targets"])
        said = call("events", "put_targets", about, Rule=name, EventBusName=bus, Targets=targets)
        if said.get("FailedEntryCount"):
            raise CloudError(f"{about}: events:put_targets failed: {said['FailedEntries']}")
        kept = {target["Id"] for target in targets}
        there = call("events", "list_targets_by_rule", about, Rule=name, EventBusName=bus)["Targets"]
        old = [target["Id"] for target in there if target["Id"] not in kept]
        if old:
            call("events", "remove_targets", about, Rule=name, EventBusName=bus, Ids=old)


class Roles(_OfSession):
    """IAM roles with one policy of their own."""

    def read(self, resource: Resource) -> Live:
        call, about = self.session.call, resource.address
        said = call("iam", "get_role", about, RoleName=resource.name)["Role"]
        trust = said["AssumeRolePolicyDocument"]
        body = {"RoleName": resource.name, "AssumeRolePolicyDocument": trust, "Policy": self._policy(resource)}
        tags = call("iam", "list_role_tags", about, RoleName=resource.name)["Tags"]
        return Live(body, _labels(tags))

    def create(self, resource: Resource) -> None:
        trust = json.dumps(resource.body["AssumeRolePolicyDocument"], sort_keys=True)
        arguments = {"RoleName": resource.name, "AssumeRolePolicyDocument": trust, "Tags": tag_list(resource.labels)}
        self.session.call("iam", "create_role", resource.address, **arguments)
        self._put(resource)

    def update(self, resource: Resource) -> None:
        trust = json.dumps(resource.body["AssumeRolePolicyDocument"], sort_keys=True)
        arguments = {"RoleName": resource.name, "PolicyDocument": trust}
        self.session.call("iam", "update_assume_role_policy", resource.address, **arguments)
        self._put(resource)

    def delete(self, resource: Resource) -> None:
        call, about = self.session.call, resource.address
        # It may have been killed between the two.
        with contextlib.suppress(Missing):
            call("iam", "delete_role_policy", about, RoleName=resource.name, PolicyName=POLICY)
        call("iam", "delete_role", about, RoleName=resource.name)

    def _policy(self, resource: Resource) -> Any:
        arguments = {"RoleName": resource.name, "PolicyName": POLICY}
        try:
            return self.session.call("iam", "get_role_policy", resource.address, **arguments)["PolicyDocument"]
        except Missing:
            return None

    def _put(self, resource: Resource) -> None:
        policy = json.dumps(resource.body["Policy"], sort_keys=True)
        arguments = {"RoleName": resource.name, "PolicyName": POLICY, "PolicyDocument": policy}
        self.session.call("iam", "put_role_policy", resource.address, **arguments)


class GivenRoles(_OfSession):
    """The role of the settings: whether it is there. Its trust may be an administrator's own.

    Where it is to be made, `content` has its `trust` and its `path`.
    """

    def read(self, resource: Resource) -> Live:
        self.session.call("iam", "get_role", resource.address, RoleName=resource.name)
        return Live({"RoleName": resource.name}, None)

    def create(self, resource: Resource) -> None:
        arguments = {
            "RoleName": resource.name,
            "Path": resource.content["path"].decode(),
            "AssumeRolePolicyDocument": resource.content["trust"].decode(),
            "Tags": tag_list(resource.labels),
        }
        self.session.call("iam", "create_role", resource.address, **arguments)

    def update(self, resource: Resource) -> None:
        """Nothing of it is ours to change."""

    def delete(self, resource: Resource) -> None:
        self.session.call("iam", "delete_role", resource.address, RoleName=resource.name)


class RolePolicies(_OfSession):
    """A policy of the role of the settings: `ROLE/POLICY`. It takes no tags."""

    def read(self, resource: Resource) -> Live:
        said = self.session.call("iam", "get_role_policy", resource.address, **self._names(resource))
        return Live({"Policy": said["PolicyDocument"]}, None)

    def create(self, resource: Resource) -> None:
        policy = json.dumps(resource.body["Policy"], sort_keys=True)
        self.session.call("iam", "put_role_policy", resource.address, **self._names(resource), PolicyDocument=policy)

    def update(self, resource: Resource) -> None:
        self.create(resource)

    def delete(self, resource: Resource) -> None:
        self.session.call("iam", "delete_role_policy", resource.address, **self._names(resource))

    def _names(self, resource: Resource) -> dict[str, str]:
        role, _, policy = resource.name.partition("/")
        return {"RoleName": role, "PolicyName": policy}


def _bus(name: str) -> tuple[str, str]:
    bus, _, rule = name.rpartition("/")
    return bus or "default", rule


class Schedules(_OfSession):
    """EventBridge Scheduler tags no schedule.

    One that starts a pipeline of this deployment is its own; of any other the deployment document knows.
    """

    def read(self, resource: Resource) -> Live:
        said = self.session.call("scheduler", "get_schedule", resource.address, Name=resource.name)
        starts = str(said["Target"].get("Arn", ""))
        own = {f"{self.own}{kind}" for kind in ("wake", "train", "record")}
        return Live(dict(said), resource.labels if starts in own else None)

    def create(self, resource: Resource) -> None:
        self.session.call("scheduler", "create_schedule", resource.address, **resource.body)

    def update(self, resource: Resource) -> None:
        self.session.call("scheduler", "update_schedule", resource.address, **resource.body)

    def delete(self, resource: Resource) -> None:
        self.session.call("scheduler", "delete_schedule", resource.address, Name=resource.name)


class Machines(_OfSession):
    """State machines. One that is being deleted counts as gone."""

    def read(self, resource: Resource) -> Live:
        call, about, arn = self.session.call, resource.address, f"{self.own}{resource.name}"
        said = call("stepfunctions", "describe_state_machine", about, stateMachineArn=arn)
        if said.get("status") == "DELETING":
            raise Missing(f"{about} is being deleted")
        tags = call("stepfunctions", "list_tags_for_resource", about, resourceArn=arn)["tags"]
        body = {field: said.get(field) for field in ("name", "roleArn", "type")}
        return Live({**body, "definition": json.loads(said["definition"])}, _labels(tags, "key", "value"))

    def create(self, resource: Resource) -> None:
        tags = [{"key": key, "value": resource.labels[key]} for key in sorted(resource.labels)]
        body = {**resource.body, "definition": self._definition(resource)}
        self.session.call("stepfunctions", "create_state_machine", resource.address, **body, tags=tags)

    def update(self, resource: Resource) -> None:
        arguments = {
            "stateMachineArn": f"{self.own}{resource.name}",
            "roleArn": resource.body["roleArn"],
            "definition": self._definition(resource),
        }
        self.session.call("stepfunctions", "update_state_machine", resource.address, **arguments)

    def delete(self, resource: Resource) -> None:
        arn = f"{self.own}{resource.name}"
        self.session.call("stepfunctions", "delete_state_machine", resource.address, stateMachineArn=arn)

    def _definition(self, resource: Resource) -> str:
        return json.dumps(resource.body["definition"], sort_keys=True)
