"""Data checks: whether each can read what it checks, and can go both ways."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ctc.diagnostics import Severity
from ctc.language.checks import Finding, check, noise, suggest
from ctc.language.checks.time import NOTHING, main_source
from ctc.language.spec import NO_TIME, Check, DriftTrigger, Filter, Source, Spec

Columns = Iterator[tuple[str, str]]


def _path(item: Check) -> str:
    return f"validation.checks.{item.name}"


def _reads(item: Check) -> Columns:
    """The columns that a check names, each with its path below the check."""
    given = item.arguments
    if "column" in given:
        yield f"{item.kind}.column", given["column"]
    columns: Iterable[str] = given.get("columns", ())
    for index, column in enumerate(columns):
        yield f"{item.kind}.columns.{column if item.kind == 'schema' else index}", column
    if item.kind == "sql":
        # Here, as below: few specs have an expression, and compiling its patterns takes longer than most checks.
        from ctc.language.checks.expressions import names_in

        yield from (("sql.expression", name) for name in sorted(names_in(given["expression"])))


def _named(item: Check) -> Iterator[tuple[str, str]]:
    """The sources that a check names, each with its path."""
    if item.source is not None:
        yield f"{_path(item)}.source", item.source
    if item.over is not None:
        yield f"{_path(item)}.over.source", item.over.source
    if item.kind == "skew":
        yield f"{_path(item)}.skew.source", item.arguments["source"]


def _source(spec: Spec, name: str) -> Source | None:
    return next((source for source in spec.sources if source.name == name), None)


@check("CT209", "a data check on a source that there is not")
def checks_name_sources(spec: Spec) -> Iterator[Finding]:
    names = [source.name for source in spec.sources]
    for item in spec.checks:
        for path, name in _named(item):
            if name not in names:
                yield Finding(path, f"there is no source `{name}`", suggest(name, names))


@check("CT210", "a data check that reads a column that the joined rows do not have")
def checks_read_columns_that_are_kept(spec: Spec) -> Iterator[Finding]:
    for item in spec.checks:
        if item.source is not None or item.over is not None:
            continue
        for place, column in _reads(item):
            if column in spec.columns.drop:
                yield Finding(
                    f"{_path(item)}.{place}",
                    f"`{column}` is dropped before the checks run",
                    "name a `source` to check it there, or keep the column",
                    (f"columns.drop.{spec.columns.drop.index(column)}", "dropped here"),
                )
            elif column in spec.columns.audit:
                yield Finding(
                    f"{_path(item)}.{place}",
                    f"`{column}` is an audit column: it is in the holdout only, not in the training rows",
                    "name the check's `source`, whose rows all have it",
                    (f"columns.audit.{spec.columns.audit.index(column)}", "hidden from training here"),
                )


@check("CT211", "a check for missing labels, of which none are left", Severity.WARNING)
def missing_labels_are_settled_before(spec: Spec) -> Iterator[Finding]:
    if spec.label is None:
        return
    for item in spec.checks:
        on_rows = item.source is None and item.over is None
        if item.kind == "null_ratio" and on_rows and item.arguments["column"] == spec.label.column:
            yield Finding(
                f"{_path(item)}.null_ratio.column",
                f"this check cannot fail: `absent: {spec.label.absent}` leaves no row without a label",
                f"check `source: {spec.label.source}` instead",
                ("label.absent", "settled here"),
            )


def _ranged(spec: Spec) -> Iterator[tuple[str, Check | Filter]]:
    """Every check, and every filter of a source, with its path."""
    for item in spec.checks:
        yield f"{_path(item)}.{item.kind}", item
    for source in spec.sources:
        for kept in source.keep:
            yield f"sources.{source.name}.keep.{kept.name}.{kept.kind}", kept


@check("CT212", "a data check or a filter whose `min` is above its `max`")
def check_ranges_are_not_empty(spec: Spec) -> Iterator[Finding]:
    for path, item in _ranged(spec):
        low, high = item.arguments.get("min"), item.arguments.get("max")
        if low is not None and high is not None and low > high:
            nothing = "no data passes" if isinstance(item, Check) else "no row is kept"
            message = f"{nothing}: min {low:.10g} is above max {high:.10g}"
            yield Finding(f"{path}.min", message, "exchange the two", (f"{path}.max", "max"))


_ROW_LEVEL = ("null_ratio", "range", "allowed_values", "pattern", "sql")
"""The kinds that judge each row for itself, and so know which rows are bad."""


@check("CT229", "`on_fail: quarantine` where there are no bad rows to set aside")
def quarantine_has_rows_to_set_aside(spec: Spec) -> Iterator[Finding]:
    for item in spec.checks:
        if item.on_fail != "quarantine":
            continue
        path = f"{_path(item)}.on_fail"
        if item.kind not in _ROW_LEVEL:
            message = f"`{item.kind}` judges a whole table, so no row of it is the bad one"
            advice = f"write `stop` or `warn`; rows can be set aside by {', '.join(_ROW_LEVEL)}"
            yield Finding(path, message, advice, (f"{_path(item)}.{item.kind}", "the check"))
        elif item.source is not None or item.over is not None:
            key = "over" if item.over is not None else "source"
            message = f"rows are set aside from the joined rows, and this check looks at others, with `{key}`"
            advice = f"leave `{key}` out, or write `stop` or `warn`"
            yield Finding(path, message, advice, (f"{_path(item)}.{key}", "looks there"))


@check("CT231", "`over` where there are no latest rows")
def live_rows_are_live(spec: Spec) -> Iterator[Finding]:
    for item in spec.checks:
        if item.over is None:
            continue
        path, source = f"{_path(item)}.over", _source(spec, item.over.source)
        if item.source is not None:
            message = f"`{item.name}` checks the rows of `source`, or the latest ones of `over`, not both"
            yield Finding(path, message, "remove one of the two", (f"{_path(item)}.source", "the other"))
        elif item.over.window == NOTHING:
            yield Finding(f"{path}.window", "a window of no length holds no row", "write one such as 1d")
        elif source is not None and source.role == "holdout":
            message = f"`{source.name}` never changes, so it has no latest rows"
            advice = "write `source:` instead of `over:`"
            yield Finding(f"{path}.source", message, advice, (f"sources.{source.name}.role", "the role"))
        elif source is not None and not _has_time(source):
            message = f"`{source.name}` has no time, so no row of it is known to be of the latest"
            yield Finding(f"{path}.source", message, "write `source:` instead of `over:`, or give it `event_time`")


def _has_time(source: Source) -> bool:
    named = source.columns is not None or source.role == "predictions"
    return named or source.known_at is not None or source.event_time not in (None, NO_TIME)


@check("CT232", "a check of labels where there are none, or none of its kind")
def checked_labels_are_there(spec: Spec) -> Iterator[Finding]:
    for item in spec.checks:
        if item.kind not in ("label_rate", "leakage"):
            continue
        path, read = f"{_path(item)}.{item.kind}", item.over.source if item.over is not None else item.source
        label = spec.label
        if label is None:
            message = f"`{item.kind}` reads labels, and the spec says `label: none`"
            yield Finding(path, message, "remove the check, or state the label", ("label", "no label"))
        elif spec.task != "binary" and (item.kind == "label_rate" or spec.task in ("regression", "forecast")):
            what = "counts positive labels" if item.kind == "label_rate" else "looks for what tells classes apart"
            advice = f"check the label's values: `range: {{column: {label.column}, min: ..., max: ...}}`"
            message = f"`{item.kind}` {what}, and a {spec.task} task has none"
            yield Finding(path, message, advice, ("task", "the task"))
        elif read is not None and _source(spec, read) is not None and read != label.source:
            where = f"{_path(item)}.over.source" if item.over is not None else f"{_path(item)}.source"
            message = f"the rows of `{read}` have no label: it comes from `{label.source}`"
            yield Finding(where, message, "leave it out: the joined rows have it", ("label.source", "the label"))
        elif label.column in item.arguments.get("columns", ()):
            index = item.arguments["columns"].index(label.column)
            message = f"`{label.column}` is the label: it tells itself"
            yield Finding(f"{path}.columns.{index}", message, "name features only", ("label.column", "the label"))


@check("CT233", "a pattern that RE2 does not read")
def patterns_can_be_read(spec: Spec) -> Iterator[Finding]:
    for path, item in _ranged(spec):
        if item.kind == "pattern":
            from ctc.language.checks.expressions import pattern_problem

            problem = pattern_problem(item.arguments["regex"])
            if problem is not None:
                yield Finding(f"{path}.regex", f"this pattern does not work: {problem[0]}", problem[1])


@check("CT234", "an SQL expression that is no condition on a row")
def expressions_are_conditions(spec: Spec) -> Iterator[Finding]:
    for item in spec.checks:
        if item.kind == "sql":
            from ctc.language.checks.expressions import sql_problem

            problem = sql_problem(item.arguments["expression"])
            if problem is not None:
                message = f"this expression does not work: {problem[0]}"
                yield Finding(f"{_path(item)}.sql.expression", message, problem[1])


@check("CT235", "the same data check twice", Severity.WARNING)
def nothing_is_checked_twice(spec: Spec) -> Iterator[Finding]:
    seen: dict[str, Check] = {}
    for item in spec.checks:
        arguments = sorted((key, repr(value)) for key, value in item.arguments.items())
        first = seen.setdefault(repr((item.kind, arguments, item.source, item.over, item.on_fail)), item)
        if first is not item:
            message = f"`{item.name}` checks the same as `{first.name}`"
            yield Finding(_path(item), message, "keep one of the two", (_path(first), "the first one"))


@check("CT236", "a skew check without two sides to compare")
def skew_has_two_sides(spec: Spec) -> Iterator[Finding]:
    for item in spec.checks:
        source = _source(spec, item.arguments["source"]) if item.kind == "skew" else None
        if source is None:
            continue
        path = f"{_path(item)}.skew"
        if source.role != "predictions":
            message = f"`{source.name}` has `role: {source.role}`: nothing in it was computed for serving"
            served = [other.name for other in spec.sources if other.role == "predictions"]
            advice = f"name `{served[0]}`" if served else "name one with `role: predictions`, such as captured requests"
            yield Finding(f"{path}.source", message, advice, (f"sources.{source.name}.role", "the role"))
            continue
        for index, column in enumerate(item.arguments["columns"]):
            if spec.label is not None and column == spec.label.column:
                message = f"`{column}` is the label, which no served row has"
                yield Finding(f"{path}.columns.{index}", message, "name features", ("label.column", "the label"))
            elif source.columns is not None and column in (source.columns.score, source.columns.model_version):
                message = f"`{column}` is what the model answered, which no training row has"
                yield Finding(f"{path}.columns.{index}", message, "name features; `drift` triggers watch scores")


@check("CT237", "a drift check that stops what a drift trigger starts", Severity.WARNING)
def drift_that_fires_may_train(spec: Spec) -> Iterator[Finding]:
    for item in spec.checks:
        if item.kind != "drift" or item.on_fail != "stop":
            continue
        given = item.arguments
        for trigger in spec.triggers:
            drift = trigger.spec
            if not isinstance(drift, DriftTrigger) or not trigger.enabled or trigger.then != "retrain":
                continue
            same = (drift.method, drift.baseline) == (given["method"], given.get("baseline", "champion"))
            both = ", ".join(f"`{column}`" for column in drift.columns if column in given["columns"])
            # A check with a wider line lets the run through that the trigger asks for.
            wider = drift.max is not None and given["max"] > drift.max
            if same and both and not wider and _table(spec, item) == _watched(spec, drift):
                line = "" if drift.max is None else f" beyond {drift.max:g}"
                yield Finding(
                    f"{_path(item)}.drift",
                    f"`{trigger.name}` retrains when {both} drifts{line}, and this check stops every run where it is "
                    f"beyond {given['max']:g}: the model that would adapt is never trained",
                    "write `on_fail: warn`, or a `max` far above the trigger's, which only broken data exceeds",
                    (f"triggers.{trigger.name}.drift", "retrains on the same drift"),
                )
                break


def _table(spec: Spec, item: Check) -> str | None:
    """The source whose rows a check judges; the joined rows are the main source's."""
    main = main_source(spec)
    own = item.over.source if item.over is not None else item.source
    return own if own is not None or main is None else main.name


