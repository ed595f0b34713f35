"""Sources, label and hidden columns. What rows are checked for: `data_checks.py`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ctc.diagnostics import Severity
from ctc.language.checks import Finding, check, check_on_target, suggest
from ctc.language.spec import NO_TIME, Source, Spec

_JOINED = ("features", "labels")
"""The roles whose rows are looked up for each row of the main source."""

_STORES: dict[str, tuple[str, str]] = {
    "sagemaker": ("s3|s3a", "S3"),
    "vertex": ("gs|bq", "Cloud Storage"),
    "azureml": ("azureml|abfss?|wasbs?|https", "Azure storage"),
}
"""The schemes that the identity of a cloud's jobs can be given access to, and what their store is called."""

_CLOUDS = re.compile(r"(s3|s3a|gs|bq|azureml|abfss?|wasbs?)://")


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
    # What `event_time: none` rules out is CT271's.
    if not main.event_time:
        message = f"`{main.name}` needs `event_time`: windows are cut by it"
        yield Finding(f"sources.{main.name}", message, "add `event_time:`, or `event_time: none` for data without time")
    if not main.key:
        message = f"`{main.name}` needs `key`: predictions are matched by it"
        yield Finding(f"sources.{main.name}", message, "add `key: [...]` with the columns that tell rows apart")


@check("CT203", "a source with `join` where none belongs, or without one where it does")
def joins_are_where_they_belong(spec: Spec) -> Iterator[Finding]:
    for source in spec.sources:
        path = f"sources.{source.name}"
        if source.join is None and source.role in _JOINED:
            message = f"`{source.name}` does not say how its rows meet the main source's"
            yield Finding(path, message, "add `join: {to: ..., key: [...]}`")
        elif source.join is None or source.role in _JOINED or (source.role == "rows" and _main(spec) is None):
            continue
        elif source.role == "rows":
            yield Finding(f"{path}.join", f"`{source.name}` is the main source: others join it", "remove `join`")
        elif source.role == "predictions":
            message = f"what was served meets the main source's rows by `columns.key`, so `{source.name}` joins nothing"
            yield Finding(f"{path}.join", message, "remove `join`", (f"{path}.role", "the role"))
        else:
            message = f"`{source.name}` is a table of its own, with the columns of the main source: it joins nothing"
            yield Finding(f"{path}.join", message, "remove `join`", (f"{path}.role", "the role"))


@check("CT204", "a join to something that is not the main source")
def joins_name_the_main_source(spec: Spec) -> Iterator[Finding]:
    main = _main(spec)
    for source in spec.sources:
        # A join of another role is CT203's.
        if source.join is None or main is None or source.join.to == main.name or source.role not in _JOINED:
            continue
        known = source.join.to in {item.name for item in spec.sources}
        what = "is not the main source" if known else "is no source"
        yield Finding(
            f"sources.{source.name}.join.to",
            f"`{source.join.to}` {what}",
            f"join to `{main.name}`",
            (f"sources.{main.name}", "the main source"),
        )


@check("CT205", "features or labels that do not say when they became known")
def late_data_says_when_it_was_known(spec: Spec) -> Iterator[Finding]:
    main = _main(spec)
    if main is not None and main.event_time == NO_TIME:
        # Rows without a time have no future to learn from; the step asks that each key be there once.
        return
    for source in spec.sources:
        if source.role in _JOINED and source.known_at is None and source.event_time in (None, NO_TIME):
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
        names = [item.name for item in spec.sources if item.role in ("rows", "labels")]
        yield Finding("label.source", f"there is no source `{spec.label.source}`", suggest(spec.label.source, names))
    elif source.role not in ("rows", "labels"):
        yield Finding(
            "label.source",
            f"`{source.name}` has `role: {source.role}`; a label comes from the main source or one with `role: labels`",
            related=(f"sources.{source.name}.role", "the role"),
        )


@check("CT207", "a source that nothing uses", Severity.WARNING)
def every_source_is_used(spec: Spec) -> Iterator[Finding]:
    judging = {spec.retraining.holdout.source, *(gate.source for gate in spec.promotion.gates)}
    checked = {item.source for item in spec.checks}
    for source in spec.sources:
        path = f"sources.{source.name}"
        if source.role == "holdout" and source.name not in judging | checked:
            message = f"nothing is judged on `{source.name}`"
            advice = f"name it in `retraining.holdout: {{source: {source.name}}}` or a `forgetting` gate, or remove it"
            yield Finding(path, message, advice)
        # A label source that there is not is CT206's.
        if source.role != "labels" or (spec.label is not None and _label_source(spec) is None):
            continue
        if spec.label is None:
            message = f"nothing uses the labels of `{source.name}`: the spec says `label: none`"
            yield Finding(path, message, "state the label, or remove the source", ("label", "no label"))
        elif source.name != spec.label.source:
            message = f"nothing uses `{source.name}`: the label comes from `{spec.label.source}`"
            yield Finding(path, message, "remove it", ("label.source", "the label's source"))


