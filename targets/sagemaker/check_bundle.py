"""The checks of a whole bundle: that its documents fit each other, and that no right is wider than what needs it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ctc.targets.sagemaker.check import check_pipeline, job_steps, seconds_of
from ctc.targets.sagemaker.check_identities import Right, check_identities
from ctc.targets.sagemaker.check_serving import check_serving, serving_needs
from ctc.targets.sagemaker.check_template import check_template
from ctc.targets.sagemaker.limit_table import LIMITS
from ctc.targets.sagemaker.resources import FINAL_STATUSES

Files = Mapping[str, Any]
"""The JSON documents of a bundle by path."""
KINDS = ("wake", "train", "record")
"""Of the pipelines that every bundle has; a batch job's is of the kind `score-` and its name."""
_CRON = re.compile(r"cron\(([0-9,*-]+) ([0-9,*-]+) ([0-9,*-]+|\?) ([0-9,*-]+) ([A-Z,*]+|\?) \*\)")
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12))
_DAYS = {"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}
_SCHEDULED = "<aws.scheduler.scheduled-time>"
_ENDED = {"Attempt": "$.detail.pipelineExecutionDisplayName", "Instant": "$.detail.pipelineExecutionDescription"}
_TOPIC = "alarms/topic.json"


def check_bundle(files: Files) -> list[str]:
    """Everything wrong with a bundle, one sentence each, sorted; empty when it is sound."""
    try:
        return sorted(set(_Bundle(files).findings()))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        return [f"the bundle lacks a document, or one has not its shape: {type(error).__name__}: {error}"]


class _Bundle:
    def __init__(self, files: Files) -> None:
        self.files = files
        self.role = str(files["requests/wake.json"]["RoleArn"])
        partition, account = self.role.split(":")[1], self.role.split(":")[4]
        region = str(files["schedules/wake.json"]["Target"]["Arn"]).split(":")[3]
        self.here = f"arn:{partition}:%s:{region}:{account}:%s"
        self.roles = f"arn:{partition}:iam::{account}:role/"
        self.scores = sorted(
            path.removeprefix("pipelines/").removesuffix(".json")
            for path in files
            if path.startswith("pipelines/score-")
        )
        self.kinds = (*KINDS, *self.scores)
        self.called: dict[str, set[str]] = {}
        """The role ARNs by which the documents call each role of the bundle."""

    def pipeline(self, kind: str) -> str:
        return self.here % ("sagemaker", f"pipeline/{self.files[f'requests/{kind}.json']['PipelineName']}")

    def machine(self, path: str) -> str:
        return self.here % ("states", f"stateMachine:{self.files[path]['name']}")

    def findings(self) -> Iterator[str]:
        for kind in self.kinds:
            body, request = self.files[f"pipelines/{kind}.json"], self.files[f"requests/{kind}.json"]
            yield from (f"pipelines/{kind}.json: {problem}" for problem in check_pipeline(body, self.role))
            yield from (f"requests/{kind}.json: {problem}" for problem in self.request(request))
        if len({self.pipeline(kind) for kind in self.kinds}) != len(self.kinds):
            yield "requests: two pipelines have one name"
        for path, body in self.files.items():
            if path.startswith("schedules/"):
                yield from (f"{path}: {problem}" for problem in self.schedule(path, body))
            elif re.fullmatch(r"alarms/[a-z]+\.json", path) and path != _TOPIC:
                yield from (f"{path}: {problem}" for problem in self.alarm(path, body))
            elif path.startswith("alarms/") and path.endswith("-machine.json"):
                yield from (f"{path}: {problem}" for problem in self.watch(path, body))
        if not {"alarms/wakes.json", "schedules/wake.json"} <= self.files.keys():
            yield "alarms: nothing tells that the wakes have stopped"
        yield from self.record()
        for path in sorted(self.files):
            if path.startswith("events/") and path.endswith("-machine.json"):
                yield from (f"{path}: {problem}" for problem in self.hearing(path.removesuffix("-machine.json")))
        yield from self.registry()
        yield from check_identities(self.files, self.needs(), self.role)
        yield from self.called_roles()
        yield from check_template(self.files)
        yield from check_serving(self.files)

    def request(self, request: Mapping[str, Any]) -> Iterator[str]:
        name = request["PipelineName"]
        if not re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*", name) or len(name) > LIMITS["pipeline name"].value:
            yield f"{name!r} is no name of a pipeline"
        if request["RoleArn"] != self.role or not re.fullmatch(r"arn:aws[a-z-]*:iam::\d{12}:role/.+", self.role):
            yield f"{request['RoleArn']!r} is not the role of the other pipelines"
        if {item["Key"] for item in request["Tags"]} != {"ctc:name", "ctc:environment", "ctc:spec-digest"}:
            yield "does not say whose it is"

    def schedule(self, path: str, body: Mapping[str, Any]) -> Iterator[str]:
        expression, target = body["ScheduleExpression"], body["Target"]
        self.called.setdefault("scheduler", set()).add(target["RoleArn"])
        if expression.startswith("rate("):
            if seconds_of(expression) != seconds_of(expression):
                yield f"{expression!r} is no rate"
        else:
            yield from _cron(expression)
            if not re.fullmatch(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", body.get("ScheduleExpressionTimezone", "")):
                yield "a cron without its time zone"
        if body["FlexibleTimeWindow"] != {"Mode": "OFF"}:
            yield "fires some time after its instant"
        if body["State"] != "ENABLED":
            yield "is switched off"
        if not re.fullmatch(r"[0-9a-zA-Z-_.]{1,64}", body["Name"]):
            yield f"{body['Name']!r} is no name of a schedule"
        retries = target["RetryPolicy"]
        if retries["MaximumEventAgeInSeconds"] < 60 or retries["MaximumRetryAttempts"] > 185:
            yield "has a retry policy that the service does not take"
        if path.startswith("schedules/watch-"):
            own = path.removeprefix("schedules/watch-").removesuffix(".json")
            if target["Arn"] != self.machine(f"alarms/{own}-request.json"):
                yield "starts another state machine than its watch"
            return
        if target["Arn"] != self.pipeline("wake"):
            yield "starts another pipeline than wake"
        given = {x["Name"]: x["Value"] for x in target["SageMakerPipelineParameters"]["PipelineParameterList"]}
        yield from self.parameters("wake", given)
        if given.get("Instant") != _SCHEDULED:
            yield "does not give the instant that was scheduled"

    def parameters(self, kind: str, given: Mapping[str, Any]) -> Iterator[str]:
        declared = self.files[f"pipelines/{kind}.json"]["Parameters"]
        yield from (f"{kind} has no parameter {name}" for name in given.keys() - {item["Name"] for item in declared})
        needed = {item["Name"] for item in declared if "DefaultValue" not in item}
        yield from (f"{kind} is not given {name}" for name in needed - given.keys())

    def alarm(self, path: str, body: Mapping[str, Any]) -> Iterator[str]:
        period, count = body["Period"], body["EvaluationPeriods"]
        limit = LIMITS["alarm seconds" if period >= 3600 else "alarm seconds, short periods"].value
        if period % 60 or period < 60 or count < 1 or period * count > limit:
            yield f"{count} periods of {period} seconds are more than CloudWatch looks back"
        if (body["ComparisonOperator"], body["Threshold"], body["Statistic"]) != ("LessThanThreshold", 1.0, "Sum"):
            yield "does not alarm when there is none"
        if body["TreatMissingData"] != "breaching":
            yield "is silent when nothing runs at all"
        topic = self.here % ("sns", self.files[_TOPIC]["Name"])
        if body["AlarmActions"] != [topic] or body["OKActions"] != [topic]:
            yield "tells another topic"
        own = path.removeprefix("alarms/").removesuffix(".json")
        request = f"alarms/{own}-request.json"
        if request in self.files:
            wanted = (
                "AWS/States",
                "ExecutionsSucceeded",
                [{"Name": "StateMachineArn", "Value": self.machine(request)}],
            )
        else:
            name = self.files["requests/wake.json"]["PipelineName"]
            dimensions = [{"Name": "PipelineName", "Value": name}]
            wanted = ("AWS/Sagemaker/ModelBuildingPipeline", "ExecutionSucceeded", dimensions)
            every = seconds_of(self.files["schedules/wake.json"]["ScheduleExpression"])
            if period * count < 3 * every:
                yield "goes off before three wakes have failed to come"
        if (body["Namespace"], body["MetricName"], body["Dimensions"]) != wanted:
            yield "looks at another metric"

    def watch(self, path: str, body: Mapping[str, Any]) -> Iterator[str]:
        own = path.removeprefix("alarms/").removesuffix("-machine.json")
        states, request = body["States"], self.files[f"alarms/{own}-request.json"]
        self.called.setdefault("watch", set()).add(request["roleArn"])
        yield from _transitions(body)
        name = self.files[f"requests/{'train' if own == 'staleness' else 'wake'}.json"]["PipelineName"]
        for state in (states["ask"], states["ask-on"]):
            if state["Arguments"]["PipelineName"] != name:
                yield "watches another pipeline"
            if not re.search(r"\$toMillis\(.*StartTime\) - [1-9]\d*\)", state["Arguments"]["CreatedAfter"]):
                yield "counts executions of any age"
            if not state["Resource"].endswith(":::aws-sdk:sagemaker:listPipelineExecutions"):
                yield "asks the service for something else"
        good = states["judge"]["Choices"][0]
        if "'Succeeded' in" not in good["Condition"] or states[good["Next"]]["Type"] != "Succeed":
            yield "is content with executions that failed"
        if states[states["judge"]["Default"]]["Type"] != "Fail" or body.get("QueryLanguage") != "JSONata":
            yield "never fails"
        if f"schedules/watch-{own}.json" not in self.files:
            yield "is never started"

    def record(self) -> Iterator[str]:
        rule, target = self.files["events/record-rule.json"], self.files["events/record-target.json"]
        pattern = json.loads(rule["EventPattern"])
        wanted = {
            "source": ["aws.sagemaker"],
            "detail-type": ["SageMaker Model Building Pipeline Execution Status Change"],
            "detail": {
                "pipelineArn": [self.pipeline(kind) for kind in ("train", *self.scores)],
                "currentPipelineExecutionStatus": list(FINAL_STATUSES),
            },
        }
        if pattern != wanted or rule["State"] != "ENABLED":
            yield "events/record-rule.json: does not hear every end of a training or a batch job"
        [own] = target["Targets"]
        given = {x["Name"]: x["Value"] for x in own["SageMakerPipelineParameters"]["PipelineParameterList"]}
        if target["Rule"] != rule["Name"] or own["Arn"] != self.pipeline("record"):
            yield "events/record-target.json: the rule does not start the record pipeline"
        if given != _ENDED:
            yield "events/record-target.json: the record is not told which attempt ended, and when it woke"
        yield from (f"events/record-target.json: {problem}" for problem in self.parameters("record", given))
        self.called.setdefault("events", set()).add(own["RoleArn"])

    def hearing(self, stem: str) -> Iterator[str]:
        rule, target = self.files[f"{stem}-rule.json"], self.files[f"{stem}-target.json"]
        machine, request = self.files[f"{stem}-machine.json"], self.files[f"{stem}-request.json"]
        [own] = target["Targets"]
        pattern = json.loads(rule["EventPattern"])
        if not pattern.get("source") or len(rule["EventPattern"]) > LIMITS["event pattern"].value:
            yield "the rule hears events of any source, or none"
        if rule["State"] != "ENABLED":
            yield "the rule is switched off"
        if (target["Rule"], target["EventBusName"]) != (rule["Name"], rule["EventBusName"]):
            yield "the target is of another rule"
        if own["Arn"] != self.machine(f"{stem}-request.json") or own.keys() & {"Input", "InputPath"}:
            yield "the rule does not hand the event to its state machine"
        self.called.setdefault("events", set()).add(own["RoleArn"])
        self.called.setdefault("hearing", set()).add(request["roleArn"])
        yield from _transitions(machine)
        told = [s["Parameters"] for s in machine["States"].values() if s["Type"] == "Pass"]
        event = stem.removeprefix("events/")
        for item in told:
            if (item.get("name"), item.get("id.$"), item.get("at.$")) != (event, "$.id", "$.time"):
                yield "wake is told of another event, or not which"
        start = machine["States"]["start"]
        asked = start["Parameters"]
        if asked["PipelineName"] != self.files["requests/wake.json"]["PipelineName"]:
            yield "starts another pipeline than wake"
        if not start["Resource"].endswith(":::aws-sdk:sagemaker:startPipelineExecution"):
            yield "does something else than starting a pipeline"
        if asked.get("ClientRequestToken.$") != "$.id":
            yield "an event that is delivered twice wakes twice"
        given = {item["Name"]: item.get("Value.$") for item in asked["PipelineParameters"]}
        if given != {"Instant": "$.at", "Event": "States.JsonToString($)"}:
            yield "wake is not handed the event"
        yield from self.parameters("wake", given)

    def registry(self) -> Iterator[str]:
        group = self.files["registry/group.json"]["ModelPackageGroupName"]
        package = self.files["registry/package.json"]
        if not re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", group):
            yield f"registry/group.json: {group!r} is no name of a group"
        if package["ModelPackageGroupName"] != group:
            yield "registry/package.json: is of another group"
        if package["ModelApprovalStatus"] != "PendingManualApproval":
            yield "registry/package.json: a version is approved by its promotion, not before"
        if "Tags" in package:
            yield "registry/package.json: a version in a group takes no tags"

    def needs(self) -> dict[str, set[Right]]:
        """What the documents of each role do."""
        start = "sagemaker:StartPipelineExecution"
        needs: dict[str, set[Right]] = {
            "scheduler": {(start, self.pipeline("wake"))},
            "events": {(start, self.pipeline("record"))},
            "pipeline": self.pipeline_needs(),
        }
        for path, body in self.files.items():
            if not path.endswith("-machine.json"):
                continue
            machine = self.machine(path.replace("-machine", "-request"))
            if path.startswith("events/"):
                needs["events"].add(("states:StartExecution", machine))
                needs["hearing"] = {(start, self.pipeline("wake"))}
            else:
                needs["scheduler"].add(("states:StartExecution", machine))
                name = body["States"]["ask"]["Arguments"]["PipelineName"]
                seen = ("sagemaker:ListPipelineExecutions", self.here % ("sagemaker", f"pipeline/{name}"))
                needs.setdefault("watch", set()).add(seen)
        return needs

    def pipeline_needs(self) -> set[Right]:
        jobs = [step for kind in self.kinds for step in job_steps(self.files[f"pipelines/{kind}.json"])]
        needs = {("iam:PassRole", self.role), *self.starts()}
        for step in jobs:
            kind, arguments = str(step["Type"]), step["Arguments"]
            job = self.here % ("sagemaker", f"{kind.lower()}-job/pipelines-000000000000-{step['Name']}-0000000000")
            needs |= {(f"sagemaker:{verb}{kind}Job", job) for verb in ("Create", "Describe", "Stop")}
            needs.add(("sagemaker:AddTags", job))
            cluster = arguments.get("ResourceConfig") or arguments["ProcessingResources"]["ClusterConfig"]
            if key := cluster.get("VolumeKmsKeyId"):
                needs |= {(f"kms:{verb}", key) for verb in ("CreateGrant", "Decrypt", "GenerateDataKey")}
            network = arguments.get("VpcConfig") or arguments.get("NetworkConfig", {}).get("VpcConfig") or {}
            for subnet in network.get("Subnets", []):
                needs.add(("ec2:CreateNetworkInterface", self.here % ("ec2", f"subnet/{subnet}")))
            needs |= {("secretsmanager:GetSecretValue", name) for name in self.secrets(step)}
        for name in _told(self.files["documents/wake.json"]["policy"]["notifications"]):
            needs.add(("secretsmanager:GetSecretValue", self.here % ("secretsmanager", f"secret:{name}-Ab1Cd2")))
        partition = self.role.split(":")[1]
        needs |= {("s3:PutObject", f"arn:{partition}:s3:::{uri}/x") for uri in self.outs()}
        for kind in ("wake", "train", *self.scores):
            for uri in _written(self.files[f"pipelines/{kind}.json"]):
                needs |= {(f"s3:{verb}", f"arn:{partition}:s3:::{uri}x") for verb in ("GetObject", "PutObject")}
        package = self.files["registry/group.json"]["ModelPackageGroupName"]
        needs.add(("sagemaker:CreateModelPackage", self.here % ("sagemaker", f"model-package/{package}/1")))
        needs |= {(what, self.here % (what.partition(":")[0], thing)) for what, thing in serving_needs(self.files)}
        logs = self.here % ("logs", "log-group:/aws/sagemaker/ProcessingJobs:log-stream:x")
        return needs | {("logs:PutLogEvents", logs)}

    def starts(self) -> set[Right]:
        return {("sagemaker:StartPipelineExecution", self.pipeline(kind)) for kind in ("train", *self.scores)}

    def outs(self) -> Iterator[str]:
        """`bucket/key` of the folders to which batch jobs write."""
        jobs = self.files["documents/publish.json"]["policy"]["batch"].values() if self.scores else ()
        for job in jobs:
            if job["out"].startswith("s3://"):
                yield job["out"].removeprefix("s3://").rstrip("/")

    def secrets(self, step: Mapping[str, Any]) -> Iterator[str]:
        """Of a command that `with_secrets` stands before: the words up to `--step`."""
        arguments = step["Arguments"]
        container = arguments.get("AlgorithmSpecification") or arguments["AppSpecification"]
        if container["ContainerEntrypoint"][-1].endswith("/with_secrets.py"):
            words = container["ContainerArguments"]
            for word in words[1 : words.index("--step")]:
                yield self.here % ("secretsmanager", f"secret:{word.split('=', 2)[2]}-Ab1Cd2")

    def called_roles(self) -> Iterator[str]:
        """Every role that a document calls is one that the template makes with that very policy."""
        made = {
            self.roles + item["Properties"]["RoleName"]: item["Properties"]
            for item in self.files["template.json"]["Resources"].values()
            if item["Type"] == "AWS::IAM::Role"
        }
        for role, arns in self.called.items():
            for arn in arns:
                policies = made.get(arn, {}).get("Policies", [{}])
                if policies[0].get("PolicyDocument") != self.files[f"identities/{role}.policy.json"]:
                    yield f"identities: {arn} is not the role {role} of this bundle"


def _cron(expression: str) -> Iterator[str]:
    match = _CRON.fullmatch(expression)
    if match is None or len(expression) > LIMITS["schedule expression"].value:
        yield f"{expression!r} is no cron of the service"
        return
    if (match[3] == "?") == (match[5] == "?"):
        yield f"{expression!r}: one of the two day fields is `?`, and only one"
    for word, (low, high) in zip(match.groups(), _BOUNDS, strict=False):
        if any(not low <= int(number) <= high for number in re.findall(r"\d+", word)):
            yield f"{expression!r}: {word} is out of range"
    if match[5] not in ("*", "?") and not set(match[5].split(",")) <= _DAYS:
        yield f"{expression!r}: {match[5]} are no days of the week"


def _transitions(machine: Mapping[str, Any]) -> Iterator[str]:
    """Each state leads to one that exists, or ends; each but the first is led to."""
    states, reached = machine["States"], {machine["StartAt"]}
    for name, state in states.items():
        after = [state[key] for key in ("Next", "Default") if key in state]
        after += [choice["Next"] for choice in state.get("Choices", [])]
        reached |= set(after)
        if not after and not state.get("End") and state["Type"] not in ("Succeed", "Fail"):
            yield f"the state {name} leads nowhere"
    yield from (f"there is no state {name}" for name in reached - states.keys())
    yield from (f"nothing leads to the state {name}" for name in states.keys() - reached)


def _written(definition: Mapping[str, Any]) -> Iterator[str]:
    """`bucket/key` of what the jobs of a definition write."""
    for step in job_steps(definition):
        arguments = step["Arguments"]
        places = [item["S3Output"]["S3Uri"] for item in arguments.get("ProcessingOutputConfig", {}).get("Outputs", [])]
        places += [arguments["OutputDataConfig"]["S3OutputPath"]] if "OutputDataConfig" in arguments else []
        for place in places:
            text = place["Std:Join"]["Values"][0] if isinstance(place, Mapping) else place
            yield str(text).removeprefix("s3://")


def _told(value: Any) -> Iterator[str]:
    """The names of the secrets that a wake's notifications are sent with."""
    if isinstance(value, Mapping):
        if isinstance(value.get("secret"), str):
            yield value["secret"]
        for item in value.values():
            yield from _told(item)
    elif isinstance(value, list):
        for item in value:
            yield from _told(item)
