"""The endpoint inside SageMaker: a wake makes the service's variants what the rollout's document says.

`endpoints/NAME.json` says who should answer, as on one machine. What is made for it is written down first, in
`support/serving/NAME.made.json`, so that nothing made can be forgotten: `ctc destroy` takes it from there. Each ready
version is a variant that is called after it; a mirror is a shadow variant, beside which the service takes one variant
only. Other variants mean another configuration, which the service brings up beside the old one before it moves the
traffic ("Blue/green deployments", SageMaker developer guide); other shares are weights, and move at once.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from ctc.compiler.bundle import canonical
from ctc.deploy.resource import CloudError
from ctc.policy.actions import Route, Smoke
from ctc.policy.evidence import Answered, LimitAnswer
from ctc.policy.state import Version
from ctc.steps.local_endpoint import LocalEndpoint
from ctc.steps.ports import ObjectStore, Server, Standing
from ctc.steps.server import RATE, REQUESTS, WARM_UP
from ctc.steps.task import StepFailed
from ctc.targets.sagemaker.session import Exists, Missing, Session
from ctc.targets.sagemaker.stores import place

IN_SERVICE = "InService"
FAILED = ("Failed", "UpdateRollbackFailed")
"""Statuses from which the service takes no update (botocore EndpointStatus)."""

_HASH = 16


def bodies_key(server: str) -> str:
    """Where a deploy leaves the bodies of a server's model, configuration and endpoint, below the root."""
    return f"support/serving/{server}.json"


def made_key(server: str) -> str:
    """Where a wake writes down what it makes of them."""
    return f"support/serving/{server}.made.json"