@check("CT208", "a hidden column that is needed, or hidden twice")
def hidden_columns_are_not_needed(spec: Spec) -> Iterator[Finding]:
    main = _main(spec)
    needed = {} if spec.label is None else {spec.label.column: "the label"}
    if main is not None:
        needed.update(dict.fromkeys(main.key, "part of the key"))
        if main.event_time not in (None, NO_TIME):
            needed[str(main.event_time)] = "the event time"
    for place in ("drop", "audit"):
        for index, column in enumerate(getattr(spec.columns, place)):
            if column in needed:
                message = f"`{column}` is {needed[column]} and cannot be hidden"
                yield Finding(f"columns.{place}.{index}", message, "remove it; train and predict get what they need")
            elif place == "audit" and column in spec.columns.drop:
                other = f"columns.drop.{spec.columns.drop.index(column)}"
                message = f"`{column}` is dropped and audited"
                yield Finding(f"columns.audit.{index}", message, "keep one of the two", (other, "dropped here"))


@check("CT213", "`absent: negative` where labels are numbers")
def negatives_need_classes(spec: Spec) -> Iterator[Finding]:
    # Of a multiclass task CT279 speaks.
    if spec.task in ("regression", "forecast") and spec.label is not None and spec.label.absent == "negative":
        message = f"a {spec.task} has no negative label"
        yield Finding("label.absent", message, "write `drop` or `error`", ("task", "the task"))


@check("CT214", "a time zone that there is not")
def source_zones_exist(spec: Spec) -> Iterator[Finding]:
    for source in spec.sources:
        if source.timezone is not None and not is_zone(source.timezone):
            message = f"there is no time zone `{source.timezone}`"
            yield Finding(f"sources.{source.name}.timezone", message, "write an IANA name such as Europe/Oslo or UTC")


@check("CT215", "rows captured by a server that there is not")
def captured_rows_have_their_server(spec: Spec) -> Iterator[Finding]:
    servers = [entry.name for entry in spec.serving if entry.online is not None]
    for source in spec.sources:
        # A server that captures 0% is CT297's.
        if source.captured is None or source.captured.by in servers:
            continue
        path, by = f"sources.{source.name}.captured.by", source.captured.by
        if by in [entry.name for entry in spec.serving]:
            message = f"`{by}` is a batch job: it has no requests to capture"
            advice = "name its output instead: `parquet: {path: ...}`"
            yield Finding(path, message, advice, (f"serving.{by}.batch", "the job"))
        else:
            message = f"`serving` has no server `{by}`, so `{source.name}` stays empty"
            advice = suggest(by, servers) if servers else f"add `serving: {{{by}: {{online: ...}}}}`"
            yield Finding(path, message, advice)


@check("CT216", "served rows whose columns are not named, or such names where nothing is served")
def served_rows_are_described(spec: Spec) -> Iterator[Finding]:
    for source in spec.sources:
        path = f"sources.{source.name}"
        role = (f"{path}.role", "the role")
        if source.captured is not None and source.role != "predictions":
            message = f"what a server captures is what it served, so `{source.name}` cannot have `role: {source.role}`"
            yield Finding(f"{path}.role", message, "write `role: predictions`", (f"{path}.captured", "captured"))
        elif source.role == "predictions" and source.columns is None:
            message = f"`{source.name}` does not say which of its columns hold the key, the score and the model version"
            yield Finding(path, message, "add `columns: {key: ..., score: ..., model_version: ..., event_time: ...}`")
        elif source.role != "predictions" and source.columns is not None:
            advice = "remove it; the types of CSV columns stand in `csv.columns`" if source.csv else "remove it"
            message = f"`columns` names the columns of served rows, and `{source.name}` has `role: {source.role}`"
            yield Finding(f"{path}.columns", message, advice, role)
        elif source.columns is not None:
            yield from _one_meaning_each(path, source)


def _one_meaning_each(path: str, source: Source) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for key in ("key", "score", "model_version", "event_time"):
        column = getattr(source.columns, key)
        if column in seen:
            message = f"`{column}` cannot be the {seen[column]} and the {key} of what was served"
            yield Finding(
                f"{path}.columns.{key}", message, "name two columns", (f"{path}.columns.{seen[column]}", "the other")
            )
        seen.setdefault(column, key)


@check("CT217", "a source that reads the files of another one")
def files_are_read_once(spec: Spec) -> Iterator[Finding]:
    main = _main(spec)
    if main is None:
        return
    others = [main]
    for source in spec.sources:
        same = next((other for other in others if _files(source) is not None and _files(source) == _files(other)), None)
        path = f"sources.{source.name}"
        if source.role == "holdout" and same is main and main.keep in ((), source.keep):
            yield Finding(
                path,
                f"`{source.name}` judges models on the files that `{main.name}` lets them learn from",
                f"keep its rows out of `{main.name}` with `keep`, or write `retraining.holdout` by `time` or `hash`",
                (f"sources.{main.name}", "the same files"),
            )
        elif source.role == "features" and same is not None:
            yield Finding(
                path,
                f"`{source.name}` has the files of `{same.name}`: its columns are on the rows already, and a column of "
                "two sources stops every run",
                "remove it",
                (f"sources.{same.name}", "the same files"),
            )
        elif source.role == "features":
            others.append(source)


