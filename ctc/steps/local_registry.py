"""The local registry: MLflow on a SQLite file, without a server, without network."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import sqlite3
import time
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ctc.steps.task import StepFailed

KEY = "ctc.key"
"""Tag of a version: the key under which it was registered, once."""

_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}


class MlflowRegistry:
    """Model versions with their runs in one SQLite file. Loads MLflow only when something has to be written."""

    def __init__(self, database: Path) -> None:
        self._database = database

    def register(self, model: str, *, key: str, uri: str, tags: Mapping[str, str], metrics: Mapping[str, float]) -> str:
        with _quiet():
            return self._register(self._client(), model, key, uri, tags, metrics)

    def _register(
        self, client: Any, model: str, key: str, uri: str, tags: Mapping[str, str], metrics: Mapping[str, float]
    ) -> str:
        for version in client.search_model_versions(f"name = '{model}'"):
            if version.tags.get(KEY) == key:
                return str(version.version)
        if not client.search_registered_models(f"name = '{model}'"):
            client.create_registered_model(model)
        run_id = _log_run(client, model, key, self._database.with_name("mlruns").as_uri(), tags, metrics)
        version = client.create_model_version(model, uri, run_id=run_id, tags={**tags, KEY: key})
        return str(version.version)

    def set_alias(self, model: str, alias: str, version: str | None) -> None:
        query = "select version from registered_model_aliases where name = ? and alias = ?"
        found = self._read(query, (model, alias))
        present = None if found is None or not found else str(found[0][0])
        if found is not None and present == version:
            return
        with _quiet():
            client = self._client()
            if version is not None:
                client.set_registered_model_alias(model, alias, version)
            elif present is not None:
                client.delete_registered_model_alias(model, alias)

    def prune(self, model: str, keep: int, used: Collection[str]) -> None:
        query = "select version from model_versions where name = ? and current_stage != 'Deleted_Internal'"
        found = self._read(query, (model,))
        if found is not None and not _old((row[0] for row in found), keep, used):
            return
        with _quiet():
            client = self._client()
            for version in _old((v.version for v in client.search_model_versions(f"name = '{model}'")), keep, used):
                client.delete_model_version(model, version)

    def _read(self, query: str, values: tuple[str, ...]) -> list[tuple[Any, ...]] | None:
        """An answer of the database without loading MLflow: every wake asks, and the answer is seldom news.

        None where only MLflow can tell: the file is not there, or its tables are of another MLflow.
        """
        with contextlib.suppress(sqlite3.Error):
            connection = sqlite3.connect(f"{self._database.as_uri()}?mode=ro", uri=True)
            with contextlib.closing(connection):
                return list(connection.execute(query, values))
        return None

    def _client(self) -> Any:
        client_of = load()
        self._database.parent.mkdir(parents=True, exist_ok=True)
        if not self._database.exists():
            self._create(client_of)
        address = f"sqlite:///{self._database}"
        return client_of(tracking_uri=address, registry_uri=address)

    def _create(self, client_of: Any) -> None:
        """Makes the tables in a file of another name first: killed in the middle it would have no version."""
        temporary = self._database.with_name(f".{self._database.name}.{secrets.token_hex(8)}.tmp")
        address = f"sqlite:///{temporary}"
        try:
            client = client_of(tracking_uri=address, registry_uri=address)
            client.search_registered_models(max_results=1)
            client.search_experiments(max_results=1)
            with contextlib.suppress(FileExistsError):
                os.link(temporary, self._database)
        finally:
            temporary.unlink(missing_ok=True)


def _old(versions: Iterable[Any], keep: int, used: Collection[str]) -> list[str]:
    """Those that are neither among the newest `keep` nor used."""
    ordered = sorted((int(version) for version in versions), reverse=True)
    return [str(version) for version in ordered[keep:] if str(version) not in used]


def load() -> Any:
    """MLflow's client, with all that it loads before its first use. StepFailed where MLflow is not installed."""
    with _quiet():
        try:
            import alembic.command  # noqa: F401
            import sqlalchemy.dialects.sqlite  # noqa: F401
            from mlflow import MlflowClient
            from mlflow.store.model_registry import sqlalchemy_store as _registry  # noqa: F401
            from mlflow.store.tracking import sqlalchemy_store as _tracking  # noqa: F401
        except ImportError as error:
            raise StepFailed(
                f"the local registry needs MLflow, and it cannot be loaded ({error}): "
                "pip install 'ctc-compiler[runtime]'"
            ) from error
    return MlflowClient


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """MLflow tells of its migrations, its libraries of each other's deprecations: nothing that a user can act on."""
    os.environ.update(_QUIET)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _log_run(
    client: Any, model: str, key: str, artifacts: str, tags: Mapping[str, str], metrics: Mapping[str, float]
) -> str:
    """One finished MLflow run an attempt, with its metrics and its provenance as parameters."""
    found = client.get_experiment_by_name(model)
    experiment = found.experiment_id if found is not None else client.create_experiment(model, artifacts)
    runs = client.search_runs([experiment], f"tags.`{KEY}` = '{key}'", max_results=1)
    run = runs[0] if runs else client.create_run(experiment, run_name=key, tags={**tags, KEY: key})
    run_id = str(run.info.run_id)
    if run.info.status != "FINISHED":
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        client.log_batch(
            run_id,
            metrics=[Metric(name, number, now, 0) for name, number in sorted(metrics.items())],
            params=[Param(name, value) for name, value in sorted(tags.items())],
        )
        client.set_terminated(run_id)
    return run_id