class HostedEndpoint:
    def __init__(self, session: Session, objects: ObjectStore) -> None:
        self._call, self._objects, self._wanted = session.call, objects, LocalEndpoint(objects)

    def read(self, name: str) -> Standing | None:
        return self._wanted.read(name)

    def route(self, server: Server, versions: Iterable[Version], route: Route, at: datetime) -> None:
        self._wanted.route(server, versions, route, at)
        self._settle(server.name)

    def retire(self, name: str, version: str) -> None:
        self._wanted.retire(name, version)
        self._settle(name)

    def smoke(self, server: Server, version: Version, smoke: Smoke) -> LimitAnswer:
        """Asks the version's own variant, whatever its share is. One that is not up is brought up, and asked later."""
        try:
            self._bring_up(server, version)
            endpoint, body = self._variant(server.name, version), self._request(smoke.request)
            status, text = self._ask(endpoint, version, body)
        except StepFailed as error:
            return LimitAnswer("smoke", "not_evaluable", str(error))
        numbers = {"status": status, "expected": smoke.status}
        what = f"{endpoint}/{variant_of(version.version)} answers with {status}"
        if status == smoke.status:
            return LimitAnswer("smoke", "pass", f"{what}, as expected", numbers)
        return LimitAnswer("smoke", "fail", f"{what}, {smoke.status} was expected: {text}".rstrip(": "), numbers)

    def answered(self, server: Server, version: Version, *, request: str | None, since: datetime) -> Answered:  # noqa: ARG002
        """What becomes of the smoke step's request, sent to the version's variant as often as on one machine.

        StepFailed where it has none, or is not up: then nobody can say.
        """
        if request is None:
            raise StepFailed("a version is asked with the request of a `smoke` step, and there is none")
        endpoint, body = self._variant(server.name, version), self._request(request)
        for _ in range(WARM_UP):
            self._ask(endpoint, version, body)
        seconds: list[float] = []
        failures: dict[str, int] = {}
        start = time.monotonic()
        for number in range(REQUESTS):
            time.sleep(max(0.0, start + number / RATE - time.monotonic()))
            began = time.monotonic()
            status, _ = self._ask(endpoint, version, body)
            if 200 <= status < 300:
                seconds.append(time.monotonic() - began)
            else:
                failures[f"status {status}"] = failures.get(f"status {status}", 0) + 1
        return Answered(tuple(sorted(seconds)), dict(sorted(failures.items())))

    def _bring_up(self, server: Server, version: Version) -> None:
        """Makes a version ready that has no traffic yet; who has some stays as it is."""
        standing = self._wanted.read(server.name)
        if standing is None or version.version in standing.ready or standing.mirror:
            return
        now = Route("", server.name, tuple(sorted(standing.traffic.items())), by=standing.by)
        self.route(server, [version], now, standing.since)

    def _settle(self, name: str) -> None:
        """Asks the service for what is wanted. While it changes an endpoint it takes nothing: the next wake goes on."""
        wanted = self._objects.get(f"endpoints/{name}.json")
        if wanted is None:
            return
        bodies = self._bodies(name)
        models, config = _models(bodies, wanted), _config(bodies, wanted)
        endpoint = str(bodies["endpoint"]["EndpointName"])
        live = self._live(endpoint)
        if live is None:
            self._make(name, models, config, endpoint)
            self._call("sagemaker", "create_endpoint", f"endpoint/{endpoint}", **_named(bodies["endpoint"], config))
            return
        if endpoint != self._made(name)["endpoint"]:
            raise StepFailed(
                f"the endpoint {endpoint} is there, and this deployment did not make it; rename the spec, or delete it"
            )
        status = live["EndpointStatus"]
        if status in FAILED:
            reason = live.get("FailureReason", "no reason given")
            raise StepFailed(
                f"the endpoint {endpoint} is {status}: {reason}; delete it, and the next wake makes it anew"
            )
        if status != IN_SERVICE:
            _say(f"the endpoint {endpoint} is {status}: the next wake goes on")
            return
        self._change(name, models, config, live)

    def _change(self, name: str, models: Mapping[str, Any], config: Mapping[str, Any], live: Mapping[str, Any]) -> None:
        endpoint, current = str(live["EndpointName"]), str(live["EndpointConfigName"])
        about = f"endpoint/{endpoint}"
        there = self._call("sagemaker", "describe_endpoint_config", about, EndpointConfigName=current)
        if _shape(there, config) != _shape(config, config):
            self._make(name, models, config, endpoint)
            new = config["EndpointConfigName"]
            self._call("sagemaker", "update_endpoint", about, EndpointName=endpoint, EndpointConfigName=new)
            return
        weights = {item["VariantName"]: item["InitialVariantWeight"] for item in config["ProductionVariants"]}
        now = {item["VariantName"]: item.get("CurrentWeight") for item in live.get("ProductionVariants", ())}
        if now != weights:
            desired = [{"VariantName": key, "DesiredWeight": weight} for key, weight in weights.items()]
            arguments = {"EndpointName": endpoint, "DesiredWeightsAndCapacities": desired}
            self._call("sagemaker", "update_endpoint_weights_and_capacities", about, **arguments)
        self._tidy(name, {current}, set(models))

    def _make(self, name: str, models: Mapping[str, Any], config: Mapping[str, Any], endpoint: str) -> None:
        """Models and configuration, each written down before it is made."""
        made, own = self._made(name), str(config["EndpointConfigName"])
        if made["endpoint"] not in (None, endpoint):
            raise StepFailed(f"the server {name} has the endpoint {made['endpoint']} already, not {endpoint}")
        noted = {
            "version": 1,
            "endpoint": endpoint,
            "configs": sorted({*made["configs"], own}),
            "models": sorted({*made["models"], *models}),
        }
        if noted != made:
            self._objects.put(made_key(name), noted)
        for model, body in models.items():
            self._once("create_model", f"model/{model}", body)
        self._once("create_endpoint_config", f"endpoint-config/{own}", config)

    def _once(self, operation: str, about: str, body: Mapping[str, Any]) -> None:
        """Names are made of contents: what is there already is the same."""
        try:
            self._call("sagemaker", operation, about, **body)
        except Exists:
            return

    def _tidy(self, name: str, configs: set[str], models: set[str]) -> None:
        """Takes away what an earlier standing had and the present one does not."""
        made = self._made(name)
        for config in set(made["configs"]) - configs:
            self._gone("delete_endpoint_config", f"endpoint-config/{config}", EndpointConfigName=config)
        for model in set(made["models"]) - models:
            self._gone("delete_model", f"model/{model}", ModelName=model)
        left = {**made, "configs": sorted(configs), "models": sorted(models)}
        if left != made:
            self._objects.put(made_key(name), left)

    def _gone(self, operation: str, about: str, **arguments: str) -> None:
        try:
            self._call("sagemaker", operation, about, **arguments)
        except Missing:
            return

    def _live(self, endpoint: str) -> Mapping[str, Any] | None:
        try:
            return self._call("sagemaker", "describe_endpoint", f"endpoint/{endpoint}", EndpointName=endpoint)
        except Missing:
            return None

    def _bodies(self, name: str) -> Mapping[str, Any]:
        found = self._objects.get(bodies_key(name))
        if found is None:
            raise StepFailed(f"there is no {bodies_key(name)}: it is left by a deploy; run ctc deploy once more")
        return found

    def _made(self, name: str) -> Mapping[str, Any]:
        return self._objects.get(made_key(name)) or {"version": 1, "endpoint": None, "configs": [], "models": []}

    def _variant(self, name: str, version: Version) -> str:
        """The endpoint, if the version's variant can be asked now. StepFailed if not."""
        endpoint = str(self._bodies(name)["endpoint"]["EndpointName"])
        live = self._live(endpoint)
        if live is None or live["EndpointStatus"] != IN_SERVICE:
            status = "not there" if live is None else live["EndpointStatus"]
            raise StepFailed(f"the endpoint {endpoint} is {status}: version {version.version} cannot be asked yet")
        named = [item["VariantName"] for item in live.get("ProductionVariants", ())]
        if variant_of(version.version) not in named:
            shadows = [item["VariantName"] for item in live.get("ShadowProductionVariants", ())]
            why = "a shadow, which answers nobody" if variant_of(version.version) in shadows else "not up yet"
            raise StepFailed(f"version {version.version} is {why} on the endpoint {endpoint}")
        return endpoint

    def _ask(self, endpoint: str, version: Version, body: bytes) -> tuple[int, str]:
        """Status and start of the text of an answer. StepFailed where it is not the version that refuses."""
        variant = variant_of(version.version)
        asked = {"EndpointName": endpoint, "TargetVariant": variant, "ContentType": "application/json", "Body": body}
        try:
            said = self._call("sagemaker-runtime", "invoke_endpoint", f"endpoint/{endpoint}", **asked)
        except CloudError as error:
            answer = getattr(error.__cause__, "response", {})
            status = answer.get("OriginalStatusCode")
            if status is None:
                raise StepFailed(error.message) from error
            return int(status), str(answer.get("OriginalMessage", ""))[:200]
        return int(said["ResponseMetadata"]["HTTPStatusCode"]), ""

    def _request(self, request: str) -> bytes:
        """The content of a request's file. StepFailed if it cannot be read from inside a job."""
        try:
            if request.startswith("s3://"):
                bucket, key = place(request)
                return bytes(self._call("s3", "get_object", request, Bucket=bucket, Key=key)["Body"].read())
            return Path(request).read_bytes()
        except (OSError, CloudError) as error:
            told = getattr(error, "strerror", None) or str(error)
            raise StepFailed(f"the request {request} cannot be read: {told}; name a file in S3") from error


