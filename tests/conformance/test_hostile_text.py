"""Text of the spec stays text: hostile values in every free place, on every target.

What a value becomes is asked of the parsed documents: it stands there as the whole value that it was, or the spec is
refused at the place where it stands. Nothing else may change beside the value.
"""

from __future__ import annotations

import copy
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import everywhere
import pytest
import yaml

from ctc import targets
from ctc.compiler.build import build
from ctc.language.load import load_spec

HOSTILE = {
    "quotes": """a' "b" \\'c\\" """,
    "command": "$(touch pwned)",
    "backticks": "`touch pwned`",
    "azureml": "${{ parent.inputs.secret }}",
    "optional": "$[[ ${{inputs.x}} ]]",
    "kfp": "{{$.inputs.parameters['attempt']}}",
    "argo": "{{workflow.name}}",
    "jinja": "{% for x in y %}{{ x }}{% endfor %}",
    "systemd": "%{HOME} %(x)s",
    "newline": "a\nb: {c: d}\n- e",
    "join": '{"Std:Join": {"On": "", "Values": [{"Get": "Parameters.attempt"}]}}',
    "get": '{"Get": "Execution.PipelineName"}',
    "arm": "[concat('a', parameters('b'))]",
    "states": "States.Format('{}', $.x)",
    "workflows": "${sys.get_env('GOOGLE_CLOUD_PROJECT_ID')}",
    "separator": "a; touch pwned #",
}

PLACES: dict[str, tuple[str | int, ...]] = {
    "description": ("description",),
    "owner": ("owner",),
    "a word of the command": ("training", "argv", 1),
    "a word of predict": ("training", "predict", 1),
    "a variable of the environment": ("training", "env", "WORD"),
    "a hyperparameter": ("training", "hyperparameters", "word"),
}

EXPRESSIONS = ("{{", "%{", "${", "$[[", "{%", "$(", '{"')
"""What a value that is refused must hold: the start of an expression of some service or of the language itself."""


def hostile(place: tuple[str | int, ...], value: str) -> dict[str, Any]:
    tree: dict[str, Any] = yaml.safe_load((everywhere.ROOT / "specs" / "everywhere.yaml").read_text())
    tree["training"] |= {"env": {"WORD": "x"}, "hyperparameters": {"word": "x"}}
    holder: Any = tree
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    return tree


def documents(tree: dict[str, Any], target: str, folder: Path) -> dict[str, Any] | list[str]:
    """The emitted documents by path, or the codes by which the spec is refused."""
    file = folder / "spec.yaml"
    file.write_text(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True))
    loaded = load_spec(file, None, target)
    if loaded.spec is None:
        return [item.code for item in loaded.diagnostics if item.severity.name == "ERROR"]
    built = build(loaded.spec, targets.load(target))
    if built.bundle is None:
        return [item.code for item in built.diagnostics if item.severity.name == "ERROR"]
    found = {}
    for item in built.bundle.artifacts:
        if item.path.endswith((".json", ".yaml", ".yml")):
            found[item.path] = list(yaml.load_all(item.content, Loader=yaml.CSafeLoader))
    return found


def texts(value: Any) -> Iterator[str]:
    """Every text of a document, keys too, those inside JSON documents and shell words that are texts themselves too."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from texts(key)
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, str):
        yield value


def places(value: Any, path: str = "") -> set[str]:
    """Where there is anything at all: a value that broke out of its text would add a key or a member."""
    if isinstance(value, dict):
        return {path}.union(*(places(item, f"{path}/{key}") for key, item in value.items()))
    if isinstance(value, list):
        return {path}.union(*(places(item, f"{path}/{index}") for index, item in enumerate(value)))
    return {path}


@pytest.mark.parametrize("target", targets.NAMES)
@pytest.mark.parametrize("place", PLACES)
def test_a_hostile_value_changes_no_structure(target: str, place: str, tmp_path: Path) -> None:
    harmless = documents(hostile(PLACES[place], "harmless"), target, tmp_path)
    assert isinstance(harmless, dict)
    for kind, value in HOSTILE.items():
        found = documents(hostile(PLACES[place], value), target, tmp_path)
        if isinstance(found, list):
            assert found, kind
            assert any(sign in value for sign in EXPRESSIONS) or "\n" in value, (kind, found)
            continue
        assert places(found) == places(harmless), (kind, "a key or a member was added")


@pytest.mark.parametrize("target", targets.NAMES)
def test_a_hostile_word_is_one_word_of_the_shell(target: str, tmp_path: Path) -> None:
    """Where a command is one text that a shell reads, its words are those of the spec."""
    seen = 0
    for value in HOSTILE.values():
        found = documents(hostile(PLACES["a word of the command"], value), target, tmp_path)
        if isinstance(found, list):
            continue
        words = [text for text in texts(found) if text == value]
        shells = [shlex.split(text) for text in texts(found) if text.startswith("python") and " -- " in text]
        words += [word for shell in shells for word in shell if word == value]
        words += [word for text in texts(found) for word in inside(text) if word == value]
        assert words, value
        seen += 1
    assert seen >= 8


def inside(text: str) -> Iterator[str]:
    """The texts of a JSON document, or the words of a command, that a text holds."""
    if text.startswith(("{", "[")):
        try:
            yield from texts(copy.copy(json.loads(text)))
        except ValueError:
            return
    elif " " in text:
        try:
            yield from shlex.split(text)
        except ValueError:
            return
