"""The checks of the serving documents: that a rollout is of the endpoint, adds up, and can be taken back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ctc.targets.azureml.pipeline import UNSET
from ctc.targets.azureml.serving import ENDPOINT_NAME, HOSTING, LIVE, MIRROR, NEXT

Files = Mapping[str, Any]
_NAME = re.compile(r"[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?")
_ENDPOINT = {"$schema", "name", "description", "auth_mode", "identity", "tags"}


def check_serving(files: Files) -> Iterator[str]:
    """Sentences on what lies below `serving/`. KeyError where a document is missing."""
    folders = sorted({"/".join(path.split("/")[:2]) for path in files if path.startswith("serving/")})
    for folder in folders:
        own = {path.removeprefix(f"{folder}/"): body for path, body in files.items() if path.startswith(f"{folder}/")}
        yield from (f"{folder}: {problem}" for problem in _server(own, files))


def _server(own: Files, files: Files) -> Iterator[str]:
    endpoint, deployment, traffic = own["endpoint.yml"], own["deployment.yml"], own["traffic.yml"]
    if set(endpoint) != _ENDPOINT:
        yield "endpoint.yml: an endpoint is made before its deployments, so it has no traffic yet"
    name = endpoint["name"]
    if not _NAME.fullmatch(name) or not 3 <= len(name) <= ENDPOINT_NAME:
        yield f"{name!r} is no name of an endpoint"
    if endpoint["auth_mode"] != "aad_token":
        yield "endpoint.yml: a key that does not end would open it"
    if endpoint["identity"] != {"type": "system_assigned"}:
        yield "endpoint.yml: has no identity of its own"
    if endpoint["tags"] != files["pipelines/train.yml"]["tags"]:
        yield "endpoint.yml: has other tags than the pipelines"
    yield from (f"deployment.yml: {problem}" for problem in _deployment(deployment, endpoint, files, LIVE))
    for path, body in own.items():
        if path not in ("endpoint.yml", "deployment.yml", "rollout-0-deployment.yml"):
            yield from (f"{path}: {problem}" for problem in _shares(body, endpoint))
    if traffic["traffic"] != {LIVE: 100} or traffic["mirror_traffic"]:
        yield "traffic.yml: the first model has not all of the traffic"
    steps = {path: body for path, body in own.items() if path.startswith("rollout-")}
    if steps:
        candidate = steps["rollout-0-deployment.yml"]
        yield from (f"rollout-0-deployment.yml: {item}" for item in _deployment(candidate, endpoint, files, NEXT))
        if {**candidate, "name": LIVE} != deployment:
            yield "rollout-0-deployment.yml: the candidate is served otherwise than the champion"
        yield from _rollout(steps)


def _deployment(body: Mapping[str, Any], endpoint: Mapping[str, Any], files: Files, name: str) -> Iterator[str]:
    if (body["name"], body["endpoint_name"]) != (name, endpoint["name"]):
        yield "is another deployment, or of another endpoint"
    if body["model"] != f"azureml:{files['registry/model.yml']['name']}:{UNSET}":
        yield "serves another model, or a version before there is one"
    if body["environment_variables"].get("CTC_MODEL") != body["model_mount_path"]:
        yield "tells the server another folder than the model's"
    environment = body["environment"]
    if not environment["image"] or "build" in environment or "code_configuration" in body:
        yield "has no image, or one that is made when it is deployed"
    routes = environment["inference_config"]
    if set(routes) != {"liveness_route", "readiness_route", "scoring_route"}:
        yield "has not the three routes"
    if any(not route["path"].startswith("/") for route in routes.values()):
        yield "a route is no path"
    ports = {route["port"] for route in routes.values()}
    if len(ports) != 1 or not all(1 <= port <= 65535 for port in ports):
        yield "the container has not one port"
    if body["instance_type"] not in {size.name for size in HOSTING}:
        yield "is on no size that is picked from here"
    if body["instance_count"] < 1:
        yield "nothing runs it"
    settings = body["request_settings"]
    if not 1 <= settings["request_timeout_ms"] <= 180_000 or settings["max_concurrent_requests_per_instance"] < 1:
        yield "takes no request, or one for longer than the service waits"
    for probe in (body["liveness_probe"], body["readiness_probe"]):
        if probe["period"] * probe["failure_threshold"] < 60:
            yield "a server has no minute to start"
    if body["tags"] != endpoint["tags"]:
        yield "has other tags than its endpoint"
    capture = body.get("data_collector")
    if capture is not None:
        if not 0 < capture["sampling_rate"] <= 1:
            yield "captures more than all, or nothing"
        if capture["collections"] != {kind: {"enabled": "True"} for kind in ("request", "response")}:
            yield "does not capture requests and answers"


def _shares(body: Mapping[str, Any], endpoint: Mapping[str, Any]) -> Iterator[str]:
    if {key: body[key] for key in body if key in _ENDPOINT} != endpoint:
        yield "changes more of the endpoint than its traffic"
    if set(body) != _ENDPOINT | {"traffic", "mirror_traffic"}:
        yield "leaves a share as it was"
    parts = body["traffic"]
    if any(not isinstance(part, int) or part < 0 for part in parts.values()) or sum(parts.values()) != 100:
        yield "does not share all of the traffic in whole per cent"
    if not set(parts) <= {LIVE, NEXT} or not set(body["mirror_traffic"]) <= {NEXT}:
        yield "is about other deployments than champion and candidate"
    if any(not isinstance(part, int) or not 0 <= part <= MIRROR for part in body["mirror_traffic"].values()):
        yield f"mirrors no whole per cent of the traffic up to {MIRROR}"


def _rollout(steps: Files) -> Iterator[str]:
    back = steps["rollout-back.yml"]
    if back["traffic"] != {LIVE: 100, NEXT: 0} or any(back["mirror_traffic"].values()):
        yield "the rollout is not taken back to the champion"
    shares = [0]
    numbered = [path for path in steps if re.match(r"rollout-\d+-(mirror|traffic)-", path)]
    for path in sorted(numbered, key=lambda path: int(path.split("-")[1])):
        body, (kind, told) = steps[path], path.removesuffix(".yml").split("-")[2:]
        given = body["mirror_traffic"] if kind == "mirror" else body["traffic"]
        if str(given.get(NEXT, 0)) != told or any(body["mirror_traffic"].values()) != (kind == "mirror"):
            yield f"{path}: gives another share than its name says"
        if kind == "mirror" and body["traffic"].get(NEXT, 0) != shares[-1]:
            yield f"{path}: moves traffic beside the mirror"
        shares.append(body["traffic"].get(NEXT, 0))
    if any("-traffic-" in path for path in steps) and (shares != sorted(shares) or shares[-1] != 100):
        yield "the rollout does not lead all of the traffic to the candidate, step by step"
