"""The checks of a whole bundle: that its documents fit each other, and that no grant is wider than what needs it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ctc.targets.vertex import check
from ctc.targets.vertex.check import SECRET, plain_outputs
from ctc.targets.vertex.check_serving import check_serving
from ctc.targets.vertex.identities import SERVE
from ctc.targets.vertex.pipeline import LABEL_LENGTH, payload

_WIDE = re.compile(r"roles/(owner|editor|viewer|.*[aA]dmin|aiplatform\.user|storage\..*)")
"""Roles of Google's that hold more than any of these pipelines uses."""
_ON_RESOURCE = {"roles/iam.serviceAccountUser": "iam", "roles/secretmanager.secretAccessor": "secretmanager"}
"""The roles of Google's that are used, each with the service on whose single resources it is granted."""
_READS_SECRET = "roles/secretmanager.secretAccessor"
_ACT_AS = "roles/iam.serviceAccountUser"
_OBJECT = re.compile(r'resource\.name\.startsWith\("projects/_/buckets/([^/"]+)/objects/([^"]*)"\)$')

Files = Mapping[str, Any]
"""The documents of a bundle by path, JSON and YAML read."""


def check_bundle(files: Files) -> list[str]:
    """Everything wrong with a bundle, one sentence each, sorted; empty when it is sound."""
    try:
        return sorted(set(_findings(files)))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        return [f"the bundle lacks a document, or one has not its shape: {type(error).__name__}: {error}"]


def _findings(files: Files) -> Iterator[str]:
    wake, train = files["pipelines/wake.json"], files["pipelines/train.json"]
    jobs = {path: body for path, body in files.items() if path.startswith("pipelines/")}
    for path, body in jobs.items():
        yield from (f"{path}: {problem}" for problem in check.check(body))
    yield from _outs(files, [body for path, body in jobs.items() if path.startswith("pipelines/score-")])
    for path, body in files.items():
        if path.startswith("schedules/"):
            yield from (f"{path}: {problem}" for problem in check.check_schedule(body, wake))
    if "schedules/every.json" not in files:
        yield "schedules/every.json: nothing wakes the system"
    yield from _identities(files, train)
    yield from _model(files["registry/model.json"], train)
    yield from _events(files, wake)
    yield from _staleness(files, train)
    yield from check_serving(files)


def _identities(files: Files, train: Mapping[str, Any]) -> Iterator[str]:
    roles = {
        body["roleId"]: set(body["role"]["includedPermissions"])
        for path, body in files.items()
        if path.startswith("identities/role-")
    }
    for name, permissions in roles.items():
        if not re.fullmatch(r"[A-Za-z0-9_.]{3,64}", name):
            yield f"identities: {name!r} is no id of a role"
        yield from (f"identities: {name} holds {item}, which is none" for item in permissions if item.count(".") != 2)
        yield from (f"identities: {name} may change policies" for item in permissions if "IamPolicy" in item)
    runner = f"serviceAccount:{train['serviceAccount']}"
    accounts = {body["serviceAccount"] for path, body in files.items() if path.startswith("pipelines/")}
    if len(accounts) != 1:
        yield "identities: the pipelines run as several accounts"
    held: dict[str, set[str]] = {}
    for grant in files["identities/grants.json"]["grants"]:
        yield from (f"identities: {problem}" for problem in _grant(grant, roles))
        for member in grant["binding"]["members"]:
            name = grant["binding"]["role"].rpartition("/")[2]
            held.setdefault(member, set()).update(roles.get(name, {grant["binding"]["role"]}))
    yield from _needed(
        runner, held.get(runner, set()), _runner_needs(train, any(path.startswith("serving/") for path in files))
    )
    readable = {
        grant["resource"].removeprefix("//secretmanager.googleapis.com/")
        for grant in files["identities/grants.json"]["grants"]
        if grant["binding"]["role"] == _READS_SECRET and runner in grant["binding"]["members"]
    }
    yield from (f"identities: {runner} may not read {secret}" for secret in sorted(_secrets(train) - readable))
    for path, body in files.items():
        if path.endswith(".trigger.json"):
            needs = {"eventarc.events.receiveEvent", "workflows.executions.create", "storage.objects.get", _ACT_AS}
            member = f"serviceAccount:{body['serviceAccount']}"
            yield from _needed(member, held.get(member, set()), needs | {"aiplatform.pipelineJobs.create"})


