"""The checks of a whole bundle: that its documents fit each other, and that no grant is wider than what needs it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ctc.targets.azureml import check, events
from ctc.targets.azureml.check import SECRET
from ctc.targets.azureml.check_serving import check_serving
from ctc.targets.azureml.identities import LOGS, SECRET_ROLE, SERVE
from ctc.targets.azureml.places import WORKFLOW_NAME, datastore
from ctc.targets.azureml.registry import ALIAS

Files = Mapping[str, Any]
"""The documents of a bundle by path, JSON and YAML read."""

_ML = "Microsoft.MachineLearningServices/workspaces"
_WORKSPACE = re.compile(r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/" + re.escape(_ML) + r"/[^/]+")
_GROUP = re.compile(r"/subscriptions/[^/]+/resourceGroups/[^/]+")
_READS_ALL = f"{_ML}/*/read"
_WILD = {_READS_ALL, "Microsoft.Resources/deployments/*"}
"""The operations with a `*` that are used: the documented ones of submitting a job, and of deploying a template."""
_POLICIES = ("Microsoft.Authorization/", "/roleAssignments/", "/listKeys/")


def check_bundle(files: Files) -> list[str]:
    """Everything wrong with a bundle, one sentence each, sorted; empty when it is sound."""
    try:
        return sorted(set(_findings(files)))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        return [f"the bundle lacks a document, or one has not its shape: {type(error).__name__}: {error}"]


def _findings(files: Files) -> Iterator[str]:
    wake, train = files["pipelines/wake.yml"], files["pipelines/train.yml"]
    jobs = [(path, job) for path, job in files.items() if path.startswith("pipelines/")]
    for path, job in jobs:
        yield from (f"{path}: {problem}" for problem in check.check(job))
        for name, step in job["jobs"].items():
            if "-m ctc.step" in step["component"]["command"] and f"documents/{name}.json" not in files:
                yield f"{path}: {name} has no document"
    for path, schedule in files.items():
        if path.startswith("schedules/"):
            yield from (f"{path}: {problem}" for problem in check.check_schedule(schedule))
            if schedule["tags"] != wake["tags"] or not schedule["name"].startswith(f"{wake['display_name']}-"):
                yield f"{path}: is another system's"
    if "schedules/every.yml" not in files:
        yield "schedules/every.yml: nothing wakes the system"
    yield from _identities(files, wake)
    yield from _outs(files)
    yield from _model(files["registry/model.yml"], train)
    yield from _events(files, wake)
    yield from _staleness(files, train)
    yield from check_serving(files)


def _identities(files: Files, wake: Mapping[str, Any]) -> Iterator[str]:
    roles: dict[str, Mapping[str, Any]] = {}
    for path, role in files.items():
        if path.startswith("identities/role-"):
            roles[role["Name"]] = role
            yield from (f"{path}: {problem}" for problem in _role(role))
    held: dict[str, set[str]] = {}
    scopes: set[tuple[str, str, str]] = set()
    for grant in files["identities/grants.json"]["grants"]:
        yield from (f"identities: {problem}" for problem in _grant(grant, roles))
        who = json.dumps(grant["principal"], sort_keys=True)
        if (who, grant["role"], grant["scope"]) in scopes:
            yield f"identities: {grant['role']} is assigned twice on {grant['scope']}, which is refused"
        scopes.add((who, grant["role"], grant["scope"]))
        role = roles.get(grant["role"], {"Actions": [], "DataActions": []})
        held.setdefault(who, set()).update((*role["Actions"], *role["DataActions"]))
    identity = wake["jobs"]["wake"]["identity"]
    cluster = {"compute": wake["settings"]["default_compute"].removeprefix("azureml:")}
    runner = {"client_id": identity["client_id"]} if "client_id" in identity else cluster
    blobs = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
    needs = {_READS_ALL, f"{_ML}/jobs/write", f"{_ML}/models/versions/write", f"{blobs}/read", f"{blobs}/write"}
    needs |= {*SERVE} if any(path.startswith("serving/") for path in files) else set()
    yield from _needed("runner", held.get(json.dumps(runner, sort_keys=True), set()), needs)
    readable = {
        grant["scope"].removeprefix("secret:")
        for grant in files["identities/grants.json"]["grants"]
        if grant["role"] == SECRET_ROLE and "workspace" in grant["principal"]
    }
    commands = [step["component"]["command"] for step in files["pipelines/train.yml"]["jobs"].values()]
    asked = {match[1] for command in commands for match in SECRET.finditer(command)}
    yield from (f"identities: the workspace may not read {secret}" for secret in sorted(asked - readable))
    waker = {item for who, actions in held.items() if '"identity"' in who for item in actions}
    if any(path.startswith("events/") for path in files):
        yield from _needed("waker", waker, {f"{_ML}/jobs/write"})
    if any(path.startswith("staleness/") for path in files):
        yield from _needed("waker", waker, {LOGS})


def _outs(files: Files) -> Iterator[str]:
    """Every batch job may write where it writes, and nobody where none does."""
    document = files.get("documents/publish.json") or {"policy": {"batch": {}}}
    found = (datastore(entry["out"]) for entry in document["policy"]["batch"].values())
    wanted = {(f"datastore:{place[0]}", place[1].rstrip("/")) for place in found if place is not None}
    held = {
        (grant["scope"], path.rstrip("/"))
        for grant in files["identities/grants.json"]["grants"]
        if grant["role"].endswith(" writer")
        for path in re.findall(r"StringStartsWith '([^']*)'", grant["condition"])
    }
    yield from (f"identities: nobody may write scores to {out}" for _, out in sorted(wanted - held))
    yield from (f"identities: somebody may write to {out}, which no batch job does" for _, out in sorted(held - wanted))


def _needed(who: str, held: set[str], needs: set[str]) -> Iterator[str]:
    yield from (f"identities: the {who} needs {operation}" for operation in sorted(needs - held))


def _role(role: Mapping[str, Any]) -> Iterator[str]:
    for operation in (*role["Actions"], *role["DataActions"]):
        if "*" in operation and operation not in _WILD:
            yield f"{operation} is wider than what needs it"
        if any(sign in operation for sign in _POLICIES):
            yield f"{operation} changes who may do what"
        if not re.fullmatch(r"Microsoft\.[A-Za-z]+(/[A-Za-z*]+)+", operation):
            yield f"{operation} is no operation"
    if not role["AssignableScopes"] or not all(_GROUP.fullmatch(scope) for scope in role["AssignableScopes"]):
        yield "it can be assigned outside of the resource group"


def _grant(grant: Mapping[str, Any], roles: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    role, scope = grant["role"], grant["scope"]
    kind = scope.partition(":")[0] if not scope.startswith("/") else "workspace"
    if role == SECRET_ROLE:
        if not re.fullmatch(r"secret:[A-Za-z0-9-]{1,127}", scope):
            yield f"{role} is assigned on {scope}, and not on one secret"
    elif role not in roles:
        yield f"{role} is no role of this bundle"
    elif bool(roles[role]["DataActions"]) != (kind == "datastore"):
        yield f"{role} is assigned on {scope}, another kind of resource than it is about"
    elif kind == "datastore":
        yield from _condition(grant, roles[role]["DataActions"])
    if kind == "workspace" and not _WORKSPACE.fullmatch(scope):
        yield f"{role} is assigned on {scope}, which is wider than the workspace"
    if len(grant["principal"]) != 1 or not set(grant["principal"]) <= {"compute", "client_id", "identity", "workspace"}:
        yield f"{role} is assigned to nobody that is known"
    if not grant["why"]:
        yield f"{role} on {scope} does not say why"


def _condition(grant: Mapping[str, Any], operations: list[str]) -> Iterator[str]:
    condition = grant.get("condition", "")
    if not re.search(r"StringStartsWith '[^']+'", condition) or "StringStartsWith ''" in condition:
        yield f"{grant['role']} is about all of {grant['scope']}, and not about some paths"
    for operation in operations:
        if f"ActionMatches{{'{operation}'}}" not in condition:
            yield f"{grant['role']} may {operation} on all paths of {grant['scope']}"


def _model(model: Mapping[str, Any], train: Mapping[str, Any]) -> Iterator[str]:
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,254}", model["name"]):
        yield f"registry/model.yml: {model['name']!r} is no name of a model"
    if model["tags"] != {**train["tags"], ALIAS: "candidate"}:
        yield "registry/model.yml: a version is a candidate until it is promoted, and has the tags of its job"
    if model["path"] != train["jobs"]["train"]["outputs"]["model"]["path"]:
        yield "registry/model.yml: is another model than the one that is trained"


def _app(template: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
    """The workflow of a template, and what is wrong with the two."""
    wrong = []
    if template["$schema"] != events.TEMPLATE or len(template["resources"]) != 2:
        wrong.append("is no template of two resources")
    app = template["resources"][0]
    if app["type"] != "Microsoft.Logic/workflows" or app["properties"]["state"] != "Enabled":
        wrong.append("makes no workflow, or one that is off")
    if not re.fullmatch(rf"[a-z0-9-]{{1,{WORKFLOW_NAME}}}", app["name"]):
        wrong.append(f"{app['name']!r} is no name of a workflow")
    if app["identity"]["type"] != "UserAssigned" or len(app["identity"]["userAssignedIdentities"]) != 1:
        wrong.append("the workflow has not one identity")
    if any("Microsoft.Logic/workflows" not in needed for needed in template["resources"][1]["dependsOn"]):
        wrong.append("does not make the workflow first")
    return app, wrong


def _asks(action: Mapping[str, Any], app: Mapping[str, Any], audience: str) -> Iterator[str]:
    said = action["inputs"].get("authentication", {})
    if said.get("type") != "ManagedServiceIdentity" or said.get("audience") != audience:
        yield "asks without saying who asks, or somebody else"
    elif said["identity"] not in app["identity"]["userAssignedIdentities"]:
        yield "asks as another identity than the workflow's"


def _granted(files: Files, app: Mapping[str, Any]) -> Iterator[str]:
    principals = [grant["principal"].get("identity") for grant in files["identities/grants.json"]["grants"]]
    yield from (
        "nothing is granted to its identity"
        for one in app["identity"]["userAssignedIdentities"]
        if one not in principals
    )


def _events(files: Files, wake: Mapping[str, Any]) -> Iterator[str]:
    for path, template in files.items():
        if path.startswith("events/"):
            event = path.removeprefix("events/").removesuffix(".template.json")
            app, wrong = _app(template)
            found = [*wrong, *_granted(files, app), *_woken(app, event, wake, files["components/wake.yml"])]
            found += _subscription(template["resources"][1], app)
            yield from (f"{path}: {problem}" for problem in found)


def _subscription(made: Mapping[str, Any], app: Mapping[str, Any]) -> Iterator[str]:
    if made["type"] not in (
        "Microsoft.EventGrid/topics/eventSubscriptions",
        "Microsoft.EventGrid/systemTopics/eventSubscriptions",
    ):
        yield "subscribes to no topic"
    if not re.fullmatch(r"[A-Za-z0-9-]{3,128}/[A-Za-z0-9-]{3,64}", made["name"]):
        yield f"{made['name']!r} is no name of a subscription"
    said = made["properties"]
    url = said["destination"]["properties"]["endpointUrl"]
    if (
        said["destination"]["endpointType"] != "WebHook"
        or f"'{app['name']}', 'event'" not in url
        or "listCallbackUrl" not in url
    ):
        yield "hands the events to something else than its workflow"
    if said["destination"]["properties"]["maxEventsPerBatch"] != 1 or said["eventDeliverySchema"] != "EventGridSchema":
        yield "hands over events in another form than the one that is read"


def _woken(app: Mapping[str, Any], event: str, wake: Mapping[str, Any], component: Mapping[str, Any]) -> Iterator[str]:
    actions = app["properties"]["definition"]["actions"]["shake"]
    agreed = actions["actions"]["agree"]["inputs"]["body"]["validationResponse"]
    if events.VALIDATION not in json.dumps(actions["expression"]) or "validationCode" not in agreed:
        yield "does not answer the handshake of Event Grid"
    taken = actions["else"]["actions"]
    alert, start = taken["alert"]["inputs"], taken["wake"]
    if alert["name"] != event or "['id']" not in alert["id"] or "eventTime" not in alert["at"]:
        yield "tells another event than the one of its topic"
    yield from _asks(start, app, f"{events.MANAGEMENT}/")
    if start["inputs"]["method"] != "PUT" or "['id']" not in start["inputs"]["uri"]:
        yield "wakes again for an event that is delivered twice"
    if not re.search(rf"/jobs/{re.escape(wake['display_name'])}-on-@\{{", start["inputs"]["uri"]):
        yield "starts another job than wake"
    body = start["inputs"]["body"]["properties"]
    if (
        "encodeUriComponent" not in body["inputs"]["event"]["value"]
        or "outputs('alert')" not in body["inputs"]["event"]["value"]
    ):
        yield "does not hand over the event, or not as a text without signs of a shell"
    if set(body["inputs"]) != set(wake["inputs"]) or body["tags"] != wake["tags"]:
        yield "starts the wake job with other inputs or tags than its schedule"
    named = f"/components/{component['name']}/versions/{component['version']}"
    if not body["jobs"]["wake"]["componentId"].endswith(named):
        yield "starts another component than the bundle's"
    if any(component[name] != value for name, value in wake["jobs"]["wake"]["component"].items()):
        yield "the registered component does something else than the wake job's"
    answered = taken["accepted"]["inputs"]["statusCode"], taken["refused"]["inputs"]["statusCode"]
    if answered != (200, 503) or taken["refused"]["runAfter"] != {"wake": ["Failed", "TimedOut"]}:
        yield "an event that was not taken is not delivered again"


def _staleness(files: Files, train: Mapping[str, Any]) -> Iterator[str]:
    if "staleness/template.json" not in files:
        return
    template = files["staleness/template.json"]
    app, wrong = _app(template)
    found = [*wrong, *_granted(files, app), *_watch(app, train), *_alert(template["resources"][1], app)]
    yield from (f"staleness/template.json: {problem}" for problem in found)


def _watch(app: Mapping[str, Any], train: Mapping[str, Any]) -> Iterator[str]:
    definition = app["properties"]["definition"]
    ask, judge = definition["actions"]["ask"], definition["actions"]["judge"]
    yield from _asks(ask, app, "https://api.loganalytics.azure.com")
    query = ask["inputs"]["body"]["query"]
    if f'RunId startswith "{train["display_name"]}-"' not in query or "AmlRunStatusChangedEvent" not in query:
        yield "asks for other jobs than train"
    if 'Status == "Completed"' not in query or not re.search(r"ago\([1-9][0-9]*s\)", query):
        yield "counts jobs that failed, or of any age"
    if judge["runAfter"] != {"ask": ["Succeeded"]} or "greater(" not in judge["expression"]:
        yield "judges something else than what it asked"
    ended = judge["else"]["actions"]["alarm"]
    if ended["type"] != "Terminate" or ended["inputs"]["runStatus"] != "Failed" or judge["actions"]:
        yield "does not fail"
    if [item["recurrence"]["frequency"] for item in definition["triggers"].values()] != ["Hour"]:
        yield "does not ask every hour"


def _alert(alert: Mapping[str, Any], app: Mapping[str, Any]) -> Iterator[str]:
    said = alert["properties"]
    [criterion] = said["criteria"]["allOf"]
    if not said["enabled"] or said["scopes"] != [f"[resourceId('Microsoft.Logic/workflows', '{app['name']}')]"]:
        yield "the alert is off, or watches something else"
    if (criterion["metricName"], criterion["operator"], criterion["threshold"]) != ("RunsFailed", "GreaterThan", 0):
        yield "the alert is not about a watch that failed"
    if alert["tags"] != app["tags"]:
        yield "the alert is another system's"
