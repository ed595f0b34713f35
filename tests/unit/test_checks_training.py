"""The user's commands: which placeholders each has, and which parameters each strategy."""

from __future__ import annotations

import pytest
from changed_spec import SERVER, findings

COMMANDS = """
prepare: {fit: [fit, "{train}", "{prepared}"], apply: [apply, "{prepared}", "{rows}", "{out}"]}
evaluation: {score: {image: judge, argv: [judge, "{predictions}", "{out}"]}}
"""


@pytest.mark.parametrize(
    ("argv", "more", "unknown"),
    [
        ("{train} {valid} {model} {hp.depth} {checkpoints}", "", []),
        ("{train} {model} {rows}", "", ["{rows}"]),
        ("{train} {model} {base_model}", "", ["{base_model}"]),
        ("{train} {model} {base_model}", "retraining: {strategy: fine_tune}", []),
        ("{train} {model} {base_model}", "retraining: {strategy: incremental, full_every: 7d}", []),
        ("{train} {model} {prepared}", "", ["{prepared}"]),
        ("{train} {model} {prepared}", COMMANDS, []),
        ("{train} {model} {inputs.w}", "", ["{inputs.w}"]),
        ("{train} {model} {inputs.w}", f"training: {{inputs: {{w: {{uri: x, digest: 'sha256:{'0' * 64}'}}}}}}", []),
        ("{train} {model} {history}", "", ["{history}"]),
        ('{train} {model} {"a":1} {}', "", []),
    ],
)
def test_the_placeholders_of_training(argv: str, more: str, unknown: list[str]) -> None:
    found = findings("CT261", "training: {hyperparameters: {depth: 6}}", _argv(argv), more)

    assert [item.message.split("placeholder ")[1] for item in found] == [f"`{name}`" for name in unknown]


@pytest.mark.parametrize(
    ("path", "word", "known"),
    [
        ("prepare.fit", "{rows}", False),
        ("prepare.fit", "{hp.depth}", True),
        ("prepare.apply", "{train}", False),
        ("evaluation.score.argv", "{hp.depth}", False),
        ("evaluation.score.argv", "{out}", True),
    ],
)
def test_each_command_has_its_own(path: str, word: str, known: bool) -> None:
    change = f"'{word}', '{{predictions}}', '{{out}}', '{{prepared}}', '{{train}}', '{{rows}}'"
    keys = path.split(".")
    text = f"[{change}]"
    for key in reversed(keys):
        text = f"{{{key}: {text}}}"
    found = findings("CT261", "training: {hyperparameters: {depth: 6}}", COMMANDS, text)

    assert (word in " ".join(item.message for item in found)) is not known


def test_a_server_is_given_the_model_and_no_hyperparameter() -> None:
    assert findings("CT261", SERVER) == findings("CT260", SERVER) == []
    [found] = findings("CT261", SERVER, 'serving: {api: {online: {argv: [serve, "{model}", "{hp.depth}"]}}}')

    assert (found.path, "write the value itself" in found.help) == ("serving.api.online.argv.2", True)


def test_an_interface_sets_the_paths() -> None:
    bare = "training: {argv: [python, train.py], predict: [python, predict.py]}"

    assert [item.path for item in findings("CT260", bare)] == ["training.argv", "training.predict"]
    assert findings("CT260", bare, "training: {interface: sagemaker}") == []
    assert findings("CT267", bare, "retraining: {validation_share: 10%}", "training: {interface: vertex}") == []


@pytest.mark.parametrize(
    ("retraining", "paths"),
    [
        ("{strategy: full}", []),
        ("{strategy: full, replay: 10%}", ["retraining.replay"]),
        ("{strategy: full, full_every: 7d}", ["retraining.full_every"]),
        ("{strategy: fine_tune, replay: 10%}", []),
        ("{strategy: fine_tune, full_every: 7d}", ["retraining.full_every"]),
        ("{strategy: incremental}", ["retraining.strategy"]),
        ("{strategy: incremental, full_every: 7d}", []),
        ("{strategy: incremental, full_every: 7d, replay: 10%}", ["retraining.replay"]),
        ("{strategy: incremental, full_every: 7d, validation_share: 5%}", ["retraining.validation_share"]),
    ],
)
def test_each_strategy_has_its_own_parameters(retraining: str, paths: list[str]) -> None:
    assert [item.path for item in findings("CT276", f"retraining: {retraining}")] == paths


@pytest.mark.parametrize(
    ("interface", "name", "clashes"),
    [
        (None, "CTC_MODEL", True),
        (None, "SM_HPS", False),
        ("sagemaker", "SM_HPS", True),
        ("sagemaker", "AIP_MODEL_DIR", False),
        ("vertex", "AIP_MODEL_DIR", True),
        ("azureml", "AZUREML_RUN_ID", True),
        ("azureml", "MY_CTC_MODEL", False),
    ],
)
def test_variables_that_are_set_anyway(interface: str | None, name: str, clashes: bool) -> None:
    change = f"training: {{interface: {interface or 'null'}, env: {{{name}: x}}}}"

    assert bool(findings("CT278", change)) is clashes


@pytest.mark.parametrize(
    ("seeds", "path"),
    [
        ("{seed: 1}", None),
        ("{hyperparameters: {seed: 17}}", None),
        ("{seed: 17, hyperparameters: {seed: 17}}", None),
        ("{seed: 1, hyperparameters: {seed: 17}}", "training.seed"),
        ("{hyperparameters: {seed: fixed}}", "training.hyperparameters.seed"),
    ],
)
def test_one_seed(seeds: str, path: str | None) -> None:
    assert [item.path for item in findings("CT269", f"training: {seeds}")] == ([] if path is None else [path])


@pytest.mark.parametrize(("share", "code"), [("0%", "CT264"), ("100%", "CT264"), ("51%", "CT265"), ("50%", None)])
def test_shares_of_a_hash(share: str, code: str | None) -> None:
    change = f"retraining: {{holdout: {{time: null, hash: {{key: [customer], share: {share}}}}}}}"

    assert [name for name in ("CT264", "CT265") if findings(name, change)] == ([] if code is None else [code])


def _argv(words: str) -> str:
    listed = ", ".join(f"'{word}'" for word in words.split())
    return f"training: {{argv: [train, {listed}]}}"
