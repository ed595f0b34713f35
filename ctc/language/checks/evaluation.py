"""Metrics, slices and units: what is measured on the holdout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from ctc.diagnostics import Severity
from ctc.language.checks import Finding, Tree, check, check_tree
from ctc.language.checks.gates import LABEL_FREE, TASKS
from ctc.language.spec import Metric, Spec
from ctc.language.typed import HIGHER_IS_BETTER


@check("CT246", "a metric of another task")
def metrics_fit_the_task(spec: Spec) -> Iterator[Finding]:
    for metric in spec.evaluation.metrics:
        if spec.task not in TASKS[metric.kind]:
            kinds = ", ".join(kind for kind, tasks in TASKS.items() if spec.task in tasks)
            yield Finding(
                f"evaluation.metrics.{metric.name}.{metric.kind}",
                f"`{metric.kind}` does not measure a {spec.task} task",
                f"for {spec.task} there are: {kinds}",
                ("task", "the task"),
            )


@check("CT247", "a slice, a unit or a metric by a column that evaluation does not see, or that says nothing")
def columns_are_there(spec: Spec) -> Iterator[Finding]:
    for path, column in _columns(spec):
        if column in spec.columns.drop:
            related = (f"columns.drop.{spec.columns.drop.index(column)}", "dropped here")
            yield Finding(path, f"`{column}` is dropped", "list it under `columns.audit` instead", related)
    main = next((source for source in spec.sources if source.role == "rows"), None)
    for part in spec.evaluation.slices:
        path = f"evaluation.slices.{part.name}.column"
        if spec.label is not None and part.column == spec.label.column and not part.edges and spec.task != "multiclass":
            yield Finding(path, "a slice by the label measures nothing", "slice by a column that is known beforehand")
        elif main is not None and main.key == (part.column,) and not part.edges:
            message = f"`{part.column}` is the key: every slice would have one row"
            yield Finding(
                path, message, "slice by a column that many rows share", (f"sources.{main.name}.key", "the key")
            )


def _columns(spec: Spec) -> Iterator[tuple[str, str]]:
    """The columns that evaluation names, with their places."""
    for part in spec.evaluation.slices:
        yield f"evaluation.slices.{part.name}.column", part.column
    for index, column in enumerate(spec.evaluation.unit):
        yield f"evaluation.unit.{index}", column
    for metric in spec.evaluation.metrics:
        # A column that `score` adds may be called like one that is dropped.
        if metric.kind in LABEL_FREE and spec.evaluation.score is None:
            yield f"evaluation.metrics.{metric.name}.{metric.kind}.column", metric.arguments["column"]


@check("CT249", "a count of positives where there are none")
def positives_need_two_classes(spec: Spec) -> Iterator[Finding]:
    if spec.task == "binary" and spec.label is not None:
        return
    reason = (
        f"a {spec.task} task has no positive rows" if spec.label is not None else "without labels no row is positive"
    )
    related = ("task", "the task") if spec.label is not None else ("label", "no label")
    for path, count in _counts(spec):
        if count:
            yield Finding(path, reason, "remove it; `min_rows` says how many rows are needed", related)


def _counts(spec: Spec) -> Iterator[tuple[str, int]]:
    yield "retraining.holdout.min_positives", spec.retraining.holdout.min_positives
    for part in spec.evaluation.slices:
        yield f"evaluation.slices.{part.name}.min_positives", part.min_positives


@check("CT250", "a metric that needs labels, where there are none")
def metrics_have_their_labels(spec: Spec) -> Iterator[Finding]:
    if spec.label is not None:
        return
    for metric in spec.evaluation.metrics:
        # A kind of another task is CT246's.
        if metric.kind not in LABEL_FREE and spec.task in TASKS[metric.kind]:
            yield Finding(
                f"evaluation.metrics.{metric.name}.{metric.kind}",
                f"`{metric.kind}` compares predictions with labels, and this spec has none",
                "measure with `mean` or `share`, also of a column that `evaluation.score` adds; or state the `label`",
                ("label", "no label"),
            )


@check("CT251", "a direction against that of the metric")
def directions_are_those_of_the_kind(spec: Spec) -> Iterator[Finding]:
    for metric in spec.evaluation.metrics:
        own = _own_direction(metric.kind)
        if own is not None and metric.better != own:
            yield Finding(
                f"evaluation.metrics.{metric.name}.better",
                f"{own} is always better for `{metric.kind}`",
                "remove `better`; it is for `mean` and `share`, which have no direction of their own",
            )


def _own_direction(kind: str) -> str | None:
    higher = HIGHER_IS_BETTER[kind]
    return None if higher is None else "higher" if higher else "lower"


@check("CT252", "a metric whose arguments leave it nothing to measure")
def metrics_measure_something(spec: Spec) -> Iterator[Finding]:
    for metric in spec.evaluation.metrics:
        found = _idle_argument(metric, spec.task)
        if found is not None:
            name, reason, advice = found
            yield Finding(f"evaluation.metrics.{metric.name}.{metric.kind}{name}", reason, advice)


def _idle_argument(metric: Metric, task: str) -> tuple[str, str, str] | None:
    """The argument (with its dot), why it is idle, and what to write; None where all is well."""
    given: Any = metric.arguments
    if metric.kind == "pinball" and given["quantile"] in (0, 1):
        return (
            ".quantile",
            "a quantile of 0 or 1 is met by any prediction that is far enough out",
            "write one in between, such as 0.9",
        )
    if metric.kind in ("precision_at_fpr", "recall_at_fpr") and given["fpr"] in (0, 1):
        what = "hangs on the one highest negative" if given["fpr"] == 0 else "flags every row"
        return (
            ".fpr",
            f"a false positive rate of {given['fpr']:g} {what}",
            "write a rate that you could live with, such as 1%",
        )
    if "threshold" in given and task == "multiclass" and given["threshold"] != 0.5:
        return ".threshold", "among several classes the highest score wins: a threshold does nothing", "remove it"
    if "threshold" in given and given["threshold"] in (0, 1):
        which = "every row is" if given["threshold"] == 0 else "only a score of exactly 1 is"
        return ".threshold", f"with a threshold of {given['threshold']:g} {which} positive", "write one in between"
    if "average" in given and task == "binary":
        return ".average", "with two classes there is nothing to average", "remove it"
    if metric.kind == "share":
        low, high = given.get("min"), given.get("max")
        if low is not None and high is not None and low > high:
            return ".min", f"the share is always 0: min {low:g} is above max {high:g}", "swap them"
    return None


@check("CT253", "edges of a slice that do not rise")
def edges_rise(spec: Spec) -> Iterator[Finding]:
    for part in spec.evaluation.slices:
        for index, (low, high) in enumerate(pairwise(part.edges)):
            if low >= high:
                ordered = ", ".join(f"{edge:g}" for edge in sorted(set(part.edges)))
                yield Finding(
                    f"evaluation.slices.{part.name}.edges.{index + 1}",
                    f"{high:g} comes after {low:g}: no value lies between",
                    f"write [{ordered}]",
                )
                break


@check("CT254", "the same metric, or the same slice, twice", Severity.WARNING)
def nothing_is_measured_twice(spec: Spec) -> Iterator[Finding]:
    metrics = [
        (item.name, (item.kind, tuple(sorted(item.arguments.items())), item.better)) for item in spec.evaluation.metrics
    ]
    slices = [(part.name, (part.column, part.edges)) for part in spec.evaluation.slices]
    for place, what, items in (("metrics", "metric", metrics), ("slices", "slice", slices)):
        for name, first in _repeats(items):
            yield Finding(
                f"evaluation.{place}.{name}",
                f"`{name}` is the same {what} as `{first}`",
                "keep one of them",
                (f"evaluation.{place}.{first}", "the first"),
            )


def _repeats(items: Iterable[tuple[str, object]]) -> Iterator[tuple[str, str]]:
    first: dict[object, str] = {}
    for name, item in items:
        if item in first:
            yield name, first[item]
        else:
            first[item] = name


@check("CT255", "a unit that is a single row", Severity.WARNING)
def units_hold_several_rows(spec: Spec) -> Iterator[Finding]:
    main = next((source for source in spec.sources if source.role == "rows"), None)
    if main is not None and main.key and spec.evaluation.unit and set(main.key) <= set(spec.evaluation.unit):
        yield Finding(
            "evaluation.unit",
            f"[{', '.join(spec.evaluation.unit)}] names a single row, and tests resample rows anyway",
            "name what repeats, such as a customer, or remove `unit`",
            (f"sources.{main.name}.key", "the key of a row"),
        )


@check("CT256", "a count that the holdout need not reach", Severity.WARNING)
def counts_fit_into_the_holdout(spec: Spec) -> Iterator[Finding]:
    holdout = spec.retraining.holdout
    # Where `min_rows` is not stated, it says nothing about what the holdout holds.
    if holdout.min_rows > 1:
        related = ("retraining.holdout.min_rows", "the least that the holdout holds")
        for part in spec.evaluation.slices:
            if part.min_rows > holdout.min_rows:
                message = f"a slice of {part.min_rows} rows does not fit into the least holdout, of {holdout.min_rows}"
                advice = "ask for fewer rows in a slice, or for more in the holdout"
                yield Finding(f"evaluation.slices.{part.name}.min_rows", message, advice, related)
        for metric in spec.evaluation.metrics:
            k = metric.arguments.get("k")
            if spec.task == "binary" and isinstance(k, int) and k >= holdout.min_rows:
                message = f"the {k} highest scores of {holdout.min_rows} rows are all rows"
                yield Finding(
                    f"evaluation.metrics.{metric.name}.{metric.kind}.k", message, "write a smaller `k`", related
                )
        if holdout.min_positives > holdout.min_rows:
            message = (
                f"{holdout.min_positives} positive rows are more than {holdout.min_rows} rows, which then ask nothing"
            )
            advice = "is it the other way round? `min_rows` counts the positives too"
            yield Finding("retraining.holdout.min_positives", message, advice, related)
    for part in spec.evaluation.slices:
        if 0 < holdout.min_positives < part.min_positives:
            path = f"evaluation.slices.{part.name}.min_positives"
            least = f"the least holdout, of {holdout.min_positives}"
            message = f"a slice of {part.min_positives} positives does not fit into {least}"
            advice = "ask for fewer positives in a slice, or for more in the holdout"
            yield Finding(path, message, advice, ("retraining.holdout.min_positives", "the least that it holds"))


@check_tree("CT425", "a direction that the metric has anyway", Severity.WARNING)
def directions_are_not_repeated(tree: Tree) -> Iterator[Finding]:
    for name, metric in tree["evaluation"]["metrics"].items():
        for kind in metric.keys() - {"better"}:
            if "better" in metric and metric["better"] == _own_direction(kind):
                message = f"{metric['better']} is always better for `{kind}`: this looks like a choice and is none"
                yield Finding(f"evaluation.metrics.{name}.better", message, "remove it")
