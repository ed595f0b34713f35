"""Online serving: the YAML of a managed online endpoint, of its deployments, and of each step of a rollout.

A deployment has no field for a command: its image serves by itself, on the routes of `inference_config`, and is told
in `CTC_MODEL` where the model was mounted ("Deploy a model by using a custom container", 2026-11). A rollout is the
endpoint with other shares of `traffic` and `mirror_traffic`, in whole per cent. Whoever applies a file puts the names
of the two deployments in place of `champion` and `candidate`, and the version of the model in place of `unset`.
"""

from __future__ import annotations

from typing import Any

from ctc.compiler.ir import Server, System
from ctc.targets.azureml import registry
from ctc.targets.azureml.machines import SIZES, Size
from ctc.targets.azureml.pipeline import UNSET
from ctc.targets.azureml.places import short
from ctc.targets.azureml.tags import tags

LIVE, NEXT = "champion", "candidate"
ENDPOINT_NAME = 32
"""The most signs of an endpoint's name (azure-ai-ml 1.35.2, EndpointConfigurations.MAX_NAME_LENGTH)."""
MIRROR = 50
"""The most that is mirrored, in per cent (azure-ai-ml 1.35.2, OnlineEndpointSchema)."""
HEALTHY_SECONDS = 300
"""For how long a server may start: as long as our own probe waits for it."""
TIMEOUT_MS = 60_000
"""How long a request may take; the service's own default is 5 s, its most 180 s (online deployment YAML reference)."""
MOUNT = "/var/ctc/model"
HOSTING: tuple[Size, ...] = tuple(size for size in SIZES if size.name.startswith(("Standard_E", "Standard_F")))
"""The sizes that host: the service's list has the Esv3 and Fsv2 series, and none of the Dsv3 ("Managed online endpoints
VM SKU list", of 2023-10, read in 2026-11)."""
_PERIOD = 10
_SCHEMAS = "https://azuremlschemas.azureedge.net/latest"


def documents(system: System) -> dict[str, dict[str, Any]]:
    """The files by path."""
    made: dict[str, dict[str, Any]] = {}
    for server in system.servers:
        folder = f"serving/{server.name}"
        made[f"{folder}/endpoint.yml"] = _endpoint(system, server)
        made[f"{folder}/deployment.yml"] = _deployment(system, server, LIVE)
        made[f"{folder}/traffic.yml"] = _endpoint(system, server, {LIVE: 100})
        if system.rollout is not None and system.rollout.serving == server.name:
            made |= {f"{folder}/{name}.yml": body for name, body in _rollout(system, server).items()}
    return made


def endpoint_name(system: System, server: Server) -> str:
    """Unique in its region; a hash stands for what is too long."""
    return short(f"{system.name}-{server.name}", ENDPOINT_NAME)


def percent(share: float) -> int:
    """A share of the traffic as the service takes it."""
    return round(share * 100)


def machine(server: Server) -> Size | None:
    """The smallest size with the vCPUs and the memory; a server keeps nothing on the disk but its model."""
    asked = server.resources
    fitting = (size for size in HOSTING if size.cpu >= asked.cpu and size.memory_gib * 1024**3 >= asked.memory_bytes)
    return next(fitting, None)


def _endpoint(
    system: System, server: Server, traffic: dict[str, int] | None = None, mirror: dict[str, int] | None = None
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "$schema": f"{_SCHEMAS}/managedOnlineEndpoint.schema.json",
        "name": endpoint_name(system, server),
        "description": f"The server {server.name} of {system.name}, compiled by ctc.",
        # With a token of Microsoft Entra there is no key that could be lost.
        "auth_mode": "aad_token",
        "identity": {"type": "system_assigned"},
        "tags": tags(system),
    }
    if traffic is not None:
        made["traffic"] = traffic
        made["mirror_traffic"] = mirror or {}
    return made


def _deployment(system: System, server: Server, name: str) -> dict[str, Any]:
    found = machine(server)
    routes = {"liveness_route": server.health, "readiness_route": server.health, "scoring_route": server.route}
    probe = {"period": _PERIOD, "timeout": _PERIOD, "failure_threshold": HEALTHY_SECONDS // _PERIOD}
    made: dict[str, Any] = {
        "$schema": f"{_SCHEMAS}/managedOnlineDeployment.schema.json",
        "type": "managed",
        "name": name,
        "endpoint_name": endpoint_name(system, server),
        "model": f"azureml:{registry.model(system)['name']}:{UNSET}",
        "model_mount_path": MOUNT,
        "environment": {
            "image": server.image,
            "inference_config": {key: {"path": path, "port": server.port} for key, path in routes.items()},
        },
        "environment_variables": {"CTC_MODEL": MOUNT},
        "instance_type": "" if found is None else found.name,
        "instance_count": server.count,
        "scale_settings": {"type": "default"},
        "request_settings": {
            "request_timeout_ms": TIMEOUT_MS,
            "max_concurrent_requests_per_instance": 1 if found is None else found.cpu,
        },
        "liveness_probe": {**probe, "initial_delay": _PERIOD},
        "readiness_probe": {**probe, "initial_delay": _PERIOD},
        "tags": tags(system),
    }
    if server.capture:
        made["data_collector"] = {
            "sampling_rate": server.capture,
            "collections": {name: {"enabled": "True"} for name in ("request", "response")},
        }
    return made


def _rollout(system: System, server: Server) -> dict[str, dict[str, Any]]:
    """Each step by its number; `deployment` brings the candidate up without traffic, `back` undoes all of it."""
    assert system.rollout is not None
    before = {LIVE: 100, NEXT: 0}
    made = {"rollout-0-deployment": _deployment(system, server, NEXT)}
    for number, step in enumerate(system.rollout.steps, 1):
        share = percent(step.share)
        if step.kind == "mirror":
            made[f"rollout-{number}-mirror-{share}"] = _endpoint(system, server, before, {NEXT: share})
        elif step.kind == "traffic":
            before = {LIVE: 100 - share, NEXT: share}
            made[f"rollout-{number}-traffic-{share}"] = _endpoint(system, server, before, {NEXT: 0})
    made["rollout-back"] = _endpoint(system, server, {LIVE: 100, NEXT: 0}, {NEXT: 0})
    return made
