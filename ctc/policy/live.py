"""The triggers that watch what is live, `drift` and `performance`: when they look, and what follows from what was seen.

They look at evaluation instants: now, and the multiples of `wake_every` since 1970 before it. Each is judged from the
data as it was known then, so that the answer depends on no earlier wake.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from ctc.policy.evidence import LiveAnswer, Moment, NotEvaluable
from ctc.policy.state import State
from ctc.policy.windows import format_instant

KINDS = ("drift", "performance")

MOST_INSTANTS = 200
"""The most instants that are looked at in one span; a longer one is looked at in wider, even steps."""

MOST_EARLIER = 100
"""The same of those before the span of `sustained`, which only date the change."""

LOOK_BACK = timedelta(days=90)
"""How far before the age of labels `wait_for` looks for the change. One that is older counts from there."""

YEAR = timedelta(days=365)
"""How far back the baseline `season` lies."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class LiveQuestion:
    """What to look at for one trigger, newest first: at all `instants`, then at `earlier` ones while it is over.

    `every` is the step between two instants, in seconds. The answer goes into `Evidence.live` by `name`.
    """

    name: str
    trigger: Mapping[str, Any]
    instants: tuple[datetime, ...]
    earlier: tuple[datetime, ...] = ()
    every: float = 0.0


def live_questions(state: State, triggers: Iterable[Mapping[str, Any]], now: datetime) -> tuple[LiveQuestion, ...]:
    """What the enabled `drift` and `performance` triggers ask at `now`; nothing while actions are pending."""
    if state.pending:
        return ()
    return tuple(_question(trigger, now) for trigger in triggers if trigger["kind"] in KINDS)


def _question(trigger: Mapping[str, Any], now: datetime) -> LiveQuestion:
    every = float(trigger["every"])
    sustained = timedelta(seconds=trigger["sustained"] or 0.0)
    instants, step = evaluations(now, every, sustained)
    earlier: tuple[datetime, ...] = ()
    if trigger["wait_for"] is not None:
        back = max(sustained, timedelta(seconds=trigger["known_after"]) + LOOK_BACK)
        earlier = tuple(at for at in evaluations(now, every, back, MOST_EARLIER)[0] if at < instants[-1])
    return LiveQuestion(trigger["name"], trigger, instants, earlier, step)


def evaluations(
    now: datetime, every: float, span: timedelta, most: int = MOST_INSTANTS
) -> tuple[tuple[datetime, ...], float]:
    """The evaluation instants of `[now - span, now]`, newest first, and the seconds between them."""
    step = every * max(1, math.ceil(span.total_seconds() / every / (most - 1)))
    stride = timedelta(seconds=step)
    at = now - (now - _EPOCH) % stride
    found = [now]
    while at >= now - span:
        if at < now:
            found.append(at)
        at -= stride
    return tuple(found), step


def watch(question: LiveQuestion, look: Callable[[datetime], Moment]) -> tuple[tuple[Moment, ...], datetime | None]:
    """The moments up to the first that is not over the line; and, if none is, the first of the stretch that is."""
    moments: list[Moment] = []
    for at in question.instants:
        moments.append(look(at))
        if moments[-1].over is not True:
            return tuple(moments), None
    change = question.instants[-1]
    for at in question.earlier:
        if look(at).over is not True:
            break
        change = at
    return tuple(moments), change


def answer(
    trigger: Mapping[str, Any], found: LiveAnswer | NotEvaluable
) -> tuple[Literal["fired", "quiet", "not_evaluable"], str, dict[str, Any]]:
    """Answer, reason and numbers of a trigger. The newest moment that is not over the line decides, if there is one."""
    if isinstance(found, NotEvaluable):
        return "not_evaluable", found.reason, {}
    newest, last = found.moments[0], found.moments[-1]
    numbers = {**newest.numbers, "at": format_instant(newest.at), "instants": len(found.moments), "every": found.every}
    if last.over is not True:
        numbers["not_over"] = format_instant(last.at)
        earlier = "" if last is newest else f"at {format_instant(last.at)}, within `sustained`: "
        return ("not_evaluable" if last.over is None else "quiet"), earlier + last.reason, numbers
    since = "" if last is newest else f", at all of {len(found.moments)} instants since {format_instant(last.at)}"
    reason = newest.reason + since
    wanted = trigger["wait_for"]
    if wanted is None:
        return "fired", reason, numbers
    if isinstance(found.mature, NotEvaluable) or found.mature is None or found.change is None:
        why = "they were not counted" if not isinstance(found.mature, NotEvaluable) else found.mature.reason
        return "not_evaluable", f"{reason}; mature rows since the change: {why}", numbers
    numbers |= {"change": format_instant(found.change), "mature_rows": found.mature, "wait_for": wanted}
    counted = f"{found.mature} mature rows since the change at {format_instant(found.change)}, {wanted} wanted"
    return ("fired" if found.mature >= wanted else "quiet"), f"{reason}; {counted}", numbers
