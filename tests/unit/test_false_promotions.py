"""How often gates promote equals, and see a gain, by simulation: what `validate` prints is what happens."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from proofs import Proof

from ctc.compiler.document import document
from ctc.language import power
from ctc.language.load import load_spec
from ctc.policy.proportions import PairedShares
from ctc.policy.statistics import delong, lower_bound
from ctc.steps.gains import Pair, compared
from ctc.steps.judged import Part

ROOT = Path(__file__).resolve().parent.parent.parent
TRIALS = 300


def within(found: int, trials: int, expected: float) -> bool:
    """Within three and a half standard errors of a binomial share, and one trial."""
    error = math.sqrt(expected * (1 - expected) / trials)
    return abs(found / trials - expected) <= 3.5 * error + 1 / trials


def split(what: str, passed: int, trials: int) -> dict[str, int]:
    return {f"{what}: promoted": passed, f"{what}: kept": trials - passed}


def scores(draw: np.random.Generator, labels: np.ndarray, shared: float, gain: float = 0.0) -> tuple[np.ndarray, ...]:
    """Two models that share noise; the first separates the classes by `gain` more."""
    common, one, other = draw.normal(size=(3, len(labels)))
    apart = math.sqrt(1 - shared**2)
    return labels * (1 + gain) + shared * common + apart * one, labels + shared * common + apart * other


@pytest.mark.parametrize("confidence", [0.9, 0.975])
def test_equal_models_pass_a_gain_gate_at_the_stated_rate(confidence: float, proof: Proof) -> None:
    counts = proof("equal")
    draw, passed = np.random.default_rng(1), 0
    for _ in range(1000):
        labels = np.repeat([0.0, 1.0], 200)
        found = delong(labels, *scores(draw, labels, 0.9))
        passed += lower_bound(found.gain, found.se, confidence) > 0
    assert within(passed, 1000, 1 - confidence)
    counts |= split(f"AUC at {confidence:.1%}", passed, 1000)


def test_equal_models_pass_a_bootstrapped_gate_at_the_stated_rate(proof: Proof) -> None:
    counts = proof("equal")
    draw, passed = np.random.default_rng(2), 0
    metric = {"name": "error", "kind": "mae", "arguments": {}}
    for trial in range(TRIALS // 2):
        truth, common, one, other = draw.normal(size=(4, 80))
        part = Part(np.arange(80), truth, np.empty(0, dtype=np.int64), None)
        pair = Pair(metric, part, truth + common + one, truth + common + other)
        passed += compared(pair, share=0.0, seed=trial, better="lower").lower(0.9) > 0
    assert within(passed, TRIALS // 2, 0.1)
    counts |= split("mean absolute error at 90.0%", passed, TRIALS // 2)


def test_a_gain_that_validate_says_is_seen_is_seen() -> None:
    """`sees` is the gain that passes four times in five."""
    rows, apart = 2000, 0.05
    seen = power.detectable(power.accuracy_gain_se(rows, apart), 0.975)
    draw, passed = np.random.default_rng(3), 0
    for _ in range(1000):
        won, lost, _ = draw.multinomial(rows, [(apart + seen) / 2, (apart - seen) / 2, 1 - apart])
        passed += PairedShares(rows, int(won), int(lost)).lower(0.975) > 0
    assert within(passed, 1000, power.POWER)


def test_an_auc_gain_that_validate_says_is_seen_is_seen() -> None:
    draw, passed = np.random.default_rng(4), 0
    labels, shared, gain = np.repeat([0.0, 1.0], 1000), 0.9, 0.08
    found = [delong(labels, *scores(draw, labels, shared, gain)) for _ in range(TRIALS)]
    true, se = float(np.mean([one.gain for one in found])), float(np.mean([one.se for one in found]))
    confidence = 0.975
    passed = sum(lower_bound(one.gain, one.se, confidence) > 0 for one in found)
    assert within(passed, TRIALS, power.passes(true, 0.0, se, confidence))


def test_false_promotions_spend_their_alpha(tmp_path: Path) -> None:
    """Weekly attempts among which one false promotion in a year is shared: 52 of them promote one equal, on average."""
    text = (ROOT / "specs" / "minimal.yaml").read_text()
    path = tmp_path / "ctc.yaml"
    path.write_text(text.replace("promotion:\n", "promotion:\n  false_promotions: {max: 1, per: 365d}\n", 1))
    limited = load_spec(path).spec
    assert limited is not None
    section = document(limited, "decide", target=next(iter(limited.targets)), root="", spec_digest="")["policy"]
    attempts = section["promotion"]["false_promotions"]["attempts"]
    assert section["promotion"]["false_promotions"] == {
        "max": 1,
        "per": timedelta(days=365).total_seconds(),
        "attempts": attempts,
    }
    for gate in section["promotion"]["gates"]:
        raised = gate["kind"] in power.RELATIVE
        expected = max(gate["stated_confidence"], 1 - 1 / attempts) if raised else gate["stated_confidence"]
        assert gate["confidence"] == pytest.approx(expected)
    draw, promoted, years = np.random.default_rng(5), 0, 40
    labels = np.repeat([0.0, 1.0], 60)
    confidence = 1 - 1 / attempts
    for _ in range(years * round(attempts)):
        found = delong(labels, *scores(draw, labels, 0.9))
        promoted += lower_bound(found.gain, found.se, confidence) > 0
    assert promoted / years < 1 + 3.5 / math.sqrt(years)


@pytest.mark.soak
@pytest.mark.parametrize("apart", [0.02, 0.1, 0.3])
def test_equal_accuracies_pass_at_the_stated_rate_at_length(apart: float, proof: Proof) -> None:
    counts = proof("equal")
    draw, passed = np.random.default_rng(6), 0
    for _ in range(1000):
        won, lost, _ = draw.multinomial(3000, [apart / 2, apart / 2, 1 - apart])
        passed += PairedShares(3000, int(won), int(lost)).lower(0.975) > 0
    assert within(passed, 1000, 0.025)
    counts |= split(f"accuracy at 97.5%, {apart:.0%} of the rows apart", passed, 1000)
