"""The step document: the part of the spec that one step needs, as plain JSON in base units.

Built here and nowhere else, so that every target carries the same bytes. Durations are seconds, sizes bytes, shares
fractions. `ctc/policy` and `ctc/steps` read these sections; neither sees the spec.
"""

from __future__ import annotations

from typing import Any

from ctc.compiler import batch, notifications, scoring, training, triggers
from ctc.language.power import RELATIVE, attempts_that_share, confidence_of
from ctc.language.spec import (
    NO_TIME,
    Csv,
    Forecast,
    Gate,
    Holdout,
    Label,
    PredictionColumns,
    Source,
    Spec,
)

VERSION = 1

SECTIONS: dict[str, tuple[str, ...]] = {
    "wake": ("data", "windows", "training", "triggers", "notifications"),
    "snapshot": ("data", "windows", "format", "validation"),
    "validate": ("data", "validation"),
    "evaluate": ("data", "windows", "evaluation", "promotion"),
    "decide": ("promotion",),
    "register": ("registry", "training"),
    "record": ("steps", "promotion"),
    "rows": ("data", "format", "batch"),
    "publish": ("data", "batch"),
}
"""The sections that each of our steps is given."""


def document(spec: Spec, step: str, *, target: str, root: str, spec_digest: str) -> dict[str, Any]:
    """The static document of one of our steps; instant, attempt and paths are added where it runs."""
    sections = {
        "data": _data,
        "windows": _windows,
        "validation": _validation,
        "training": training.section,
        "evaluation": _evaluation,
        "promotion": _promotion,
        "triggers": triggers.section,
        "registry": _registry,
        "format": training.row_format,
        "steps": _steps,
        "notifications": notifications.section,
        "batch": batch.section,
    }
    return {
        "version": VERSION,
        "step": step,
        "name": spec.model_name,
        "environment": spec.environment,
        "target": target,
        "root": root,
        "spec_digest": spec_digest,
        "gaps": list(spec.gaps_on(target)),
        "policy": {section: sections[section](spec) for section in SECTIONS[step]},
    }


def _data(spec: Spec) -> dict[str, Any]:
    return {
        "task": spec.task,
        "ranking": None if spec.ranking is None else {"group": spec.ranking.group},
        "forecast": None if spec.forecast is None else _forecast(spec.forecast),
        "sources": {source.name: _source(source) for source in spec.sources},
        "rows": spec.rows.name,
        "label": None if spec.label is None else _label(spec.label),
        "columns": {"drop": list(spec.columns.drop), "audit": list(spec.columns.audit)},
        "judged_by": _judged_by(spec),
        "remembered": _remembered(spec),
    }


def _judged_by(spec: Spec) -> list[str]:
    """The columns that evaluation reads of the snapshot."""
    return list(dict.fromkeys([*spec.evaluation.unit, *(part.column for part in spec.evaluation.slices)]))


def _remembered(spec: Spec) -> list[str]:
    """The fixed sources that stand beside the holdout, for gates that ask what a model has forgotten."""
    named = [gate.source for gate in spec.promotion.gates if gate.kind == "forgetting" and gate.source]
    return [name for name in dict.fromkeys(named) if name != spec.retraining.holdout.source]


def _label(label: Label) -> dict[str, Any]:
    return {
        "source": label.source,
        "column": label.column,
        "known_after": label.known_after.total_seconds(),
        "absent": label.absent,
    }


def _forecast(forecast: Forecast) -> dict[str, Any]:
    return {
        "series": list(forecast.series),
        "every": forecast.every.total_seconds(),
        "horizon": forecast.horizon.total_seconds(),
        "season": None if forecast.season is None else forecast.season.total_seconds(),
    }


def _source(source: Source) -> dict[str, Any]:
    """`event_time` is None where the data has no time. Served rows have a time and a key among their `columns`."""
    columns = source.columns
    return {
        "role": source.role,
        "parquet": None if source.parquet is None else source.parquet.path,
        "csv": None if source.csv is None else _csv(source.csv),
        "event_time": _event_time(source),
        "known_at": source.known_at,
        "timezone": source.timezone,
        "key": list(source.key) if columns is None else [columns.key],
        "keep": [{"name": item.name, "kind": item.kind, "arguments": dict(item.arguments)} for item in source.keep],
        "join": None if source.join is None else {"to": source.join.to, "key": list(source.join.key)},
        "columns": None if columns is None else _served_columns(columns),
    }


def _event_time(source: Source) -> str | None:
    if source.columns is not None:
        return source.columns.event_time
    return None if source.event_time == NO_TIME else source.event_time


def _csv(files: Csv) -> dict[str, Any]:
    return {"path": files.path, "delimiter": files.delimiter, "columns": dict(files.columns)}


def _served_columns(columns: PredictionColumns) -> dict[str, str]:
    """What the columns of served rows are called."""
    return {
        "key": columns.key,
        "score": columns.score,
        "model_version": columns.model_version,
        "event_time": columns.event_time,
    }


