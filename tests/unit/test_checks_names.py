"""Names, images and secrets; and that no finding shows the secret."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent))
from changed_spec import MINIMAL, SERVER, findings, merge

from ctc.language.checks import registered
from ctc.language.load import load_each
from ctc.report import render

DIGEST = "sha256:6d1f0c2b9a7e4d53c1f0a8b7e6d5c4b3a29180f7e6d5c4b3a29180f7e6d5c4b3"


def on_tree(code: str, change: str) -> list[str]:
    tree: dict[str, Any] = yaml.safe_load(MINIMAL.read_text())
    merge(tree, yaml.safe_load(change))
    [item] = [item for item in registered() if item.code == code]
    assert item.on_tree is not None
    return [finding.path for finding in item.on_tree(tree)]


@pytest.mark.parametrize(
    ("length", "wrong"), [(39, False), (40, False), (41, True)], ids=["below", "at the line", "above"]
)
def test_names_fit_into_what_targets_append(length: int, wrong: bool) -> None:
    assert bool(findings("CT230", f"name: {'a' * length}")) is wrong


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        ("name: late-parcels-train", ["name"]),
        ("name: late-parcels-wake", ["name"]),
        ("name: late-training", []),
        ("name: train", []),
        ("environments: {default: {}, prod: {}}", ["environments.default"]),
        ("environments: {train: {}, training: {}}", ["environments.train"]),
    ],
)
def test_names_that_mean_something_else(change: str, paths: list[str]) -> None:
    assert on_tree("CT509", change) == paths


def test_an_image_in_several_places_is_one_finding() -> None:
    server = SERVER.replace(f"parcels@{DIGEST}", "parcels:v3")
    prepare = "prepare: {image: registry.example/f, fit: [f], apply: [a]}"
    score = "evaluation: {score: {image: 'registry.example:5000/s', argv: [s]}}"
    [first, second, third] = findings(
        "CT502", "training: {image: 'registry.example/parcels:v3'}", server, prepare, score
    )

    assert first.path == "training.image"
    assert "`v3`" in first.message
    assert "`serving.api.online.image`" in first.message
    assert (second.path, third.path) == ("prepare.image", "evaluation.score.image")
    assert "without tag" in third.message, "a port is no tag"


@pytest.mark.parametrize(
    ("digest", "wrong"),
    [("6d" * 32, False), ("6d" * 31, True), ("6D" * 32, True), ("6g" * 32, True), ("", True)],
    ids=["whole", "short", "upper case", "no hexadecimal", "empty"],
)
def test_digests_have_64_digits(digest: str, wrong: bool) -> None:
    assert bool(findings("CT503", f"training: {{image: 'registry.example/parcels@sha256:{digest}'}}")) is wrong


@pytest.mark.parametrize(
    ("target", "name", "wrong"),
    [
        ("kubeflow", "hub-token", False),
        ("kubeflow", "hub-token/value", False),
        ("kubeflow", "HUB_TOKEN", True),
        ("kubeflow", "a/b/c", True),
        ("vertex", "HUB_TOKEN", False),
        ("vertex", "a/b", True),
        ("vertex", "a" * 255, False),
        ("vertex", "a" * 256, True),
        ("azureml", "HUB-token", False),
        ("azureml", "hub_token", True),
        ("azureml", "a" * 128, True),
        ("sagemaker", "prod/HUB_token.v1", False),
    ],
)
def test_secrets_have_names_that_the_store_takes(target: str, name: str, wrong: bool) -> None:
    in_env = f"training: {{env: {{HUB: {{secret: '{name}'}}}}}}"
    in_notice = f"notifications: {{us: {{slack: {{webhook: {{secret: '{name}'}}}}, events: [failed]}}}}"

    assert bool(findings("CT304", in_env, target=target)) is wrong
    assert bool(findings("CT304", in_notice, target=target)) is wrong
    assert len(findings("CT304", in_env, in_notice, target=target)) == wrong, "one name is one finding"


PLAIN = [
    "training: {env: {DB_PASSWORD: hunter2}}",
    "training: {env: {DBPASSWORD: hunter2}}",
    "training: {hyperparameters: {api_key: hunter2}}",
    "training: {env: {HUB_TOKEN: abcd1234efgh5678}}",
    "training: {env: {HUB: hf_abcdefghijklmnopqrstuvwxyz123456}}",
    "training: {env: {KEY: AKIAABCDEFGHIJKLMNOP}}",
    "training: {argv: [python, t.py, --token=abcdef123]}",
    "training: {argv: [python, t.py, --password, hunter2]}",
    "training: {argv: [python, t.py, --db-password, hunter2]}",
    "training: {argv: [python, t.py, 'postgres://ct:hunter2@db.example/x']}",
    "sources: {parcels: {parquet: {path: 'https://acme.example/x?sig=abcdefghijklmnopqrstuvwx'}}}",
    "notifications: {us: {slack: {webhook: {secret: xoxb-123456789012-abcdef}}, events: [failed]}}",
    "serving: {a: {online: {image: x, argv: ['Bearer abcdefghijklmnop1234'], port: 80, health: /h, route: /r}}}",
    "evaluation: {score: {image: x, argv: [judge, --api-key, hunter2]}}",
    "environments: {dev: {training: {env: {A_SECRET: hunter2}}}, prod: {mode: observe}}",
    "variables: {db_password: hunter2}",
    "targets: {kubeflow: {variables: {db_password: hunter2}}}",
    "matrix: {shop: {rows: [{shop: no, password: hunter2}]}}",
    "description: \"-----BEGIN RSA PRIVATE KEY-----\"",
]  # fmt: skip


@pytest.mark.parametrize("change", PLAIN)
def test_a_secret_in_plain_text_is_found_once(change: str) -> None:
    assert len(on_tree("CT501", change)) == 1


SECRETS = ("hunter2", "abcd1234efgh5678", "hf_abc", "AKIAABC", "abcdef123", "abcdefghijkl", "123456789012")


@pytest.mark.parametrize("change", [change for change in PLAIN if not change.startswith("description")])
def test_no_finding_shows_the_secret(change: str, tmp_path: Path) -> None:
    """Neither the sentence nor the line of the file beside it."""
    tree: dict[str, Any] = yaml.safe_load(MINIMAL.read_text())
    merge(tree, yaml.safe_load(change))
    file = tmp_path / "ctc.yaml"
    for flow in (True, False):
        file.write_text(yaml.safe_dump(tree, sort_keys=False, default_flow_style=flow and None, width=500))
        found = [item for item in load_each(file)[1] if item.code == "CT501"]
        said = render(found, {str(file): file.read_text()}, color=False)

        assert found
        assert [secret for secret in SECRETS if secret in said] == []


@pytest.mark.parametrize(
    "change",
    [
        "training: {env: {DB_PASSWORD: {secret: db-password}}}",
        "training: {env: {DB_PASSWORD_FILE: /run/secrets/db}}",
        "training: {env: {DB_PASSWORD: /run/secrets/db}}",
        "training: {env: {TOKENIZERS_PARALLELISM: 'false', MAX_TOKEN: 512}}",
        "training: {hyperparameters: {pad_token: '<pad>', mask_token: '[MASK]', eos_token: '</s>', token: word}}",
        "training: {argv: [python, t.py, '--password={hp.x}', --token, '{hp.y}', --token-type, bearer]}",
        "training: {argv: [python, t.py, --password, --verbose]}",
        "training: {argv: [python, t.py, 'postgres://ct:${PASSWORD}@db.example/x']}",
        "training: {argv: [python, t.py, --password, '${DB_PASSWORD}']}",
        "sources: {parcels: {csv: {path: x, columns: {password: string, token: string}}}}",
        "validation: {checks: {a: {sql: {expression: 'token=expected_token'}}}}",
        "validation: {checks: {a: {schema: {columns: {password: string}}}}}",
        "description: Finds stolen passwords and tokens.",
    ],
)
def test_what_only_looks_like_one_is_not(change: str) -> None:
    assert on_tree("CT501", change) == []


def test_a_secret_is_found_where_it_is_written(tmp_path: Path) -> None:
    """In its patch and in its variable, not again where these have come to."""
    tree: dict[str, Any] = yaml.safe_load(MINIMAL.read_text())
    change = """
    variables: {db_password: hunter2}
    training: {env: {DSN: "postgres://ct:${var.db_password}@db.example/x", API_KEY: {secret: a}}}
    environments: {dev: {training: {env: {API_KEY: f00dfeed}}}, prod: {retraining: {window: 90d}}}
    """
    merge(tree, yaml.safe_load(change))
    file = tmp_path / "ctc.yaml"
    file.write_text(yaml.safe_dump(tree, sort_keys=False))
    found = [item.path for item in load_each(file)[1] if item.code == "CT501"]

    assert sorted(found) == ["environments.dev.training.env.API_KEY", "variables.db_password"]
