"""Sources, label, columns and data checks."""

from __future__ import annotations

from collections.abc import Iterator

from ctc.diagnostics import Severity
from ctc.language.checks import Finding, check, check_on_target, suggest
from ctc.language.spec import Source, Spec


def _main(spec: Spec) -> Source | None:
    """The main source; None where CT201 speaks."""
    rows = [source for source in spec.sources if source.role == "rows"]
    return rows[0] if len(rows) == 1 else None


def _label_source(spec: Spec) -> Source | None:
    label = spec.label
    return None if label is None else next((source for source in spec.sources if source.name == label.source), None)


@check("CT201", "not exactly one source with `role: rows`")
def one_main_source(spec: Spec) -> Iterator[Finding]:
    rows = [source.name for source in spec.sources if source.role == "rows"]
    if not rows:
        yield Finding("sources", "no source has `role: rows`", "give it to the source whose rows are learnt from")
    for extra in rows[1:]:
        yield Finding(
            f"sources.{extra}.role",
            f"`{extra}` is a second source with `role: rows`",
            "join it to the first with `role: features` or `role: labels`",
            (f"sources.{rows[0]}.role", "the first one"),
        )


@check("CT202", "a main source without `event_time` or `key`")
def main_source_is_complete(spec: Spec) -> Iterator[Finding]:
    main = _main(spec)
    if main is None:
        return
    for field, reason in (("event_time", "windows are cut by it"), ("key", "predictions are matched by it")):
        if not getattr(main, field):
            yield Finding(f"sources.{main.name}", f"`{main.name}` needs `{field}`: {reason}", f"add `{field}:`")


@check("CT203", "a source with `join` where none belongs, or without one where it does")
def joins_are_where_they_belong(spec: Spec) -> Iterator[Finding]:
    for source in spec.sources:
        if source.role == "rows" and source.join is not None and _main(spec) is source:
            yield Finding(
                f"sources.{source.name}.join", f"`{source.name}` is the main source: others join it", "remove `join`"
            )
        elif source.role != "rows" and source.join is None:
            message = f"`{source.name}` does not say how its rows meet the main source's"
            yield Finding(f"sources.{source.name}", message, "add `join: {to: ..., key: [...]}`")


@check("CT204", "a join to something that is not the main source")
def joins_name_the_main_source(spec: Spec) -> Iterator[Finding]:
    main = _main(spec)
    for source in spec.sources:
        if source.join is None or main is None or source.join.to == main.name or source.role == "rows":
            continue
        known = source.join.to in {item.name for item in spec.sources}
        what = "is not the main source" if known else "is no source"
        yield Finding(
            f"sources.{source.name}.join.to",
            f"`{source.join.to}` {what}",
            f"join to `{main.name}`",
            (f"sources.{main.name}", "the main source"),
        )


@check("CT205", "features or labels without `known_at`")
def late_data_says_when_it_was_known(spec: Spec) -> Iterator[Finding]:
    for source in spec.sources:
        if source.role != "rows" and source.known_at is None:
            yield Finding(
                f"sources.{source.name}",
                f"`{source.name}` does not say when its rows became known, so a model could learn from the future",
                "add `known_at:` with the column that holds that time",
            )


@check("CT206", "a label in a source that cannot carry it")
def label_has_its_source(spec: Spec) -> Iterator[Finding]:
    source = _label_source(spec)
    if spec.label is None:
        return
    if source is None:
        names = [item.name for item in spec.sources if item.role != "features"]
        yield Finding("label.source", f"there is no source `{spec.label.source}`", suggest(spec.label.source, names))
    elif source.role == "features":
        yield Finding(
            "label.source",
            f"`{source.name}` has `role: features`; a label comes from the main source or one with `role: labels`",
            related=(f"sources.{source.name}.role", "the role"),
        )


@check("CT207", "a `labels` source that the label does not use", Severity.WARNING)
def every_labels_source_is_used(spec: Spec) -> Iterator[Finding]:
    for source in spec.sources:
        if spec.label is None or _label_source(spec) is None:
            return
        if source.role == "labels" and source.name != spec.label.source:
            yield Finding(
                f"sources.{source.name}",
                f"nothing uses `{source.name}`: the label comes from `{spec.label.source}`",
                "remove it",
                ("label.source", "the label's source"),
            )


