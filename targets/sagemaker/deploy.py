"""SageMaker's hands for `ctc deploy`: the bundle's requests, sent to the account of the spec's role."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from ctc.compiler.bundle import Bundle
from ctc.compiler.ir import System
from ctc.deploy.resource import Live, Recorded, Resource
from ctc.steps.ports import ObjectStore, StateStore
from ctc.targets.sagemaker import hosting, identities, kinds, names
from ctc.targets.sagemaker.pipeline import parameter_name
from ctc.targets.sagemaker.resources import tags
from ctc.targets.sagemaker.session import Exists, Missing, Session
from ctc.targets.sagemaker.stores import S3ObjectStore, S3StateStore, keys

DOCUMENT = "deployment.json"
"""Key, below the root, of the deployment document."""

STATE = "state.json"
"""Key, below the root, of the controller's state document."""

STARTERS = frozenset(("rule", "schedule"))
_FIXED = {
    "model-package-group": frozenset(("ModelPackageGroupName", "ModelPackageGroupDescription")),
    "state-machine": frozenset(("type",)),
}


def connect(system: System, bundle: Bundle) -> SageMakerHands:
    """CtcError if boto3 is not installed, or the spec asks for what a deployed wake cannot do."""
    hosting.require_hosted(system)
    return SageMakerHands(system, bundle, Session(names.region(system)))