def variant_of(version: str) -> str:
    return f"v{version}"


def _models(bodies: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The body of each ready version's model, by its name."""
    found = {}
    for ready in wanted["ready"].values():
        body = bodies["model"]
        source = {"S3Uri": f"{ready['uri'].rstrip('/')}/", "S3DataType": "S3Prefix", "CompressionType": "None"}
        container = {**body["PrimaryContainer"], "ModelDataSource": {"S3DataSource": source}}
        made = {**body, "PrimaryContainer": container}
        name = _called(str(body["ModelName"]), made)
        found[name] = {**made, "ModelName": name}
    return found


def _config(bodies: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of what is wanted, called after its content."""
    base, mirror = bodies["config"], wanted["mirror"]
    [pattern] = base["ProductionVariants"]

    def variant(version: str, weight: float) -> dict[str, Any]:
        [model] = _models(bodies, {"ready": {version: wanted["ready"][version]}})
        named = {"VariantName": variant_of(version), "ModelName": model, "InitialVariantWeight": weight}
        return {**pattern, **named}

    shares = wanted["traffic"]
    answering = sorted(shares) if mirror else sorted({*shares, *wanted["ready"]})
    made = {**base, "ProductionVariants": [variant(version, float(shares.get(version, 0.0))) for version in answering]}
    if mirror:
        made["ShadowProductionVariants"] = [variant(mirror["version"], float(mirror["share"]))]
    return {**made, "EndpointConfigName": _called(str(base["EndpointConfigName"]), made)}


def _called(base: str, content: Mapping[str, Any]) -> str:
    """Tags are not part of it: they carry the spec's digest, and a new spec is no reason for new machines."""
    named = {key: value for key, value in content.items() if key != "Tags"}
    return f"{base}-{hashlib.sha256(canonical(named)).hexdigest()[:_HASH]}"


def _shape(config: Mapping[str, Any], wanted: Mapping[str, Any]) -> Any:
    """A configuration without the weights of its variants: of it the fields that the wanted one has."""
    kept = {
        key: config.get(key)
        for key in {*wanted, "ShadowProductionVariants"} - {"Tags", "EndpointConfigName", "ProductionVariants"}
    }
    fields = set(wanted["ProductionVariants"][0]) - {"InitialVariantWeight"}
    variants = [{key: item.get(key) for key in fields} for item in config["ProductionVariants"]]
    shadows = [
        {key: item.get(key) for key in (*fields, "InitialVariantWeight")}
        for item in kept.pop("ShadowProductionVariants") or ()
    ]
    return kept, sorted(variants, key=lambda item: str(item["VariantName"])), shadows


def _named(endpoint: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    return {**endpoint, "EndpointConfigName": config["EndpointConfigName"]}


def _say(text: str) -> None:
    sys.stderr.write(f"ctc: {text}\n")
