"""What AWS refuses and moto takes, refused before moto sees it: with the services' own codes.

Three layers. Lengths, patterns and words come from botocore's models, as the services check them first. The rules below
are of one request each. What stands in the account, moto itself is asked for. A rule's code is the service's: of the
API references' lists of errors, or, for the many that SageMaker calls `ValidationException`, of what its own SDK looks
for (`Pipeline names must be unique within`, `Model Package Group already exists`).

Only clients that are made after this module is imported are held to it, in a process, inside `strict()`.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any
from zoneinfo import available_timezones

from botocore.handlers import BUILTIN_HANDLERS
from moto.backends import get_backend

ACCOUNT = "123456789012"
PREFIX_OF_ALIASES = re.compile(r"aws:", re.IGNORECASE)
ON = SimpleNamespace(strict=False, refused=[])
Params = Mapping[str, Any]
Rule = Callable[[Params, str], None]


class Refused(Exception):
    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


@contextlib.contextmanager
def strict() -> Iterator[list[tuple[str, str]]]:
    """Within it bad requests are refused; gives the codes that were told, with the operations."""
    ON.strict, ON.refused = True, []
    try:
        yield ON.refused
    finally:
        ON.strict = False


@contextlib.contextmanager
def lenient() -> Iterator[None]:
    """moto alone, within `strict()`."""
    before, ON.strict = ON.strict, False
    try:
        yield
    finally:
        ON.strict = before


def _remember(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    context["asked"] = params


def _judge(model: Any, context: dict[str, Any], **_: Any) -> Any:
    if not ON.strict:
        return None
    service, operation = model.service_model.service_name, model.name
    try:
        if service in _VALIDATION:
            _of_model(model.input_shape, context["asked"], "", _VALIDATION[service])
        for rule in RULES.get((service, operation), ()):
            rule(context["asked"], context["client_region"])
    except Refused as error:
        ON.refused.append((operation, error.code))
        said = {"Error": {"Code": error.code, "Message": error.message}}
        return SimpleNamespace(status_code=error.status), {**said, "ResponseMetadata": {"HTTPStatusCode": error.status}}
    return None


# The parameters as they are given stand in no later event; of the handlers of one event the first answer counts.
BUILTIN_HANDLERS.extend([("before-parameter-build", _remember), ("before-call", _judge)])

_VALIDATION = {
    "sagemaker": "ValidationException",
    "scheduler": "ValidationException",
    "events": "ValidationException",
    "iam": "ValidationError",
    "cloudwatch": "ValidationError",
}
"""The code for what a service's own model does not allow. S3, SNS and Step Functions have codes for each such thing."""


def _of_model(shape: Any, value: Any, place: str, code: str) -> None:
    if shape.type_name == "structure":
        for name, inner in value.items() if isinstance(value, Mapping) else ():
            _of_model(shape.members[name], inner, f"{place}.{name}" if place else name, code)
    elif shape.type_name == "list":
        _within(shape, len(value), place, code)
        for number, inner in enumerate(value):
            _of_model(shape.member, inner, f"{place}.{number + 1}.member", code)
    elif shape.type_name == "string":
        _within(shape, len(value), place, code)
        allowed, pattern = getattr(shape, "enum", None), shape.metadata.get("pattern")
        if allowed and value not in allowed:
            raise Refused(code, f"{_at(value, place)} Member must satisfy enum value set: [{', '.join(allowed)}]")
        if pattern and "\\p" not in pattern and not re.fullmatch(pattern, value, re.DOTALL):
            raise Refused(code, f"{_at(value, place)} Member must satisfy regular expression pattern: {pattern}")


def _within(shape: Any, length: int, place: str, code: str) -> None:
    if length > shape.metadata.get("max", length):
        raise Refused(
            code, f"{_at('...', place)} Member must have length less than or equal to {shape.metadata['max']}"
        )


def _at(value: str, place: str) -> str:
    return f"1 validation error detected: Value '{value}' at '{place}' failed to satisfy constraint:"


def _stored(service: str, region: str) -> Any:
    return get_backend(service)[ACCOUNT][region]


def _role(arn: str, service: str, refused: Refused) -> None:
    """A role that is there and that the service may take; of this account."""
    if f":{ACCOUNT}:" not in arn:
        raise Refused("AccessDeniedException", "Cross-account pass role is not allowed.")
    for role in get_backend("iam")[ACCOUNT]["aws"].roles.values():
        if role.arn == arn:
            trust = role.assume_role_policy_document
            if service in (trust if isinstance(trust, str) else json.dumps(trust)):
                return
    raise refused