def _windows(spec: Spec) -> dict[str, Any]:
    retraining = spec.retraining
    return {
        "known_after": 0.0 if spec.label is None else spec.label.known_after.total_seconds(),
        **_holdout(retraining.holdout),
        "gap": retraining.gap.total_seconds(),
        "window": None if retraining.window is None else retraining.window.total_seconds(),
        "since": retraining.since,
        "strategy": retraining.strategy,
        "replay": retraining.replay,
        "full_every": None if retraining.full_every is None else retraining.full_every.total_seconds(),
        "validation_share": retraining.validation_share,
        "min_rows": retraining.min_rows,
        "holdout_min_rows": retraining.holdout.min_rows,
        "holdout_min_positives": retraining.holdout.min_positives,
    }


def _holdout(holdout: Holdout) -> dict[str, Any]:
    """`holdout_kind` says which of time (`holdout`, seconds), hash, column and source is set."""
    by_hash, by_column = holdout.hash, holdout.column
    kinds = {"time": holdout.time, "hash": by_hash, "column": by_column, "source": holdout.source}
    return {
        "holdout": None if holdout.time is None else holdout.time.total_seconds(),
        "holdout_kind": next(kind for kind, value in kinds.items() if value is not None),
        "hash": None if by_hash is None else {"key": list(by_hash.key), "share": by_hash.share, "salt": by_hash.salt},
        "column": None if by_column is None else {"name": by_column.name, "value": by_column.value},
        "source": holdout.source,
    }


def _validation(spec: Spec) -> dict[str, Any]:
    return {
        "checks": [
            {
                "name": check.name,
                "kind": check.kind,
                "source": check.source,
                "over": None
                if check.over is None
                else {"source": check.over.source, "window": check.over.window.total_seconds()},
                "on_fail": check.on_fail,
                "arguments": dict(check.arguments),
            }
            for check in spec.checks
        ]
    }


def _steps(spec: Spec) -> dict[str, Any]:
    """The steps that run the user's code: not every pipeline has the same."""
    return {"users": list(scoring.users_steps(spec))}


def _evaluation(spec: Spec) -> dict[str, Any]:
    return {
        "metrics": [
            {"name": metric.name, "kind": metric.kind, "arguments": dict(metric.arguments), "better": metric.better}
            for metric in spec.evaluation.metrics
        ],
        "group": None if spec.ranking is None else spec.ranking.group,
        "unit": list(_unit(spec)),
        "slices": [
            {
                "name": part.name,
                "column": part.column,
                "edges": list(part.edges),
                "min_rows": part.min_rows,
                "min_positives": part.min_positives,
            }
            for part in spec.evaluation.slices
        ],
    }


def _unit(spec: Spec) -> tuple[str, ...]:
    """The columns whose values belong together: those stated, else a ranking's group, a forecast's series."""
    if spec.evaluation.unit:
        return spec.evaluation.unit
    if spec.ranking is not None:
        return (spec.ranking.group,)
    return spec.forecast.series if spec.forecast is not None else ()


def _promotion(spec: Spec) -> dict[str, Any]:
    better = {metric.name: metric.better for metric in spec.evaluation.metrics}
    measured = scoring.measured_by(spec)
    promotion, limit = spec.promotion, spec.promotion.false_promotions
    return {
        "prefer": promotion.prefer,
        "if_not_evaluable": promotion.if_not_evaluable,
        "gates": [
            {**_gate(spec, gate, better.get(gate.metric or "")), **_latency(gate, measured.get(gate.name))}
            for gate in promotion.gates
        ],
        "false_promotions": None
        if limit is None
        else {"max": limit.max, "per": limit.per.total_seconds(), "attempts": attempts_that_share(spec)},
    }


def _gate(spec: Spec, gate: Gate, better: str | None) -> dict[str, Any]:
    """`confidence` is that of the test: `false_promotions` raises the one that the gate states."""
    return {
        "name": gate.name,
        "kind": gate.kind,
        "metric": gate.metric,
        "by": gate.by,
        "better": better,
        "min": gate.min,
        "max": gate.max,
        "margin": gate.margin,
        "relative": gate.relative,
        "value": gate.value,
        "min_ratio": gate.min_ratio,
        "that": gate.that,
        "source": gate.source,
        "confidence": confidence_of(spec, gate) if gate.kind in RELATIVE else gate.confidence,
        "stated_confidence": gate.confidence,
    }


def _latency(gate: Gate, measured: scoring.Measurement | None) -> dict[str, Any]:
    """Limits in seconds, and the input of `evaluate` with the timings; nothing of another gate."""
    return {} if measured is None else {"p50": gate.p50, "p99": gate.p99, "timings": measured.output}


def _registry(spec: Spec) -> dict[str, Any]:
    return {"model": spec.deployed_name}
