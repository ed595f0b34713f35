"""Reading records, and what `ctc runs` and `ctc run` show of them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from history import STATE, history
from project import SPEC

from ctc import targets
from ctc.cli.common import guarded
from ctc.cli.run import run
from ctc.cli.runs import runs
from ctc.compiler.target import Execution, Machine
from ctc.run.records import Focus, cycles, read_records
from ctc.run.text import COLUMNS, RIGHT, amount, comparison, details, summary, table, when

FOCUS = Focus("auc", "higher", "not_worse")


def put(path: Path, document: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def write_history(state: Path, records: Sequence[Mapping[str, Any]]) -> None:
    for record in records:
        put(state / "records" / f"{record['id']}.json", record)
    put(state / "state.json", STATE)


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    (tmp_path / "ctc.yaml").write_text(SPEC)
    for script in ("train.py", "predict.py"):
        (tmp_path / script).write_text("")
    (tmp_path / "data").mkdir()
    for source in ("visits", "prices", "outcomes"):
        (tmp_path / "data" / f"{source}.parquet").write_text("PAR1 rows PAR1")
    return tmp_path / "ctc.yaml"


@pytest.fixture
def state(spec: Path) -> Path:
    """A state folder that holds the history."""
    folder = spec.parent / ".ctc" / "toy" / "default" / "kubeflow"
    write_history(folder, history())
    return folder


def test_records_come_in_the_order_in_which_they_came_about(state: Path) -> None:
    """On disk their names sort otherwise: the wake that promotes is after its attempt, the one that starts before."""
    assert [record["id"] for record in read_records(state).items] == [record["id"] for record in history()]


def test_a_damaged_file_is_named_and_the_rest_is_read(state: Path) -> None:
    (state / "records" / "cut.json").write_text('{"id": "cut"')
    (state / "records" / "list.json").write_text("[]")
    found = read_records(state)

    assert found.unreadable == ("cut.json", "list.json")
    assert len(found.items) == len(history())


def test_no_folder_has_no_records(tmp_path: Path) -> None:
    assert read_records(tmp_path / "nowhere").items == ()


def test_a_candidate_is_promoted_only_when_a_wake_says_so() -> None:
    records = history()
    observed = [record for record in records if not str(record["id"]).find("eeee") > 0]

    assert [cycle.outcome for cycle in cycles(records)][:4] == ["promoted", "promoted", "held", "stopped"]
    assert [cycle.outcome for cycle in cycles(observed)][:4] == ["candidate", "candidate", "held", "stopped"]


def test_a_suppressed_wake_and_an_attempt_under_way_are_cycles() -> None:
    started = history()[0]
    held = {**started, "id": "x", "suppressed": {"by": "cooldown", "reason": "6 h left"}, "actions": []}
    found = cycles([started, held])

    assert [(cycle.outcome, cycle.reason) for cycle in found] == [
        ("running", "its record is not there"),
        ("suppressed", "cooldown: 6 h left"),
    ]
    assert found[1].fired == ("monthly",)


def test_numbers_as_text() -> None:
    assert [amount(value) for value in (0.68123, -3, 1234567.8, 0, 2e-9, None, float("nan"), True)] == [
        "0.6812", "-3.0000", "1,234,567.8", "0.0000", "2.00e-09", "-", "-", "-",
    ]  # fmt: skip
    assert comparison({"gain": 0.012, "lower": -0.001}) == "+0.0120 [-0.0010]"
    assert comparison({}) == "-"
    assert when("2013-03-10T06:00:00Z") == "2013-03-10 06:00"
    assert when("2013-03-10T06:00:30Z") == "2013-03-10 06:00:30"


def test_columns_of_a_table_are_aligned() -> None:
    lines = table(COLUMNS, summary(cycles(history()), FOCUS), RIGHT).splitlines()
    ends = {
        line.index(found.group()) + len(found.group()) for line in lines[1:] if (found := re.search(r"29,500", line))
    }

    assert len(lines) == 12
    assert ends == {lines[0].index("rows") + len("rows")}


def test_details_of_a_cycle_hold_every_number() -> None:
    text = details(cycles(history())[2], FOCUS)

    for words in (
        "held",
        "monthly fired: due since 2013-04-10T11:00:00Z",
        "[2013-01-24 11:00, 2013-02-01 11:00)",
        "21,000",
        "fresh warn: the newest row is 3 days old",
        "margin 0.0100, n 6,200",
        "0.6710 [0.6600, 0.6820]",
        "0.6760 [0.6650, 0.6870]",
        "origin=EWR",
        "at least -0.01 wanted",
    ):
        assert words in text, words


def test_runs_lists_every_cycle_newest_last(spec: Path, state: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert guarded(runs, [str(spec)]) == 0
    lines = capfd.readouterr().out.splitlines()

    assert len(lines) == 12
    assert lines[1].startswith("20130210T110000Z-bbbb0000")
    assert lines[-1].endswith("promoted 7")


def test_runs_shows_one_by_the_beginning_of_its_id(spec: Path, state: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert guarded(runs, ["show", "20130810", str(spec)]) == 0
    shown = capfd.readouterr().out
    assert "MemoryError" in shown
    assert "failed" in shown

    assert guarded(runs, ["show", "20130810T110000Z-bbbb0006", str(spec), "-o", "json"]) == 0
    assert json.loads(capfd.readouterr().out)["outcome"] == "failed"


def test_runs_suggests_for_an_id_that_is_not_there(spec: Path, state: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert guarded(runs, ["show", "20130810T110000Z-bbbb0007", str(spec)]) == 3
    said = capfd.readouterr().err
    assert "there is no record" in said
    assert "20130810T110000Z-bbbb0006" in said

    assert guarded(runs, ["show", "2013", str(spec)]) == 3
    assert "records begin with `2013`" in capfd.readouterr().err


def test_runs_of_a_crashed_state(spec: Path, state: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (state / "state.json").write_text("{")
    (state / "records" / "cut.json").write_text("{")

    assert guarded(runs, [str(spec)]) == 0
    said = capfd.readouterr()
    assert "cut.json is no record" in said.err
    assert len(said.out.splitlines()) == 12


def test_runs_without_runs(spec: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert guarded(runs, [str(spec)]) == 0
    assert "no runs in" in capfd.readouterr().err
    assert guarded(runs, ["show"]) == 2


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """A target whose wake writes the history's records up to its instant; returns the parameters it was given."""
    given: list[dict[str, str]] = []

    def execute(bundle_dir: Path, pipeline: str, parameters: Mapping[str, str], machine: Machine) -> Execution:
        given.append(dict(parameters))
        [folder] = machine.mounts.values()
        write_history(folder, [record for record in history() if record["instant"] <= parameters["instant"]])
        put(folder / "state.json", {**STATE, "last_wake": parameters["instant"]})
        return Execution(True, ("wake",))

    monkeypatch.setattr(targets, "load_rehearsal", lambda name: execute)
    return given