def _sagemaker_role(params: Params, region: str) -> None:
    told = "Please ensure that the role exists and allows principal 'sagemaker.amazonaws.com' to assume the role."
    refused = Refused("ValidationException", f"Could not assume role {params.get('RoleArn')}. {told}")
    if "RoleArn" in params:
        _role(params["RoleArn"], "sagemaker.amazonaws.com", refused)


def _new_pipeline(params: Params, region: str) -> None:
    for pipeline in _stored("sagemaker", region).pipelines.values():
        if pipeline.pipeline_name == params["PipelineName"]:
            told = "Pipeline names must be unique within an AWS account and region. Pipeline with name"
            raise Refused("ValidationException", f"{told} ({pipeline.arn}) already exists.")


def _known_pipeline(params: Params, region: str) -> None:
    name = params["PipelineName"].rpartition("/")[2]
    if name not in _stored("sagemaker", region).pipelines:
        raise Refused("ResourceNotFound", f"Pipeline '{name}' does not exist.")


_TYPES = {"Condition", "Fail", "Processing", "Training", "RegisterModel", "Model", "CreateModel", "Transform", "Lambda",
          "Callback", "Tuning", "QualityCheck", "ClarifyCheck", "EMR", "AutoML", "NotebookJob"}  # fmt: skip


def _definition(params: Params, region: str) -> None:
    if "PipelineDefinition" not in params:
        return
    try:
        found = json.loads(params["PipelineDefinition"])
    except ValueError as error:
        raise Refused("ValidationException", f"Unable to parse pipeline definition. {error}") from error
    if not isinstance(found, dict) or not found.get("Steps") or found.get("Version") != "2020-12-01":
        raise Refused("ValidationException", "Invalid pipeline definition: Version 2020-12-01 and Steps are required.")
    declared = [item.get("Name") for item in found.get("Parameters", ())]
    steps = list(_steps(found["Steps"]))
    names = [step.get("Name") for step in steps]
    for kind, listed in (("parameter", declared), ("step", names)):
        if len(set(listed)) != len(listed):
            raise Refused("ValidationException", f"Invalid pipeline definition: {kind} names must be unique.")
    for step in steps:
        if step.get("Type") not in _TYPES:
            raise Refused("ValidationException", f"Invalid pipeline definition: unknown step type {step.get('Type')}.")
        for needed in step.get("DependsOn", ()):
            if needed not in names:
                raise Refused("ValidationException", f"Invalid pipeline definition: step {needed} does not exist.")
    for place in _references(found):
        scope, _, name = place.partition(".")
        name = re.split(r"[.\[]", name)[0]
        if (scope == "Parameters" and name not in declared) or (scope == "Steps" and name not in names):
            raise Refused("ValidationException", f"Invalid property reference '{place}' in pipeline definition.")


