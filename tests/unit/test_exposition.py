"""A deployment in Prometheus' text format, read by a strict parser of the published grammar."""

from __future__ import annotations

import dataclasses
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from history import history
from hypothesis import given
from hypothesis import strategies as st
from project import SPEC

from ctc.cli.common import guarded
from ctc.cli.runs import runs
from ctc.policy.approval import Pending, Rule
from ctc.policy.jobs import Scoring
from ctc.policy.standing import Hold
from ctc.policy.state import Attempt, Ended, State, Version
from ctc.run.exposition import JOB_OUTCOMES, exposition

NOW = datetime(2024, 3, 10, 6, tzinfo=UTC)
LABELS = {"name": "toy", "environment": "prod", "target": "kubeflow"}
UNTIL = datetime(2024, 2, 20, 6, tzinfo=UTC)
STATE = State(
    champion=Version("4", "a4", "s3://b/m", "i", ("python",), "", UNTIL),
    approval=Pending("1f0e", "5", Rule(expires=timedelta(hours=2)), NOW),
    attempt=Attempt("a6", NOW, "ab", ("weekly",), NOW, NOW, reserved=20.0),
    attempts=(
        Ended("a1", datetime(2024, 2, 29, 23, 59, tzinfo=UTC), "held", None, 5.0),
        Ended("a4", datetime(2024, 3, 1, tzinfo=UTC), "candidate", None, 7.5),
    ),
    last_wake=NOW,
    hold=Hold(NOW, "it did badly", NOW),
)

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"'
_SAMPLE = re.compile(rf"({_NAME})\{{({_LABEL}(?:,{_LABEL})*)\}} (\S+)")

Sample = tuple[str, frozenset[tuple[str, str]]]


def parsed(text: str) -> dict[Sample, float]:
    """Samples by name and labels. AssertionError for what the exposition format 0.0.4 does not allow.

    Each family is one block: HELP, TYPE, then its samples; no name, and no sample, twice; the last line ends.
    """
    assert text == "" or text.endswith("\n")
    samples: dict[Sample, float] = {}
    seen: set[str] = set()
    family = kind = ""
    helped = False
    for line in text.removesuffix("\n").split("\n") if text else ():
        if line.startswith("# HELP "):
            found = re.fullmatch(rf"# HELP ({_NAME}) ((?:[^\\\n]|\\\\|\\n)*)", line)
            assert found is not None and found[1] not in seen, line
            family, helped, kind = found[1], True, ""
            seen.add(family)
        elif line.startswith("# TYPE "):
            typed = re.fullmatch(rf"# TYPE ({_NAME}) (counter|gauge)", line)
            assert typed is not None and typed[1] == family and helped and not kind, line
            kind = typed[2]
            assert (kind == "counter") == family.endswith("_total"), line
        else:
            match = _SAMPLE.fullmatch(line)
            assert match is not None and match[1] == family and kind, line
            pairs = re.findall(_LABEL, match[2])
            assert len({name for name, _ in pairs}) == len(pairs), line
            labels = frozenset((name, _unescaped(value)) for name, value in pairs)
            assert (family, labels) not in samples, line
            samples[family, labels] = float(match[match.lastindex or 0])
    return samples


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], text)


def of(samples: dict[Sample, float], name: str, **labels: str) -> float:
    return samples[name, frozenset({**LABELS, **labels}.items())]


def test_the_parser_refuses_what_the_format_forbids() -> None:
    good = '# HELP a b\n# TYPE a gauge\na{x="1"} 1\n'
    assert len(parsed(good)) == 1
    for bad in (
        good.rstrip("\n"),
        good + good,
        good + 'a{x="1"} 2\n',
        good.replace("gauge", "counter"),
        good.replace('"1"', '"1"",'),
        good.replace('"1"', '"\\q"'),
        'a{x="1"} 1\n',
    ):
        with pytest.raises(AssertionError):
            parsed(bad)


def test_the_state_is_told() -> None:
    samples = parsed(exposition(LABELS, STATE, (), NOW, "EUR"))
    assert of(samples, "ctc_champion_info", version="4", attempt="a4") == 1
    assert of(samples, "ctc_champion_trained_until_timestamp_seconds") == UNTIL.timestamp()
    assert of(samples, "ctc_last_wake_timestamp_seconds") == NOW.timestamp()
    assert of(samples, "ctc_hold") == of(samples, "ctc_approval_pending") == of(samples, "ctc_attempt_running") == 1
    assert of(samples, "ctc_approval_expires_timestamp_seconds") == NOW.timestamp() + 7200
    # February's attempt does not count; the live one counts with what it has set aside.
    assert of(samples, "ctc_spent_this_month", currency="EUR") == 27.5


