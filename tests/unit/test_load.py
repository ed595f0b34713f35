"""From file to frozen spec: defaults, environments, targets, places; and no spec, however wrong, is an exception."""

from __future__ import annotations

import copy
import dataclasses
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import yaml

from ctc.diagnostics import Diagnostic, Severity, Span
from ctc.language import spec as types
from ctc.language import units
from ctc.language.based import resolved
from ctc.language.checks.gates import TASKS
from ctc.language.conforms import conforms
from ctc.language.load import Loaded, load_spec, place
from ctc.language.shape import check_shape, schema
from ctc.language.source import read
from ctc.language.spec import Spec
from ctc.language.spec import serving as in_use
from ctc.language.typed import HIGHER_IS_BETTER
from ctc.report import render

ROOT = Path(__file__).resolve().parent.parent.parent
SPECS = sorted((ROOT / "specs").glob("*.yaml"))


def spec_of(name: str, environment: str | None = None, target: str | None = None) -> Spec:
    loaded = load_spec(ROOT / "specs" / f"{name}.yaml", environment, target)
    assert loaded.diagnostics == ()
    assert loaded.spec is not None
    return loaded.spec


def test_what_is_written_arrives_in_base_units() -> None:
    spec = spec_of("new_data")

    assert spec.rows.name == "applications"
    assert spec.rows.path == "s3://acme-credit/applications/"
    assert spec.labelled.known_after == timedelta(days=90)
    assert spec.training.resources.memory == 32 * 2**30
    assert spec.training.seed == 17
    assert spec.retraining.validation_share == 0.1
    assert spec.retraining.window is None
    assert {check.name: dict(check.arguments) for check in spec.checks} == {
        "enough": {"min": 20000},
        "income_present": {"column": "income", "max": 0.02},
        "amount_sane": {"column": "amount", "min": 0, "max": 5e6, "tolerate": 0.001},
        "known_country": {"column": "country", "values": ("NO", "SE", "DK", "FI")},
        "one_row_each": {"columns": ("application_id",)},
        "fresh": {"max_age": 172800.0},
    }
    assert [(gate.name, gate.kind, gate.confidence) for gate in spec.promotion.gates][1:] == [
        ("auc_kept", "not_worse", 0.975),
        ("calibrated", "not_worse", 0.95),
    ]
    assert [metric.better for metric in spec.evaluation.metrics] == ["higher", "lower"]
    assert spec.trigger_policy.rearm == types.Rearm(5000, timedelta(days=7))


def test_what_is_left_out_has_its_default() -> None:
    spec = spec_of("minimal")

    assert spec.environment == "default"
    assert spec.deployed_name == "late-parcels"
    assert spec.training.resources == types.Resources()
    assert spec.training.timeout == timedelta(hours=1)
    assert spec.training.seed == 0
    assert spec.trigger_policy == types.TriggerPolicy()
    assert spec.columns == types.Columns()
    assert spec.promotion.keep == 10


def test_an_environment_patches_and_a_target_overrides() -> None:
    dev, prod = spec_of("environments", "dev"), spec_of("environments", "prod")
    there = spec_of("environments", "prod", "sagemaker")

    assert (dev.mode, prod.mode) == ("observe", "act")
    assert dev.deployed_name == "card-fraud-dev"
    assert dev.retraining.window == timedelta(days=30)
    assert dev.training.resources == types.Resources(2.0, 4 * 2**30)
    assert [trigger.enabled for trigger in dev.triggers] == [False, True]
    assert prod.retraining.holdout.min_rows == 50000
    assert prod.rows.path == "s3://acme-payments/transactions/"
    assert there.rows.path == "s3://acme-payments-eu/transactions/"
    assert "variables" not in there.targets["sagemaker"]


def test_places_survive_a_patch(tmp_path: Path) -> None:
    file = tmp_path / "ctc.yaml"
    file.write_text((ROOT / "specs" / "environments.yaml").read_text().replace("window: 30d", "window: soon"))
    [found] = load_spec(file, "dev").diagnostics

    line = file.read_text().splitlines()[found.span.line - 1] if found.span else ""
    assert found.code == "CT106"
    assert "${var.window}" in line, "the value is wrong where it is used"
    assert load_spec(file, "prod").diagnostics == ()


