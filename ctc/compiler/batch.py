"""Batch entries of `serving`: when the controller starts their jobs, and what the steps of a job need to know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ctc.language.spec import Spec
from ctc.language.spec.serving import Batch, Serving

OUR_STEPS = 4 * 3600.0
"""Seconds of a job's lease beside the tries of the champion's command: an hour for each of our two steps, which may
write for as long as the platform lets them, and two for their starts and a slow wake."""


def entries(spec: Spec) -> tuple[Serving, ...]:
    """The entries of `serving` that are jobs, by name."""
    return tuple(sorted((entry for entry in spec.serving if entry.batch is not None), key=lambda entry: entry.name))


def kind(entry: Serving) -> str:
    """The kind of an entry's pipeline, which also is what its schedule is called after."""
    return f"score-{entry.name}"


def crons(spec: Spec) -> Iterator[tuple[str, str, str]]:
    """(name, cron, IANA zone) of each schedule."""
    for entry, job in _jobs(spec):
        yield kind(entry), job.schedule.cron, job.schedule.timezone


def schedules(spec: Spec) -> dict[str, Any]:
    """The part of the section `triggers` that starts jobs; empty where there are none. A lease is seconds."""
    made = [
        {
            "name": entry.name,
            "cron": job.schedule.cron,
            "timezone": job.schedule.timezone,
            "write": job.write,
            "lease": (spec.training.retries + 1) * spec.training.timeout.total_seconds() + OUR_STEPS,
        }
        for entry, job in _jobs(spec)
    ]
    return {"batch": made} if made else {}


def section(spec: Spec) -> dict[str, Any]:
    """What each entry reads and writes, by its name."""
    return {entry.name: {"rows": job.rows, "out": job.out, "write": job.write} for entry, job in _jobs(spec)}


def outs(spec: Spec) -> tuple[tuple[str, str], ...]:
    """The folders to which jobs write, each with its place in the spec."""
    return tuple((job.out, f"serving.{entry.name}.batch.out") for entry, job in _jobs(spec))


def _jobs(spec: Spec) -> Iterator[tuple[Serving, Batch]]:
    for entry in spec.serving:
        if entry.batch is not None:
            yield entry, entry.batch
