"""The spec that fits a folder: every part from what was found, with the reason beside what was guessed."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctc.init.parts import Data, Guess, Joined
from ctc.init.project import Project, code_bytes, column_name
from ctc.init.scripts import Command, predict_command, train_command
from ctc.init.tables import Table
from ctc.init.volume import DAY, HOUR, Span, Volume, outward, rounded_down
from ctc.language.emit import Line, Noted

YOURS = "TODO"
"""Marks, in the spec that is written, what only its owner knows: the word that editors and reviewers look for. No value
is left out for it, so that the spec validates and runs at once."""

NO_DIGEST = "0" * 64
MAX_CHECKS = 8
MAX_CODE_BYTES = 100 * 1000**2
"""What `ctc run` takes for the most that code has."""

ADDRESSES: Mapping[str, Mapping[str, str]] = {
    "kubeflow": {"host": "http://kfp.example", "namespace": "kubeflow", "bucket": "{name}-ct"},
    "sagemaker": {
        "region": "us-east-1",
        "role": "arn:aws:iam::123456789012:role/{name}-ct",
        "bucket": "{name}-ct",
    },
    "vertex": {
        "project": "my-project",
        "region": "us-central1",
        "service_account": "{name}-ct@my-project.iam.gserviceaccount.com",
        "bucket": "{name}-ct",
    },
    "azureml": {
        "subscription": "00000000-0000-0000-0000-000000000000",
        "resource_group": "my-group",
        "workspace": "my-workspace",
        "compute": "cpu-cluster",
        "datastore": "workspaceblobstore",
    },
}
"""What stands for the addresses that only the user knows, by target; one without an entry gets the schema's keys."""


@dataclass(frozen=True)
class Plan:
    """All that a spec is made from. `folder` is the spec's; `targets` by name with the keys that each requires."""

    folder: Path
    name: Guess[str]
    data: Data
    volume: Volume
    project: Project
    targets: Mapping[str, Sequence[str]]

    @property
    def code(self) -> Path:
        """The folder of the code: the project's, or the spec's where the training script is ours."""
        return self.folder if self.project.train is None else self.project.folder


def propose(plan: Plan) -> dict[str, Any]:
    """The tree of the spec."""
    data, names = plan.data, _source_names(plan)
    train, predict = commands(plan)
    return {
        "apiVersion": "ctc/v1",
        "name": _noted(plan.name),
        "description": Noted(
            f"Predicts {data.label.value} of {names[data.main]}.", f"{YOURS}: say what the model is for"
        ),
        "owner": Noted("my-team", f"{YOURS}: the team that answers for it"),
        "mode": "act",
        "task": _noted(data.task),
        "runtime": Noted(
            Line({"image": f"registry.example/ctc@sha256:{NO_DIGEST}"}),
            f"{YOURS}: ctc's own image, by digest; `ctc run` on this machine needs none",
        ),
        "variables": {"image": _image(plan)},
        "sources": _sources(plan, names),
        "label": _label(data, names),
        **({"columns": _columns(data)} if data.later else {}),
        "validation": {"checks": _checks(plan)},
        "training": _training(plan, train, predict),
        "retraining": _retraining(plan.volume, plan),
        "evaluation": _evaluation(data),
        "promotion": {"gates": _gates(plan)},
        "triggers": {
            "weekly": Noted(
                Line({"schedule": {"cron": "0 6 * * 1", "timezone": "UTC"}}),
                f"{YOURS}: your zone; this is Mondays at 06:00",
            ),
            "new_labels": Noted(
                Line({"new_data": {"min_rows": rounded_down(plan.volume.weekly)}}), "about what a week brings"
            ),
            "asked": Line({"manual": {}}),
        },
        "trigger_policy": {"wake_every": "1h", "cooldown": "1d"},
        "targets": {name: Noted(Line(_address(plan, name)), f"{YOURS}: your addresses") for name in plan.targets},
    }


def commands(plan: Plan) -> tuple[Command, Command]:
    """The training and the predicting command: the project's own, or those of the scripts that we write."""
    ours = ("--iterations", "{hp.iterations}", "--learning-rate", "{hp.learning_rate}", "--seed", "{hp.seed}")
    default = Command(
        ("python", "train.py", "--train", "{train}", "--valid", "{valid}", "--out", "{model}", *ours),
        hyperparameters={"iterations": 100, "learning_rate": 0.1, "seed": 17},
    )
    script = plan.project.train
    train = default if script is None else train_command(script, plan.code)
    place = "predict.py"
    predict = Command(("python", place, "--model", "{model}", "--rows", "{rows}", "--out", "{predictions}"))
    if needs_adapter(plan):
        predict = Command(
            predict.words, ("look at predict.py, which ctc init wrote: which features does the model get",)
        )
    elif plan.project.predict is not None:
        predict = predict_command(plan.project.predict, plan.code)
    return train, predict


def needs_adapter(plan: Plan) -> bool:
    """Whether the project trains, but has no script that can be called to predict."""
    if plan.project.train is None:
        return False
    predict = plan.project.predict
    return predict is None or (not predict.flags and "model_fn" in predict.functions)


