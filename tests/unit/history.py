"""Records of eleven months of one deployment, as its steps would have written them."""

from __future__ import annotations

from typing import Any


def interval(value: float) -> dict[str, Any]:
    return {"value": value, "low": value - 0.011, "high": value + 0.011, "n": 6200}


def wake(month: int, attempt: str, *, promotes: str = "") -> dict[str, Any]:
    actions: list[dict[str, Any]] = [{"action": "start_training", "key": f"{attempt}-1", "attempt": attempt}]
    if promotes:
        actions = [{"action": "promote", "key": f"promote-{promotes}", "version": promotes}]
    return {
        "version": 1,
        "kind": "wake",
        "id": f"2013{month:02}10T110000Z-{'eeee' if promotes else 'aaaa'}{month:04}",
        "instant": f"2013-{month:02}-10T11:00:00Z",
        "triggers": [
            {
                "name": "monthly",
                "kind": "schedule",
                "answer": "quiet" if promotes else "fired",
                "reason": f"due since 2013-{month:02}-10T11:00:00Z",
                "numbers": {},
            }
        ],
        "suppressed": None,
        "actions": actions,
        "changes": [{"what": "promoted", "reason": "in place", "version": promotes, "who": ""}] if promotes else [],
        "attempt": None if promotes else attempt,
        "champion": None,
    }


def attempt_record(month: int, id: str, outcome: str, **parts: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "kind": "attempt",
        "id": id,
        "name": "flight-delay",
        "environment": "default",
        "target": "kubeflow",
        "instant": f"2013-{month:02}-10T11:00:00Z",
        "triggers": ["monthly"],
        "outcome": outcome,
        "reason": "",
        "windows": {},
        "data": {},
        "checks": [],
        "evaluation": {},
        "decision": {},
        "candidate": None,
        "champion": None,
        "steps": {},
        "error": "",
        **parts,
    }


def measured(contender: float, champion: float | None) -> dict[str, Any]:
    gain = None if champion is None else contender - champion
    return {
        "evaluation": {
            "metrics": {
                "auc": {
                    "better": "higher",
                    "contender": interval(contender),
                    "champion": None if champion is None else interval(champion),
                },
                "log_loss": {"better": "lower", "contender": interval(0.51), "champion": None},
            },
            "slices": {"origin": {"EWR": {"n": 2100, "metrics": {"auc": {"contender": 0.67, "champion": None}}}}},
            "gates": {"not_worse": {"status": "ok", "gain": gain, "lower": (gain or 0) - 0.006, "confidence": 0.95}},
        },
        "decision": {
            "promote": True,
            "gates": [
                {
                    "name": "floor",
                    "kind": "range",
                    "answer": "pass",
                    "reason": "auc is in range",
                    "numbers": {"min": 0.58},
                },
                {
                    "name": "not_worse",
                    "kind": "not_worse",
                    "answer": "pass" if gain is None or gain > -0.004 else "fail",
                    "reason": "the gain in auc is at least -0.005 at 0.95 confidence; at least -0.01 wanted",
                    "numbers": {"gain": gain, "margin": 0.01, "n": 6200},
                },
            ],
        },
        "windows": {
            "train_start": "2012-12-20T11:00:00Z",
            "train_end": "2013-01-24T11:00:00Z",
            "holdout_start": "2013-01-24T11:00:00Z",
            "holdout_end": "2013-02-01T11:00:00Z",
        },
        "data": {"rows": {"train": 21000, "valid": 2300, "holdout": 6200}},
        "checks": [
            {"name": "enough", "kind": "row_count", "answer": "pass", "reason": "29,500 rows"},
            {
                "name": "fresh",
                "kind": "freshness",
                "answer": "fail",
                "on_fail": "warn",
                "reason": "the newest row is 3 days old",
            },
        ],
    }


CONTENDERS = (0.694, 0.702, 0.671, None, 0.655, 0.668, None, 0.688, 0.64, 0.661, 0.673)
CHAMPIONS = (None, 0.681, 0.676, None, 0.651, 0.649, None, 0.662, 0.652, 0.641, 0.629)
OUTCOMES = (
    *2 * ["candidate"],
    "held",
    "stopped",
    *2 * ["candidate"],
    "failed",
    "candidate",
    "held",
    *2 * ["candidate"],
)


def history() -> list[dict[str, Any]]:
    """Eleven months: promotions, refusals, a stop and a failure; the champion of each month grows worse."""
    records: list[dict[str, Any]] = []
    version, champion = 0, None
    for index, (contender, reigning, outcome) in enumerate(zip(CONTENDERS, CHAMPIONS, OUTCOMES, strict=True)):
        month, attempt = index + 2, f"2013{index + 2:02}10T110000Z-bbbb{index:04}"
        parts: dict[str, Any] = {"champion": champion}
        if contender is not None:
            parts |= measured(contender, reigning)
        if outcome == "candidate":
            version += 1
            parts["candidate"] = {"version": str(version), "trained_until": "2013-01-24T11:00:00Z"}
            parts["reason"] = "all 2 gates pass"
            champion = str(version)
        if outcome == "held":
            parts["reason"] = "not_worse: the gain in auc is at least -0.021 at 0.95 confidence; at least -0.01 wanted"
        if outcome == "stopped":
            parts["reason"] = "check `sane` says stop: 214 of 20,311 values of dep_delay lie above 1,800"
        if outcome == "failed":
            parts |= {
                "reason": "train failed",
                "error": "train failed: 'python train.py' exited with code 1\nMemoryError",
            }
        records += [wake(month, attempt), attempt_record(month, attempt, outcome, **parts)]
        if outcome == "candidate":
            records.append(wake(month, attempt, promotes=str(version)))
    return records


STATE = {"champion": {"version": "7", "trained_until": "2013-11-24T11:00:00Z"}, "last_wake": "2013-12-10T11:00:00Z"}