def test_run_tells_tables_and_writes_the_report(
    spec: Path, replayed: list[dict[str, str]], capfd: pytest.CaptureFixture[str]
) -> None:
    page = spec.parent / "page.html"
    at = ["--at", "2013-05-10T12:00:00Z", "--at", "2013-02-10T12:00:00Z"]

    assert guarded(run, [str(spec), *at, "--python", sys.executable, "--report", str(page)]) == 0
    said = capfd.readouterr()
    assert len(re.findall(r"^2013-0", said.out, re.MULTILINE)) == 4
    assert "2013-02-10 12:00 UTC" in said.err
    assert "promoted (version 2): in place" in said.err
    assert "\x1b" not in said.err
    assert page.read_text().count("<details") == 4


def test_run_prints_only_its_own_records_as_json(
    spec: Path, replayed: list[dict[str, str]], capfd: pytest.CaptureFixture[str]
) -> None:
    options = ["--python", sys.executable, "-o", "json"]
    assert guarded(run, [str(spec), *options, "--at", "2013-02-28"]) == 0
    first = json.loads(capfd.readouterr().out)
    assert guarded(run, [str(spec), *options, "--at", "2013-03-31"]) == 0
    second = json.loads(capfd.readouterr().out)

    assert [record["kind"] for record in first] == ["wake", "attempt", "wake"]
    assert {record["instant"][:7] for record in second} == {"2013-03"}


def test_run_passes_a_request_and_refuses_it_for_many_instants(
    spec: Path, replayed: list[dict[str, str]], capfd: pytest.CaptureFixture[str]
) -> None:
    assert guarded(run, [str(spec), "--python", sys.executable, "--at", "2013-02-28", "--manual", "why not"]) == 0
    assert json.loads(replayed[0]["manual"])["why"] == "why not"
    assert guarded(run, [str(spec), "--at", "2013-02-28", "--at", "2013-03-28", "--manual", "x"]) == 2
    assert guarded(run, [str(spec), "--at", "yesterday"]) == 2
    assert "2013-03-10T06:00:00Z" in capfd.readouterr().err


def test_run_of_a_target_or_a_spec_that_is_wrong(spec: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert guarded(run, [str(spec), "--target", "kubeflo"]) == 2
    spec.write_text(SPEC.replace("task: binary", "task: binar"))
    assert guarded(run, [str(spec)]) == 1
    assert not (spec.parent / ".ctc").exists()


def test_a_batch_job_is_a_cycle_of_its_own() -> None:
    job = {
        "kind": "score",
        "id": "20240301T050000Z-00000001",
        "instant": "2024-03-01T05:00:00Z",
        "serving": "nightly",
        "outcome": "scored",
        "reason": "7 rows scored",
        "champion": "3",
        "data": {"rows": 7, "scored": 7, "min": 0.1, "max": 0.9},
    }
    [cycle] = cycles([job])
    assert (cycle.outcome, cycle.fired, cycle.champion, cycle.version) == ("scored", ("nightly",), "3", "")
    assert cycle.rows == {"rows": 7, "scored": 7}
    assert cycle.scored
