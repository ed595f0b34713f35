"""The InferenceServices of Kubeflow: what they say, who judges them, and that our own checks are not blind."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from breaking import Change, Files, at, without

from ctc.compiler.ir import RolloutStep, System
from ctc.compiler.lower import lower
from ctc.language.load import FIRST_ROW, load_spec
from ctc.targets import kubeflow
from ctc.targets.kubeflow.check_serving import check_serving

SPECS = Path(__file__).resolve().parent.parent.parent / "specs"
API = "serving/api"
LIVE = f"{API}/inference-service.yaml"
TEN = f"{API}/rollout-3-traffic-10.yaml"
PREDICTOR = ("spec", "predictor")
CONTAINER = (*PREDICTOR, "containers", 0)


@pytest.fixture(scope="module")
def system() -> System:
    loaded = load_spec(SPECS / "canary.yaml", None, "kubeflow", FIRST_ROW)
    assert loaded.spec is not None, loaded.diagnostics
    return lower(loaded.spec, "kubeflow")


def documents(system: System) -> Files:
    return {
        item.path: yaml.safe_load(item.content)
        for item in kubeflow.emit(system).artifacts
        if item.path.startswith("serving/")
    }


@pytest.fixture(scope="module")
def good(system: System) -> Files:
    return documents(system)


def test_each_step_of_traffic_is_the_service_with_another_share(good: Files) -> None:
    shares = {
        path.removeprefix(f"{API}/"): body["spec"]["predictor"].get("canaryTrafficPercent")
        for path, body in good.items()
    }

    assert shares == {
        "inference-service.yaml": None,
        "rollout-0-candidate.yaml": 0,
        "rollout-3-traffic-10.yaml": 10,
        "rollout-4-traffic-100.yaml": None,
        "rollout-back.yaml": 0,
    }


def test_a_model_is_served_as_the_spec_says(good: Files) -> None:
    predictor = good[LIVE]["spec"]["predictor"]
    [container] = predictor["containers"]

    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (2, 4)
    assert predictor["logger"]["url"].endswith("/captured/api")
    assert container["command"] == ["python", "-m", "fraud.serve", "--model", "/mnt/models"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/ping", "port": 8080}
    assert container["resources"]["limits"] == {"cpu": "4", "memory": str(8 * 1024**3)}


def test_a_word_that_kubernetes_would_fill_in_stays_as_it_is(system: System) -> None:
    [server] = system.servers
    made = documents(replace(system, servers=(replace(server, argv=("serve", "$(HOME)")),)))

    assert made[LIVE]["spec"]["predictor"]["containers"][0]["command"] == ["serve", "$$(HOME)"]


def test_nothing_is_served_where_nothing_is_asked(system: System) -> None:
    assert documents(replace(system, servers=(), rollout=None)) == {}


def test_limits_are_met_at_the_place_that_asks(system: System) -> None:
    [server] = system.servers
    assert system.rollout is not None
    half = replace(system.rollout, steps=(RolloutStep("traffic", 0.005), RolloutStep("traffic", 1.0)))
    long = replace(server, name="a" * 60)
    found = {(item.code, item.path) for item in kubeflow.limits(replace(system, rollout=half, servers=(long,)))}
    stored = {(item.code, item.path) for item in kubeflow.limits(replace(system, root="minio://acme/x"))}

    assert {code for code, _ in found} >= {"CT385", "CT387"}
    assert ("CT387", "rollout.steps.0.traffic") in found
    assert ("CT386", "serving.api.online.capture") in stored
    assert not {"CT385", "CT386", "CT387"} & {item.code for item in kubeflow.limits(system)}


def judge(model: str, value: Any, place: str) -> Iterator[str]:
    """What the models of Kubernetes' own client say against a value: unknown fields, and values of another type."""
    client = pytest.importorskip("kubernetes.client", reason="kubernetes is not installed")
    if model.startswith("list["):
        for index, item in enumerate(value):
            yield from judge(model[5:-1], item, f"{place}[{index}]")
    elif model.startswith("dict("):
        for key, item in value.items():
            yield from judge(model[5:-1].split(", ")[1], item, f"{place}.{key}")
    elif model in ("str", "int", "bool"):
        if type(value).__name__ != model:
            yield f"{place}: {value!r} is no {model}"
    elif model != "object":
        kind = getattr(client, model)
        fields = {there: kind.openapi_types[here] for here, there in kind.attribute_map.items()}
        for key, item in value.items():
            if key not in fields:
                yield f"{place}: there is no field {key}"
            else:
                yield from judge(fields[key], item, f"{place}.{key}")


def test_kubernetes_knows_the_container_and_its_metadata(good: Files) -> None:
    for path, body in good.items():
        assert list(judge("V1ObjectMeta", body["metadata"], path)) == []
        assert list(judge("V1Container", body["spec"]["predictor"]["containers"][0], path)) == []


