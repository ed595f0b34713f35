"""The step `publish` of a batch job: the champion's answers, checked, become the scores that others read.

One Parquet file: `key` (the row_id), `score` (of several classes a `score_CLASS` for each), the quantiles of a
regression, `model_version`, and `event_time`, the instant of the job. Its name is the request's, so that a job that is
run again, or the next one after a job that did not end well, writes the same file: no row is ever there twice.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ibis

from ctc.steps import engine, predictions, results
from ctc.steps.ports import Services
from ctc.steps.storage import local_path
from ctc.steps.task import Result, StepFailed, Task
from ctc.steps.tasks import ROW_ID

REPLACED = "scores.parquet"
"""The file of an entry with `write: replace`."""

QUANTILE = "quantile_"


def run(task: Task, services: Services) -> Result:
    """Writes the scores to `out`, whole or not at all. StepFailed if they are not one finite score for each row."""
    request = results.request(services.objects, task.attempt)
    entry, answers = task.policy["batch"][request["serving"]], task.inputs["predictions"]
    why = predictions.not_comparable(answers)
    if why:
        raise StepFailed(f"the champion's command gave no answers: {why}")
    file = REPLACED if entry["write"] == "replace" else f"{request['part']}.parquet"
    columns = _columns(predictions.names(answers), task.policy["data"]["task"])
    with engine.opened() as connection:
        rows = engine.parts(connection, [task.inputs["rows"]])
        answered = connection.read_parquet(str(answers / predictions.FILE))
        scores = engine.hold(connection, "scores", _scores(answered, columns))
        facts = _checked(connection, rows.select(_ctc_row=rows[ROW_ID].cast("string")), scores, list(columns))
        made = scores.mutate(
            model_version=ibis.literal(str(request["champion"]["version"])), event_time=engine.literal(task.instant)
        )
        _place(connection, made.order_by("key"), local_path(entry["out"]) / file)
    out = f"{str(entry['out']).rstrip('/')}/{file}"
    return Result("ok", reason=f"{facts['scored']} rows scored", numbers={"out": out, "scores": facts})


def _columns(there: Sequence[str], task: str) -> dict[str, str]:
    """The columns of the file, each with the one of the answers that it is."""
    if task == "multiclass":
        found = {f"{predictions.CLASS}{name}": f"{predictions.CLASS}{name}" for name in predictions.class_names(there)}
    else:
        found = {"score": predictions.COLUMNS[task]}
    missing = [column for column in (ROW_ID, *found.values()) if column not in there]
    if missing or not found:
        wanted = missing[0] if missing else f"{predictions.CLASS}CLASS"
        raise StepFailed(f"{predictions.FILE} has no column `{wanted}`; it has: {', '.join(there)}")
    return found | {name: name for name in there if name.startswith(QUANTILE)}


def _scores(answered: Any, columns: Mapping[str, str]) -> Any:
    for column in columns.values():
        if not answered[column].type().is_numeric():
            raise StepFailed(f"`{column}` is {answered[column].type()}: write numbers")
    values = {name: answered[column].cast("float64") for name, column in columns.items()}
    return answered.select(key=answered[ROW_ID].cast("string"), **values)


def _checked(connection: Any, rows: Any, scores: Any, columns: list[str]) -> dict[str, Any]:
    """How many there are, and where they lie. StepFailed unless rows and answers meet one to one."""
    wrong = ibis.or_(*(_no_number(scores[column]) for column in columns))
    first = scores[columns[0]]
    counts = scores.aggregate(
        scored=scores.count(), ids=scores["key"].nunique(), wrong=wrong.sum(), min=first.min(), max=first.max()
    )
    facts = engine.one(connection, counts)
    if facts["wrong"]:
        raise StepFailed(f"{facts['wrong']} answers are NaN, missing or infinite; write a finite number for each row")
    repeated = int(facts["scored"]) - int(facts["ids"])
    if repeated:
        raise StepFailed(f"{repeated} answers repeat the `{ROW_ID}` of another, or have none: write one for each row")
    lacking = rows.anti_join(scores, [rows["_ctc_row"] == scores["key"]])
    unknown = scores.anti_join(rows, [scores["key"] == rows["_ctc_row"]])
    for found, said in ((lacking, "rows have no answer"), (unknown, "answers are of no row that was asked for")):
        count = int(engine.one(connection, found.aggregate(n=found.count()))["n"])
        if count:
            raise StepFailed(f"{count} {said}: write one for each row, with its `{ROW_ID}` as it was given")
    return {name: facts[name] for name in ("scored", "min", "max")}


def _no_number(column: Any) -> Any:
    return column.isnull() | column.isnan() | column.isinf()


def _place(connection: Any, scores: Any, file: Path) -> None:
    """Writes the file beside its place, then moves it there: a reader sees all of it or the one before."""
    file.parent.mkdir(parents=True, exist_ok=True)
    for left in file.parent.glob(f".{file.name}.*.tmp"):
        left.unlink(missing_ok=True)
    partial = file.with_name(f".{file.name}.{secrets.token_hex(8)}.tmp")
    try:
        engine.write_file(connection, scores, partial)
        with partial.open("rb+") as written:
            os.fsync(written.fileno())
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
