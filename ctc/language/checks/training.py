"""The user's commands, and what they learn from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

from ctc.diagnostics import Severity
from ctc.language.checks import Finding, check, suggest
from ctc.language.spec import Spec

PLACEHOLDERS: dict[str, tuple[str, ...]] = {
    "argv": ("train", "valid", "model"),
    "predict": ("model", "rows", "predictions"),
}
"""What each command may ask for."""

_NEEDED = {"argv": ("train", "model"), "predict": ("model", "rows", "predictions")}
# The same pattern as that of the shim, which fills them.
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.-]*)\}")


def _placeholders(spec: Spec, command: str) -> Iterator[tuple[int, str]]:
    words: tuple[str, ...] = getattr(spec.training, command)
    for index, word in enumerate(words):
        for match in _PLACEHOLDER.finditer(word):
            yield index, match[1]


@check("CT260", "a command that is not given what it reads or writes", Severity.WARNING)
def commands_get_their_paths(spec: Spec) -> Iterator[Finding]:
    for command, needed in _NEEDED.items():
        asked = {name for _, name in _placeholders(spec, command)}
        missing = [name for name in needed if name not in asked]
        if missing:
            listed = ", ".join(f"{{{name}}}" for name in missing)
            variables = ", ".join(f"CTC_{name.upper()}" for name in missing)
            message = f"`training.{command}` does not have {listed}"
            yield Finding(f"training.{command}", message, f'add it as a word, "{{{missing[0]}}}", or read {variables}')


@check("CT261", "a placeholder that a command does not have")
def placeholders_exist(spec: Spec) -> Iterator[Finding]:
    for command, known in PLACEHOLDERS.items():
        for index, name in _placeholders(spec, command):
            if name not in known and not name.startswith("hp."):
                message = f"`training.{command}` has no placeholder `{{{name}}}`"
                yield Finding(f"training.{command}.{index}", message, suggest(name, known))


@check("CT262", "a hyperparameter that is not defined")
def hyperparameters_exist(spec: Spec) -> Iterator[Finding]:
    known = spec.training.hyperparameters
    for command in PLACEHOLDERS:
        for index, name in _placeholders(spec, command):
            if name.startswith("hp.") and name[3:] not in known:
                message = f"there is no hyperparameter `{name[3:]}`"
                yield Finding(f"training.{command}.{index}", message, suggest(name[3:], known))


@check("CT263", "interruptible machines that give up before a try can end")
def spot_waits_long_enough(spec: Spec) -> Iterator[Finding]:
    spot = spec.training.spot
    if spot is not None and spot.max_wait < spec.training.timeout:
        yield Finding(
            "training.spot.max_wait",
            f"`max_wait` ({_text(spot.max_wait)}) is shorter than `timeout` ({_text(spec.training.timeout)})",
            "wait at least as long as one try may take",
            ("training.timeout", "the timeout"),
        )


@check("CT264", "a window of no length")
def windows_have_a_length(spec: Spec) -> Iterator[Finding]:
    retraining = spec.retraining
    nothing = timedelta(0)
    if retraining.window == nothing:
        yield Finding("retraining.window", "a window of no length holds no rows", "write one such as 90d")
    if retraining.holdout.time == nothing:
        yield Finding("retraining.holdout.time", "a holdout of no length judges nothing", "write one such as 7d")
    if spec.training.timeout == nothing:
        yield Finding("training.timeout", "a timeout of no length stops every command at once", "write one such as 1h")


@check("CT265", "a holdout longer than what is learnt from", Severity.WARNING)
def the_holdout_is_the_smaller_part(spec: Spec) -> Iterator[Finding]:
    window, holdout = spec.retraining.window, spec.retraining.holdout.time
    if window is not None and holdout is not None and timedelta(0) < window < holdout:
        yield Finding(
            "retraining.holdout.time",
            f"the holdout ({_text(holdout)}) is longer than the training window ({_text(window)})",
            "lengthen the window, or shorten the holdout",
            ("retraining.window", "the window"),
        )


@check("CT266", "more validation rows than training rows")
def validation_is_the_smaller_part(spec: Spec) -> Iterator[Finding]:
    if spec.retraining.validation_share > 0.5:
        message = "more than half of the rows would be kept from training"
        yield Finding("retraining.validation_share", message, "write 50% or less; 10% is usual")


@check("CT267", "validation rows that the command does not read", Severity.WARNING)
def validation_rows_are_read(spec: Spec) -> Iterator[Finding]:
    asked = {name for _, name in _placeholders(spec, "argv")}
    if spec.retraining.validation_share > 0 and "train" in asked and "valid" not in asked:
        yield Finding(
            "retraining.validation_share",
            "these rows are kept from training, and the training command does not read them",
            'add "{valid}" to `training.argv`, or remove `validation_share`',
            ("training.argv", "no {valid} here"),
        )


@check("CT268", "a state that is saved less often than a try may last", Severity.WARNING)
def checkpoints_come_in_time(spec: Spec) -> Iterator[Finding]:
    spot = spec.training.spot
    if spot is not None and spot.checkpoint >= spec.training.timeout:
        yield Finding(
            "training.spot.checkpoint",
            f"no try lasts until its first checkpoint ({_text(spot.checkpoint)})",
            "save the state more often than `timeout`",
            ("training.timeout", "the timeout"),
        )


@check("CT269", "two seeds", Severity.WARNING)
def there_is_one_seed(spec: Spec) -> Iterator[Finding]:
    other = spec.training.hyperparameters.get("seed", spec.training.seed)
    if other != spec.training.seed:
        yield Finding(
            "training.seed",
            f"`training.seed` is {spec.training.seed} and the hyperparameter `seed` is {other}",
            "keep one of them",
            ("training.hyperparameters.seed", "the other seed"),
        )


def _text(time: timedelta) -> str:
    seconds = int(time.total_seconds())
    parts = []
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