def _secrets(train: Mapping[str, Any]) -> set[str]:
    """The full names of the secrets that the containers of a pipeline read."""
    executors = plain_outputs(train["pipelineSpec"])["deploymentSpec"]["executors"].values()
    words = [word for executor in executors for word in executor.get("container", {}).get("args", [])]
    return {match[1] for word in words if (match := SECRET.fullmatch(word))}


def _outs(files: Files, scores: list[Any]) -> Iterator[str]:
    """Every batch job may write where it writes, and nobody where none does."""
    wanted = {
        entry["out"].removeprefix("gs://").rstrip("/")
        for job in scores
        for entry in job["pipelineSpec"]["components"]["comp-publish"]["inputDefinitions"]["parameters"]["document"][
            "defaultValue"
        ]["policy"]["batch"].values()
        if entry["out"].startswith("gs://")
    }
    held = set()
    for grant in files["identities/grants.json"]["grants"]:
        if grant["binding"]["role"].endswith("_writer"):
            found = _OBJECT.search(grant["binding"].get("condition", {}).get("expression", ""))
            held.add(f"{found[1]}/{found[2]}".rstrip("/") if found else grant["resource"])
    yield from (f"identities: nobody may write scores to {out}" for out in sorted(wanted - held))
    yield from (f"identities: somebody may write to {out}, which no batch job does" for out in sorted(held - wanted))


def _runner_needs(train: Mapping[str, Any], serves: bool) -> set[str]:
    needs = {"aiplatform.pipelineJobs.create", "aiplatform.models.upload", "storage.objects.create", _ACT_AS}
    if any(payload(executor) for executor in train["pipelineSpec"]["deploymentSpec"]["executors"].values()):
        needs |= {"aiplatform.customJobs.create", "aiplatform.customJobs.get"}
    return needs | (set(SERVE) if serves else set())


def _needed(member: str, held: set[str], needs: set[str]) -> Iterator[str]:
    yield from (f"identities: {member} needs {permission}" for permission in sorted(needs - held))


def _grant(grant: Mapping[str, Any], roles: Mapping[str, set[str]]) -> Iterator[str]:
    role, resource, binding = grant["binding"]["role"], grant["resource"], grant["binding"]
    service = resource.removeprefix("//").partition(".googleapis.com/")[0]
    if _WIDE.fullmatch(role):
        yield f"{role} on {resource} is wider than what needs it"
    elif role.startswith("roles/") and _ON_RESOURCE.get(role) != service:
        yield f"{role} is granted on {resource}, and not on the one resource that it is about"
    elif not role.startswith("roles/") and role.rpartition("/")[2] not in roles:
        yield f"{role} is no role of this bundle"
    if any(member in ("allUsers", "allAuthenticatedUsers") for member in binding["members"]):
        yield f"{role} on {resource} is granted to everybody"
    yield from (
        f"{member} is no service account" for member in binding["members"] if not member.startswith("serviceAccount:")
    )
    if service == "storage":
        found = _OBJECT.search(binding.get("condition", {}).get("expression", ""))
        if found is None or found.group(1) != resource.rpartition("/")[2]:
            yield f"{role} on {resource} is not bound to the objects that it is about"
    storage = any(name.startswith("storage.") for name in roles.get(role.rpartition("/")[2], ()))
    if storage != (service == "storage"):
        yield f"{role} is granted on {resource}, another kind of resource than its permissions are about"
    if not grant["why"]:
        yield f"{role} on {resource} does not say why"


def _model(body: Mapping[str, Any], train: Mapping[str, Any]) -> Iterator[str]:
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,62}", body["modelId"]):
        yield f"registry/model.json: {body['modelId']!r} is no id of a model"
    if body["model"]["versionAliases"] != ["candidate"]:
        yield "registry/model.json: a version is a candidate until it is promoted"
    if body["model"]["labels"] != train["labels"]:
        yield "registry/model.json: has other labels than the pipelines"


