"""The user's commands, and what they learn from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

from ctc.diagnostics import Severity
from ctc.language.checks import Finding, check, suggest
from ctc.language.checks.time import written
from ctc.language.spec import Spec
from ctc.value import Value, frozen

# The same pattern as that of the shim, which fills them.
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.-]*)\}")

_ELSEWHERE = {
    "base_model": "only `strategy: fine_tune` and `incremental` start from a model",
    "prepared": "only `prepare` makes it",
    "history": "only a forecast is given the history before its origin",
}
"""Placeholders that some specs have, and when."""

_PLATFORM_VARIABLES = {"sagemaker": ("SM_", "TRAINING_"), "vertex": ("AIP_",), "azureml": ("AZUREML_",)}
"""What each `interface` sets by itself: the documented prefixes of the platforms' training environments."""


@frozen
class Command(Value):
    """A command of the spec: where it stands, the placeholders that it has, and those that it cannot do without."""

    path: str
    words: tuple[str, ...]
    known: tuple[str, ...]
    needed: tuple[str, ...] = ()
    hyperparameters: bool = True

    def placeholders(self) -> Iterator[tuple[int, str]]:
        """The index of each word with a placeholder, and its name."""
        for index, word in enumerate(self.words):
            for match in _PLACEHOLDER.finditer(word):
                yield index, match[1]


def commands(spec: Spec) -> Iterator[Command]:
    """Every command that the spec has."""
    training, prepare = spec.training, spec.prepare
    inputs = tuple(f"inputs.{given.name}" for given in training.inputs)
    prepared = () if prepare is None else ("prepared",)
    base = () if spec.retraining.strategy == "full" else ("base_model",)
    history = () if spec.forecast is None else ("history",)
    # An interface sets folders and variables that an unedited script reads.
    paths = training.interface is None
    yield Command(
        "training.argv",
        training.argv,
        ("train", "valid", "model", "checkpoints", *base, *prepared, *inputs),
        (*(("train", "model") if paths else ()), *base),
    )
    yield Command(
        "training.predict",
        training.predict,
        ("model", "rows", "predictions", *history, *prepared, *inputs),
        ("model", "rows", "predictions") if paths else (),
    )
    if prepare is not None:
        yield Command("prepare.fit", prepare.fit, ("train", "valid", "prepared", *inputs), ("train", "prepared"))
        applied = ("prepared", "rows", "out")
        yield Command("prepare.apply", prepare.apply, (*applied, *inputs), applied)
    for entry in spec.serving:
        if entry.online is not None:
            path = f"serving.{entry.name}.online.argv"
            yield Command(path, entry.online.argv, ("model", *prepared, *inputs), ("model",), hyperparameters=False)
    score = spec.evaluation.score
    if score is not None:
        needed = ("predictions", "out")
        known = (*needed, "holdout", *inputs)
        yield Command("evaluation.score.argv", score.argv, known, needed, hyperparameters=False)


@check("CT260", "a command that is not given what it reads or writes", Severity.WARNING)
def commands_get_their_paths(spec: Spec) -> Iterator[Finding]:
    for command in commands(spec):
        asked = {name for _, name in command.placeholders()}
        missing = [name for name in command.needed if name not in asked]
        if missing:
            listed = ", ".join(f"{{{name}}}" for name in missing)
            variables = ", ".join(f"CTC_{name.upper()}" for name in missing)
            message = f"`{command.path}` does not have {listed}"
            yield Finding(command.path, message, f'add it as a word, "{{{missing[0]}}}", or read {variables}')


@check("CT261", "a placeholder that a command does not have")
def placeholders_exist(spec: Spec) -> Iterator[Finding]:
    for command in commands(spec):
        for index, name in command.placeholders():
            if name in command.known or (name.startswith("hp.") and command.hyperparameters):
                continue
            message = f"`{command.path}` has no placeholder `{{{name}}}`"
            yield Finding(f"{command.path}.{index}", message, _instead(command, name))


def _instead(command: Command, name: str) -> str:
    if name.startswith("hp."):
        return "hyperparameters are for training, predicting and preparing; write the value itself"
    known = [f"{{{item}}}" for item in command.known]
    if name.startswith("inputs."):
        known = [item for item in known if item.startswith("{inputs.")]
    return _ELSEWHERE.get(name) or suggest(f"{{{name}}}", known)


@check("CT262", "a hyperparameter that is not defined")
def hyperparameters_exist(spec: Spec) -> Iterator[Finding]:
    known = spec.training.hyperparameters
    for command in commands(spec):
        for index, name in command.placeholders():
            if command.hyperparameters and name.startswith("hp.") and name[3:] not in known:
                message = f"there is no hyperparameter `{name[3:]}`"
                yield Finding(f"{command.path}.{index}", message, suggest(name[3:], known))


@check("CT263", "interruptible machines that give up before a try can end")
def spot_waits_long_enough(spec: Spec) -> Iterator[Finding]:
    spot = spec.training.spot
    if spot is not None and spot.max_wait < spec.training.timeout:
        yield Finding(
            "training.spot.max_wait",
            f"`max_wait` ({written(spot.max_wait)}) is shorter than `timeout` ({written(spec.training.timeout)})",
            "wait at least as long as one try may take",
            ("training.timeout", "the timeout"),
        )


