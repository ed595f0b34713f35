"""What every test shares: the `--update` flag, tools that may be absent, a guard that keeps the suite on loopback."""

from __future__ import annotations

import math
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import proofs
import pytest

ROOT = Path(__file__).resolve().parent.parent

# Children inherit these: no test, and nothing that a test starts, reports home.
os.environ.update(
    MLFLOW_DISABLE_TELEMETRY="true",
    DO_NOT_TRACK="true",
    SAGEMAKER_VALIDATE_ROLE="false",
    AWS_EC2_METADATA_DISABLED="true",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="rewrite golden files; review the diff")


RUNS = ("project", "kind_projects", "data_projects", "large_sources")
"""What a module of tests has by name if it runs `ctc run` for real, or reads a gigabyte."""


def shared_out(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """Modules of long tests first, in turn among the workers: the longest must not be the last.

    Workers take equal stretches of the list, and steal from each other's ends. Modules stay whole: they share fixtures.
    """
    modules: dict[str, list[pytest.Item]] = {}
    short = []
    for item in items:
        if any(hasattr(getattr(item, "module", None), name) for name in RUNS):
            modules.setdefault(item.path.name, []).append(item)
        else:
            short.append(item)
    # The one that reads a gigabyte is by far the longest.
    ordered = sorted(modules, key=lambda name: name != "test_large.py")
    size = math.ceil(len(items) / workers)
    stretches: list[pytest.Item] = []
    for number in range(workers):
        mine = [item for name in ordered[number::workers] for item in modules[name]]
        rest = max(0, size - len(mine)) if number < workers - 1 else len(short)
        stretches += mine + short[:rest]
        short = short[rest:]
    return stretches


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
        items[:] = shared_out(items, workers)
    for item in items:
        if "proof" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.proof)
    if os.environ.get("CTC_SOAK") == "1":
        return
    for item in items:
        if item.get_closest_marker("soak"):
            item.add_marker(pytest.mark.skip(reason="the full count of a long proof: run `make soak`"))


_TALLY = proofs.Tally()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and not report.skipped:
        _TALLY.add(report.user_properties, passed=report.passed)


def pytest_sessionfinish(session: pytest.Session) -> None:
    # Workers have told their controller, which writes once.
    if os.environ.get("CTC_SOAK") == "1" and _TALLY.found and not hasattr(session.config, "workerinput"):
        _TALLY.write(ROOT / "docs" / "proofs.json")


@pytest.fixture
def proof(record_property: Callable[[str, object], None]) -> Callable[[str], dict[str, int]]:
    """Names the proof that a test is part of; the test counts in what it is given, by kind."""

    def named(name: str) -> dict[str, int]:
        counts: dict[str, int] = {}
        record_property(proofs.PROPERTY, {"name": name, "counts": counts})
        return counts

    return named


@pytest.fixture
def update(request: pytest.FixtureRequest) -> bool:
    """True when golden files are to be rewritten."""
    return bool(request.config.getoption("--update"))


@pytest.fixture
def oracles() -> Path:
    """The folder of oracle files; skips, with its reason, where CTC_ORACLES names none."""
    named = os.environ.get("CTC_ORACLES")
    if not named or not Path(named).is_dir():
        pytest.skip("CTC_ORACLES names no folder of oracle files")
    return Path(named)


def require_tool(name: str) -> str:
    """The path of a program; skips where it is absent, unless CTC_REQUIRE_TOOLS=1 forbids that."""
    found = shutil.which(name)
    if found:
        return found
    if os.environ.get("CTC_REQUIRE_TOOLS") == "1":
        pytest.fail(f"{name} is absent and CTC_REQUIRE_TOOLS=1")
    pytest.skip(f"{name} is not installed")


LOOPBACK = ("127.", "::1", "localhost")


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fails a test that connects to, or looks up, anything but loopback."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def checked_connect(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple):
            _refuse_foreign(str(address[0]))
        connect(self, address)

    def checked_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        _refuse_foreign(host.decode() if isinstance(host, bytes) else str(host or "localhost"))
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", checked_connect)
    monkeypatch.setattr(socket, "getaddrinfo", checked_look_up)
    yield


def _refuse_foreign(host: str) -> None:
    if not host.startswith(LOOPBACK):
        pytest.fail(f"a test reached for {host}: only loopback is allowed")
