"""Which rows of the snapshot an attempt learns, where its strategy is not to learn its whole window from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ibis

from ctc.policy.strategy import Plan, plan
from ctc.steps import engine, holdouts, results
from ctc.steps.holdouts import HELD
from ctc.steps.ports import Services
from ctc.steps.task import Task

_HASHES = 2**64


def planned(task: Task, services: Services) -> Plan:
    """The plan of this attempt, from the champion that its request names."""
    return plan(task.policy["windows"], results.request(services.objects, task.attempt).get("champion"), task.instant)


def kept(joined: Any, plan: Plan) -> Any:
    """The joined rows without those older ones that are not replayed; rows that judge stay.

    An older row is replayed where a hash of its `row_id` and the instant at which the new rows start is below the
    share: the same rows on every engine and at every launch, others after the next promotion.
    """
    if plan.replay_from is None:
        return joined
    start = plan.windows.train_start
    text = joined["row_id"] + ibis.literal("|" + start.isoformat())
    drawn = holdouts.digest(text).cast("float64") < ibis.literal(plan.replay * _HASHES)
    return joined.filter((joined["event_time"] >= engine.literal(start)) | drawn | joined[HELD])


def facts(connection: Any, learnt: Sequence[Any], plan: Plan) -> dict[str, Any]:
    """What the record says of the strategy; `new_rows` counts the rows that the champion has not learnt."""
    start = engine.literal(plan.windows.train_start)
    rows = new = 0
    for part in learnt:
        fresh = part.count() if plan.replay_from is None else (part["event_time"] >= start).sum()
        found = engine.one(connection, part.aggregate(rows=part.count(), new=fresh))
        rows, new = rows + int(found["rows"]), new + int(found["new"] or 0)
    said: dict[str, Any] = {"strategy": plan.strategy, "new_rows": new, "replayed_rows": rows - new}
    return said | ({"strategy_reason": plan.reason} if plan.reason else {})
