"""Which rows of the snapshot an attempt learns, where its strategy is not to learn its whole window from scratch."""

from __future__ import annotations

from typing import Any

import ibis

from ctc.policy.strategy import Plan, plan
from ctc.steps import engine, results
from ctc.steps.ports import Services
from ctc.steps.task import Task

_HASHES = 2**64


@ibis.udf.scalar.builtin(name="md5_number_lower", signature=(("string",), "uint64"))  # type: ignore[untyped-decorator]
def _hash(text: str) -> int:  # type: ignore[empty-body]
    """The last eight bytes of the MD5 of a text, as a number."""


def planned(task: Task, services: Services) -> Plan:
    """The plan of this attempt, from the champion that its request names."""
    return plan(task.policy["windows"], results.request(services.objects, task.attempt).get("champion"), task.instant)


def kept(joined: Any, plan: Plan) -> Any:
    """The joined rows without those older ones that are not replayed; `joined` has `event_time` and `row_id`.

    An older row is replayed where a hash of its `row_id` and the instant at which the new rows start is below the
    share: the same rows on every engine and at every launch, others after the next promotion.
    """
    if plan.replay_from is None:
        return joined
    start = plan.windows.train_start
    text = joined["row_id"] + ibis.literal("|" + start.isoformat())
    drawn = _hash(text).cast("float64") < ibis.literal(plan.replay * _HASHES)
    return joined.filter((joined["event_time"] >= engine.literal(start)) | drawn)


def facts(connection: Any, labelled: Any, plan: Plan) -> dict[str, Any]:
    """What the record says of the strategy; `new_rows` counts the labelled rows that the champion has not learnt."""
    event = labelled["event_time"]
    learnt = labelled.filter(event < engine.literal(plan.windows.train_end))
    new = learnt["event_time"] >= engine.literal(plan.windows.train_start)
    found = engine.one(connection, learnt.aggregate(rows=learnt.count(), new=new.sum()))
    fresh = int(found["new"] or 0)
    said: dict[str, Any] = {"strategy": plan.strategy, "new_rows": fresh, "replayed_rows": int(found["rows"]) - fresh}
    return said | ({"strategy_reason": plan.reason} if plan.reason else {})
