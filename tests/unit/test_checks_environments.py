"""Environments against each other, and what a target may set for itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent))
from changed_spec import MINIMAL, merge

from ctc.language.load import load_each

ONE_BUCKET = "targets: {sagemaker: null}\n"
BATCH = """
variables: {out: s3://acme-delivery/scores/}
serving: {nightly: {batch: {rows: parcels, out: "${var.out}", schedule: {cron: "0 5 * * *", timezone: UTC}}}}
"""
IMAGE = "registry.example/ctc@sha256:6d1f0c2b9a7e4d53c1f0a8b7e6d5c4b3a29180f7e6d5c4b3a29180f7e6d5c4b3"
CODES = ("CT305", "CT504", "CT505", "CT506", "CT507", "CT508")


def found(folder: Path, *changes: str) -> list[tuple[str, str]]:
    tree: dict[str, Any] = yaml.safe_load(MINIMAL.read_text())
    for change in (ONE_BUCKET, *changes):
        merge(tree, yaml.safe_load(change) or {})
    file = folder / "ctc.yaml"
    file.write_text(yaml.safe_dump(tree, sort_keys=False))
    _, findings = load_each(file)
    # Anything else would be a slip of the case itself.
    assert {item.code for item in findings} - {"CT390"} <= set(CODES), findings
    return [(item.code, item.path) for item in findings if item.code in CODES]


def environments(**patches: str) -> str:
    return "environments: {" + ", ".join(f"{name}: {patch}" for name, patch in patches.items()) + "}"


def test_two_that_share_a_name_in_one_place(tmp_path: Path) -> None:
    patches = environments(dev="{shared: true, retraining: {window: 45d}}", prod="{shared: true}")

    assert found(tmp_path, patches) == [("CT504", "environments.prod.shared")]


@pytest.mark.parametrize(
    "prod",
    [
        "{shared: true, targets: {kubeflow: {namespace: production}}}",
        "{shared: true, targets: {kubeflow: {host: 'http://other.example'}}}",
        "{retraining: {window: 50d}}",
    ],
)
def test_two_that_are_apart(prod: str, tmp_path: Path) -> None:
    dev = (
        "{retraining: {window: 45d}}" if prod.startswith("{retraining") else "{shared: true, retraining: {window: 45d}}"
    )

    assert found(tmp_path, environments(dev=dev, prod=prod)) == []


def test_an_account_is_a_place_of_its_own(tmp_path: Path) -> None:
    aws = 'targets: {kubeflow: null, sagemaker: {region: eu-north-1, role: "arn:aws:iam::1:role/a", bucket: b}}'
    dev = "{shared: true, retraining: {window: 45d}}"
    same = environments(dev=dev, prod='{shared: true, targets: {sagemaker: {role: "arn:aws:iam::1:role/b"}}}')
    other = environments(dev=dev, prod='{shared: true, targets: {sagemaker: {role: "arn:aws:iam::2:role/a"}}}')

    assert found(tmp_path, aws, same) == [("CT504", "environments.prod.shared")], "another role is no other place"
    assert found(tmp_path, aws, other) == []


@pytest.mark.parametrize(
    ("dev", "wrong"),
    [
        ("{retraining: {window: 45d}}", True),
        ("{variables: {out: s3://acme-sandbox/scores/}}", False),
        ("{variables: {out: s3://acme-delivery/scores}, retraining: {window: 45d}}", True),
        ("{mode: observe}", False),
    ],
)
def test_two_batch_jobs_do_not_write_to_one_place(dev: str, wrong: bool, tmp_path: Path) -> None:
    codes = [code for code, _ in found(tmp_path, BATCH, environments(dev=dev, prod="{}"))]

    assert codes == ["CT504"] * wrong


@pytest.mark.parametrize(
    ("name", "patch", "prod", "wrong"),
    [
        ("dev", "{shared: true}", "{retraining: {window: 90d}}", True),
        ("staging", "{shared: true}", "{retraining: {window: 90d}}", True),
        ("eu-test", "{shared: true}", "{retraining: {window: 90d}}", True),
        ("eu", "{shared: true}", "{retraining: {window: 90d}}", False),
        ("dev", "{shared: true, mode: observe}", "{retraining: {window: 90d}}", False),
        ("dev", "{shared: true}", "{targets: {kubeflow: {namespace: production}}}", False),
        ("dev", "{retraining: {window: 45d}}", "{shared: true}", False),
    ],
)
def test_the_plain_name_is_the_real_one(name: str, patch: str, prod: str, wrong: bool, tmp_path: Path) -> None:
    expected = [("CT505", f"environments.{name}.shared")] if wrong else []

    assert found(tmp_path, environments(**{name: patch, "prod": prod})) == expected


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        (environments(staging="{}", prod="{contender: {from: staging}}"), []),
        (environments(staging="{}", prod="{contender: {from: stagin}}"), ["environments.prod.contender.from"]),
        (environments(staging="{}", prod="{contender: {from: prod}}"), ["environments.prod.contender.from"]),
        (environments(dev="{mode: observe}", prod="{contender: {from: dev}}"), ["environments.prod.contender.from"]),
        (environments(a="{contender: {from: b}}", b="{contender: {from: c}}", c="{contender: {from: a}}"),
         ["environments.a.contender.from"]),
        (environments(a="{contender: {from: b}}", b="{contender: {from: c}}", c="{}"), []),
        ("contender: {from: staging}\n" + environments(staging="{}", prod="{owner: others}"), ["contender"]),
        ("contender: {from: staging}\n" + environments(staging="{contender: null}", prod="{}"), []),
        ("contender: {from: stagin}\n" + environments(staging="{contender: null}", prod="{}"), ["contender.from"]),
        ("contender: {from: staging}", ["contender"]),
    ],
)  # fmt: skip
def test_a_contender_comes_from_an_environment_that_trains(change: str, paths: list[str], tmp_path: Path) -> None:
    assert found(tmp_path, change) == [("CT506", path) for path in paths]


@pytest.mark.parametrize(("staging", "same"), [("{}", True), ("{owner: others}", False), ("{mode: observe}", False)])
def test_environments_that_differ_in_nothing(staging: str, same: bool, tmp_path: Path) -> None:
    expected = [("CT507", "environments.prod")] if same else []

    assert found(tmp_path, environments(prod="{}", staging=staging)) == expected


@pytest.mark.parametrize("order", [("dev", "prod"), ("prod", "dev")])
def test_the_one_with_another_judge_is_named(order: tuple[str, str], tmp_path: Path) -> None:
    patches = {"dev": f"{{runtime: {{image: '{IMAGE}'}}}}", "prod": "{retraining: {window: 90d}}"}
    change = environments(**{name: patches[name] for name in order})

    assert found(tmp_path, change) == [("CT508", "environments.dev.runtime.image")]


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ("30d", True), ("5%", True), ("0.5", True), ("12", True), ("64Gi", True), ('"0 3 * * 1"', True), ("true", True),
        ("s3://acme", False), ("registry.example/x:v1", False), ("eu-north-1", False), ("acme", False),
    ],
)  # fmt: skip
def test_a_target_sets_addresses_only(value: str, wrong: bool, tmp_path: Path) -> None:
    change = f'variables: {{x: a}}\ndescription: "${{var.x}}"\ntargets: {{kubeflow: {{variables: {{x: {value}}}}}}}'
    expected = [("CT305", "targets.kubeflow.variables.x")] if wrong else []

    assert found(tmp_path, change) == expected
