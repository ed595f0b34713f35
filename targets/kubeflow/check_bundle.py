"""The checks of a whole bundle: each PipelineSpec by itself, and that the documents fit each other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ctc.targets.kfp_check import check, check_platform
from ctc.targets.kubeflow.check_serving import check_serving

Files = Mapping[str, Any]
"""The documents of a bundle by path: of a pipeline the list of its YAML documents, else what JSON or YAML say."""

RUN = "recurring-run.json"
_SERVING = "serving/"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SECONDS = re.compile(r"[1-9][0-9]*")
_ATTEMPT = ("attempt", "instant", "request")
"""The parameters that `wake` gives a training: `ctc/steps/wake` writes them into the run."""
_FIELDS = frozenset(
    ("display_name", "description", "mode", "no_catchup", "max_concurrency", "trigger", "runtime_config")
)
"""Of `V2beta1RecurringRun` those that a bundle can know; the server, or a deploy, says the others."""


def check_bundle(files: Files) -> list[str]:
    """Everything wrong with a bundle, one sentence each, sorted; empty when it is sound."""
    try:
        return sorted(set(_findings(files)))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        return [f"the bundle lacks a document, or one has not its shape: {type(error).__name__}: {error}"]


def _findings(files: Files) -> Iterator[str]:
    pipelines = {path: body for path, body in files.items() if path.startswith("pipelines/")}
    wake, train = (pipelines[f"pipelines/{kind}.yaml"][0] for kind in ("wake", "train"))
    for path, (spec, *platform) in pipelines.items():
        found = (*check(spec), *check_platform(spec, platform), *_steps(spec), *_secrets(spec, platform))
        yield from (f"{path}: {problem}" for problem in found)
    documents = [
        (f"{path}: {name}", document)
        for path, (spec, *_) in pipelines.items()
        for name, document in _documents(spec).items()
    ]
    yield from _one_system(documents, {path: spec for path, (spec, *_) in pipelines.items()})
    yield from _train(train)
    yield from (f"{RUN}: {problem}" for problem in _run(files[RUN], wake))
    yield from check_serving({path: body for path, body in files.items() if path.startswith(_SERVING)})


def _documents(spec: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The step documents of a pipeline, by their components."""
    return {
        name: component["inputDefinitions"]["parameters"]["document"]["defaultValue"]
        for name, component in spec["components"].items()
        if "document" in component.get("inputDefinitions", {}).get("parameters", {})
    }


def _steps(spec: Mapping[str, Any]) -> Iterator[str]:
    """Each step runs each time, and does what its document says."""
    for where, task in _tasks(spec):
        if task.get("cachingOptions", {}).get("enableCache"):
            yield f"{where}: its result would be taken from an earlier run"
    for name, document in _documents(spec).items():
        if name != f"comp-{document['step']}":
            yield f"{name}: its document is of the step {document['step']}"
    for name, executor in spec["deploymentSpec"]["executors"].items():
        image = executor.get("container", {}).get("image", "")
        if image.endswith(":latest") or (image and not re.search(r"[:@]", image.rpartition("/")[2])):
            yield f"executor {name}: its image {image} is another one tomorrow"


