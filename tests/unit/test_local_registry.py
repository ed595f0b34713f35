"""The local registry: what is registered once, what an alias says, and what is taken away."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ctc.steps.local_registry import MlflowRegistry, load


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> MlflowRegistry:
    made = MlflowRegistry(tmp_path_factory.mktemp("registry") / "mlflow.db")
    for number in range(1, 6):
        assert made.register("toy", key=f"a{number}", uri=f"s3://b/{number}", tags={}, metrics={}) == str(number)
    return made


def versions(registry: MlflowRegistry) -> list[int]:
    database = f"sqlite:///{registry._database}"
    client = load()(tracking_uri=database, registry_uri=database)
    return sorted(int(version.version) for version in client.search_model_versions("name = 'toy'"))


def test_a_key_is_registered_once(registry: MlflowRegistry) -> None:
    assert registry.register("toy", key="a3", uri="s3://elsewhere", tags={}, metrics={}) == "3"


def test_an_alias_moves_and_goes(registry: MlflowRegistry) -> None:
    for version in ("2", "3", None, None):
        registry.set_alias("toy", "previous", version)
        found = registry._read("select version from registered_model_aliases where name = ?", ("toy",))
        assert found == ([] if version is None else [(int(version),)])


def test_old_versions_go_unless_they_are_used(registry: MlflowRegistry) -> None:
    registry.prune("toy", 9, {"1"})
    assert versions(registry) == [1, 2, 3, 4, 5]
    registry.prune("toy", 2, {"1", "5"})
    assert versions(registry) == [1, 4, 5]
    assert registry.register("toy", key="a6", uri="s3://b/6", tags={}, metrics={}) == "6"


def test_nothing_to_take_away_loads_nothing(registry: MlflowRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    registry.prune("toy", 50, set())
    registry.set_alias("toy", "nobody", None)


def test_another_database_is_left_to_mlflow(tmp_path: Path) -> None:
    assert MlflowRegistry(tmp_path / "absent.db")._read("select 1", ()) is None
