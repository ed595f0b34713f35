"""The checks of emitted jobs and schedules, most of which the vendor's SDK does not make."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ctc.targets.azureml.machines import GPU_SIZES, SIZES
from ctc.targets.azureml.pipeline import CHECKPOINTS, SUPPORT, UNSET
from ctc.targets.azureml.zones import WINDOWS
from ctc.targets.shim import WITH_SECRETS, nodes_told

Document = Mapping[str, Any]

LIFETIME, SPOT_LIFETIME = 21 * 86400, 7 * 86400
"""Seconds that a job may live: `limits.LIMITS`."""
RUN_ID, TAG_VALUE, OUTPUTS = 256, 1000, 20
_JOB = {
    *("$schema", "type", "name", "experiment_name", "display_name", "description", "tags", "settings", "inputs"),
    "jobs",
}
_STEP = {
    *("type", "component", "inputs", "outputs", "environment_variables", "limits", "identity", "compute"),
    *("resources", "queue_settings", "distribution"),
}
_COMPONENT = {"type", "is_deterministic", "inputs", "outputs", "environment", "command"}
_SETTINGS = {"default_compute", "default_datastore", "continue_on_step_failure", "force_rerun"}
_SCHEDULE = {"$schema", "name", "display_name", "description", "tags", "trigger", "create_job"}
_TRIGGERS = {
    "cron": {"type", "expression", "time_zone"},
    "recurrence": {"type", "frequency", "interval", "start_time", "time_zone", "schedule"},
}
_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_PARENT = re.compile(r"\$\{\{parent\.inputs\.(\w+)\}\}")
_OF_STEP = re.compile(r"\$\{\{parent\.jobs\.(\w+)\.outputs\.(\w+)\}\}")
_USED = re.compile(r"\$\{\{(inputs|outputs)\.(\w+)\}\}")
_OPTIONAL = re.compile(r"\$\[\[.*?\]\]")
_CRON = re.compile(r"(\*|[0-9]+(,[0-9]+)*) (\*|[0-9]+(,[0-9]+)*) \* \* (\*|[0-6](,[0-6])*)")
_LOCAL_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
SECRET = re.compile(
    r"[A-Za-z_][A-Za-z0-9_]*=CTC_SECRET_[A-Z0-9_]+"
    r"=https://[a-zA-Z][a-zA-Z0-9-]{2,23}\.vault\.azure\.net/secrets/([A-Za-z0-9-]{1,127})(?=[\s'])"
)
"""What a container is told of a secret: its variable, the one that holds it on one machine, where it is."""
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def check(job: Any) -> list[str]:
    """Everything wrong with a pipeline job, one sentence each, sorted; empty when it is sound."""
    return _all(_job, job)


def check_schedule(schedule: Any) -> list[str]:
    """Everything wrong with a schedule that starts the wake job."""
    return _all(_schedule, schedule)


def _all(findings: Callable[[Any], Iterator[str]], document: Any) -> list[str]:
    try:
        return sorted(set(findings(document)))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        return [f"the document has not the shape of what it should be: {type(error).__name__}: {error}"]


def _unknown(document: Document, known: set[str], what: str) -> Iterator[str]:
    yield from (
        f"{what} has {name}, which is none of its fields that are used here" for name in document if name not in known
    )


def _job(job: Document) -> Iterator[str]:
    yield from _unknown(job, _JOB, "the job")
    if job["type"] != "pipeline":
        yield f"{job['type']!r} is no pipeline"
    for name in (job["experiment_name"], job["display_name"], job.get("name", "")):
        if len(name) > RUN_ID:
            yield f"{name!r} is longer than {RUN_ID} characters"
    yield from _tags(job["tags"])
    settings = job["settings"]
    yield from _unknown(settings, _SETTINGS, "settings")
    if settings["continue_on_step_failure"] is not True:
        yield "no record is written of a job with a failed step: continue_on_step_failure is off"
    if settings["force_rerun"] is not True:
        yield "results of earlier runs are taken for this one's: force_rerun is off"
    for name in ("default_compute", "default_datastore"):
        if not re.fullmatch(r"azureml:[A-Za-z0-9_-]+", settings[name]):
            yield f"{settings[name]!r} is no {name}"
    for name, given in job["inputs"].items():
        yield from _given(name, given)
    for name, step in job["jobs"].items():
        yield from (f"{name}: {problem}" for problem in _step(name, step, job))
    yield from _circle(job["jobs"])
    yield from _record(job["jobs"])


def _tags(tags: Document) -> Iterator[str]:
    if not {"ctc", "ctc_environment", "ctc_spec_digest"} <= set(tags):
        yield "the tags do not tell whose it is"
    for name, value in tags.items():
        if not isinstance(value, str) or len(value) > TAG_VALUE:
            yield f"the tag {name} is no text of at most {TAG_VALUE} characters"


def _given(name: str, given: Any) -> Iterator[str]:
    if isinstance(given, Mapping):
        if given["type"] not in ("uri_folder", "uri_file") or given["mode"] != "download" or not given["path"]:
            yield f"the input {name} is no folder or file that is downloaded"
    elif not isinstance(given, str) or not given:
        yield f"the input {name} is no text, or an empty one, which is no input at all"


def _step(name: str, step: Document, job: Document) -> Iterator[str]:
    component = step["component"]
    yield from _unknown(step, _STEP, "the step")
    yield from _unknown(component, _COMPONENT, "the component")
    if not _NAME.fullmatch(name):
        yield "a step's name is lower-case letters, digits and underscores"
    if step["type"] != "command" or component["type"] != "command":
        yield "a step is a command"
    if component["is_deterministic"] is not False:
        yield "its result may be reused"
    if not component["environment"]["image"]:
        yield "there is no image"
    yield from _inputs(step, component, job)
    yield from _outputs(step, component, job)
    yield from _command(component)
    yield from _machine(step)


def _inputs(step: Document, component: Document, job: Document) -> Iterator[str]:
    declared, bound = component["inputs"], step["inputs"]
    yield from (f"it is given {name}, which is not declared" for name in bound if name not in declared)
    yield from (f"it lacks {name}" for name, item in declared.items() if name not in bound and not item.get("optional"))
    for name, value in bound.items():
        of_parent, of_step = _PARENT.fullmatch(value), _OF_STEP.fullmatch(value)
        if of_parent is not None:
            given = job["inputs"].get(of_parent[1])
            kind = given["type"] if isinstance(given, Mapping) else "string"
            if given is None:
                yield f"{name} is of {of_parent[1]}, which is no input of the job"
            elif name in declared and declared[name]["type"] != kind:
                yield f"{name} is declared as {declared[name]['type']}, and given {kind}"
        elif of_step is not None:
            if of_step[2] not in job["jobs"].get(of_step[1], {}).get("outputs", {}):
                yield f"{name} is of {of_step[1]}.{of_step[2]}, which is no output"
        else:
            yield f"{name} is {value!r}, which is neither an input of the job nor an output of a step"


def _outputs(step: Document, component: Document, job: Document) -> Iterator[str]:
    declared, bound = component.get("outputs", {}), step.get("outputs", {})
    if set(declared) != set(bound):
        yield "its outputs are not those of its component"
    if len(bound) > OUTPUTS:
        yield f"it has more than {OUTPUTS} outputs"
    store = job["settings"]["default_datastore"].removeprefix("azureml:")
    for name, item in bound.items():
        path = item["path"]
        if not path.startswith(f"azureml://datastores/{store}/paths/") or "${{" in path:
            yield f"the output {name} is kept away from the datastore of the job"
        if path.count(f"/attempts/{UNSET}/") != 1 and job.get("name") is None:
            yield f"the output {name} has no place for the attempt in its path"
        if item["mode"] != ("rw_mount" if name == CHECKPOINTS else "upload") or item["type"] != "uri_folder":
            yield f"the output {name} is no folder that is kept as it should be"


def _command(component: Document) -> Iterator[str]:
    command, inputs = component["command"], component["inputs"]
    places = {"inputs": set(inputs), "outputs": set(component.get("outputs", {}))}
    for side, name in _USED.findall(command):
        if name not in places[side]:
            yield f"the command names {side}.{name}, which is not declared"
    rest = _OPTIONAL.sub("", command)
    for name, item in inputs.items():
        sign = f"${{{{inputs.{name}}}}}"
        if item.get("optional") and sign in rest:
            yield f"the command needs {name}, which is optional"
        if not item.get("optional") and sign not in rest and name != "ctc_after" and name != "request":
            yield f"the command does not use {name}"
    if re.search(r"\$\{\{(?!(inputs|outputs)\.\w+\}\})", command):
        yield "the command holds an expression that is neither an input nor an output"
    if re.search(r'(?<!["=/:\]])\$\{\{(inputs|outputs)', rest):
        yield "the command has a path that is not quoted"
    gated = [name for name in inputs if name.startswith("ctc_gate_")]
    if bool(gated) != (f'"${{{{inputs.{SUPPORT}}}}}/gate.py"' in command):
        yield "it does not ask the flags of the steps before it"


def _machine(step: Document) -> Iterator[str]:
    timeout = step["limits"]["timeout"]
    spot = "queue_settings" in step
    if set(step["limits"]) != {"timeout"} or not 0 < timeout <= (SPOT_LIFETIME if spot else LIFETIME):
        yield f"it may not run for {timeout} seconds"
    if spot and step["queue_settings"] != {"job_tier": "Spot"}:
        yield "its queue settings are not those of spot capacity"
    if "compute" not in step:
        # On the cluster, as its identity.
        identity = step.get("identity", {})
        if identity.get("type") != "managed" or set(identity) - {"type", "client_id"}:
            yield "it runs as nobody who may ask the service for anything"
        if "client_id" in identity and not _GUID.fullmatch(identity["client_id"]):
            yield f"{identity['client_id']!r} is no client id"
        if "resources" in step or spot:
            yield "a step on the cluster asks for no machine"
        return
    command = step["component"]["command"]
    reads = f"/{WITH_SECRETS}.py" in command
    if step["compute"] != "azureml:serverless" or step.get("identity") != ({"type": "managed"} if reads else None):
        yield "the user's code runs on serverless compute, with no identity but one that reads its secrets"
    if reads != bool(SECRET.search(command)):
        yield "it reads secrets and is told of none, or is told of some and reads none"
    resources = step["resources"]
    sizes = {size.name for size in (*SIZES, *GPU_SIZES)}
    if resources["instance_type"] not in sizes:
        yield f"{resources['instance_type']!r} is no listed size of a VM"
    nodes = nodes_told(shlex.split(command.replace("\\\n", " ")))
    if resources["instance_count"] != nodes:
        yield f"it asks for {resources['instance_count']} machines, where its command is of {nodes}"
    if step.get("distribution") != ({"type": "pytorch", "process_count_per_instance": 1} if nodes > 1 else None):
        yield "its machines are not told their ranks, or there is one"


def _circle(steps: Document) -> Iterator[str]:
    waits = {
        name: {match[1] for value in step["inputs"].values() if (match := _OF_STEP.fullmatch(value))}
        for name, step in steps.items()
    }
    while waits:
        ready = {name for name, before in waits.items() if not before & set(waits)}
        if not ready:
            yield f"{', '.join(sorted(waits))} wait for each other"
            return
        waits = {name: before for name, before in waits.items() if name not in ready}


def _record(steps: Document) -> Iterator[str]:
    if "record" not in steps:
        return
    record = steps["record"]
    seen = {match[1] for value in record["inputs"].values() if (match := _OF_STEP.fullmatch(value))}
    yield from (f"record: does not wait for {name}" for name in steps if name not in seen | {"record"})
    for name, item in record["component"]["inputs"].items():
        if name.startswith("ctc_after") and not item.get("optional"):
            yield "record: is not written where a step failed"


def _schedule(schedule: Document) -> Iterator[str]:
    yield from _unknown(schedule, _SCHEDULE, "the schedule")
    yield from _tags(schedule["tags"])
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", schedule["name"]):
        yield f"{schedule['name']!r} is no name of a schedule"
    if schedule["create_job"] != "../pipelines/wake.yml":
        yield "it starts another job than wake"
    trigger = schedule["trigger"]
    yield from _unknown(trigger, _TRIGGERS[trigger["type"]], "the trigger")
    if trigger["time_zone"] not in WINDOWS:
        yield f"{trigger['time_zone']!r} is no time zone of Windows"
    if trigger["type"] == "cron":
        yield from _cron(trigger["expression"])
        return
    if trigger["frequency"] not in ("minute", "hour", "day", "month") or trigger["interval"] < 1:
        yield "it recurs never, or in a way that is not used here"
    if not _LOCAL_TIME.fullmatch(trigger["start_time"]):
        yield "its start has an offset from UTC, which the service ignores, or is no time"
    pattern = trigger.get("schedule")
    if (trigger["frequency"] == "month") != (pattern is not None):
        yield "it recurs in months without days, or in days with some"
    bounds = {"hours": (0, 23), "minutes": (0, 59), "month_days": (1, 31)}
    for name, (low, high) in bounds.items() if pattern is not None else ():
        if not pattern[name] or not all(low <= value <= high for value in pattern[name]):
            yield f"its {name} are not within {low} to {high}"


def _cron(expression: str) -> Iterator[str]:
    if not _CRON.fullmatch(expression):
        yield f"{expression!r} has names, steps, or days or months, which the service ignores"
        return
    for field, top in zip(expression.split()[:2], (59, 23), strict=True):
        if field != "*" and max(map(int, field.split(","))) > top:
            yield f"{expression!r} has a time that there is not"
