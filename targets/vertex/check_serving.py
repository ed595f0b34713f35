"""The checks of the serving documents: that a rollout is of the endpoint, adds up, and can be taken back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ctc.targets.vertex.machines import MACHINE_TYPES
from ctc.targets.vertex.serving import DEPLOYING, LIVE, NEXT, UNSET

Files = Mapping[str, Any]
_TABLE = re.compile(r"bq://[a-z][a-z0-9.:-]+\.[A-Za-z0-9_]{1,1024}\.[A-Za-z0-9_]{1,1024}")


def check_serving(files: Files) -> Iterator[str]:
    """Sentences on what lies below `serving/`. KeyError where a document is missing."""
    folders = sorted({"/".join(path.split("/")[:2]) for path in files if path.startswith("serving/")})
    for folder in folders:
        own = {path.removeprefix(f"{folder}/"): body for path, body in files.items() if path.startswith(f"{folder}/")}
        yield from (f"{folder}: {problem}" for problem in _server(own, files))


def _server(own: Files, files: Files) -> Iterator[str]:
    train = files["pipelines/train.json"]
    model, endpoint, deploy = own["model.json"], own["endpoint.json"], own["deploy.json"]
    yield from _model(model, files["registry/model.json"])
    yield from _endpoint(endpoint, train)
    yield from (f"deploy.json: {problem}" for problem in _deploy(deploy, model, train))
    if deploy["trafficSplit"] != {DEPLOYING: 100}:
        yield "the first model has not all of the traffic"
    if "candidate/endpoint.json" in own:
        alone = own["candidate/endpoint.json"]
        yield from _endpoint(alone, train)
        if alone["displayName"] == endpoint["displayName"]:
            yield "the candidate's own endpoint cannot be told from the live one"
        if own["candidate/deploy.json"]["trafficSplit"] != {DEPLOYING: 100}:
            yield "the candidate's own endpoint does not ask it"
    steps = {path: body for path, body in own.items() if path.startswith("rollout-")}
    if steps:
        yield from _rollout(steps)
        for path in ("rollout-0-deploy.json", *(path for path in own if path == "candidate/deploy.json")):
            yield from (f"{path}: {problem}" for problem in _deploy(own[path], model, train))
            if own[path]["deployedModel"]["dedicatedResources"] != deploy["deployedModel"]["dedicatedResources"]:
                yield f"{path}: the candidate is on other machines than the champion"


def _model(model: Mapping[str, Any], registered: Mapping[str, Any]) -> Iterator[str]:
    container = model["model"]["containerSpec"]
    plain = {key: value for key, value in model["model"].items() if key != "containerSpec"}
    if model["modelId"] != registered["modelId"] or any(registered["model"][key] != plain[key] for key in plain):
        yield "serves another model than the one that is registered"
    if not container["imageUri"] or not container["command"] or any("{model}" in word for word in container["command"]):
        yield "the container has no image, or no command that it could run"
    if not all(container[key].startswith("/") for key in ("healthRoute", "predictRoute")):
        yield "a route is no path"
    ports = [item["containerPort"] for item in container["ports"]]
    if len(ports) != 1 or not 1 <= ports[0] <= 65535:
        yield "the container has not one port"
    probe = container["startupProbe"]
    if probe["httpGet"] != {"path": container["healthRoute"], "port": ports[0]}:
        yield "another path or port is asked for health than the server's"
    if probe["periodSeconds"] * probe["failureThreshold"] < 60:
        yield "a server has no minute to start"


def _endpoint(endpoint: Mapping[str, Any], train: Mapping[str, Any]) -> Iterator[str]:
    if endpoint["labels"] != train["labels"]:
        yield "the endpoint has other labels than the pipelines"
    if endpoint.get("encryptionSpec") != train.get("encryptionSpec"):
        yield "the endpoint is under another key than the pipelines"
    private = endpoint.get("privateServiceConnectConfig", {})
    if "network" in endpoint or private.get("enablePrivateServiceConnect", False) != ("network" in train):
        yield "the endpoint is open where the pipelines are in a network, or holds one model only"
    if private and len(private["projectAllowlist"]) != 1:
        yield "more projects than the pipelines' may reach the endpoint"
    if not 1 <= len(endpoint["displayName"]) <= 128:
        yield "the endpoint has no name, or one of more than 128 characters"
    logging = endpoint.get("predictRequestResponseLoggingConfig")
    if logging is not None:
        if not logging["enabled"] or not 0 < logging["samplingRate"] <= 1:
            yield "captures more than all, or nothing"
        if not _TABLE.fullmatch(logging["bigqueryDestination"]["outputUri"]):
            yield "captures to no table of BigQuery"


def _deploy(body: Mapping[str, Any], model: Mapping[str, Any], train: Mapping[str, Any]) -> Iterator[str]:
    deployed = body["deployedModel"]
    if not deployed["model"].endswith(f"/models/{model['modelId']}@{UNSET}"):
        yield "deploys another model, or a version before there is one"
    if deployed["serviceAccount"] != train["serviceAccount"]:
        yield "the model runs as another account than the pipelines"
    resources = deployed["dedicatedResources"]
    if resources["machineSpec"]["machineType"] not in {machine.name for machine in MACHINE_TYPES}:
        yield "is on no machine type that is picked from here"
    if not 1 <= resources["minReplicaCount"] <= resources["maxReplicaCount"]:
        yield "keeps no replica, or fewer at most than at least"
    yield from _split(body["trafficSplit"])


def _split(split: Mapping[str, Any]) -> Iterator[str]:
    if any(not isinstance(part, int) or part < 0 for part in split.values()) or sum(split.values()) != 100:
        yield "does not share all of the traffic in whole per cent"


def _rollout(steps: Files) -> Iterator[str]:
    if steps["rollout-0-deploy.json"]["trafficSplit"] != {LIVE: 100, DEPLOYING: 0}:
        yield "the rollout does not begin with all traffic at the champion"
    if steps["rollout-back.json"] != {"trafficSplit": {LIVE: 100, NEXT: 0}}:
        yield "the rollout is not taken back to the champion"
    moved = sorted((path for path in steps if "-traffic-" in path), key=lambda path: int(path.split("-")[1]))
    shares = []
    for path in moved:
        split = steps[path]["trafficSplit"]
        yield from (f"{path}: {problem}" for problem in _split(split))
        if set(split) != {LIVE, NEXT} or set(steps[path]) != {"trafficSplit"}:
            yield f"{path}: is about other models than champion and candidate"
        shares.append(split.get(NEXT, 0))
        if path != f"rollout-{path.split('-')[1]}-traffic-{shares[-1]}.json":
            yield f"{path}: gives another share than its name says"
    if moved and (shares != sorted(shares) or shares[-1] != 100):
        yield "the rollout does not lead all of the traffic to the candidate, step by step"
