"""What the gates can tell at the stated volume, what they promise over a year, and who is asked."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from ctc.diagnostics import Severity
from ctc.language import power
from ctc.language.attempts import attempts_per_year, scheduled
from ctc.language.checks import Finding, check
from ctc.language.checks.time import written
from ctc.language.spec import Approval, Gate, Spec

_HELD_BACK = 0.25
"""An equally good model that passes less often than this stays out for months of weekly attempts."""

_FEW = 30
"""The classic floor for a normal bound; with fewer rows no comparison means anything."""

_MUCH_STRICTER = 10
"""That a limit tightens gates is its purpose; ten times as strict is more than its author expects."""

_KNOWS_NOTHING: dict[str, tuple[str, float, str]] = {
    "roc_auc": ("min", 0.5, "random scores have an AUC of 0.5"),
    "balanced_accuracy": ("min", 0.5, "always the same answer has 0.5"),
    "r2": ("min", 0.0, "always the mean has 0"),
    "brier": ("max", 0.25, "a constant score of 0.5 has 0.25"),
    "log_loss": ("max", math.log(2), "a constant score of 0.5 has 0.693"),
}
"""By kind: the bound that matters, and what a model that has learnt nothing reaches."""


def _judged(spec: Spec) -> Iterator[tuple[Gate, power.GateEstimate]]:
    """The relative gates with their estimates; none where nothing is decided, or CT242 speaks."""
    if spec.mode == "observe":
        return
    gates = {gate.name: gate for gate in spec.promotion.gates}
    for estimate in power.estimates(spec):
        gate = gates[estimate.gate]
        if (gate.margin or 0) >= 0 and (gate.value or 0) >= 0:
            yield gate, estimate


def _is_unbounded(spec: Spec) -> bool:
    """Whether gates are as strict as an attempt at every wake needs: CT415 then says what to do."""
    return spec.promotion.false_promotions is not None and attempts_per_year(spec) is None


@check("CT410", "a margin that the stated volume cannot support", Severity.WARNING)
def margins_can_be_shown(spec: Spec) -> Iterator[Finding]:
    for gate, estimate in () if _is_unbounded(spec) else _judged(spec):
        share = estimate.passes_at_best
        if gate.kind == "min_gain" or share is None or share >= _HELD_BACK:
            continue
        path = f"promotion.gates.{gate.name}.{gate.kind}.margin"
        if gate.margin == 0:
            yield Finding(
                path,
                f"with a margin of 0 only {_percent(share)} of equally good models pass, however many rows there are",
                "write how much worse a model may be, or ask for a gain with `min_gain`",
            )
            continue
        volume, needed = power.volume_of(spec, gate), estimate.detectable_at_best
        if volume is None or needed is None or gate.margin is None:
            continue
        times = needed / -power.line_of(gate, power.level_of(spec, gate.metric))
        enough = _round_up(gate.margin * times * (100 if gate.relative else 1))
        advice = f"`{{relative: {enough:g}%}}`" if gate.relative else f"{enough:g}"
        yield Finding(
            path,
            f"{volume} cannot show a margin of {_margin(gate)}: at best {_percent(share)} of equally good models pass",
            f"allow {advice} or more, or judge on {_round_up(times**2):,.3g} times as many rows",
            (_volume_path(gate), "the stated volume"),
        )


@check("CT411", "a gain that is smaller than what the stated volume can show", Severity.WARNING)
def gains_can_be_seen(spec: Spec) -> Iterator[Finding]:
    for gate, estimate in () if _is_unbounded(spec) else _judged(spec):
        seen, volume = estimate.detectable_at_best, power.volume_of(spec, gate)
        if gate.kind == "min_gain" and gate.value and seen is not None and seen > gate.value:
            needed = gate.value + seen
            yield Finding(
                f"promotion.gates.{gate.name}.min_gain.value",
                f"{volume} hardly show a gain of {gate.value:g}: to pass in 4 of 5 attempts a model must really be "
                f"{needed:.2g} better",
                f"judge on {_round_up((seen / gate.value) ** 2):,.3g} times as many rows",
                (_volume_path(gate), "the stated volume"),
            )


@check("CT412", "gates that promote equally good models again and again, where a gain is asked for", Severity.WARNING)
def equals_are_seldom_promoted(spec: Spec) -> Iterator[Finding]:
    if spec.promotion.false_promotions is not None:
        return
    judged = tuple(_judged(spec))
    gains = [(gate, item) for gate, item in judged if gate.kind == "min_gain" and item.passes_if_equal is not None]
    yearly = power.promotions_of_equals(spec, tuple(item for _, item in judged))
    if not gains or yearly is None or yearly <= 1:
        return
    gate, estimate = min(gains, key=lambda pair: pair[1].passes_if_equal or 0.0)
    attempts = estimate.attempts_per_year or 0.0
    yield Finding(
        f"promotion.gates.{gate.name}.min_gain",
        f"up to {attempts:.0f} attempts a year, of which chance passes {_percent(estimate.passes_if_equal or 0.0)}: "
        f"about {yearly:.2g} models a year are promoted that are no better",
        "add `false_promotions: {max: 1, per: 365d}` to `promotion`, or try less often",
    )


@check("CT413", "a bound that a model passes which has learnt nothing", Severity.WARNING)
def floors_are_floors(spec: Spec) -> Iterator[Finding]:
    if spec.label is None:
        return
    kinds = {metric.name: metric.kind for metric in spec.evaluation.metrics}
    for gate in spec.promotion.gates:
        kind = kinds.get(gate.metric or "")
        if gate.kind != "range" or kind not in _KNOWS_NOTHING:
            continue
        if spec.task == "multiclass" and kind in ("balanced_accuracy", "log_loss"):
            continue
        side, chance, reason = _KNOWS_NOTHING[kind]
        bound = gate.min if side == "min" else gate.max
        idle = bound is not None and (bound <= chance if side == "min" else bound >= chance)
        # A bound that every model passes is CT244's, one on the wrong side CT258's.
        if bound is not None and idle and not (kind in ("roc_auc", "balanced_accuracy") and bound <= 0):
            yield Finding(
                f"promotion.gates.{gate.name}.range.{side}",
                f"a model that has learnt nothing passes: {reason}",
                f"write what the model must reach to be of use, {'above' if side == 'min' else 'below'} {chance:.3g}",
            )


@check("CT414", "a gate that `false_promotions` makes much stricter than it is written", Severity.WARNING)
def confidences_are_nearly_those_written(spec: Spec) -> Iterator[Finding]:
    attempts = attempts_per_year(spec)
    for gate, estimate in () if _is_unbounded(spec) else _judged(spec):
        times = (1 - gate.confidence) / (1 - estimate.confidence)
        if times >= _MUCH_STRICTER:
            yield Finding(
                f"promotion.gates.{gate.name}.{gate.kind}.confidence",
                f"this gate tests at {100 * estimate.confidence:.5g}%, not {100 * gate.confidence:g}%: up to "
                f"{attempts:.0f} attempts a year share what `false_promotions` allows",
                "allow more, try less often, or write this confidence to say that it is meant",
                ("promotion.false_promotions", "the limit"),
            )


@check("CT415", "a limit on false promotions over nobody knows how many attempts", Severity.WARNING)
def attempts_are_bounded(spec: Spec) -> Iterator[Finding]:
    if _is_unbounded(spec) and _is_spent(spec):
        yield Finding(
            "promotion.false_promotions",
            "nothing bounds the number of attempts among which this is shared",
            "add `max_runs: {count: ..., per: 30d}` to `trigger_policy`",
            ("triggers", "data or an alert may start any number"),
        )


@check("CT416", "a comparison on hardly any rows", Severity.WARNING)
def comparisons_have_rows(spec: Spec) -> Iterator[Finding]:
    for gate, _ in _judged(spec):
        volume = power.volume_of(spec, gate)
        # Positives of a task that has none are CT249's.
        if volume is None or volume.rows >= _FEW or (volume.positives and spec.task != "binary"):
            continue
        place = "retraining.holdout" if gate.by is None else f"evaluation.slices.{gate.by}"
        few = "a single row" if volume.rows == 1 else f"{volume.rows} rows"
        yield Finding(
            f"{place}.min_rows",
            f"`{gate.name}` may be decided on {few}",
            "write the number below which nobody should trust the comparison, such as 1000",
            (f"promotion.gates.{gate.name}", "the gate"),
        )
        return


@check("CT417", "a limit on false promotions that nothing obeys", Severity.WARNING)
def limits_are_obeyed(spec: Spec) -> Iterator[Finding]:
    limit = spec.promotion.false_promotions
    if limit is None or _is_spent(spec):
        return
    if spec.retraining.strategy == "incremental":
        reason, advice = "an incremental model is updated all the time, without a test", "remove it"
        related = ("retraining.strategy", "the strategy")
    elif not limit.per:
        reason, advice = "within no time there are no promotions", "write one such as `{max: 1, per: 365d}`"
        related = ("promotion.false_promotions.per", "no time")
    else:
        reason, advice = "no gate tests the contender against the champion", "add a `not_worse` or a `min_gain` gate"
        related = ("promotion.gates", "the gates")
    yield Finding("promotion.false_promotions", f"this limits nothing: {reason}", advice, related)


def _is_spent(spec: Spec) -> bool:
    """Whether there is a test that a limit on false promotions could make stricter."""
    limit = spec.promotion.false_promotions
    tested = any(gate.kind in power.RELATIVE for gate in spec.promotion.gates)
    return tested and spec.retraining.strategy != "incremental" and limit is not None and bool(limit.per)


def _approvals(spec: Spec) -> Iterator[tuple[str, Approval]]:
    promotion = spec.promotion
    for path, approval in (("promotion.approval", promotion.approval), ("promotion.first.approval", promotion.first)):
        if approval is not None:
            yield path, approval


@check("CT418", "an approval that expires before anybody looks", Severity.WARNING)
def approvals_live_until_a_wake(spec: Spec) -> Iterator[Finding]:
    wake = spec.trigger_policy.wake_every
    for path, approval in _approvals(spec):
        if approval.expires < wake:
            yield Finding(
                f"{path}.expires",
                f"an answer counts at the next wake, up to {written(wake)} later: by then {written(approval.expires)} "
                "are over",
                "give people time to answer, such as 2d",
            )


@check("CT419", "an approval that the next contender always overtakes", Severity.WARNING)
def approvals_outlive_no_successor(spec: Spec) -> Iterator[Finding]:
    approval = spec.promotion.approval
    gaps = sorted(later - earlier for earlier, later in pairwise(scheduled(spec)))
    # One that expires before the next wake is CT418's.
    if approval is None or not gaps or spec.mode == "observe" or approval.expires < spec.trigger_policy.wake_every:
        return
    usual = written(gaps[len(gaps) // 2])
    if gaps[-1] < approval.expires:
        yield Finding(
            "promotion.approval.expires",
            f"a new contender may come every {usual} and supersedes the one that waits: nobody has "
            f"{written(approval.expires)} to answer",
            f"write `expires: {usual}`, or train less often",
            ("triggers", "this often"),
        )


@check("CT420", "a question that anybody may answer")
def somebody_is_asked(spec: Spec) -> Iterator[Finding]:
    if spec.promotion.if_not_evaluable == "ask" and spec.promotion.approval is None:
        yield Finding(
            "promotion.if_not_evaluable",
            "`ask` asks those of `promotion.approval`, and there is none: whoever may write the state could say yes",
            "say who decides: `approval: {any_of: [...]}`; or write `hold`",
        )


def _volume_path(gate: Gate) -> str:
    return "retraining.holdout.min_rows" if gate.by is None else f"evaluation.slices.{gate.by}.min_rows"


def _margin(gate: Gate) -> str:
    return _percent(gate.margin or 0.0) if gate.relative else f"{gate.margin:g}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g}%" if share >= 1e-3 else "fewer than 0.1%"


def _round_up(number: float) -> float:
    """To two digits, upwards, so that what is advised suffices."""
    if number <= 0:
        return number
    unit = 10.0 ** (math.floor(math.log10(number)) - 1)
    return math.ceil(number / unit - 1e-9) * unit