def test_a_diagnostic_of_a_target_gets_its_place() -> None:
    loaded = load_spec(ROOT / "specs" / "minimal.yaml", None, "kubeflow")
    item = place(Diagnostic("CT311", Severity.ERROR, "no", "targets.kubeflow.namespace"), loaded)
    gone = place(Diagnostic("CT311", Severity.ERROR, "no", "trigger_policy.wake_every"), loaded)

    assert item.span is not None
    assert item.span.line == len((ROOT / "specs" / "minimal.yaml").read_text().splitlines()) - 1
    assert gone.span is not None, "what is not written is pointed at from above"


def test_findings_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "ctc.yaml"
    text = (ROOT / "specs" / "minimal.yaml").read_text()
    file.write_text(text.replace("mode: act", "mode: acting").replace("60d", "60").replace("auc, min", "auc, mini"))
    found = load_spec(file).diagnostics

    assert [item.path for item in found] == ["mode", "retraining.window", "promotion.gates.floor.range.mini"]


def trees(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every node but the root."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from trees(item, (*path, key))


ODDITIES: list[Any] = [
    None, True, 0, -1, 1e308, 10**17, "", "x", "0d", "5%", "${var.x}", "${var.lake}", "{hp.x}", "a.b", "9" * 400,
    [], [None], {}, {"x": {}}, [[["x"]]], {"schedule": {}, "manual": {}}, "\u2028", "é🙂", "* * * * *",
]  # fmt: skip


def mutated(tree: Any, draw: random.Random) -> Any:
    tree = copy.deepcopy(tree)
    for _ in range(draw.randint(1, 3)):
        *above, key = draw.choice(list(trees(tree)))
        node = tree
        for step in above:
            node = node[step]
        action = draw.randrange(4)
        if action == 0:
            del node[key]
        elif action == 1 and isinstance(node, dict):
            node[draw.choice(["x", "on", "drift", "schedule", "a.b", "7", "", str(key) + "s"])] = node.pop(key)
        elif action == 2:
            *other, last = draw.choice(list(trees(tree)))
            donor = tree
            for step in other:
                donor = donor[step]
            node[key] = copy.deepcopy(donor[last])
        else:
            node[key] = copy.deepcopy(draw.choice(ODDITIES))
        if not list(trees(tree)):
            break
    return tree


@pytest.mark.parametrize("name", ["minimal", "new_data", "environments"])
def test_no_mutation_makes_an_exception(name: str, tmp_path: Path) -> None:
    """Nor an error without a place, nor a finding that cannot be shown."""
    draw = random.Random(name)
    tree = read(ROOT / "specs" / f"{name}.yaml").data
    environment = "prod" if name == "environments" else None
    file = tmp_path / "ctc.yaml"
    outcomes: dict[bool, int] = {True: 0, False: 0}
    for _ in range(300):
        file.write_text(yaml.dump(mutated(tree, draw), Dumper=yaml.CSafeDumper, allow_unicode=True))
        loaded = load_spec(file, environment, draw.choice([None, "kubeflow", "sagemaker"]))
        check_outcome(loaded)
        assert render(loaded.diagnostics, {str(file): file.read_text()}, color=False) or not loaded.diagnostics
        outcomes[loaded.spec is not None] += 1
    assert min(outcomes.values()) > 5, "a fuzz whose specs are all right, or all wrong, shows little"


def check_outcome(loaded: Loaded) -> None:
    errors = [item for item in loaded.diagnostics if item.severity is Severity.ERROR]
    assert (loaded.spec is None) == bool(errors)
    assert all(isinstance(item.span, Span) for item in loaded.diagnostics)


def test_shape_and_schema_give_the_same_verdict() -> None:
    """The schema that editors use, read by a validator that knows nothing of ours, agrees on every mutation."""
    draw = random.Random(7)
    plain = jsonschema.Draft202012Validator(schema())
    tree = read(ROOT / "specs" / "new_data.yaml").data
    verdicts = set()
    for _ in range(400):
        changed = mutated(tree, draw)
        ours = {item.code for item in check_shape(changed, {})}
        theirs = plain.is_valid(changed)
        verdicts.add(theirs)
        assert conforms(changed, schema()) == (theirs and not ours), changed
        if not theirs:
            assert ours, changed
        # What only a reader of units can tell (`2024-02-30`, `200%`) a plain validator does not find.
        if ours - {"CT106"}:
            assert not theirs, (ours, changed)
    assert verdicts == {True, False}


def test_a_whole_float_is_an_integer_as_the_schema_has_it() -> None:
    kind = {"type": "integer", "minimum": 1}
    assert [conforms(value, kind) for value in (2.0, 1e308, 2.5, 0.0, True)] == [True, True, False, False, False]


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


def fields(kind: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


def properties(*path: str) -> set[str]:
    return set(part(*path)["properties"])


def part(*path: str) -> dict[str, Any]:
    """The part of the schema that describes a place; `*` stands for any name, `$NAME` for a definition."""
    found: Any = schema()
    for key in path:
        if key.startswith("$"):
            found = schema()["$defs"][key[1:]]
        elif key == "*":
            found = resolved(found["additionalProperties"], schema())
        else:
            found = resolved(found["properties"][key], schema())
    return dict(found)


# `only_type`: what rendering or the map's key supplies. `only_schema`: what rendering uses up, or a level less.
PARITY: list[tuple[Any, tuple[str, ...], set[str], set[str]]] = [
    (types.Spec, (),
     {"runtime_image", "checks", "environment", "row", "gaps", "ranking", "forecast", "data_mode", "contender_from"},
     {"apiVersion", "runtime", "variables", "validation", "environments", "matrix", "data", "contender"}),
    (types.Ranking, ("task", "ranking"), set(), set()),
    (types.Forecast, ("task", "forecast"), set(), set()),
    (types.Source, ("$source",), {"name"}, set()),
    (types.Parquet, ("$source", "parquet"), set(), set()),
    (types.Csv, ("$source", "csv"), set(), set()),
    (types.Captured, ("$source", "captured"), set(), set()),
    (types.PredictionColumns, ("$source", "columns"), set(), set()),
    (types.Join, ("$source", "join"), set(), set()),
    (types.Label, ("label",), set(), set()),
    (types.Columns, ("columns",), set(), set()),
    (types.Over, ("$check", "over"), set(), set()),
    (types.Prepare, ("prepare",), set(), set()),
    (types.Training, ("training",), set(), set()),
    (types.CsvFormat, ("training", "format", "csv"), set(), set()),
    (types.Input, ("training", "inputs", "*"), {"name"}, set()),
    (types.Secret, ("$secret",), set(), set()),
    (types.Resources, ("$resources",), set(), set()),
    (types.Gpu, ("$resources", "gpu"), set(), set()),
    (types.Distributed, ("training", "distributed"), set(), set()),
    (types.Spot, ("training", "spot"), set(), set()),
    (types.Retraining, ("retraining",), set(), set()),
    (types.Holdout, ("$holdout",), set(), set()),
    (types.HashHoldout, ("$holdout", "hash"), set(), set()),
    (types.ColumnHoldout, ("$holdout", "column"), set(), set()),
    (types.Evaluation, ("evaluation",), set(), set()),
    (types.Slice, ("evaluation", "slices", "*"), {"name"}, set()),
    (types.Score, ("evaluation", "score"), set(), set()),
    (types.Promotion, ("promotion",), {"keep"}, {"registry"}),
    (types.Approval, ("$approval",), set(), set()),
    (types.Occurrences, ("promotion", "false_promotions"), set(), set()),
    (types.ScheduleTrigger, ("$schedule",), set(), set()),
    (types.NewDataTrigger, ("$trigger", "new_data"), set(), set()),
    (types.PerformanceTrigger, ("$trigger", "performance"), set(), set()),
    (types.DriftTrigger, ("$trigger", "drift"), set(), set()),
    (types.EventTrigger, ("$trigger", "event"), set(), set()),
    (types.ManualTrigger, ("$trigger", "manual"), set(), set()),
    (types.Trigger, ("$trigger",), {"name", "spec"},
     {"schedule", "new_data", "performance", "drift", "event", "manual"}),
    (types.TriggerPolicy, ("trigger_policy",), set(), set()),
    (types.MaxRuns, ("trigger_policy", "max_runs"), set(), set()),
    (types.Rearm, ("trigger_policy", "rearm"), set(), set()),
    (in_use.Serving, ("$serving",), {"name"}, set()),
    (in_use.Online, ("$serving", "online"), set(), set()),
    (in_use.Batch, ("$serving", "batch"), set(), set()),
    (in_use.Instances, ("$serving", "instances"), set(), set()),
    (in_use.Rollout, ("rollout",), set(), set()),
    (in_use.RolloutStep, ("$rollout_step",), {"duration"}, {"for"}),
    (in_use.Smoke, ("$rollout_step", "smoke"), set(), set()),
    (in_use.Cost, ("cost",), set(), set()),
    (in_use.Durations, ("cost", "durations"), set(), set()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "path", "only_type", "only_schema"), PARITY, ids=lambda value: getattr(value, "__name__", "")
)
def test_every_field_is_a_key_and_every_key_a_field(
    kind: Any, path: tuple[str, ...], only_type: set[str], only_schema: set[str]
) -> None:
    assert fields(kind) - only_type == properties(*path) - only_schema


def test_every_type_is_compared() -> None:
    known = {value for part in (types, in_use) for value in vars(part).values() if dataclasses.is_dataclass(value)}
    by_kind = {types.Check, types.Filter, types.Metric, types.Gate, in_use.LiveLimit, in_use.Notification}

    assert known - by_kind - {units.Money} == {kind for kind, *_ in PARITY}


def test_every_kind_of_gate_check_and_metric_is_a_type() -> None:
    gates = part("$gate")["properties"]
    arguments = {key for gate in gates.values() for key in gate["properties"]}

    assert fields(types.Gate) - {"name", "kind", "relative"} == arguments
    assert set(get_args(types.GateKind)) == set(gates)
    assert set(part("$metric")["properties"]) - {"better"} == set(TASKS) == set(HIGHER_IS_BETTER)
    assert set(get_args(types.DriftMethod)) == set(part("$drift_method")["enum"])


def nodes(node: Any, where: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Every part of the schema that describes a value, with its place; examples are values themselves."""
    if isinstance(node, dict):
        yield where, node
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        if key not in ("examples", "x-not-run", "x-not-yet"):
            yield from nodes(value, (*where, str(key)))


def test_every_object_is_closed() -> None:
    for where, node in nodes(schema()):
        kinds = node.get("type")
        if "object" in (kinds if isinstance(kinds, list) else [kinds]) and where[-1:] != ("not",):
            patch = where[-2:] == ("environments", "additionalProperties")
            assert patch or "additionalProperties" in node, where


def test_every_key_is_described() -> None:
    for where, node in nodes(schema()):
        if where[-2:-1] == ("properties",) and "dependentSchemas" not in where and where[-3:-1] != ("properties",) * 2:
            assert node.get("description") or resolved(node, schema()).get("description"), where


def test_every_example_is_one() -> None:
    count = 0
    for where, node in nodes(schema()):
        for example in node.get("examples", []):
            count += 1
            assert jsonschema.Draft202012Validator({**node, "$defs": schema()["$defs"]}).is_valid(example), where
            assert conforms(example, {**node, "$defs": schema()["$defs"]}), where
    assert count > 80


DISTRIBUTED = "distributed: {nodes: 2, launcher: mpi}"


def test_what_is_not_run_is_in_the_spec_that_asks_for_it(tmp_path: Path) -> None:
    file = tmp_path / "ctc.yaml"
    text = (ROOT / "specs" / "minimal.yaml").read_text()
    file.write_text(text.replace("training:\n", f"training:\n  {DISTRIBUTED}\n", 1) + "data: {mode: uri}\n")
    loaded = load_spec(file)
    [found] = [item for item in loaded.diagnostics if item.code == "CT390"]

    assert loaded.spec is not None
    assert set(loaded.spec.gaps) == {"training.distributed.launcher", "data.mode"}
    assert found.severity is Severity.WARNING
    assert found.span is not None
    assert found.span.line in (text.splitlines().index("training:") + 2, len(text.splitlines()) + 2)
