"""When wakes start: a recurrence for `wake_every`, and a cron with a Windows zone where the service can say it.

The service's cron has no days of the month and no months ("ignored and treated as *": its page on schedules), so such a
trigger is left to the recurrence: the wake fires it at its first wake after the instant, as it does after an outage.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ctc.compiler.ir import System
from ctc.targets.azureml.pipeline import tags

WINDOWS_ZONES: Mapping[str, str] = {
    "UTC": "UTC",
    "Etc/UTC": "UTC",
    "Europe/London": "GMT Standard Time",
    "Europe/Dublin": "GMT Standard Time",
    "Europe/Lisbon": "GMT Standard Time",
    "Europe/Amsterdam": "W. Europe Standard Time",
    "Europe/Berlin": "W. Europe Standard Time",
    "Europe/Oslo": "W. Europe Standard Time",
    "Europe/Rome": "W. Europe Standard Time",
    "Europe/Stockholm": "W. Europe Standard Time",
    "Europe/Vienna": "W. Europe Standard Time",
    "Europe/Zurich": "W. Europe Standard Time",
    "Europe/Brussels": "Romance Standard Time",
    "Europe/Copenhagen": "Romance Standard Time",
    "Europe/Madrid": "Romance Standard Time",
    "Europe/Paris": "Romance Standard Time",
    "Europe/Warsaw": "Central European Standard Time",
    "Europe/Prague": "Central Europe Standard Time",
    "Europe/Budapest": "Central Europe Standard Time",
    "Europe/Helsinki": "FLE Standard Time",
    "Europe/Athens": "GTB Standard Time",
    "America/New_York": "Eastern Standard Time",
    "America/Chicago": "Central Standard Time",
    "America/Denver": "Mountain Standard Time",
    "America/Phoenix": "US Mountain Standard Time",
    "America/Los_Angeles": "Pacific Standard Time",
    "America/Sao_Paulo": "E. South America Standard Time",
    "Asia/Tokyo": "Tokyo Standard Time",
    "Asia/Shanghai": "China Standard Time",
    "Asia/Singapore": "Singapore Standard Time",
    "Asia/Kolkata": "India Standard Time",
    "Asia/Kathmandu": "Nepal Standard Time",
    "Australia/Sydney": "AUS Eastern Standard Time",
}
"""IANA zone to Windows zone, from Unicode CLDR's windowsZones. Zones that are not here are left to the recurrence."""

_NUMBERS = re.compile(r"[0-9*,/-]+")


def schedules(system: System) -> dict[str, dict[str, Any]]:
    """The schedules by file name, without `.yml`."""
    made = {"wake": _schedule(system, "wake", recurrence(system.wakes.every))}
    for name, cron, zone in system.wakes.crons:
        trigger = cron_trigger(cron, zone)
        if trigger is not None:
            made[name] = _schedule(system, name, trigger)
    return made


def recurrence(every: timedelta) -> dict[str, Any]:
    """The recurrence of a whole number of minutes, in the largest unit that divides it."""
    minutes = max(1, int(every.total_seconds()) // 60)
    for unit, length in (("day", 1440), ("hour", 60), ("minute", 1)):
        if minutes % length == 0:
            return {"type": "recurrence", "frequency": unit, "interval": minutes // length}
    raise AssertionError("every number of minutes is divided by one")


def cron_trigger(cron: str, zone: str) -> dict[str, Any] | None:
    """The service's trigger for a cron of five fields in an IANA zone; None where the service has no words for it."""
    minute, hour, day, month, weekday = cron.split()
    if zone not in WINDOWS_ZONES or (day, month) != ("*", "*") or "7" in weekday:
        return None
    if not all(_NUMBERS.fullmatch(field) for field in (minute, hour, weekday)):
        return None
    return {"type": "cron", "expression": " ".join(cron.split()), "time_zone": WINDOWS_ZONES[zone]}


def _schedule(system: System, name: str, trigger: dict[str, Any]) -> dict[str, Any]:
    suffix = "" if name == "wake" else f"-{name}"
    return {
        "$schema": "https://azuremlschemas.azureedge.net/latest/schedule.schema.json",
        "name": f"{system.name}-wake{suffix}",
        "display_name": f"{system.name}-wake{suffix}",
        "description": f"Wakes {system.name}, compiled by ctc.",
        "tags": tags(system),
        "trigger": trigger,
        "create_job": "../pipelines/wake.yml",
    }