def _files(source: Source) -> str | None:
    """A path without the ways of writing the same folder differently."""
    if source.path is None:
        return None
    return re.sub(r"/(\*\*/)?\*\.(parquet|csv)$", "", source.path).rstrip("/").removeprefix("./")


@check("CT218", "rows kept by the value of their label", Severity.WARNING)
def rows_are_kept_by_what_is_known(spec: Spec) -> Iterator[Finding]:
    source, label = _label_source(spec), spec.label
    if source is None or label is None:
        return
    for item in source.keep:
        given = item.arguments
        place = "columns" if "columns" in given else "column"
        columns = given["columns"] if place == "columns" else (given["column"],)
        if label.column not in columns or (source.role == "labels" and label.absent == "negative"):
            continue
        if source.role == "rows":
            message = "a row that is to be scored has none yet, so models are judged on other rows than they will meet"
            advice = "filter by what is known when a row happens; `label.absent` says what becomes of rows without one"
        else:
            message = f"a row whose label has another value counts as one without (`absent: {label.absent}`)"
            advice = "remove the filter, or filter by another column, such as the state of the label's review"
        path = f"sources.{source.name}.keep.{item.name}.{item.kind}.{place}"
        yield Finding(path, f"`{label.column}` is the label: {message}", advice, ("label.column", "the label"))


@check("CT219", "rows that are rewritten in place, where their past is needed", Severity.WARNING)
def the_past_can_be_seen_again(spec: Spec) -> Iterator[Finding]:
    for source in spec.sources:
        if source.replayable or source.role not in _REWRITTEN:
            continue
        reason, advice = _REWRITTEN[source.role]
        if source.role == "labels":
            # A source of labels that nothing uses is CT207's.
            if spec.label is None or source.name != spec.label.source:
                continue
            reason = reason.format(absent=spec.label.absent)
        message = f"rows of `{source.name}` are rewritten in place: {reason}"
        yield Finding(f"sources.{source.name}.replayable", message, advice)


_REWRITTEN = {
    "rows": (
        "a model learns from values that were not there when the row happened, and `--at` shows today's",
        "read a log of changes, or `columns.drop` what is rewritten",
    ),
    "features": (
        "what was known at an older row's time is gone, so that row gets nothing, and training differs from serving",
        "append each version with its `known_at`, or read a history table",
    ),
    "labels": (
        "a label that was revised after `known_after` is lost as it was then, and counts as `absent: {absent}`",
        "append each revision with its `known_at`",
    ),
}


def _places(spec: Spec) -> Iterator[tuple[str, str, str]]:
    """Where data is read or written: path, what it is, address."""
    for source in spec.sources:
        if source.path is not None:
            connector = "parquet" if source.parquet is not None else "csv"
            yield f"sources.{source.name}.{connector}.path", source.name, source.path
    for given in spec.training.inputs:
        yield f"training.inputs.{given.name}.uri", given.name, given.uri
    for entry in spec.serving:
        if entry.batch is not None:
            yield f"serving.{entry.name}.batch.out", entry.name, entry.batch.out


@check_on_target("CT303", "a path of this machine on a target that cannot see it", Severity.WARNING)
def paths_are_within_reach(spec: Spec, target: str) -> Iterator[Finding]:
    near = [place for place in _places(spec) if "://" not in place[2] or place[2].startswith("file://")]
    if near:
        names = ", ".join(dict.fromkeys(name for _, name, _ in near))
        yield Finding(
            near[0][0],
            f"{target} cannot reach this machine's files, as {names} would need; `ctc run` can",
            f"write a URI, or one for this target by way of `targets.{target}.variables`",
        )


@check_on_target("CT306", "data in another cloud's store", Severity.WARNING)
def data_is_in_the_targets_cloud(spec: Spec, target: str) -> Iterator[Finding]:
    if target not in _STORES:
        return
    schemes, store = _STORES[target]
    far = [place for place in _places(spec) if _CLOUDS.match(place[2]) and not re.match(f"({schemes})://", place[2])]
    if far:
        names = ", ".join(dict.fromkeys(name for _, name, _ in far))
        yield Finding(
            far[0][0],
            f"the identity of {target}'s jobs opens {store}, and {names} would need {far[0][2].partition('/')[0]}//",
            f"name a copy of the data by way of `targets.{target}.variables`: data follows the target, behaviour does "
            "not",
        )


def is_zone(name: str) -> bool:
    """Whether the IANA database has this zone."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
