"""Online serving: the InferenceService of KServe for a server, and what it is at each step of a rollout.

KServe copies the model that `STORAGE_URI` names to `/mnt/models` before the container starts (KServe v0.16, "Custom
predictor"). In its serverless mode a changed service is a new revision beside the last one that had all of the traffic;
`canaryTrafficPercent` is the share of the new one, 0 pins the old one, and the field is left out at the end ("Canary
rollout example": "only supported in serverless deployment mode"). Nothing copies requests to a revision. Whoever
applies a file puts the model's place instead of `unset`.
"""

from __future__ import annotations

from typing import Any

from ctc.compiler.ir import Server, System

UNSET = "unset"
"""In place of the model: below the root there is nothing of this name."""
MODEL = "/mnt/models"
CONTAINER = "kserve-container"
"""The name by which KServe knows the container that answers."""
HEALTHY_SECONDS = 300
"""For how long a server may start: as long as our own probe waits for it."""
TIMEOUT = 60
"""How long a request may take, in seconds."""
STORES = ("s3://", "gs://")
"""The buckets into which the logger of KServe writes (kserve pkg/logger/store.go, 2026-08)."""
_LABEL = 63
_PERIOD = 10


def documents(system: System) -> dict[str, dict[str, Any]]:
    """The files by path."""
    made: dict[str, dict[str, Any]] = {}
    for server in system.servers:
        folder = f"serving/{server.name}"
        made[f"{folder}/inference-service.yaml"] = service(system, server, None)
        if system.rollout is not None and system.rollout.serving == server.name:
            made[f"{folder}/rollout-0-candidate.yaml"] = service(system, server, 0)
            for number, step in enumerate(system.rollout.steps, 1):
                if step.kind == "traffic":
                    share = percent(step.share)
                    whole = None if share == 100 else share
                    made[f"{folder}/rollout-{number}-traffic-{share}.yaml"] = service(system, server, whole)
            made[f"{folder}/rollout-back.yaml"] = service(system, server, 0)
    return made


def percent(share: float) -> int:
    """A share of the traffic as the service takes it."""
    return round(share * 100)


def service_name(system: System, server: Server) -> str:
    return f"{system.name}-{server.name}".replace("_", "-")


def namespace(system: System) -> str:
    return str(system.settings.get("namespace", "kubeflow"))


def service(system: System, server: Server, canary: int | None) -> dict[str, Any]:
    """The InferenceService; `canary` is the share of its newest revision in per cent, None for all that there is."""
    predictor: dict[str, Any] = {
        "minReplicas": server.count,
        "maxReplicas": max(server.count, server.most or server.count, 1),
        "timeout": TIMEOUT,
        "containers": [_container(system, server)],
    }
    if canary is not None:
        predictor["canaryTrafficPercent"] = canary
    if server.capture:
        predictor["logger"] = {
            "mode": "all",
            "url": f"{system.root}/captured/{server.name}",
            "storage": {"parameters": {"type": system.root.partition(":")[0], "format": "json"}},
        }
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": service_name(system, server),
            "namespace": namespace(system),
            "labels": {
                "ctc-name": system.name[:_LABEL],
                "ctc-environment": system.environment[:_LABEL],
                "ctc-spec-digest": system.spec_digest[:_LABEL],
            },
            "annotations": {
                "serving.kserve.io/deploymentMode": "Serverless",
                # Gives the newest revision an address of its own, by which a smoke test asks it alone.
                "serving.kserve.io/enable-tag-routing": "true",
            },
        },
        "spec": {"predictor": predictor},
    }


def _container(system: System, server: Server) -> dict[str, Any]:
    ask = {"httpGet": {"path": server.health, "port": server.port}, "periodSeconds": _PERIOD, "timeoutSeconds": _PERIOD}
    machine = {"cpu": f"{server.resources.cpu:g}", "memory": str(server.resources.memory_bytes)}
    return {
        "name": CONTAINER,
        "image": server.image,
        # Kubernetes would fill in `$(NAME)`.
        "command": [word.replace("$(", "$$(").replace("{model}", MODEL) for word in server.argv],
        "env": [
            {"name": "STORAGE_URI", "value": f"{system.root}/{UNSET}"},
            {"name": "CTC_MODEL", "value": MODEL},
        ],
        "ports": [{"containerPort": server.port, "protocol": "TCP"}],
        "readinessProbe": {**ask, "failureThreshold": HEALTHY_SECONDS // _PERIOD},
        "livenessProbe": {**ask, "initialDelaySeconds": HEALTHY_SECONDS},
        "resources": {"requests": machine, "limits": dict(machine)},
    }
