"""The user's code, the machines that it runs on, and what it learns from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import timedelta
from typing import Literal

from ctc.value import Value, frozen

Scalar = str | int | float | bool


@frozen
class Secret(Value):
    """A secret by its name in the target's store; its value is never part of a spec."""

    secret: str


@frozen
class Gpu(Value):
    type: str
    count: int = 1


@frozen
class Resources(Value):
    cpu: float = 1.0
    memory: int = 2 * 1024**3
    disk: int = 30 * 1024**3
    gpu: Gpu | None = None


@frozen
class Spot(Value):
    checkpoint: timedelta
    max_wait: timedelta


@frozen
class Distributed(Value):
    nodes: int
    launcher: Literal["torchrun", "mpi"]


@frozen
class Input(Value):
    """Files that never change, such as base weights; `digest` is `sha256:` and 64 hexadecimal digits."""

    name: str
    uri: str
    digest: str


@frozen
class Prepare(Value):
    """`fit` learns on training rows; `apply` runs before every predict with what that version learnt."""

    fit: tuple[str, ...]
    apply: tuple[str, ...]
    image: str | None = None
    resources: Resources = Resources()
    timeout: timedelta = timedelta(hours=1)


@frozen
class CsvFormat(Value):
    """What the user's code reads instead of Parquet: a header line, then rows."""

    delimiter: str = ","


@frozen
class Training(Value):
    """The user's code. `argv` and `predict` are lists of words with placeholders, never shell text."""

    code: str
    image: str
    argv: tuple[str, ...]
    predict: tuple[str, ...]
    interface: Literal["sagemaker", "vertex", "azureml"] | None = None
    format: CsvFormat | None = None
    inputs: tuple[Input, ...] = ()
    env: Mapping[str, Scalar | Secret] = field(default_factory=dict)
    hyperparameters: Mapping[str, Scalar] = field(default_factory=dict)
    seed: int = 0
    resources: Resources = Resources()
    distributed: Distributed | None = None
    spot: Spot | None = None
    timeout: timedelta = timedelta(hours=1)
    retries: int = 0


@frozen
class HashHoldout(Value):
    key: tuple[str, ...]
    share: float
    salt: str = ""


@frozen
class ColumnHoldout(Value):
    name: str
    value: Scalar


@frozen
class Holdout(Value):
    """Exactly one of `time`, `hash`, `column` and `source` is set; all but `time` are fixed for good."""

    time: timedelta | None = None
    hash: HashHoldout | None = None
    column: ColumnHoldout | None = None
    source: str | None = None
    min_rows: int = 1
    min_positives: int = 0


@frozen
class Retraining(Value):
    """What a new model learns from. At most one of `window` (sliding) and `since` (expanding, ISO instant) is set."""

    strategy: Literal["full", "fine_tune", "incremental"]
    holdout: Holdout
    window: timedelta | None = None
    since: str | None = None
    replay: float = 0.0
    full_every: timedelta | None = None
    validation_share: float = 0.0
    gap: timedelta = timedelta(0)
    min_rows: int = 1
    on_deploy: Literal["retrain", "wait"] = "wait"