def test_the_judge_is_not_blind(good: Files) -> None:
    [container] = good[LIVE]["spec"]["predictor"]["containers"]

    assert list(judge("V1Container", {**container, "route": "/x"}, "container"))
    assert list(judge("V1Container", {**container, "ports": [{"containerPort": "8080"}]}, "container"))


def everywhere(*keys: Any, value: Any) -> Change:
    """Sets what is at a place of every document: none then differs from another."""

    def change(files: Files) -> None:
        for path in files:
            at(path, *keys, value=value)(files)

    return change


MUTATIONS: dict[str, Change] = {
    "another version of the API": everywhere("apiVersion", value="serving.kserve.io/v1alpha2"),
    "a service of no kind": everywhere("kind", value="Service"),
    "a name in capitals": everywhere("metadata", "name", value="API"),
    "a name that leaves no room for a revision": everywhere("metadata", "name", value="a" * 48),
    "no namespace": everywhere("metadata", "namespace", value=""),
    "no label that tells whose it is": everywhere("metadata", "labels", value={}),
    "a label of 64 characters": everywhere("metadata", "labels", "ctc-spec-digest", value="a" * 64),
    "a mode that shares no traffic": everywhere(
        "metadata", "annotations", "serving.kserve.io/deploymentMode", value="RawDeployment"
    ),
    "a candidate without an address": everywhere(
        "metadata", "annotations", "serving.kserve.io/enable-tag-routing", value="false"
    ),
    "a transformer of nobody's": everywhere("spec", "transformer", value={}),
    "a field that is none": everywhere(*PREDICTOR, "mirrorTrafficPercent", value=10),
    "fewer replicas at most than at least": everywhere(*PREDICTOR, "maxReplicas", value=1),
    "an answer after an hour": everywhere(*PREDICTOR, "timeout", value=3600),
    "a capture of requests only": everywhere(*PREDICTOR, "logger", "mode", value="request"),
    "a capture to another store": everywhere(*PREDICTOR, "logger", "url", value="http://broker"),
    "two containers": lambda files: [body["spec"]["predictor"]["containers"].append({}) for body in files.values()],
    "a container that is not asked": everywhere(*CONTAINER, "name", value="server"),
    "a server without an image": everywhere(*CONTAINER, "image", value=""),
    "a command with a hole": everywhere(*CONTAINER, "command", 4, value="{model}"),
    "a model before there is one": everywhere(*CONTAINER, "env", 0, "value", value="s3://acme-ct/model"),
    "a server that is told another folder": everywhere(*CONTAINER, "env", 1, "value", value="/opt/model"),
    "no port": everywhere(*CONTAINER, "ports", value=[]),
    "health on another port": everywhere(*CONTAINER, "readinessProbe", "httpGet", "port", value=81),
    "a server that has to start at once": everywhere(*CONTAINER, "readinessProbe", "failureThreshold", value=1),
    "no bound on memory": everywhere(*CONTAINER, "resources", value={"requests": {}, "limits": {}}),
    "more than is promised": everywhere(*CONTAINER, "resources", "limits", "cpu", value="8"),
    "a first model with half of the traffic": at(LIVE, *PREDICTOR, "canaryTrafficPercent", value=50),
    "a step that changes the image": at(TEN, *CONTAINER, "image", value="other"),
    "a step that changes the replicas": at(TEN, *PREDICTOR, "minReplicas", value=1),
    "a step of more than all": at(TEN, *PREDICTOR, "canaryTrafficPercent", value=110),
    "a step of half a per cent": at(TEN, *PREDICTOR, "canaryTrafficPercent", value=0.5),
    "a step of another share": at(TEN, *PREDICTOR, "canaryTrafficPercent", value=20),
    "a step of all": without(TEN, *PREDICTOR, "canaryTrafficPercent"),
    "a candidate with traffic at once": without(f"{API}/rollout-0-candidate.yaml", *PREDICTOR, "canaryTrafficPercent"),
    "a rollout without its beginning": without(f"{API}/rollout-0-candidate.yaml"),
    "a rollout without an end": without(f"{API}/rollout-4-traffic-100.yaml"),
    "a rollout that cannot be taken back": without(f"{API}/rollout-back.yaml"),
    "a rollout back to the candidate": without(f"{API}/rollout-back.yaml", *PREDICTOR, "canaryTrafficPercent"),
    "no service": without(LIVE),
}


def test_good_services_are_good(good: Files) -> None:
    assert check_serving(good) == []
    assert len(MUTATIONS) >= 30


@pytest.mark.parametrize("name", MUTATIONS)
def test_broken_services_are_caught(good: Files, name: str) -> None:
    broken = copy.deepcopy(good)
    MUTATIONS[name](broken)

    assert broken != good
    assert check_serving(broken)
    assert all(re.match(rf"{API}: ", problem) for problem in check_serving(broken))