def _tasks(spec: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for dag in (spec["root"], *(item for item in spec["components"].values() if "dag" in item)):
        yield from dag["dag"]["tasks"].items()


def _secrets(spec: Mapping[str, Any], platform: list[Any]) -> Iterator[str]:
    """A variable has one source; a secret's value is never written down."""
    given = platform[0]["platforms"]["kubernetes"]["deploymentSpec"]["executors"] if platform else {}
    for name, executor in given.items():
        plain = {item["name"] for item in spec["deploymentSpec"]["executors"][name]["container"].get("env", [])}
        for secret in executor.get("secretAsEnv", []):
            named = {secret["secretName"], secret["secretNameParameter"]["runtimeValue"]["constant"]}
            if len(named) != 1 or "" in named:
                yield f"executor {name}: older and newer servers would read other secrets, or none"
            for pair in secret["keyToEnv"]:
                if pair["envVar"] in plain:
                    yield f"executor {name}: {pair['envVar']} is a secret, and written down"
                if not pair.get("secretKey"):
                    yield f"executor {name}: {pair['envVar']} comes from no key of its secret"


def _one_system(
    documents: list[tuple[str, Mapping[str, Any]]], specs: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """All steps are of one deployment, in one image; all pipelines are named after it."""
    _, first = documents[0]
    for where, document in documents:
        for key in ("name", "environment", "root", "spec_digest", "target", "version"):
            if document[key] != first[key]:
                yield f"{where}: its {key} is {document[key]!r}, another one's is {first[key]!r}"
    if first["target"] != "kubeflow" or not _DIGEST.fullmatch(first["spec_digest"]):
        yield "the steps' documents are of no spec for Kubeflow"
    images: dict[str, str] = {}
    for path, spec in specs.items():
        kind = path.removeprefix("pipelines/").removesuffix(".yaml")
        named = spec["pipelineInfo"]["name"]
        if not named.endswith(f"-{kind}"):
            yield f"{path}: is called {named}"
        images.setdefault(named.removesuffix(f"-{kind}"), path)
        runtime = {_image(spec, name) for name in _documents(spec)}
        if len(runtime) != 1:
            yield f"{path}: our own steps run in several images: {', '.join(sorted(runtime))}"
    if len(images) != 1:
        yield f"the pipelines are named after several deployments: {', '.join(sorted(images))}"
    if len({_image(spec, name) for spec in specs.values() for name in _documents(spec)}) != 1:
        yield "our own steps run in several images"


def _image(spec: Mapping[str, Any], component: str) -> str:
    label = spec["components"][component]["executorLabel"]
    image: str = spec["deploymentSpec"]["executors"][label]["container"]["image"]
    return image


def _train(spec: Mapping[str, Any]) -> Iterator[str]:
    """What `wake` hands to a training, and what ends it."""
    given = spec["root"]["inputDefinitions"]["parameters"]
    for name in _ATTEMPT:
        if name not in given or given[name].get("isOptional"):
            yield f"pipelines/train.yaml: does not ask for {name}, which tells its runs apart"
    image, users = given["champion_image"].get("defaultValue"), spec["deploymentSpec"]["executors"]["exec-train"]
    if image != users["container"]["image"]:
        yield "pipelines/train.yaml: without a champion, its image is another than the training's"
    last = spec["root"]["dag"]["tasks"].get("record", {})
    if last.get("triggerPolicy", {}).get("strategy") != "ALL_UPSTREAM_TASKS_COMPLETED":
        yield "pipelines/train.yaml: a run that fails leaves no record"


def _run(body: Mapping[str, Any], wake: Mapping[str, Any]) -> Iterator[str]:
    """What wakes the system: always, one at a time, from what the state says."""
    yield from (f"the server has no field {name}, or says it itself" for name in sorted(body.keys() - _FIELDS))
    yield from (f"lacks {name}" for name in sorted(_FIELDS - body.keys()))
    if body["display_name"] != wake["pipelineInfo"]["name"]:
        yield f"is called {body['display_name']}, and the pipeline that it starts {wake['pipelineInfo']['name']}"
    [document] = _documents(wake).values()
    if document["spec_digest"][:12] not in body["description"]:
        yield "does not say which spec it is of"
    if body["mode"] != "ENABLE":
        yield "nothing wakes the system"
    if body["no_catchup"] is not True:
        yield "wakes once for each period that was missed; one wake reads the whole state"
    if body["max_concurrency"] != "1":
        yield "wakes run side by side"
    period = body["trigger"]
    if period.keys() != {"periodic_schedule"} or period["periodic_schedule"].keys() != {"interval_second"}:
        yield "is not started by a period alone: a cron has one zone for the whole cluster"
    elif not _SECONDS.fullmatch(period["periodic_schedule"]["interval_second"]):
        yield "its period is no whole number of seconds, written as a string"
    asked = wake["root"]["inputDefinitions"]["parameters"]
    told = body["runtime_config"]["parameters"]
    if told.keys() != asked.keys():
        yield f"gives the parameters {', '.join(sorted(told))}; its pipeline has {', '.join(sorted(asked))}"
    if any(told.values()):
        yield "gives every wake the same request"
    if body["runtime_config"]["pipeline_root"] != f"{document['root']}/artifacts":
        yield "its runs keep their files elsewhere than below the system's root"