@check("CT208", "a hidden column that is needed, or hidden twice")
def hidden_columns_are_not_needed(spec: Spec) -> Iterator[Finding]:
    main = _main(spec)
    needed = {} if spec.label is None else {spec.label.column: "the label"}
    if main is not None:
        needed.update(dict.fromkeys(main.key, "part of the key"))
        if main.event_time is not None:
            needed[main.event_time] = "the event time"
    for place in ("drop", "audit"):
        for index, column in enumerate(getattr(spec.columns, place)):
            if column in needed:
                message = f"`{column}` is {needed[column]} and cannot be hidden"
                yield Finding(f"columns.{place}.{index}", message, "remove it; train and predict get what they need")
            elif place == "audit" and column in spec.columns.drop:
                other = f"columns.drop.{spec.columns.drop.index(column)}"
                message = f"`{column}` is dropped and audited"
                yield Finding(f"columns.audit.{index}", message, "keep one of the two", (other, "dropped here"))


@check("CT209", "a data check on a source that there is not")
def checks_name_sources(spec: Spec) -> Iterator[Finding]:
    names = [source.name for source in spec.sources]
    for item in spec.checks:
        if item.source is not None and item.source not in names:
            path = f"validation.checks.{item.name}.source"
            yield Finding(path, f"there is no source `{item.source}`", suggest(item.source, names))


@check("CT210", "a data check that reads a dropped column")
def checks_read_columns_that_are_kept(spec: Spec) -> Iterator[Finding]:
    for item in spec.checks:
        if item.source is not None:
            continue
        place = "column" if "column" in item.arguments else "columns"
        read = [item.arguments["column"]] if place == "column" else item.arguments.get("columns", [])
        for column in read:
            if column in spec.columns.drop:
                yield Finding(
                    f"validation.checks.{item.name}.{item.kind}.{place}",
                    f"`{column}` is dropped before the checks run",
                    "name a `source` to check it there, or keep the column",
                    (f"columns.drop.{spec.columns.drop.index(column)}", "dropped here"),
                )


@check("CT211", "a check for missing labels, of which none are left", Severity.WARNING)
def missing_labels_are_settled_before(spec: Spec) -> Iterator[Finding]:
    if spec.label is None:
        return
    for item in spec.checks:
        if item.kind == "null_ratio" and item.source is None and item.arguments["column"] == spec.label.column:
            yield Finding(
                f"validation.checks.{item.name}.null_ratio.column",
                f"this check cannot fail: `absent: {spec.label.absent}` leaves no row without a label",
                f"check `source: {spec.label.source}` instead",
                ("label.absent", "settled here"),
            )


@check("CT212", "a data check whose `min` is above its `max`")
def check_ranges_are_not_empty(spec: Spec) -> Iterator[Finding]:
    for item in spec.checks:
        low, high = item.arguments.get("min"), item.arguments.get("max")
        if low is not None and high is not None and low > high:
            path = f"validation.checks.{item.name}.{item.kind}"
            yield Finding(
                f"{path}.min", f"no data passes: min {low} is above max {high}", related=(f"{path}.max", "max")
            )


@check("CT213", "`absent: negative` where labels are numbers")
def negatives_need_classes(spec: Spec) -> Iterator[Finding]:
    if spec.task == "regression" and spec.label is not None and spec.label.absent == "negative":
        message = "a regression has no negative label"
        yield Finding("label.absent", message, "write `drop` or `error`", ("task", "the task"))


@check("CT214", "a time zone that there is not")
def source_zones_exist(spec: Spec) -> Iterator[Finding]:
    for source in spec.sources:
        if source.timezone is not None and not is_zone(source.timezone):
            message = f"there is no time zone `{source.timezone}`"
            yield Finding(f"sources.{source.name}.timezone", message, "write an IANA name such as Europe/Oslo or UTC")


@check_on_target("CT303", "a relative path on a target that cannot see this machine", Severity.WARNING)
def paths_are_within_reach(spec: Spec, target: str) -> Iterator[Finding]:
    near = [source for source in spec.sources if source.path is not None and "://" not in source.path]
    if near:
        connector = "parquet" if near[0].parquet is not None else "csv"
        names = ", ".join(source.name for source in near)
        yield Finding(
            f"sources.{near[0].name}.{connector}.path",
            f"{target} cannot read this machine's files, as {names} would need; `ctc run` can",
            f"write a URI, or one for this target by way of `targets.{target}.variables`",
        )


def is_zone(name: str) -> bool:
    """Whether the IANA database has this zone."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
