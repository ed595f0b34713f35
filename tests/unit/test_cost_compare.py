"""What a change does to the cost: as numbers, and as a section for reviewers."""

from __future__ import annotations

import pytest
from cost_specs import DURATIONS, STORED, book, spec_of

from ctc.cost.compare import delta

SPEC = (DURATIONS, STORED)
BIGGER = "training: {resources: {cpu: 4, memory: 16Gi, gpu: {type: t4}}}"


def test_nothing_changes_nothing() -> None:
    found = delta(spec_of(*SPEC), spec_of(*SPEC, "description: other words"), book())

    assert found.changed == ()
    assert found.text() == found.markdown() == ""


def test_a_larger_machine() -> None:
    found = delta(spec_of(*SPEC), spec_of(*SPEC, BIGGER), book(), "sagemaker")
    [item] = found.changed
    was, now = item.run

    # Half an hour on ml.g4dn.xlarge at 0.70 for one on ml.m5.large; twice nine minutes there instead of ml.t3.medium.
    step, train = 0.05 + 30 * 0.073 / 730, 0.10 + 30 * 0.146 / 730
    assert now.expected.known - was.expected.known == pytest.approx(0.5 * (0.70 - train) + 0.3 * (0.70 - step))
    assert item.lines[0] == "`train` (ml.m5.large -> ml.g4dn.xlarge)"
    assert "sagemaker, a run, expected: 0.10 -> 0.59 (+0.49) USD" in found.text()
    assert "| sagemaker, a run | 0.016 | 0.10 -> 0.59 (+0.49) |" in found.markdown()


def test_a_new_and_a_removed_spec() -> None:
    spec = spec_of(*SPEC)
    added, removed = delta(None, spec, book(), "sagemaker"), delta(spec, None, book(), "sagemaker")

    [one], [other] = added.changed, removed.changed
    assert one.before is None
    assert other.after is None
    assert one.month[1] == other.month[0]
    assert one.month[0].expected.known == 0
    assert delta(None, None, book()).changed == ()


def test_more_wakes() -> None:
    often = spec_of(*SPEC, "trigger_policy: {wake_every: 15m}")
    found = delta(spec_of(*SPEC), often, book(), "sagemaker")
    [item] = found.changed

    assert not [pair for pair in zip(*(side.columns for side in item.run), strict=True) if pair[0] != pair[1]]
    assert item.lines == ("wakes (ml.t3.medium)",)
    # 2190 more of three minutes each.
    assert item.month[1].low.known - item.month[0].low.known == pytest.approx(2190 * 0.05 * (0.05 + 30 * 0.073 / 730))


def test_what_is_not_known_any_more_shows() -> None:
    found = delta(spec_of(*SPEC), spec_of(DURATIONS), book(), "sagemaker")
    [item] = found.changed

    assert item.lines == ("storage",)
    assert "> " in found.text()


def test_every_target_is_compared() -> None:
    found = delta(spec_of(*SPEC), spec_of(*SPEC, "targets: {vertex: null}"), book())

    assert [item.target for item in found.targets] == ["kubeflow", "sagemaker", "vertex", "azureml"]
    assert [item.target for item in found.changed] == ["vertex"]
    assert found.changed[0].after is None