def _noted(guess: Guess[Any]) -> Any:
    if not guess.why:
        return guess.value
    return Noted(guess.value, f"{f'{YOURS}: is this right? ' if guess.todo else 'guessed: '}{guess.why}")


def length(seconds: float) -> str:
    """A duration as a spec writes it."""
    days, rest = divmod(int(seconds), DAY)
    hours, rest = divmod(rest, HOUR)
    minutes, rest = divmod(rest, 60)
    parts = ((days, "d"), (hours, "h"), (minutes, "m"), (rest, "s"))
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0d"


def _image(plan: Plan) -> Noted:
    image = f"registry.example/{plan.name.value}@sha256:{NO_DIGEST}"
    docker, needs = plan.project.dockerfile, plan.project.requirements
    if docker is not None:
        return Noted(image, f"{YOURS}: the image that {docker.relative_to(plan.project.folder)} builds, by digest")
    what = f" with what {needs.name} lists" if needs is not None else ""
    return Noted(image, f"{YOURS}: your image{what}, by digest; `ctc run` on this machine needs none")


def _source_names(plan: Plan) -> dict[Table, str]:
    names: dict[Table, str] = {}
    data = plan.data
    for table in (data.main, *((data.labels.table,) if data.labels else ()), *(item.table for item in data.features)):
        names[table] = column_name(table.name, list(names.values()))
    return names


def _sources(plan: Plan, names: Mapping[Table, str]) -> dict[str, Any]:
    data = plan.data
    event = data.main.column(data.event_time.value)
    assert event is not None
    sources: dict[str, Any] = {
        names[data.main]: {
            "role": "rows",
            "parquet": Line({"path": relative(data.main.path, plan.folder)}),
            "event_time": _noted(data.event_time),
            **(_zone(event.name) if not event.zoned else {}),
            "key": _line(data.key),
        }
    }
    joined = [("labels", data.labels)] if data.labels is not None else []
    for role, item in [*joined, *(("features", item) for item in data.features)]:
        assert item is not None
        known = item.table.column(item.known_at.value)
        assert known is not None
        sources[names[item.table]] = {
            "role": Noted(role, _why_joined(role, item, names[data.main])),
            "parquet": Line({"path": relative(item.table.path, plan.folder)}),
            "known_at": _noted(item.known_at),
            **(_zone(known.name) if not known.zoned else {}),
            "join": Line({"to": names[data.main], "key": [item.key]}),
        }
    return sources


def _zone(column: str) -> dict[str, Any]:
    return {"timezone": Noted("UTC", f"{YOURS}: {column} has no zone; whose clock does it show?")}


def _why_joined(role: str, item: Joined, main: str) -> str:
    if role == "labels":
        return f"guessed: it shares {item.key} with {main} and holds the label"
    return f"guessed: it shares {item.key} with {main}; the latest known by each row's time is used"


def _line(guess: Guess[Any]) -> Any:
    noted = _noted(guess)
    value = Line(list(guess.value))
    return Noted(value, noted.comment) if isinstance(noted, Noted) else value


def _label(data: Data, names: Mapping[Table, str]) -> dict[str, Any]:
    return {
        "source": names[data.label_table],
        "column": _noted(data.label),
        "known_after": _noted(
            Guess(length(data.known_after.value.total_seconds()), data.known_after.why, data.known_after.todo)
        ),
        "absent": Noted("drop", "a row without a label by then is left out; `negative` would count it as 0")
        if data.task.value == "binary"
        else "drop",
    }


def _columns(data: Data) -> dict[str, Any]:
    return {"drop": Noted(Line(list(data.later)), "guessed: a time after the event tells of the label")}


def _checks(plan: Plan) -> dict[str, Any]:
    data, volume = plan.data, plan.volume
    rows = volume.train_rows + volume.holdout_rows
    checks: dict[str, Any] = {
        "enough": Noted(
            Line({"row_count": {"min": rounded_down(rows / 2)}}), f"half of the {rows} rows that the windows hold now"
        ),
        "one_row_each": Line({"unique": {"columns": list(data.key.value)}}),
    }
    for span in _worth_checking(volume.spans, lambda item: item.missing < 0.5):
        name = column_name(f"{span.column.name}_present", list(checks))
        limit = f"{min(100, math.ceil(span.missing * 150) + 1)}%"
        checks[name] = Noted(
            Line({"null_ratio": {"column": span.column.name, "max": limit}}), f"{span.missing:.1%} are missing now"
        )
    for span in _worth_checking(volume.spans, _has_range):
        name = column_name(f"{span.column.name}_range", list(checks))
        assert span.low is not None and span.high is not None
        reach = float(span.high) - float(span.low)
        low, high = outward(span.low, reach, -1), outward(span.high, reach, 1)
        bounds = {"min": math.floor(low), "max": math.ceil(high)} if span.column.whole else {"min": low, "max": high}
        checks[name] = Noted(
            Line({"range": {"column": span.column.name, **bounds, "tolerate": "1%"}}),
            f"now {span.low:g} to {span.high:g}",
        )
    for span in _worth_checking(volume.spans, lambda item: len(item.column.values) > 0):
        name = column_name(f"{span.column.name}_known", list(checks))
        values = list(span.column.values)
        checks[name] = Line(
            {"allowed_values": {"column": span.column.name, "values": values, "tolerate": "1%"}, "on_fail": "warn"}
        )
    return checks