def test_batch_jobs_are_told_by_entry() -> None:
    kept = State(scoring={"nightly": Scoring(scored_until=NOW), "weekly": Scoring()})
    job = {"kind": "score", "serving": "nightly", "instant": "2024-03-01T06:00:00Z"}
    records = [{**job, "outcome": outcome} for outcome in ("scored", "scored", "lost")]
    samples = parsed(exposition(LABELS, kept, records, NOW, ""))
    assert of(samples, "ctc_batch_scored_until_timestamp_seconds", serving="nightly") == NOW.timestamp()
    found = {
        outcome: of(samples, "ctc_batch_jobs_total", serving="nightly", outcome=outcome) for outcome in JOB_OUTCOMES
    }
    assert found == {"scored": 2, "empty": 0, "failed": 0, "lost": 1}
    assert of(samples, "ctc_attempts_total", outcome="lost") == 0
    assert not [labels for name, labels in samples if ("serving", "weekly") in labels]


def test_a_deployment_that_never_ran_has_numbers_too() -> None:
    samples = parsed(exposition(LABELS, State(), (), NOW, ""))
    assert of(samples, "ctc_attempts_total", outcome="failed") == 0
    assert of(samples, "ctc_hold") == 0
    assert not {name for name, _ in samples} & {"ctc_champion_info", "ctc_spent_this_month", "ctc_evaluation_value"}


def test_the_last_records_are_told() -> None:
    records = [record for record in history() if record["kind"] == "attempt" or record["triggers"]]
    samples = parsed(exposition(LABELS, STATE, records, NOW, ""))
    attempts = [record for record in records if record["kind"] == "attempt"]
    for outcome in ("candidate", "held", "stopped", "failed", "lost"):
        assert of(samples, "ctc_attempts_total", outcome=outcome) == sum(r["outcome"] == outcome for r in attempts)
    last = [record for record in attempts if record["evaluation"]][-1]
    auc = last["evaluation"]["metrics"]["auc"]
    for model in ("contender", "champion"):
        for part in ("value", "low", "high"):
            assert of(samples, f"ctc_evaluation_{part}", metric="auc", model=model) == auc[model][part]
    instant = datetime.fromisoformat(last["instant"]).timestamp()
    assert of(samples, "ctc_evaluation_timestamp_seconds") == instant
    assert of(samples, "ctc_last_success_timestamp_seconds") == instant
    for gate in last["decision"]["gates"]:
        assert of(samples, "ctc_gate_answer", gate=gate["name"], answer=gate["answer"]) == 1
        assert sum(value for (name, labels), value in samples.items() if ("gate", gate["name"]) in labels) == 1
    [answer] = records[-1]["triggers"]
    assert of(samples, "ctc_trigger_answer", trigger="monthly", answer=answer["answer"]) == 1


@given(st.text(), st.floats(allow_nan=False, allow_infinity=False))
def test_any_name_and_number_comes_back_as_it_was(text: str, value: float) -> None:
    record: dict[str, Any] = {
        "kind": "attempt",
        "id": "a1",
        "instant": "2024-03-04T06:00:00Z",
        "outcome": "held",
        "evaluation": {"metrics": {text: {"contender": {"value": value}}}},
    }
    assert STATE.champion is not None
    state = State(champion=dataclasses.replace(STATE.champion, version=text))
    samples = parsed(exposition(LABELS, state, [record], NOW, ""))
    assert of(samples, "ctc_evaluation_value", metric=text, model="contender") == value
    assert of(samples, "ctc_champion_info", version=text, attempt="a4") == 1


@pytest.fixture
def project(tmp_path: Path) -> Path:
    spec = tmp_path / "ctc.yaml"
    spec.write_text(SPEC)
    (tmp_path / ".ctc" / "toy" / "default" / "kubeflow").mkdir(parents=True)
    return spec


def test_the_verb_prints_it(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = project.parent / ".ctc" / "toy" / "default" / "kubeflow"
    (folder / "state.json").write_text(json.dumps(STATE.to_json()))
    assert guarded(runs, [str(project), "-o", "prometheus"]) == 0
    samples = parsed(capsys.readouterr().out)
    labels = {"name": "toy", "environment": "default", "target": "kubeflow", "version": "4", "attempt": "a4"}
    assert samples["ctc_champion_info", frozenset(labels.items())] == 1


def test_a_damaged_state_is_no_empty_state(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project.parent / ".ctc" / "toy" / "default" / "kubeflow" / "state.json").write_text("{")
    assert guarded(runs, [str(project), "-o", "prometheus"]) == 3
    said = capsys.readouterr()
    assert said.out == "" and "state.json is damaged" in said.err


def test_one_record_has_no_gauges(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(runs, ["show", "2024", str(project), "-o", "prometheus"]) == 2
    assert "of a whole deployment" in capsys.readouterr().err