@check("CT264", "a stretch of no length, or a share that leaves nothing")
def windows_have_a_length(spec: Spec) -> Iterator[Finding]:
    retraining = spec.retraining
    nothing = timedelta(0)
    if retraining.window == nothing:
        yield Finding("retraining.window", "a window of no length holds no rows", "write one such as 90d")
    if retraining.holdout.time == nothing:
        yield Finding("retraining.holdout.time", "a holdout of no length judges nothing", "write one such as 7d")
    if spec.training.timeout == nothing:
        yield Finding("training.timeout", "a timeout of no length stops every command at once", "write one such as 1h")
    if spec.prepare is not None and spec.prepare.timeout == nothing:
        yield Finding("prepare.timeout", "a timeout of no length stops every command at once", "write one such as 1h")
    if retraining.full_every == nothing and retraining.strategy == "incremental":
        message = "every update would start from scratch"
        yield Finding("retraining.full_every", message, "write one such as 7d, or `strategy: full`")
    by_hash = retraining.holdout.hash
    if by_hash is not None and by_hash.share in (0, 1):
        left = "judge on" if by_hash.share == 0 else "learn from"
        message = f"a share of {by_hash.share:.0%} leaves no row to {left}"
        yield Finding("retraining.holdout.hash.share", message, "write one such as 10%")


@check("CT265", "a holdout larger than what is learnt from", Severity.WARNING)
def the_holdout_is_the_smaller_part(spec: Spec) -> Iterator[Finding]:
    window, holdout = spec.retraining.window, spec.retraining.holdout
    if window is not None and holdout.time is not None and timedelta(0) < window < holdout.time:
        yield Finding(
            "retraining.holdout.time",
            f"the holdout ({written(holdout.time)}) is longer than the training window ({written(window)})",
            "lengthen the window, or shorten the holdout",
            ("retraining.window", "the window"),
        )
    if holdout.hash is not None and 0.5 < holdout.hash.share < 1:
        message = f"{holdout.hash.share:.0%} of the keys judge, and the rest is all that is learnt from"
        yield Finding("retraining.holdout.hash.share", message, "write 50% or less; 10% is usual")


@check("CT266", "more validation rows than training rows")
def validation_is_the_smaller_part(spec: Spec) -> Iterator[Finding]:
    if spec.retraining.validation_share > 0.5:
        message = "more than half of the rows would be kept from training"
        yield Finding("retraining.validation_share", message, "write 50% or less; 10% is usual")


@check("CT267", "validation rows that the command does not read", Severity.WARNING)
def validation_rows_are_read(spec: Spec) -> Iterator[Finding]:
    asked = {
        name for command in commands(spec) if command.path == "training.argv" for _, name in command.placeholders()
    }
    # A command without {train} reads its folders from the environment: CT260, or an interface.
    if spec.retraining.validation_share > 0 and "train" in asked and "valid" not in asked:
        yield Finding(
            "retraining.validation_share",
            f"{spec.retraining.validation_share:.0%} of the rows are kept from training, and the training command "
            "does not read them",
            'add "{valid}" to `training.argv`, or remove `validation_share`',
            ("training.argv", "no {valid} here"),
        )


@check("CT268", "a state that is saved less often than a try may last", Severity.WARNING)
def checkpoints_come_in_time(spec: Spec) -> Iterator[Finding]:
    spot = spec.training.spot
    if spot is not None and spot.checkpoint >= spec.training.timeout:
        yield Finding(
            "training.spot.checkpoint",
            f"no try lasts until its first checkpoint ({written(spot.checkpoint)})",
            "save the state more often than `timeout`",
            ("training.timeout", "the timeout"),
        )


@check("CT269", "two seeds", Severity.WARNING)
def there_is_one_seed(spec: Spec) -> Iterator[Finding]:
    other = spec.training.hyperparameters.get("seed", spec.training.seed)
    if other == spec.training.seed:
        return
    whole = type(other) is int
    message = f"`training.seed` is {spec.training.seed} and the hyperparameter `seed` is {other}"
    yield Finding(
        "training.seed" if whole else "training.hyperparameters.seed",
        message if whole else f"{message}, which is no whole number",
        "keep one of them" if whole else "write a whole number such as 17, so that it seeds every step",
        ("training.hyperparameters.seed", "the other seed") if whole else None,
    )


@check("CT276", "a strategy without its parameter, or with that of another")
def strategies_have_their_own_parameters(spec: Spec) -> Iterator[Finding]:
    retraining = spec.retraining
    strategy, related = retraining.strategy, ("retraining.strategy", "the strategy")
    if strategy == "incremental" and retraining.full_every is None:
        yield Finding(
            "retraining.strategy",
            "an incremental model is never rid of what it once learnt: it must start from scratch now and then",
            "add `full_every: 7d`, or how long it may go on",
        )
    if strategy != "incremental" and retraining.full_every is not None:
        message = f"`strategy: {strategy}` has no `full_every`: it says how often an incremental model starts anew"
        yield Finding("retraining.full_every", message, "remove it, or write `strategy: incremental`", related)
    if strategy != "fine_tune" and retraining.replay > 0:
        message = f"`strategy: {strategy}` replays no old rows beside new ones"
        yield Finding("retraining.replay", message, "remove it, or write `strategy: fine_tune`", related)
    if strategy == "incremental" and retraining.validation_share > 0:
        message = "an incremental model is judged on every row before it learns it: none is set aside for validation"
        yield Finding("retraining.validation_share", message, "remove it", related)


@check("CT278", "an environment variable that is set for the command anyway")
def variables_do_not_clash(spec: Spec) -> Iterator[Finding]:
    training = spec.training
    prefixes = _PLATFORM_VARIABLES.get(training.interface or "", ())
    for name in training.env:
        if name.startswith("CTC_"):
            message = f"ctc sets the variables that start with CTC_, so `{name}` could not be relied on"
            yield Finding(f"training.env.{name}", message, "give it another name")
        elif name.startswith(prefixes) and prefixes:
            message = f"`interface: {training.interface}` sets the variables that start with {name.split('_')[0]}_"
            related = ("training.interface", "set by it")
            yield Finding(f"training.env.{name}", message, "give it another name", related)