class SageMakerHands:
    def __init__(self, system: System, bundle: Bundle, session: Session) -> None:
        self._system, self._session, self._bundle = system, session, bundle
        self._files = {artifact.path: artifact.content for artifact in bundle.artifacts}
        self._all = tags(system)
        pipelines = names.arn(system, "sagemaker", f"pipeline/{system.name}-")
        machines = names.arn(system, "states", "stateMachine:")
        self._kinds: Mapping[str, kinds.Kind] = {
            "role": kinds.Roles(session, pipelines),
            "given-role": kinds.GivenRoles(session, pipelines),
            "role-policy": kinds.RolePolicies(session, pipelines),
            "files": kinds.Files(session, system.root),
            "model-package-group": kinds.Groups(session, pipelines),
            "topic": kinds.Topics(session, names.arn(system, "sns", "")),
            "pipeline": kinds.Pipelines(session, pipelines),
            "state-machine": kinds.Machines(session, machines),
            "alarm": kinds.Alarms(session, pipelines),
            "rule": kinds.Rules(session, pipelines),
            "schedule": kinds.Schedules(session, pipelines),
            "endpoint": hosting.Endpoints(session, system.root),
        }

    def desired(self) -> tuple[Resource, ...]:
        return self._wanted

    @functools.cached_property
    def _wanted(self) -> tuple[Resource, ...]:
        return tuple(self._desired())

    def whoami(self) -> str:
        return str(self._session.call("sts", "get_caller_identity", "the credentials")["Arn"])

    def known(self, recorded: Recorded) -> Resource:
        return self._resource(recorded.kind, recorded.name, dict.fromkeys(recorded.fields))

    def read(self, resource: Resource) -> Live | None:
        try:
            return self._kinds[resource.kind].read(resource)
        except Missing:
            return None

    def create(self, resource: Resource) -> None:
        try:
            self._kinds[resource.kind].create(resource)
        except Exists:
            # An answer that was lost, or a resource that was half made: what it is now is what counts.
            self.update(resource)

    def update(self, resource: Resource) -> None:
        self._kinds[resource.kind].update(resource)

    def delete(self, resource: Resource) -> None:
        try:
            self._kinds[resource.kind].delete(resource)
        except Missing:
            return

    def documents(self) -> StateStore:
        return S3StateStore(self._session, f"{self._system.root}/{DOCUMENT}")

    def state(self) -> StateStore:
        return S3StateStore(self._session, f"{self._system.root}/{STATE}")

    def objects(self) -> ObjectStore:
        return S3ObjectStore(self._session, self._system.root)

    def records(self) -> tuple[str, ...]:
        return keys(self._session, f"{self._system.root}/records/")

    def wake(self, manual: Mapping[str, str]) -> str:
        text = json.dumps(manual, sort_keys=True)
        pipeline = names.pipeline_name(self._system, "wake")
        started = self._session.call(
            "sagemaker",
            "start_pipeline_execution",
            f"pipeline/{pipeline}",
            PipelineName=pipeline,
            PipelineParameters=[{"Name": parameter_name("manual"), "Value": text}],
            # The same words told again are heard once: by the wake, which knows them, and here.
            ClientRequestToken=hashlib.sha256(text.encode()).hexdigest(),
        )
        return str(started["PipelineExecutionArn"])

    def _resource(
        self, kind: str, name: str, body: Mapping[str, Any], content: Mapping[str, bytes] | None = None
    ) -> Resource:
        return Resource(
            kind,
            name,
            {key: value for key, value in body.items() if key not in ("Tags", "tags")},
            {tag["Key"]: tag["Value"] for tag in self._all},
            fixed=_FIXED.get(kind, frozenset()),
            starts=kind in STARTERS,
            kept=kind in ("given-role", "model-package-group"),
            admin=kind in ("given-role", "role", "role-policy"),
            superseded=kind in ("endpoint", "files"),
            content=content or {},
        )

    def _desired(self) -> Iterator[Resource]:
        """In an order in which nothing names what is not yet there."""
        yield from self._roles()
        yield from self._uploads()
        for server, bodies in hosting.bodies(self._system, self._files):
            yield self._resource("endpoint", server, bodies)
        group, topic = self._json("registry/group.json"), self._json("alarms/topic.json")
        yield self._resource("model-package-group", group["ModelPackageGroupName"], group)
        yield self._resource("topic", topic["Name"], topic)
        for path in self._in("pipelines"):
            request = self._json(path.replace("pipelines", "requests", 1))
            body: dict[str, Any] = {**request, "PipelineDefinition": self._json(path)}
            yield self._resource("pipeline", body["PipelineName"], body)
        for path in (*self._in("events", "-machine"), *self._in("alarms", "-machine")):
            body = self._json(path.replace("-machine.json", "-request.json"))
            body["definition"] = self._json(path)
            yield self._resource("state-machine", body["name"], body)
        for path in self._in("alarms"):
            body = self._json(path)
            if "AlarmName" in body:
                yield self._resource("alarm", body["AlarmName"], body)
        for path in self._in("events", "-rule"):
            yield self._rule(self._json(path), self._json(path.replace("-rule.json", "-target.json")))
        for path in self._in("schedules"):
            body = {"ScheduleExpressionTimezone": "UTC", **self._json(path)}
            yield self._resource("schedule", body["Name"], body)

    def _roles(self) -> Iterator[Resource]:
        """What an administrator makes: the role of the settings with its policy, and the callers' roles."""
        system = self._system
        own = names.own_role_name(system)
        path = f"/{str(system.settings['role']).partition(':role/')[2]}".rpartition("/")[0] + "/"
        made = {"path": path.encode(), "trust": self._files["identities/pipeline.trust.json"]}
        yield self._resource("given-role", own, {"RoleName": own}, made)
        policy = {"Policy": self._json("identities/pipeline.policy.json")}
        yield self._resource("role-policy", f"{own}/{names.policy_name(system)}", policy)
        for role in identities.roles(system):
            if role == "pipeline":
                continue
            body: dict[str, Any] = {
                "RoleName": names.role_name(system, role),
                "AssumeRolePolicyDocument": self._json(f"identities/{role}.trust.json"),
                "Policy": self._json(f"identities/{role}.policy.json"),
            }
            yield self._resource("role", body["RoleName"], body)

    def _uploads(self) -> Iterator[Resource]:
        """The files that jobs read, by the folder that is named after their content."""
        folders: dict[str, dict[str, bytes]] = {}
        for path, uri in self._bundle.uploads:
            support, digest, *rest = uri.removeprefix(f"{self._system.root}/").split("/")
            folders.setdefault(f"{support}/{digest}", {})["/".join(rest)] = self._files[path]
        for folder, content in folders.items():
            digests = {path: hashlib.sha256(data).hexdigest() for path, data in content.items()}
            yield self._resource("files", folder, digests, content)

    def _rule(self, rule: Mapping[str, Any], target: Mapping[str, Any]) -> Resource:
        bus = rule.get("EventBusName", "default")
        body = {
            **rule,
            "EventBusName": bus,
            "EventPattern": json.loads(rule["EventPattern"]),
            "Targets": sorted(target["Targets"], key=lambda item: str(item["Id"])),
        }
        return self._resource("rule", rule["Name"] if bus == "default" else f"{bus}/{rule['Name']}", body)

    def _in(self, folder: str, ending: str = "") -> list[str]:
        return [path for path in self._files if path.startswith(f"{folder}/") and path.endswith(f"{ending}.json")]

    def _json(self, path: str) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self._files[path])
        return value
