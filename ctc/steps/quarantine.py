"""Rows that are set aside: those that offend a failed check with `on_fail: quarantine`.

Done where the snapshot is taken, before the rows are split, so that neither training nor the holdout has them. The rows
of a check that passes, with what it tolerates, stay. They are kept as Parquet in the output `quarantine`, each with the
names of its checks; the step `validate` then tells the answers that were given here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ibis

from ctc.policy.data_checks import JUDGES, Answer
from ctc.steps import engine
from ctc.steps.judged_rows import Place
from ctc.steps.row_rules import HOLDS, counted_outside, measures, offending, prepared
from ctc.steps.task import Task

OUTPUT = "quarantine"

CHECKS = "_ctc_checks"
"""The column of a kept row that names, with commas, the checks that it offends."""

JOINED = Place(None)


def set_aside(connection: Any, rows: Any, task: Task) -> tuple[Any, dict[str, Any]]:
    """The rows that stay, and the facts `quarantined` for the record; nothing of either where no check asks for it.

    StepFailed for a check that the rows cannot answer.
    """
    checks = [check for check in task.policy["validation"]["checks"] if check["on_fail"] == "quarantine"]
    if not checks:
        return rows, {}
    data = task.policy["data"]
    table = prepared(connection, rows, checks, JOINED, "_ctc_joined_conditions")
    counted = {"rows": table.count()}
    for index in range(len(checks)):
        own = measures(connection, table, checks, index, JOINED, data)
        counted |= {f"{name}_{index}": value for name, value in own.items()}
    found = engine.one(connection, table.aggregate(**counted))
    found |= counted_outside(connection, table, checks, found, JOINED, data)
    answers = [
        JUDGES[check["kind"]](check["arguments"], _own(found, index), task.instant)
        for index, check in enumerate(checks)
    ]
    failed = [index for index, answer in enumerate(answers) if answer.answer == "fail"]
    bad = {index: offending(connection, table, checks, index, JOINED, data) for index in failed}
    out = ibis.or_(ibis.literal(False), *bad.values())
    count = int(engine.one(connection, table.aggregate(n=out.sum()))["n"] or 0) if failed else 0
    names = [ibis.ifelse(bad[index], ibis.literal(checks[index]["name"]), ibis.null("string")) for index in failed]
    named = table.filter(out).mutate(**{CHECKS: _listed(names)}) if failed else table.filter(out)
    conditions = [column for column in table.columns if column.startswith(HOLDS)]
    ours = [column for column in named.columns if column.startswith(engine.OWN) and column != CHECKS]
    engine.write(connection, named.drop(*ours), task.outputs[OUTPUT])
    facts = {"rows": count, "checks": [_told(check, answer) for check, answer in zip(checks, answers, strict=True)]}
    return (table.filter(~out).drop(*conditions) if failed else rows), {"quarantined": facts}


def answers(snapshot: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """What the result of `snapshot` says of each check that it answered, by name."""
    facts = ((snapshot or {}).get("numbers") or {}).get("data", {}).get("quarantined") or {"checks": []}
    return {answer["name"]: dict(answer) for answer in facts["checks"]}


def _own(found: Mapping[str, Any], index: int) -> dict[str, Any]:
    own = {name.removesuffix(f"_{index}"): value for name, value in found.items() if name.endswith(f"_{index}")}
    return {"rows": found["rows"], **own}


def _told(check: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    common = {"name": check["name"], "kind": check["kind"], "source": None, "on_fail": check["on_fail"]}
    return {**common, **answer._asdict()}


def _listed(names: list[Any]) -> Any:
    """The names that are there, with commas between them."""
    text = ibis.literal("")
    for name in names:
        text = text + ibis.ifelse(name.isnull(), "", ibis.ifelse(text == "", name, ibis.literal(",") + name))
    return text
