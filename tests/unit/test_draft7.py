"""The draft-07 twin of the schema takes what the schema takes, and refuses what it refuses."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from test_load import mutated

from ctc.cli.common import guarded
from ctc.cli.schema import schema as verb
from ctc.language.draft7 import DIALECT, draft7
from ctc.language.shape import schema
from ctc.language.source import read

ROOT = Path(__file__).resolve().parent.parent.parent
SPECS = sorted((ROOT / "specs").glob("*.yaml"))
WRONG = sorted((ROOT / "tests" / "err").glob("CT1*.yaml"))
LATER = jsonschema.Draft202012Validator(schema())
EARLIER = jsonschema.Draft7Validator(draft7(schema()))


def test_it_is_a_schema_of_its_own_dialect() -> None:
    jsonschema.Draft7Validator.check_schema(EARLIER.schema)

    assert EARLIER.schema["$schema"] == DIALECT
    assert "$defs" not in json.dumps(EARLIER.schema)
    assert "dependentSchemas" not in json.dumps(EARLIER.schema)


def test_the_schema_itself_stays_as_it_is() -> None:
    before = copy.deepcopy(schema())
    draft7(schema())

    assert schema() == before


@pytest.mark.parametrize("spec", [*SPECS, *WRONG], ids=lambda path: path.stem)
def test_both_give_the_same_verdict_on_a_spec(spec: Path) -> None:
    tree = read(spec).data

    assert EARLIER.is_valid(tree) == LATER.is_valid(tree)


def test_the_wrong_specs_have_a_rule_of_each_kind_that_changes() -> None:
    """Without its keywords' new names the twin would take some of them: the comparison above can fail."""
    text = json.dumps({**schema(), "$schema": DIALECT}).replace('"dependentSchemas"', '"x"')
    careless = jsonschema.Draft202012Validator(json.loads(text))

    assert any(careless.is_valid(tree) != LATER.is_valid(tree) for tree in (read(spec).data for spec in WRONG))


def test_both_give_the_same_verdict_on_mutations() -> None:
    draw = random.Random(7)
    trees = [read(spec).data for spec in SPECS]
    verdicts = []
    for _ in range(300):
        changed = mutated(draw.choice(trees), draw)
        verdicts.append(LATER.is_valid(changed))
        assert EARLIER.is_valid(changed) == verdicts[-1], changed

    assert min(verdicts.count(True), verdicts.count(False)) > 20, "all right, or all wrong, shows little"


@pytest.mark.parametrize(
    ("later", "value"),
    [
        ({"$ref": "#/$defs/a", "maxLength": 3, "$defs": {"a": {"type": "string"}}}, "long"),
        ({"dependentSchemas": {"a": {"required": ["b"]}}}, {"a": 1}),
        ({"$ref": "#/$defs/a", "allOf": [{"minLength": 2}], "$defs": {"a": {"type": "string"}}}, 1),
        ({"$ref": "#/$defs/a", "allOf": [{"minLength": 2}], "$defs": {"a": {"type": "string"}}}, "x"),
        ({"properties": {"$ref": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "string"}}}, {"$ref": 1}),
    ],
)
def test_no_rule_is_lost(later: dict[str, Any], value: Any) -> None:
    assert not jsonschema.Draft202012Validator(later).is_valid(value)
    assert not jsonschema.Draft7Validator(draft7(later)).is_valid(value)


def test_what_is_no_schema_is_not_touched() -> None:
    literal = {"$ref": "#/$defs/a", "x": 1}

    made = draft7({"const": literal, "examples": [literal], "properties": {"$defs": {"description": "A name."}}})

    assert made["const"] == literal
    assert made["examples"] == [literal]
    assert made["properties"] == {"$defs": {"description": "A name."}}


def test_what_has_no_counterpart_is_refused() -> None:
    with pytest.raises(ValueError, match="draft-07 has no `prefixItems`"):
        draft7({"properties": {"a": {"prefixItems": [{"type": "string"}]}}})


def test_the_verb_prints_each_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    printed = {}
    for options in ((), ("--draft7",), ("--diagnostics",), ("--diagnostics", "--draft7")):
        assert guarded(verb, options) == 0
        printed[options] = json.loads(capsys.readouterr().out)

    assert printed[()] == schema()
    assert printed["--draft7",] == EARLIER.schema
    assert printed["--diagnostics",]["title"] == "What `ctc validate -o json` prints"
    assert printed["--diagnostics", "--draft7"] == draft7(printed["--diagnostics",])