def _watched(spec: Spec, drift: DriftTrigger) -> str | None:
    main = main_source(spec)
    return drift.source if drift.source is not None or main is None else main.name


@check("CT238", "a data check that cannot fail, or cannot pass", Severity.WARNING)
def checks_can_go_both_ways(spec: Spec) -> Iterator[Finding]:
    for item in spec.checks:
        # An empty range is CT212's.
        found = _one_way(spec, item)
        if found is not None:
            key, message, advice = found
            yield Finding(f"{_path(item)}.{item.kind}{key}", message, advice)


def _one_way(spec: Spec, item: Check) -> tuple[str, str, str] | None:
    """The argument (with its dot), why the answer is always the same, and what to write; None where it is not."""
    given = item.arguments
    never, always = "this check cannot fail", "this check cannot pass"
    if given.get("tolerate", 0) >= 1:
        return ".tolerate", f"{never}: it tolerates every row", "write a small share, such as 0.1%"
    if item.kind == "null_ratio" and given["max"] >= 1:
        return ".max", f"{never}: all values may be missing", "write the share that is usual, such as 1%"
    if item.kind == "pattern":
        from ctc.language.checks.expressions import ANYTHING

        if ANYTHING.fullmatch(given["regex"]):
            return ".regex", f"{never}: every text matches", "write what the texts look like"
    if item.kind == "freshness" and given["max_age"] <= 0:
        return ".max_age", f"{always}: no row is of this very instant", "write the age that is usual, such as 6h"
    if item.kind == "row_count" and not given.get("min") and given.get("max") is None and given.get("usual") is None:
        return ".min", f"{never}: no table has fewer than 0 rows", "write how many rows a run needs"
    if item.kind == "label_rate" and not given.get("min") and given.get("max", 1) >= 1:
        key = ".min" if "min" in given else ".max"
        return key, f"{never}: every share lies between 0% and 100%", "write what is usual, such as min 0.1%, max 5%"
    if item.kind == "leakage":
        return _leakage(given["max_auc"], never, always)
    if item.kind in ("drift", "skew"):
        return _distance(given["method"], given["max"], never, always)
    return _refused(spec, item, always) if item.kind == "schema" and given.get("extra") == "refuse" else None


