"""What an estimate counts is what the compiled documents hire: the same machines, in the same numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ctc import targets
from ctc.compiler.build import build
from ctc.compiler.hire import Hire
from ctc.compiler.ir import System
from ctc.cost.book import ANYWHERE, shipped
from ctc.language.load import load_each

SPECS = sorted((Path(__file__).resolve().parent.parent.parent / "specs").glob("*.yaml"))

NAMED = {
    "sagemaker": re.compile(r'"InstanceType": ?"([^"]+)"'),
    "azureml": re.compile(r'"?instance_type"?: "?([\w.]+)'),
    "vertex": re.compile(r'machine_?[tT]ype\\*": ?\\*"([^"\\]+)'),
}
"""How each service's documents name a machine."""


def systems(target: str) -> Iterator[tuple[Path, System, str]]:
    """Each spec on a target that it names, with the text of all its documents."""
    for path in SPECS:
        if f"  {target}:" not in path.read_text():
            continue
        for loaded in load_each(path, None, target)[0]:
            assert loaded.spec is not None, path
            built = build(loaded.spec, targets.load(target))
            assert built.bundle is not None, built.diagnostics
            text = "\n".join(item.content.decode() for item in built.bundle.artifacts if b"\0" not in item.content)
            yield path, built.system, text


def hires(system: System) -> Iterator[Hire]:
    hiring = targets.load_hiring(system.target)
    for pipeline in system.pipelines:
        yield from (hiring.step(system, step) for step in pipeline.steps())
    yield from (hiring.server(system, server) for server in system.servers)


@pytest.mark.parametrize("target", sorted(NAMED))
def test_the_documents_name_the_machines_that_are_counted(target: str) -> None:
    count = 0
    for path, system, text in systems(target):
        named = set(NAMED[target].findall(text))
        counted = {item for hire in hires(system) for item, _ in hire.parts}
        assert named <= counted, path
        if target == "sagemaker":
            assert named == counted, path
        count += len(named)
    assert count


@pytest.mark.parametrize("target", targets.NAMES)
def test_every_hire_is_whole(target: str) -> None:
    hiring = targets.load_hiring(target)
    for path, system, _ in systems(target):
        for hire in hires(system):
            assert hire.parts, path
            assert all(count > 0 for _, count in hire.parts)
            assert hire.nodes >= 1
        for pipeline in system.pipelines:
            assert all(hiring.step(system, step).most >= step.timeout for step in pipeline.steps())
    assert all(shipped().find(target, ANYWHERE, fee) is not None for fee in hiring.FEES)
