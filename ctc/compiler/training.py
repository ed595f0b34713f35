"""The section `training`: how the user's code is run, and what tells one way of training from another."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from ctc.compiler.bundle import canonical
from ctc.language.spec import Secret, Spec


def section(spec: Spec) -> dict[str, Any]:
    return {
        "image": spec.training.image,
        "predict": list(_filled(spec, spec.training.predict)),
        "hyperparameters": dict(spec.training.hyperparameters),
        "inputs": {given.name: given.digest for given in spec.training.inputs},
        "csv": row_format(spec)["csv"],
        "apply": None if spec.prepare is None else list(_filled(spec, spec.prepare.apply)),
        "digest": digest(spec),
        "seed": spec.training.seed,
        "timeout": spec.training.timeout.total_seconds(),
        "retries": spec.training.retries,
    }


def digest(spec: Spec) -> str:
    """sha256 of what a model is made of beside rows and code: images, commands, parameters, files, variables."""
    training, prepare = spec.training, spec.prepare
    made = {
        "image": training.image,
        "argv": list(training.argv),
        "predict": list(training.predict),
        "hyperparameters": dict(training.hyperparameters),
        "seed": training.seed,
        "env": {name: plain(value) for name, value in training.env.items()},
        "inputs": {given.name: given.digest for given in training.inputs},
        "format": row_format(spec),
        **({} if training.distributed is None else {"nodes": training.distributed.nodes}),
        "prepare": None if prepare is None else [prepare.image, list(prepare.fit), list(prepare.apply)],
    }
    return hashlib.sha256(canonical(made)).hexdigest()


def row_format(spec: Spec) -> dict[str, Any]:
    """How the rows are written that the user's code reads; `csv` is None for Parquet."""
    form = spec.training.format
    return {"csv": None if form is None else {"delimiter": form.delimiter}}


def _filled(spec: Spec, argv: tuple[str, ...]) -> tuple[str, ...]:
    return fill_hyperparameters(argv, spec.training.hyperparameters)


def fill_hyperparameters(argv: tuple[str, ...], hyperparameters: Mapping[str, object]) -> tuple[str, ...]:
    """Replaces each `{hp.NAME}`; the placeholders of paths stay for the step to fill."""
    words = list(argv)
    for name, value in hyperparameters.items():
        words = [word.replace(f"{{hp.{name}}}", plain(value)) for word in words]
    return tuple(words)


def plain(value: object) -> str:
    """A value as a word or a variable: `true` and `false` in small letters. A secret is only its name."""
    if isinstance(value, Secret):
        return f"secret {value.secret}"
    return str(value).lower() if isinstance(value, bool) else str(value)