def _leakage(line: float, never: str, always: str) -> tuple[str, str, str] | None:
    if line >= 1:
        return ".max_auc", f"{never}: no AUC is above 1", "write such as 0.98"
    if line <= 0.5:
        return ".max_auc", f"{always}: a feature that is mere noise has an AUC of 0.5", "write such as 0.98"
    return None


def _distance(method: str, line: float, never: str, always: str) -> tuple[str, str, str] | None:
    if line == 0:
        return ".max", f"{always}: two samples of one distribution differ by chance", "write such as 0.1"
    if line >= 1 and method in noise.AT_MOST_ONE:
        return ".max", f"{never}: `{method}` is never above 1", "write such as 0.1"
    return None


def _refused(spec: Spec, item: Check, always: str) -> tuple[str, str, str] | None:
    """What a closed list of columns leaves out that the rows must have."""
    main = main_source(spec)
    if main is None or item.over is not None or item.source not in (None, main.name):
        return None
    times = [] if main.event_time in (None, NO_TIME) else [str(main.event_time)]
    label = [spec.label.column] if spec.label is not None and spec.label.source == main.name else []
    missing = [column for column in (*main.key, *times, *label) if column not in item.arguments["columns"]]
    if not missing:
        return None
    listed = ", ".join(f"`{column}`" for column in missing)
    return (
        ".extra",
        f"{always}: it refuses {listed}, which the rows must have",
        "list them too, or write `extra: allow`",
    )
