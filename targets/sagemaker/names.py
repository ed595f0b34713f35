"""How the resources of a system are called, and their ARNs.

A name that is too long for its kind is cut and ends in a hash of the whole. Pipelines alone are never cut: people type
their names.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import NamedTuple

from ctc.compiler.ir import System

ROLE = re.compile(r"^arn:(aws[a-z-]*):iam::(\d{12}):role/[\w+=,.@/-]+$")
KEY = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[\w-]+")
"""An alias is none: a policy cannot name what it stands for."""
LENGTHS = {
    "role name": 64,
    "policy name": 128,
    "rule name": 64,
    "schedule name": 64,
    "state machine name": 80,
    "topic name": 256,
    "alarm name": 255,
    "group name": 63,
    "model name": 63,
    "endpoint name": 63,
    "pipeline name": 82,
}
"""Longest names, in characters; their sources are in `limit_table.py`."""
_HASH = 8


class Named(NamedTuple):
    """A resource: its kind (a key of `LENGTHS`), its name, the place of the spec that it is called after."""

    kind: str
    name: str
    path: str


def shortened(name: str, kind: str, room: int = 0) -> str:
    """The name itself, or as much of it as fits with a hash of the whole; `room` is left for what is added later."""
    most = LENGTHS[kind] - room
    if len(name) <= most:
        return name
    return f"{name[: most - _HASH - 1].rstrip('-')}-{hashlib.sha256(name.encode()).hexdigest()[:_HASH]}"


def partition(system: System) -> str:
    match = ROLE.match(str(system.settings["role"]))
    return match[1] if match else "aws"


def account(system: System) -> str:
    match = ROLE.match(str(system.settings["role"]))
    return match[2] if match else "000000000000"


def region(system: System) -> str:
    return str(system.settings["region"])


def arn(system: System, service: str, resource: str) -> str:
    """Of a resource in the system's own region and account."""
    return f"arn:{partition(system)}:{service}:{region(system)}:{account(system)}:{resource}"


def pipeline_name(system: System, kind: str) -> str:
    return f"{system.name}-{kind}"


def pipeline_arn(system: System, kind: str) -> str:
    """The ARN that the pipeline will have: region from the settings, partition and account from the role's ARN."""
    return arn(system, "sagemaker", f"pipeline/{pipeline_name(system, kind)}")


def scores(system: System) -> tuple[str, ...]:
    """The kinds of the pipelines of batch jobs."""
    return tuple(sorted(pipeline.kind for pipeline in system.scores))


def own_role_name(system: System) -> str:
    """The name of the role of the settings, without its path."""
    return str(system.settings["role"]).rpartition("/")[2]


def role_name(system: System, role: str) -> str:
    return shortened(f"{system.name}-{role}", "role name")


def role_arn(system: System, role: str) -> str:
    """Of a role that comes with the bundle, or of that of the settings for `pipeline`."""
    if role == "pipeline":
        return str(system.settings["role"])
    return f"arn:{partition(system)}:iam::{account(system)}:role/{role_name(system, role)}"


def policy_name(system: System) -> str:
    """Of the managed policy of the role of the settings."""
    return shortened(f"{system.name}-pipeline", "policy name")


def rule_name(system: System, own: str) -> str:
    """`own` is `record`, or `on-` and an event."""
    return shortened(f"{system.name}-{own}", "rule name")


def schedule_name(system: System, own: str) -> str:
    """`own` is `wake`, `at-` and a trigger, or `watch-` and what is watched."""
    return shortened(f"{system.name}-{own}", "schedule name")


def machine_name(system: System, own: str) -> str:
    """`own` is `on-` and an event, or `watch-` and what is watched."""
    return shortened(f"{system.name}-{own}", "state machine name")


def machine_arn(system: System, own: str) -> str:
    return arn(system, "states", f"stateMachine:{machine_name(system, own)}")


def topic_name(system: System) -> str:
    return shortened(f"{system.name}-alarms", "topic name")


def topic_arn(system: System) -> str:
    return arn(system, "sns", topic_name(system))


def alarm_name(system: System, own: str) -> str:
    """`own` is what is watched: `wakes`, `staleness`."""
    return shortened(f"{system.name}-{own}", "alarm name")


def group_name(system: System) -> str:
    """Of the model packages."""
    return shortened(system.name, "group name")


def model_name(system: System, server: str) -> str:
    """Of a server's models and configurations, to which a version adds `-` and the 25 characters of its attempt."""
    return shortened(f"{system.name}-{server}", "model name", room=26)


def endpoint_name(system: System, server: str) -> str:
    return shortened(f"{system.name}-{server}", "endpoint name")


def meeting(named: list[Named]) -> Iterator[tuple[Named, Named]]:
    """Pairs of one kind whose names the service cannot tell apart. IAM does not distinguish case; so nothing does."""
    seen: dict[tuple[str, str], Named] = {}
    for item in named:
        key = (item.kind, item.name.lower())
        if key in seen:
            yield seen[key], item
        seen.setdefault(key, item)