def _events(files: Files, wake: Mapping[str, Any]) -> Iterator[str]:
    for path, body in files.items():
        if not path.endswith(".trigger.json"):
            continue
        event = path.removeprefix("events/").removesuffix(".trigger.json")
        name = body["name"].rpartition("/")[2]
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,61}[a-z0-9]", name):
            yield f"{path}: {name!r} is no name of a trigger"
        if body["destination"]["workflow"] != body["name"].replace("/triggers/", "/workflows/"):
            yield f"{path}: starts another workflow than its own"
        if [item["attribute"] for item in body["eventFilters"]] != ["type"]:
            yield f"{path}: a message on a topic is filtered by its type only"
        if not re.fullmatch(r"projects/[^/]+/topics/[^/]+", body["transport"]["pubsub"]["topic"]):
            yield f"{path}: {body['transport']['pubsub']['topic']!r} is no topic"
        request = files[f"events/{event}.workflow.json"]
        if request["serviceAccount"] != body["serviceAccount"]:
            yield f"{path}: the workflow runs as another account than the trigger"
        source = files[f"events/{event}.workflow.yaml"]
        steps = {key: value for step in source["main"]["steps"] for key, value in step.items()}
        yield from (f"events/{event}.workflow.yaml: {problem}" for problem in _source(steps, event, wake))


def _source(steps: Mapping[str, Any], event: str, wake: Mapping[str, Any]) -> Iterator[str]:
    alert = steps["say"]["assign"][0]["alert"]
    if alert["name"] != event or alert["id"] != "${message.messageId}":
        yield "tells another event than the one of its topic"
    root = wake["runtimeConfig"]["gcsOutputDirectory"].removesuffix("/artifacts").removeprefix("gs://")
    bucket, _, prefix = root.partition("/")
    url = steps["fetch"]["args"]["url"]
    if f"/b/{bucket}/o/{prefix.replace('/', '%2F')}%2Fsupport%2F" not in url or not url.endswith("wake.json?alt=media"):
        yield "fetches another job than the wake pipeline's"
    if not any("job.runtimeConfig.parameterValues.event" in item for item in steps["fill"]["assign"]):
        yield "does not hand over the event"
    post = steps["wake"]["try"]["args"]
    if "message.messageId" not in post["query"]["pipelineJobId"]:
        yield "wakes again for a message that is delivered twice"
    if post["auth"] != {"type": "OAuth2"} or steps["fetch"]["args"]["auth"] != {"type": "OAuth2"}:
        yield "asks without saying who asks"


def _staleness(files: Files, train: Mapping[str, Any]) -> Iterator[str]:
    paths = sorted(path for path in files if path.startswith("staleness/"))
    if not paths:
        return
    policy, job = files["staleness/alert-policy.json"], files["staleness/scheduler-job.json"]
    steps = {key: value for step in files["staleness/workflow.yaml"]["main"]["steps"] for key, value in step.items()}
    if f'pipeline_name=\\"{train["displayName"]}\\"' not in steps["ask"]["args"]["query"]["filter"]:
        yield "staleness/workflow.yaml: asks for another pipeline than train"
    if "PIPELINE_STATE_SUCCEEDED" not in steps["ask"]["args"]["query"]["filter"]:
        yield "staleness/workflow.yaml: a run that failed would count"
    if "raise" not in steps["alarm"]:
        yield "staleness/workflow.yaml: does not fail"
    name = job["name"].rpartition("/")[2]
    if not job["httpTarget"]["uri"].endswith(f"/workflows/{name}/executions"):
        yield "staleness/scheduler-job.json: starts another workflow than its own"
    if job["httpTarget"]["oauthToken"]["serviceAccountEmail"] != files["staleness/workflow.json"]["serviceAccount"]:
        yield "staleness/scheduler-job.json: starts the workflow as another account"
    conditions = [value for item in policy["conditions"] for key, value in item.items() if key != "displayName"]
    if not policy["enabled"] or policy["combiner"] != "OR" or len(conditions) != 2:
        yield "staleness/alert-policy.json: does not alarm for a failed watch and for a silent one"
    yield from (
        "staleness/alert-policy.json: watches another workflow"
        for condition in conditions
        if f'workflow_id = "{name}"' not in condition["filter"]
    )
    if any(len(value) > LABEL_LENGTH for value in policy["userLabels"].values()):
        yield "staleness/alert-policy.json: a label is too long"