def _steps(listed: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for step in listed:
        yield step
        for branch in ("IfSteps", "ElseSteps"):
            yield from _steps(step.get("Arguments", {}).get(branch, []))


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if set(value) == {"Get"}:
            yield value["Get"]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _declared(params: Params, region: str) -> None:
    name = params["PipelineName"].rpartition("/")[2]
    found = json.loads(_stored("sagemaker", region).pipelines[name].pipeline_definition)
    declared = {item["Name"]: item for item in found.get("Parameters", ())}
    given = [item["Name"] for item in params.get("PipelineParameters", ())]
    for unknown in set(given) - set(declared):
        raise Refused("ValidationException", f"Pipeline parameter [{unknown}] is not defined in the pipeline.")
    for missing in [key for key, item in declared.items() if "DefaultValue" not in item and key not in given]:
        raise Refused("ValidationException", f"Pipeline parameter [{missing}] has no value.")


def _new_group(params: Params, region: str) -> None:
    group = _stored("sagemaker", region).model_package_groups.get(params["ModelPackageGroupName"])
    if group is not None:
        raise Refused("ValidationException", f"Model Package Group already exists: {params['ModelPackageGroupName']}")


def _empty_group(params: Params, region: str) -> None:
    store, name = _stored("sagemaker", region), params["ModelPackageGroupName"]
    if name not in store.model_package_groups:
        raise Refused("ValidationException", f"ModelPackageGroup {name} does not exist.")
    if any(item.model_package_group_name == name for item in store.model_packages.values()):
        told = "Model Package Group cannot be deleted because it still contains Model Package Versions."
        raise Refused("ConflictException", told)


def _plain_tags(params: Params, region: str) -> None:
    keys = [str(tag.get("Key", tag.get("key"))) for tag in [*params.get("Tags", ()), *params.get("tags", ())]]
    if any(PREFIX_OF_ALIASES.match(key) for key in keys):
        raise Refused("ValidationException", "aws: prefixed tag key names are not allowed for external use.")
    if len(set(keys)) != len(keys):
        raise Refused("ValidationException", "Duplicate tag keys found. Tag keys must be unique.")


_FIELDS = (
    (0, 59, r"[0-9*,\-/]+"),
    (0, 23, r"[0-9*,\-/]+"),
    (1, 31, r"[0-9*?,\-/LW]+"),
    (1, 12, r"([0-9*,\-/]|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)+"),
    (1, 7, r"([0-9*?,\-/L#]|SUN|MON|TUE|WED|THU|FRI|SAT)+"),
    (1970, 2199, r"[0-9*,\-/]+"),
)


def _expression(text: str) -> None:
    rate = re.fullmatch(r"rate\((\d+) (minute|minutes|hour|hours|day|days)\)", text)
    cron = re.fullmatch(r"cron\(([^()]+)\)", text)
    once = re.fullmatch(r"at\(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\)", text)
    if (rate and int(rate[1]) > 0) or once or (cron and _cron(cron[1].split())):
        return
    raise Refused("ValidationException", f"Invalid Schedule Expression {text}.")


def _cron(words: list[str]) -> bool:
    """Six fields, of which one of the two days is `?`: "Cron-based schedules" of the scheduler's user guide."""
    if len(words) != 6 or (words[2] == "?") == (words[4] == "?"):
        return False
    return all(
        re.fullmatch(pattern, word)
        and all(low <= int(number) <= high for number in re.findall(r"(?<![/#\d])\d+", word))
        for word, (low, high, pattern) in zip(words, _FIELDS, strict=True)
    )


def _schedule(params: Params, region: str) -> None:
    _expression(params["ScheduleExpression"])
    zone = params.get("ScheduleExpressionTimezone", "UTC")
    if zone not in available_timezones():
        raise Refused("ValidationException", f"Provided timezone {zone} is not valid.")
    window = params["FlexibleTimeWindow"]
    if (window["Mode"] == "FLEXIBLE") != ("MaximumWindowInMinutes" in window):
        raise Refused("ValidationException", "MaximumWindowInMinutes is for, and needed by, the mode FLEXIBLE.")
    group = params.get("GroupName", "default")
    if group not in _stored("scheduler", region).schedule_groups:
        raise Refused("ResourceNotFoundException", f"Schedule group {group} does not exist.", 404)
    target = params["Target"]
    if not re.fullmatch(rf"arn:aws[a-z-]*:[a-z0-9-]+:({region})?:({ACCOUNT})?:.+", target["Arn"]):
        raise Refused("ValidationException", f"Provided Arn is not in correct format. ARN: {target['Arn']}")
    told = "The execution role you provide must allow AWS EventBridge Scheduler to assume the role."
    _role(target["RoleArn"], "scheduler.amazonaws.com", Refused("ValidationException", told))


def _new_schedule(params: Params, region: str) -> None:
    group = _stored("scheduler", region).schedule_groups[params.get("GroupName", "default")]
    if params["Name"] in group.schedules:
        raise Refused("ConflictException", f"Schedule {params['Name']} already exists.", 409)


def _bus(params: Params, region: str) -> Any:
    name = params.get("EventBusName", "default").rpartition("/")[2]
    bus = _stored("events", region).event_buses.get(name)
    if bus is None:
        raise Refused("ResourceNotFoundException", f"Event bus {name} does not exist.")
    return bus


def _rule(params: Params, region: str) -> None:
    _bus(params, region)
    if "EventPattern" not in params and "ScheduleExpression" not in params:
        raise Refused("ValidationException", "Parameter(s) EventPattern or ScheduleExpression must be specified.")
    try:
        pattern = json.loads(params.get("EventPattern", '{"source": ["x"]}'))
    except ValueError as error:
        raise Refused("InvalidEventPatternException", f"Event pattern is not valid. Reason: {error}") from error
    if not isinstance(pattern, dict) or not pattern or not all(_leaves_are_lists(item) for item in pattern.values()):
        told = "Event pattern is not valid. Reason: a value must be an object or a non-empty array"
        raise Refused("InvalidEventPatternException", told)


def _leaves_are_lists(value: Any) -> bool:
    if isinstance(value, dict):
        return bool(value) and all(_leaves_are_lists(item) for item in value.values())
    return isinstance(value, list) and bool(value)


def _targets(params: Params, region: str) -> None:
    if params["Rule"] not in _bus(params, region).rules:
        raise Refused("ResourceNotFoundException", f"Rule {params['Rule']} does not exist.")
    for target in params["Targets"]:
        needs = re.match(r"arn:aws[a-z-]*:(sagemaker|states):", target["Arn"])
        if needs and "RoleArn" not in target:
            raise Refused("ValidationException", f"RoleArn is required for target {target['Arn']}.")
        if needs:
            told = f"Provided role '{target['RoleArn']}' cannot be assumed by principal 'events.amazonaws.com'."
            _role(target["RoleArn"], "events.amazonaws.com", Refused("ValidationException", told))


def _without_targets(params: Params, region: str) -> None:
    rule = _bus(params, region).rules.get(params["Name"])
    if rule is not None and rule.targets:
        raise Refused("ValidationException", "Rule can't be deleted since it has targets.")


def _machine(params: Params, region: str) -> None:
    if "name" in params and (len(params["name"]) > 80 or re.search(r"[\s<>{}\[\]?*\"#%\\^|~`$&,;:/]", params["name"])):
        raise Refused("InvalidName", f"Invalid Name: '{params['name']}'")
    try:
        found = json.loads(params.get("definition", '{"StartAt": "a", "States": {"a": {"Type": "Pass", "End": true}}}'))
        states = found["States"]
        whole = found["StartAt"] in states and all("Type" in state for state in states.values())
        ends = all(state.get("Next") in (*states, None) for state in states.values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused("InvalidDefinition", f"Invalid State Machine Definition: '{error}'") from error
    if not whole or not ends:
        raise Refused("InvalidDefinition", "Invalid State Machine Definition: 'MISSING_TRANSITION_TARGET'")
    if "roleArn" in params:
        if not re.fullmatch(r"arn:aws[a-z-]*:iam::\d{12}:role/.+", params["roleArn"]):
            raise Refused("InvalidArn", f"Invalid Role Arn: '{params['roleArn']}'")
        told = "Neither the global service principal states.amazonaws.com, nor the regional one is authorized to assume"
        _role(params["roleArn"], "states.amazonaws.com", Refused("AccessDeniedException", f"{told} the provided role."))


def _new_machine(params: Params, region: str) -> None:
    for machine in _stored("stepfunctions", region).state_machines:
        same = json.loads(machine.definition) == json.loads(params["definition"])
        if machine.name == params["name"] and not (same and machine.roleArn == params["roleArn"]):
            raise Refused("StateMachineAlreadyExists", f"State Machine Already Exists: '{machine.arn}'")


def _topic(params: Params, region: str) -> None:
    name = params["Name"]
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,256}(\.fifo)?", name):
        raise Refused("InvalidParameter", "Invalid parameter: Topic Name")
    for topic in _stored("sns", region).topics.values():
        tags = {tag["Key"]: tag["Value"] for tag in params.get("Tags", ())}
        if topic.name == name and tags and tags != topic._tags:
            raise Refused(
                "InvalidParameter", "Invalid parameter: Tags Reason: Topic already exists with different tags"
            )


def _alarm(params: Params, region: str) -> None:
    if "MetricName" not in params and "Metrics" not in params:
        raise Refused("ValidationError", "Either MetricName or Metrics must be specified.")
    period = params.get("Period", 60)
    if period not in (10, 20, 30) and period % 60:
        raise Refused("ValidationError", "Metric period must be 10, 20, 30 or a multiple of 60.")
    if period * params.get("EvaluationPeriods", 1) > 7 * 86_400:
        raise Refused("ValidationError", "Metrics cannot be checked across more than seven days.")
    for action in params.get("AlarmActions", ()):
        if not re.fullmatch(rf"arn:aws[a-z-]*:[a-z]+:({region}|\*)?:[^:]*:.+", action):
            raise Refused("ValidationError", f"Invalid arn for alarm action: {action}")


RULES: Mapping[tuple[str, str], tuple[Rule, ...]] = {
    ("sagemaker", "CreatePipeline"): (_plain_tags, _new_pipeline, _definition, _sagemaker_role),
    ("sagemaker", "UpdatePipeline"): (_known_pipeline, _definition, _sagemaker_role),
    ("sagemaker", "DescribePipeline"): (_known_pipeline,),
    ("sagemaker", "DeletePipeline"): (_known_pipeline,),
    ("sagemaker", "StartPipelineExecution"): (_known_pipeline, _declared),
    ("sagemaker", "CreateModelPackageGroup"): (_plain_tags, _new_group),
    ("sagemaker", "DeleteModelPackageGroup"): (_empty_group,),
    ("sagemaker", "AddTags"): (_plain_tags,),
    ("scheduler", "CreateSchedule"): (_schedule, _new_schedule),
    ("scheduler", "UpdateSchedule"): (_schedule,),
    ("events", "PutRule"): (_plain_tags, _rule),
    ("events", "PutTargets"): (_targets,),
    ("events", "DeleteRule"): (_without_targets,),
    ("stepfunctions", "CreateStateMachine"): (_machine, _new_machine),
    ("stepfunctions", "UpdateStateMachine"): (_machine,),
    ("sns", "CreateTopic"): (_topic,),
    ("cloudwatch", "PutMetricAlarm"): (_alarm,),
}
