"""The checks of the InferenceServices: that a rollout is of one service, adds up, and can be taken back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ctc.targets.kubeflow.serving import CONTAINER, MODEL, STORES, UNSET

Files = Mapping[str, Any]
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
NAME_LENGTH = 47
"""A revision is called `NAME-predictor-00001`, in a DNS label of 63 signs (RFC 1123)."""
_PREDICTOR = {"minReplicas", "maxReplicas", "timeout", "containers", "canaryTrafficPercent", "logger"}
_CONTAINER = {"name", "image", "command", "env", "ports", "readinessProbe", "livenessProbe", "resources"}


def check_serving(files: Files) -> list[str]:
    """Everything wrong with what lies below `serving/`, one sentence each, sorted; empty when it is sound."""
    folders = sorted({"/".join(path.split("/")[:2]) for path in files if path.startswith("serving/")})
    found = []
    for folder in folders:
        own = {path.removeprefix(f"{folder}/"): body for path, body in files.items() if path.startswith(f"{folder}/")}
        try:
            found += [f"{folder}: {problem}" for problem in _server(own)]
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            found.append(f"{folder}: lacks a document, or one has not its shape: {type(error).__name__}: {error}")
    return sorted(set(found))


def _server(own: Files) -> Iterator[str]:
    live = own["inference-service.yaml"]
    if "canaryTrafficPercent" in live["spec"]["predictor"]:
        yield "the first model has not all of the traffic"
    for path, body in own.items():
        yield from (f"{path}: {problem}" for problem in _service(body))
        if _without_share(body) != _without_share(live):
            yield f"{path}: the rollout changes more than the traffic"
    if len(own) > 1:
        yield from _rollout(own)


def _without_share(body: Mapping[str, Any]) -> dict[str, Any]:
    predictor = {key: value for key, value in body["spec"]["predictor"].items() if key != "canaryTrafficPercent"}
    return {**body, "spec": {"predictor": predictor}}


def _service(body: Mapping[str, Any]) -> Iterator[str]:
    if (body["apiVersion"], body["kind"]) != ("serving.kserve.io/v1beta1", "InferenceService"):
        yield "is no InferenceService"
    about, predictor = body["metadata"], body["spec"]["predictor"]
    if not _NAME.fullmatch(about["name"]) or len(about["name"]) > NAME_LENGTH or not about["namespace"]:
        yield f"{about['name']!r} is no name of an InferenceService, or it is in no namespace"
    if not {"ctc-name", "ctc-environment", "ctc-spec-digest"} <= set(about["labels"]):
        yield "no label tells whose it is"
    if not all(map(_LABEL.fullmatch, about["labels"].values())):
        yield "a label is none that Kubernetes takes"
    if about["annotations"].get("serving.kserve.io/deploymentMode") != "Serverless":
        yield "shares no traffic: that is for the serverless mode alone"
    if about["annotations"].get("serving.kserve.io/enable-tag-routing") != "true":
        yield "the candidate cannot be asked alone"
    if set(body["spec"]) != {"predictor"} or not set(predictor) <= _PREDICTOR:
        yield "has a field that is none of KServe's, or of no use here"
    if not 0 <= predictor["minReplicas"] <= predictor["maxReplicas"] or predictor["maxReplicas"] < 1:
        yield "keeps fewer replicas at most than at least"
    if not 1 <= predictor["timeout"] <= 600:
        yield "waits for an answer for no time, or for more than Knative does"
    share = predictor.get("canaryTrafficPercent", 0)
    if not isinstance(share, int) or not 0 <= share < 100:
        yield "has no whole share of the traffic: all of it is the field left out"
    logger = predictor.get("logger")
    if logger is not None and (logger["mode"] != "all" or not logger["url"].startswith(STORES)):
        yield "does not capture requests and answers, or to no bucket"
    [container] = predictor["containers"]
    yield from _container(container)


def _container(container: Mapping[str, Any]) -> Iterator[str]:
    if set(container) != _CONTAINER or container["name"] != CONTAINER:
        yield "the container is not the one that KServe asks"
    if not container["image"] or not container["command"] or any("{model}" in word for word in container["command"]):
        yield "the container has no image, or no command that it could run"
    variables = {item["name"]: item["value"] for item in container["env"]}
    if variables["CTC_MODEL"] != MODEL or not variables["STORAGE_URI"].endswith(f"/{UNSET}"):
        yield "has the model at another place, or one before there is one"
    ports = [item["containerPort"] for item in container["ports"]]
    if len(ports) != 1 or not 1 <= ports[0] <= 65535:
        yield "the container has not one port"
    for probe in (container["readinessProbe"], container["livenessProbe"]):
        if probe["httpGet"]["port"] != ports[0] or not probe["httpGet"]["path"].startswith("/"):
            yield "another port is asked for health than the server's, or no path"
        if probe["periodSeconds"] * probe.get("failureThreshold", 3) + probe.get("initialDelaySeconds", 0) < 60:
            yield "a server has no minute to start"
    if container["resources"]["requests"] != container["resources"]["limits"]:
        yield "is promised other resources than it may use"
    if set(container["resources"]["limits"]) != {"cpu", "memory"}:
        yield "has no bound on its vCPUs and memory"


def _rollout(own: Files) -> Iterator[str]:
    shares = {path: body["spec"]["predictor"].get("canaryTrafficPercent", 100) for path, body in own.items()}
    if shares["rollout-0-candidate.yaml"] != 0:
        yield "the rollout does not begin with all traffic at the champion"
    if shares["rollout-back.yaml"] != 0:
        yield "the rollout is not taken back to the champion"
    moved = sorted((path for path in own if "-traffic-" in path), key=lambda path: int(path.split("-")[1]))
    for path in moved:
        if path != f"rollout-{path.split('-')[1]}-traffic-{shares[path]}.yaml":
            yield f"{path}: gives another share than its name says"
    led = [shares[path] for path in moved]
    if moved and (led != sorted(led) or led[-1] != 100):
        yield "the rollout does not lead all of the traffic to the candidate, step by step"
