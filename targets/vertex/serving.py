"""Online serving: the bodies of an endpoint, of the model on it, and of each step of a rollout.

A model's container is told its command, port and routes, and where the service keeps its copy of the model, by
`AIP_STORAGE_URI` (Vertex AI, "Custom container requirements for prediction"): that URI, in Cloud Storage, is what
`{model}` stands for. Traffic is shared by the ids of deployed models, in whole per cent, and a model without a share is
asked by nobody; so a step that asks the candidate alone has it on an endpoint of its own. In a network, the endpoint is
reached by Private Service Connect ("Use private services access endpoints": "only support one model per private
endpoint"). Whoever applies a body puts
the ids in place of `champion` and `candidate`, and the version of the model in place of `unset`.
"""

from __future__ import annotations

import re
from typing import Any

from ctc.compiler.ir import Server, System
from ctc.targets.vertex import registry
from ctc.targets.vertex.machines import MachineType, smallest
from ctc.targets.vertex.pipeline import labels

LIVE, NEXT, DEPLOYING = "champion", "candidate", "0"
"""The keys of a traffic split: `0` is the model that the same request deploys (discovery document aiplatform.v1)."""
UNSET = "unset"
"""In place of the version of a model."""
MODEL_URI = "$(AIP_STORAGE_URI)"
HEALTHY_SECONDS = 300
"""For how long a server may start: as long as our own probe waits for it."""
_PERIOD = 10
"""Between two questions for health, in seconds; the service wants it below the time that an answer may take."""


def documents(system: System) -> dict[str, dict[str, Any]]:
    """The bodies by file."""
    made: dict[str, dict[str, Any]] = {}
    for server in system.servers:
        folder = f"serving/{server.name}"
        made[f"{folder}/endpoint.json"] = _endpoint(system, server, server.capture)
        made[f"{folder}/model.json"] = _upload(system, server)
        made[f"{folder}/deploy.json"] = _deploy(system, server, LIVE, {DEPLOYING: 100})
        if system.rollout is not None and system.rollout.serving == server.name:
            made |= {f"{folder}/{name}.json": body for name, body in _rollout(system, server).items()}
    return made


def percent(share: float) -> int:
    """A share of the traffic as the service takes it."""
    return round(share * 100)


def machine(server: Server) -> MachineType | None:
    """The machine type of each replica."""
    return smallest(server.resources)


def display_name(system: System, server: Server) -> str:
    return f"{system.name}-{server.name}"


def table(system: System, server: Server) -> str:
    """The table of BigQuery that keeps requests and answers; a dataset has no hyphens in its name."""
    dataset, name = (re.sub("[^A-Za-z0-9_]", "_", text) for text in (system.name, server.name))
    return f"bq://{system.settings['project']}.ctc_{dataset}.{name}"


def _endpoint(system: System, server: Server, capture: float) -> dict[str, Any]:
    """`projects.locations.endpoints.create`."""
    made: dict[str, Any] = {
        "displayName": display_name(system, server),
        "description": f"The server {server.name} of {system.name}, compiled by ctc.",
        "labels": labels(system),
    }
    if system.settings.get("kms_key"):
        made["encryptionSpec"] = {"kmsKeyName": str(system.settings["kms_key"])}
    if system.settings.get("network"):
        # An endpoint that is peered with the network holds one model only, and shares no traffic.
        project = str(system.settings["project"])
        made["privateServiceConnectConfig"] = {"enablePrivateServiceConnect": True, "projectAllowlist": [project]}
    if capture:
        made["predictRequestResponseLoggingConfig"] = {
            "enabled": True,
            "samplingRate": capture,
            "bigqueryDestination": {"outputUri": table(system, server)},
        }
    return made


def _upload(system: System, server: Server) -> dict[str, Any]:
    """`models.upload` of a version that is served; `artifactUri` and `parentModel` are added as in the registry's."""
    body = registry.upload(system)
    probe = {
        "httpGet": {"path": server.health, "port": server.port},
        "periodSeconds": _PERIOD,
        "timeoutSeconds": _PERIOD + 1,
        "failureThreshold": HEALTHY_SECONDS // _PERIOD,
    }
    body["model"]["containerSpec"] = {
        "imageUri": server.image,
        # The service would fill in `$(NAME)` of the user's own words too.
        "command": [word.replace("$(", "$$(").replace("{model}", MODEL_URI) for word in server.argv],
        "env": [{"name": "CTC_SERVING", "value": server.name}],
        "ports": [{"containerPort": server.port}],
        "healthRoute": server.health,
        "predictRoute": server.route,
        "startupProbe": probe,
    }
    return body


def _deploy(system: System, server: Server, name: str, split: dict[str, int]) -> dict[str, Any]:
    """`endpoints.deployModel`."""
    settings, found = system.settings, machine(server)
    model = f"projects/{settings['project']}/locations/{settings['region']}/models/{registry.upload(system)['modelId']}"
    return {
        "deployedModel": {
            "displayName": f"{display_name(system, server)}-{name}",
            "model": f"{model}@{UNSET}",
            "serviceAccount": str(settings["service_account"]),
            "dedicatedResources": {
                "machineSpec": {"machineType": "" if found is None else found.name},
                "minReplicaCount": server.count,
                "maxReplicaCount": max(server.count, server.most or server.count),
            },
        },
        "trafficSplit": split,
    }


def _rollout(system: System, server: Server) -> dict[str, dict[str, Any]]:
    """Each step by its number; `deploy` brings the candidate up without traffic, `back` gives all to the champion."""
    assert system.rollout is not None
    steps = system.rollout.steps
    made: dict[str, dict[str, Any]] = {}
    if any(step.kind in ("smoke", "mirror") for step in steps):
        alone = _endpoint(system, server, 0.0)
        made["candidate/endpoint"] = {**alone, "displayName": f"{alone['displayName']}-{NEXT}"}
        made["candidate/deploy"] = _deploy(system, server, NEXT, {DEPLOYING: 100})
    made["rollout-0-deploy"] = _deploy(system, server, NEXT, {LIVE: 100, DEPLOYING: 0})
    for number, step in enumerate(steps, 1):
        if step.kind == "traffic":
            share = percent(step.share)
            made[f"rollout-{number}-traffic-{share}"] = {"trafficSplit": {LIVE: 100 - share, NEXT: share}}
    made["rollout-back"] = {"trafficSplit": {LIVE: 100, NEXT: 0}}
    return made
