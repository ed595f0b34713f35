"""What a deploy leaves of an endpoint, and what destroying one takes away.

A deploy writes down the bodies by which wakes make and change the endpoint (`targets/sagemaker/endpoint.py`). Which
versions answer, and how much of the traffic each gets, is the controller's: a deploy neither compares nor moves it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ctc.compiler.bundle import as_json
from ctc.compiler.ir import System
from ctc.deploy.resource import CloudError, Live, Resource
from ctc.diagnostics import CtcError
from ctc.targets.sagemaker.endpoint import bodies_key, made_key
from ctc.targets.sagemaker.serving import CONTRACT, rolled, rollout_of
from ctc.targets.sagemaker.session import Missing, Session
from ctc.targets.sagemaker.stores import parse, place, put


def bodies(system: System, files: Mapping[str, bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The server and the bodies of its endpoint, from the bundle's files."""
    for server in rolled(system):
        kinds = ("config", "endpoint", "model")
        yield server.name, {kind: json.loads(files[f"serving/{server.name}/{kind}.json"]) for kind in kinds}


def require_hosted(system: System) -> None:
    """CtcError for a rollout that wakes could not carry out here: it would be given up each time, or hang."""
    rollout = rollout_of(system)
    if rollout is None:
        return
    if not rolled(system):
        port, health, route = CONTRACT
        raise CtcError(
            f"SageMaker hosts no server like {rollout['serving']}, and the rollout moves its traffic",
            f"let it answer {health} and {route} on port {port}, or leave `rollout` out in what is deployed here",
        )
    steps = rollout["steps"]
    requests = [str(step["request"]) for step in steps if step["kind"] == "smoke"]
    for request in requests:
        if not request.startswith("s3://"):
            raise CtcError(
                f"the smoke step's request {request} is a file of this machine, and wakes run in the service",
                f"put it into the bucket and name it: {system.root}/requests/{request.rpartition('/')[2]}",
            )
    asked = [limit["name"] for limit in rollout["limits"] if limit["kind"] != "drift"]
    if asked and not requests:
        raise CtcError(
            f"the limits {', '.join(asked)} are judged by the request of a `smoke` step, and there is none",
            "add one before the others, with a request in S3",
        )
    for number, step in enumerate(steps):
        seen = [*asked, *(gate["name"] for gate in step.get("gates", ()) if gate["kind"] != "drift")]
        if step["kind"] == "mirror" and seen:
            raise CtcError(
                f"rollout.steps.{number}: nobody sees what a mirror answers on SageMaker, so {', '.join(seen)} "
                "could not be judged while it lasts, and each rollout would be given up there",
                "leave the mirror out, or begin with a small share of traffic instead",
            )


class Endpoints:
    """The bodies of a server's endpoint, in the bucket. Deleting them takes down what wakes made of them, too."""

    def __init__(self, session: Session, root: str) -> None:
        self._session, self._root = session, root

    def read(self, resource: Resource) -> Live:
        return Live(self._document(bodies_key(resource.name), resource.address), resource.labels)

    def create(self, resource: Resource) -> None:
        put(self._session, self._uri(bodies_key(resource.name)), as_json(dict(resource.body)), {})

    def update(self, resource: Resource) -> None:
        self.create(resource)

    def delete(self, resource: Resource) -> None:
        """The endpoint first: it holds the configuration, which holds the models. The bodies last: until then the
        deployment knows of it."""
        try:
            made = self._document(made_key(resource.name), resource.address)
        except Missing:
            made = {"endpoint": None, "configs": [], "models": []}
        if made["endpoint"] is not None:
            self._down(resource.address, str(made["endpoint"]))
        for config in made["configs"]:
            self._gone(resource.address, "delete_endpoint_config", EndpointConfigName=config)
        for model in made["models"]:
            self._gone(resource.address, "delete_model", ModelName=model)
        for key in (made_key(resource.name), bodies_key(resource.name)):
            bucket, path = place(self._uri(key))
            self._session.call("s3", "delete_object", resource.address, Bucket=bucket, Key=path)

    def _down(self, about: str, endpoint: str) -> None:
        try:
            said = self._session.call("sagemaker", "describe_endpoint", about, EndpointName=endpoint)
        except Missing:
            return
        if said["EndpointStatus"] in ("Creating", "Updating", "SystemUpdating", "RollingBack"):
            raise CloudError(
                f"{about}: {endpoint} is {said['EndpointStatus']}, and the service deletes none that it changes",
                "run the same command again in some minutes",
            )
        self._gone(about, "delete_endpoint", EndpointName=endpoint)

    def _gone(self, about: str, operation: str, **arguments: str) -> None:
        try:
            self._session.call("sagemaker", operation, about, **arguments)
        except Missing:
            return

    def _document(self, key: str, about: str) -> Mapping[str, Any]:
        uri = self._uri(key)
        bucket, path = place(uri)
        return parse(self._session.call("s3", "get_object", about, Bucket=bucket, Key=path)["Body"].read(), uri)

    def _uri(self, key: str) -> str:
        return f"{self._root}/{key}"
