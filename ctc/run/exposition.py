"""A deployment's state and last records in Prometheus' text exposition format, version 0.0.4.

Names end in their unit (`_seconds`) or, for a counter, in `_total`; instants are Unix times. A family without a sample
is left out. What has several answers is one sample for each, 1 for the one that holds.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ctc.policy.state import State
from ctc.policy.suppression import spent
from ctc.policy.windows import parse_instant
from ctc.run.records import Record, mapping, mappings, number

OUTCOMES = ("candidate", "held", "stopped", "failed", "lost")
JOB_OUTCOMES = ("scored", "empty", "failed", "lost")
GATE_ANSWERS = ("pass", "fail", "not_evaluable", "not_applicable")
TRIGGER_ANSWERS = ("fired", "quiet", "not_evaluable")

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Family:
    """One metric: its samples differ in their labels only."""

    name: str
    kind: Literal["gauge", "counter"]
    help: str
    samples: Sequence[tuple[Labels, float]]


def exposition(labels: Labels, state: State, records: Sequence[Record], now: datetime, currency: str) -> str:
    """The text; `labels` say which deployment it is, on every sample. `now` says which month's spending is meant;
    `currency` is empty where the spec sets no budget."""
    families = (*_of_state(state, now, currency), *_of_records(records))
    return "".join(_text(family, labels) for family in families if family.samples)


def _of_state(state: State, now: datetime, currency: str) -> tuple[Family, ...]:
    champion, approval = state.champion, state.approval
    version = [] if champion is None else [({"version": champion.version, "attempt": champion.attempt}, 1.0)]
    until = None if champion is None else champion.trained_until
    expires = None if approval is None else approval.expires
    return (
        Family("ctc_champion_info", "gauge", "The champion: its version, and the attempt that made it.", version),
        _instant("ctc_champion_trained_until_timestamp_seconds", "End of the champion's training data.", until),
        _instant("ctc_last_wake_timestamp_seconds", "Instant of the last wake.", state.last_wake),
        _switch("ctc_attempt_running", "Whether an attempt is live.", state.attempt is not None),
        _switch("ctc_hold", "Whether automatic triggers are held since a rollback.", state.hold is not None),
        _switch("ctc_approval_pending", "Whether a version waits for somebody's yes.", approval is not None),
        _instant("ctc_approval_expires_timestamp_seconds", "When the missing yes becomes a no.", expires),
        Family(
            "ctc_batch_scored_until_timestamp_seconds",
            "gauge",
            "Instant of the last job of a batch entry that ended well.",
            [
                ({"serving": name}, kept.scored_until.timestamp())
                for name, kept in sorted(state.scoring.items())
                if kept.scored_until is not None
            ],
        ),
        Family(
            "ctc_spent_this_month",
            "gauge",
            "What this calendar month's runs (UTC) have spent or set aside, in the currency of the label.",
            [({"currency": currency}, spent(state, now))] if currency else [],
        ),
    )


def _of_records(records: Sequence[Record]) -> tuple[Family, ...]:
    attempts = [record for record in records if record["kind"] == "attempt"]
    ends = [str(record.get("outcome")) for record in attempts]
    verdicts = [record for record in attempts if record.get("outcome") in ("candidate", "held")]
    judged = [record for record in attempts if mapping(mapping(record, "evaluation"), "metrics")]
    woken = [record for record in records if record["kind"] == "wake" and mappings(record, "triggers")]
    return (
        Family(
            "ctc_attempts_total",
            "counter",
            "Attempts that ended, by how they ended.",
            [({"outcome": outcome}, float(ends.count(outcome))) for outcome in OUTCOMES],
        ),
        Family(
            "ctc_batch_jobs_total",
            "counter",
            "Batch jobs that ended, by how they ended.",
            [
                ({"serving": entry, "outcome": outcome}, float(n))
                for (entry, outcome), n in sorted(_jobs(records).items())
            ],
        ),
        _instant(
            "ctc_last_success_timestamp_seconds",
            "Instant of the last attempt that ended with a verdict: candidate or held.",
            _read(verdicts[-1]["instant"]) if verdicts else None,
        ),
        *(_evaluation(judged[-1]) if judged else ()),
        *(
            _answers("gate", "The last verdict's", GATE_ANSWERS, mappings(mapping(judged[-1], "decision"), "gates"))
            if judged
            else ()
        ),
        *(
            _answers("trigger", "The last recorded wake's", TRIGGER_ANSWERS, mappings(woken[-1], "triggers"))
            if woken
            else ()
        ),
    )


def _jobs(records: Sequence[Record]) -> Counter[tuple[str, str]]:
    """By entry and outcome; an entry that has any job has every outcome."""
    ended = [(str(job.get("serving")), str(job.get("outcome"))) for job in records if job["kind"] == "score"]
    counts = Counter(ended)
    for entry, _ in ended:
        for outcome in JOB_OUTCOMES:
            counts[entry, outcome] += 0
    return counts


def _evaluation(record: Record) -> tuple[Family, ...]:
    """The numbers of contender and champion; bounds only where an interval was computed."""
    found: dict[str, list[tuple[Labels, float]]] = {"value": [], "low": [], "high": []}
    for metric, measured in mapping(mapping(record, "evaluation"), "metrics").items():
        for model in ("contender", "champion"):
            for part, samples in found.items():
                value = number(mapping(measured, model).get(part))
                if value is not None:
                    samples.append(({"metric": str(metric), "model": model}, value))
    which = "on the last evaluation's holdout"
    return (
        _instant(
            "ctc_evaluation_timestamp_seconds",
            "Instant of the attempt with the last evaluation.",
            _read(record["instant"]),
        ),
        Family("ctc_evaluation_value", "gauge", f"A model's metric {which}.", found["value"]),
        Family("ctc_evaluation_low", "gauge", f"Lower end of the metric's 95 % interval {which}.", found["low"]),
        Family("ctc_evaluation_high", "gauge", f"Upper end of the metric's 95 % interval {which}.", found["high"]),
    )


def _answers(what: str, whose: str, possible: Iterable[str], items: Iterable[Record]) -> tuple[Family, ...]:
    samples = [
        ({what: str(item.get("name")), "answer": answer}, float(item.get("answer") == answer))
        for item in items
        for answer in possible
    ]
    return (Family(f"ctc_{what}_answer", "gauge", f"{whose} answer of each {what}: 1 for the one given.", samples),)


def _instant(name: str, help: str, instant: datetime | None) -> Family:
    return Family(name, "gauge", help, [] if instant is None else [({}, instant.timestamp())])


def _switch(name: str, help: str, on: bool) -> Family:
    return Family(name, "gauge", help, [({}, float(on))])


def _read(instant: object) -> datetime | None:
    """A record's instant; None in a file that some other hand wrote."""
    try:
        return parse_instant(str(instant))
    except ValueError:
        return None


def _text(family: Family, common: Labels) -> str:
    lines = [f"# HELP {family.name} {_escaped(family.help)}", f"# TYPE {family.name} {family.kind}"]
    for labels, value in family.samples:
        pairs = ",".join(f'{name}="{_quoted(text)}"' for name, text in {**common, **labels}.items())
        lines.append(f"{family.name}{{{pairs}}} {_number(value)}")
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    """The shortest text that reads back as this number."""
    if math.isfinite(value) and value == int(value) and abs(value) < 2**53:
        return str(int(value))
    return repr(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')