def _worth_checking(spans: Sequence[Span], wanted: Any) -> list[Span]:
    return [span for span in spans if wanted(span)][:MAX_CHECKS]


def _has_range(span: Span) -> bool:
    """Numbers of a size that YAML and a spec hold exactly; two values need no range."""
    if span.low is None or span.high is None or span.column.binary:
        return False
    return span.high > span.low and max(abs(span.low), abs(span.high)) < 1e12 and span.high - span.low > 1e-6


def _training(plan: Plan, train: Command, predict: Command) -> dict[str, Any]:
    folder = relative(plan.code, plan.folder)
    size = code_bytes(plan.code, [table.path for table in _tables(plan.data)])
    large = f"{YOURS}: it holds {size // 1000**2} MB, and each version keeps a copy; name the folder of the code only"
    return {
        "code": Noted(folder, large) if size > MAX_CODE_BYTES else folder,
        "image": "${var.image}",
        "argv": _words(train),
        "predict": _words(predict),
        **({"hyperparameters": Line(dict(train.hyperparameters))} if train.hyperparameters else {}),
        "timeout": "1h",
    }


def _words(command: Command) -> Any:
    words = Line(list(command.words), wrap=True)
    if command.todo:
        return Noted(words, f"{YOURS}: {'; '.join(command.todo)}")
    return Noted(words, f"guessed: {command.why}") if command.why else words


def _tables(data: Data) -> list[Table]:
    return [data.main, *([data.labels.table] if data.labels else []), *(item.table for item in data.features)]


def _retraining(volume: Volume, plan: Plan) -> dict[str, Any]:
    days = (volume.last - volume.first).total_seconds() / DAY
    held = f"it holds {volume.holdout_rows} rows" + (
        f", {volume.positives} of them positive" if volume.positives is not None else ""
    )
    holdout: dict[str, Any] = {"time": length(volume.holdout), "min_rows": rounded_down(volume.holdout_rows / 2)}
    if volume.positives is not None:
        holdout["min_positives"] = rounded_down(volume.positives / 2)
    train, _ = commands(plan)
    reads_valid = any("{valid}" in word for word in train.words)
    return {
        "strategy": "full",
        "window": Noted(length(volume.window), f"guessed: the data span {days:.0f} days; {volume.train_rows} rows"),
        **({"validation_share": "10%"} if reads_valid else {}),
        "min_rows": rounded_down(volume.train_rows / 2),
        "holdout": Noted(Line(holdout), f"guessed: at the end of the data {held}"),
    }


def _evaluation(data: Data) -> dict[str, Any]:
    kinds = (
        {"auc": "roc_auc", "log_loss": "log_loss"} if data.task.value == "binary" else {"mae": "mae", "rmse": "rmse"}
    )
    metrics = {"metrics": Line({name: {kind: {}} for name, kind in kinds.items()})}
    hidden = (data.label.value, *data.key.value)
    few = [column for column in data.main.of_kind("text") if len(column.values) > 1 and column.name not in hidden]
    slices: dict[str, Any] = {}
    for column in few[:2]:
        slices[column_name(column.name, list(slices))] = Line({"column": column.name, "min_rows": 50})
    return {**metrics, **({"slices": slices} if slices else {})}


def _gates(plan: Plan) -> dict[str, Any]:
    volume = plan.volume
    if volume.baseline is not None:
        bound = _digits(volume.baseline)
        margin = _digits(volume.baseline * 0.02)
        return {
            "floor": Noted(
                Line({"range": {"metric": "mae", "max": bound}}), "guessed: the error of always answering the median"
            ),
            "not_worse": Noted(
                Line({"not_worse": {"metric": "mae", "margin": margin, "confidence": "95%"}}),
                "guessed: 2 % of that, at 95 %",
            ),
        }
    positives = min(volume.positives or 0, volume.holdout_rows - (volume.positives or 0))
    margin = 0.01 if positives >= 2000 else 0.02 if positives >= 400 else 0.05
    return {
        "floor": Noted(
            Line({"range": {"metric": "auc", "min": 0.55}}),
            f"{YOURS}: 0.5 is a coin; raise it once you know your model",
        ),
        "not_worse": Noted(
            Line({"not_worse": {"metric": "auc", "margin": margin, "confidence": "95%"}}),
            f"guessed: what {positives} rows of the rarer class can tell",
        ),
    }


def _digits(number: float) -> float:
    """Three digits, and never 0, which no model reaches."""
    return float(f"{number:.3g}") or 1e-6


def _address(plan: Plan, target: str) -> dict[str, str]:
    known = ADDRESSES.get(target, {})
    keys = dict.fromkeys([*known, *plan.targets[target]])
    return {key: known.get(key, YOURS).format(name=plan.name.value) for key in keys}


def relative(path: Path, folder: Path) -> str:
    """A path as the spec of `folder` names it."""
    return Path(os.path.relpath(path, folder)).as_posix()
