"""`ctc cost` from outside: formats, prices and records of one's own, the age of prices, and helpful refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ctc.cli import _group
from ctc.cli.common import guarded
from ctc.cost.own import read_prices, schema
from ctc.language.source import parse

ROOT = Path(__file__).resolve().parent.parent.parent
MINIMAL = ROOT / "specs" / "minimal.yaml"
COST = json.loads((ROOT / "schemas" / "cost.v1.schema.json").read_text())


def ctc(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = guarded(_group(), ["cost", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


def document(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    code, out, _ = ctc(capsys, *words, "-o", "json")
    assert code == 0
    loaded: dict[str, Any] = json.loads(out)
    jsonschema.validate(loaded, COST)
    return loaded


@pytest.mark.parametrize("spec", sorted((ROOT / "specs").glob("*.yaml")), ids=lambda path: path.stem)
def test_json_is_of_its_schema(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, spec)

    assert found["estimates"]
    assert all(item["lines"] for item in found["estimates"])


def test_the_schemas_are_schemas() -> None:
    jsonschema.Draft202012Validator.check_schema(COST)
    jsonschema.Draft202012Validator.check_schema(schema())
    for example in schema()["examples"]:
        jsonschema.validate(example, schema())


def test_the_same_words_give_the_same_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    words = (ROOT / "specs" / "everywhere.yaml", "--region", "azureml=westeurope")

    assert ctc(capsys, *words) == ctc(capsys, *words)
    assert document(capsys, *words) == document(capsys, *words)


def test_nothing_that_is_not_known_is_zero(capsys: pytest.CaptureFixture[str]) -> None:
    [found] = document(capsys, MINIMAL, "--target", "kubeflow")["estimates"]

    assert found["month"]["expected"]["value"] is None
    assert "the price of vcpu" in found["month"]["expected"]["lacks"]


PRICES = """
version: 1
as_of: 2026-11-01
source: our own invoice
prices:
  - {service: kubeflow, item: vcpu, price: 0.03}
  - {service: kubeflow, item: gib, price: 0.004}
  - {service: kubeflow, item: storage, unit: GB-month, price: 0.01, as_of: 2026-10}
"""


def test_prices_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text(PRICES)
    [found] = document(capsys, MINIMAL, "--target", "kubeflow", "--prices", prices)["estimates"]

    # The timeouts bound it: 730 wakes of an hour each on one vCPU with two GiB.
    [wake] = [line for line in found["lines"] if line["kind"] == "wake"]
    assert wake["month"]["worst"] == {"value": pytest.approx(730 * (0.03 + 2 * 0.004)), "lacks": []}
    assert {price["source"] for price in found["prices"]} == {"our own invoice"}
    assert {price["as_of"] for price in found["prices"]} == {"2026-11-01", "2026-10"}


@pytest.mark.parametrize(
    ("changed", "code", "said", "advice"),
    [
        (("item: vcpu, price", "item: vcpu, prize"), "CT101", "has no key `prize`", "did you mean `price`?"),
        (("version: 1\n", ""), "CT102", "the file of prices has no `version`", "add `version:`"),
        (("service: kubeflow, item: vcpu", "service: kubeflw, item: vcpu"), "CT104", "is one of", "`kubeflow`?"),
        (("price: 0.03", "price: free"), "CT103", "takes a number, not text", ""),
        (("price: 0.03", "price: .nan"), "CT", "", ""),
        (("price: 0.03", "price: .inf"), "CT", "", ""),
        (("price: 0.03", "price: 1e400"), "CT", "", ""),
        (("price: 0.03", f"price: 1{'0' * 400}"), "CT", "", ""),
        (("price: 0.03", "price: -1"), "CT105", "must be at least 0", ""),
        (("price: 0.03", "price: 0.03, spot: 0.04"), "CT393", "costs more than the usual one", "at most 0.03"),
        (("item: gib", "item: vcpu"), "CT393", "has a price before (line 6)", "remove one"),
        (("as_of: 2026-11-01\n", ""), "CT393", "the price of vcpu has no `as_of`", "once for all at the top"),
        (("source: our own invoice\n", ""), "CT393", "has no `source`", "where the price comes from"),
        (("2026-11-01", "2026-02-31"), "CT393", "there is no day 2026-02-31", "2026-11-01"),
        (("2026-11-01", "last week"), "CT106", "right form", "A day such as"),
        (("version: 1", "version: 2"), "CT105", "must be at most 1", ""),
        (("as_of: 2026-10", "region: *"), "CT0", "", ""),
    ],
)  # fmt: skip
def test_mistakes_in_prices_are_told_in_place(changed: tuple[str, str], code: str, said: str, advice: str) -> None:
    given = read_prices(parse(PRICES.replace(*changed, 1), "prices.yaml"))

    assert given.book is None
    first = given.diagnostics[0]
    assert first.code.startswith(code)
    assert said in first.message
    assert advice in first.help
    assert first.span is not None


@pytest.mark.parametrize("text", ["", "[]", "4", "prices: []"])
def test_no_file_of_prices_makes_an_exception(text: str) -> None:
    given = read_prices(parse(text, "prices.yaml"))

    assert given.book is None
    assert given.diagnostics


def test_prices_in_another_currency_stand_alone() -> None:
    given = read_prices(parse(f"currency: EUR\nexchange: {{USD: 1.1}}{PRICES}", "prices.yaml"))

    assert given.book is not None
    assert given.book.currency == "EUR"
    assert {service for service, _, _ in given.book.prices} == {"kubeflow"}


def test_a_damaged_file_of_prices_stops_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text(PRICES.replace("price: 0.03", "prize: 0.03"))
    code, out, err = ctc(capsys, MINIMAL, "--prices", prices)

    assert (code, out) == (1, "")
    assert f"{prices}:6" in err


RECORD = {
    "version": 1, "kind": "attempt", "id": "20260101T000000Z-1", "name": "late-parcels", "environment": "default",
    "target": "sagemaker", "instant": "2026-01-01T00:00:00Z",
    "steps": {"train": {"status": "ok", "seconds": 1800}, "snapshot": {"status": "failed", "seconds": 9}},
}  # fmt: skip


def test_records_of_past_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "records"
    folder.mkdir()
    for number, seconds in enumerate((1800, 5400)):
        steps = {**RECORD["steps"], "train": {"status": "ok", "seconds": seconds}}  # type: ignore[dict-item]
        record = {**RECORD, "id": f"20260101T000000Z-{number}", "steps": steps}
        (folder / f"{number}.json").write_text(json.dumps(record))
    (folder / "half.json").write_text('{"version": 1, "ki')
    (folder / "state.json").write_text('{"champion": null}')
    (folder / "named.json").write_text(json.dumps({**RECORD, "id": "../../elsewhere"}))
    (folder / "endless.json").write_text(
        json.dumps({**RECORD, "id": "y", "steps": {"train": {"status": "ok", "seconds": 10**400}}})
    )
    (folder / "nameless.json").write_text(json.dumps({**RECORD, "id": None, "steps": 4}))
    (folder / "other.json").write_text(json.dumps({**RECORD, "id": "x", "environment": "prod"}))
    region = ("--target", "sagemaker", "--region", "sagemaker=eu-west-1")
    [found] = document(capsys, MINIMAL, *region, "--records", tmp_path)["estimates"]

    lines = {line["name"]: line for line in found["lines"] if line["kind"] == "train"}
    assert lines["train"]["hours"]["expected"] == {"value": 1.0, "lacks": []}
    assert "2 recorded times" in lines["train"]["basis"]
    # A step that failed says nothing of how long it takes.
    assert lines["snapshot"]["hours"]["expected"]["value"] is None


def test_what_ctc_run_measured_is_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside the record, below the state folder, as the shim leaves it there."""
    state = tmp_path / "late-parcels" / "default" / "sagemaker"
    for number in (1, 2):
        name = f"20260101T000000Z-{number}"
        status = state / "attempts" / name / "status"
        status.mkdir(parents=True)
        (status / "train.json").write_text(json.dumps({"step": "train", "status": "ok", "seconds": 900.0 * number}))
        (status / "predict-contender.json").write_text('{"step": "predict-conte')
        (status / "predict-champion.json").write_text('{"status": "failed", "seconds": 5}')
        (state / "records").mkdir(exist_ok=True)
        steps = {name: {"status": "ok"} for name in ("train", "predict-contender", "predict-champion")}
        (state / "records" / f"{name}.json").write_text(json.dumps({**RECORD, "id": name, "steps": steps}))
    [found] = document(capsys, MINIMAL, "--target", "sagemaker", "--records", tmp_path)["estimates"]

    lines = {line["name"]: line for line in found["lines"] if line["kind"] == "train"}
    assert lines["train"]["hours"]["expected"] == {"value": 0.375, "lacks": []}
    assert lines["predict-contender"]["hours"]["expected"]["value"] is None
    assert lines["predict-champion"]["hours"]["expected"]["value"] is None


def test_records_of_somebody_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "one.json"
    file.write_text(json.dumps({**RECORD, "name": "another"}))
    _, _, err = ctc(capsys, MINIMAL, "--target", "sagemaker", "--records", file)
    assert "no record is of late-parcels, default, sagemaker" in err

    (tmp_path / "empty").mkdir()
    _, _, err = ctc(capsys, MINIMAL, "--target", "sagemaker", "--records", tmp_path / "empty")
    assert "no record is of late-parcels, default, sagemaker" in err

    code, _, err = ctc(capsys, MINIMAL, "--records", tmp_path / "nowhere")
    assert code == 3
    assert "there is no" in err
    (tmp_path / "no.json").write_text("[]")
    code, _, err = ctc(capsys, MINIMAL, "--records", tmp_path / "no.json")
    assert code == 3
    assert "no record of a run" in err


def test_the_age_of_prices_needs_a_day(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    words = (MINIMAL, "--target", "sagemaker", "--region", "sagemaker=eu-west-1")

    assert ctc(capsys, *words)[2] == ""
    assert "more than 180 days old on 2026-11-01" in ctc(capsys, *words, "--at", "2026-11-01")[2]
    assert ctc(capsys, *words, "--at", "2026-11-01", "--max-age", "3000d")[2] == ""
    # 2026-11-01T00:00:00Z
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1793491200")
    assert "days old on 2026-11-01" in ctc(capsys, *words)[2]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--target", "nowhere"), "there are: kubeflow"),
        (("--region", "eu-west-1"), "write TARGET=REGION"),
        (("--region", "nowhere=eu-west-1"), "unknown target"),
        (("--at", "yesterday"), "write a day such as"),
        (("--max-age", "half"), "duration"),
    ],
)
def test_wrong_words_say_what_to_write(words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = ctc(capsys, MINIMAL, *words)

    assert code == 2
    assert said in err


def test_errors_of_the_spec_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "ctc.yaml"
    file.write_text(MINIMAL.read_text().replace("strategy: full", "strategy: ful"))
    code, out, err = ctc(capsys, file)

    assert (code, out) == (1, "")
    assert "did you mean `full`?" in err


def test_many_specs_have_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ctc(capsys, ROOT / "specs")

    assert code == 0
    assert out.splitlines()[0].split() == ["spec", "environment", "target", "low", "expected", "worst"]
    assert len(out.splitlines()) > 30


def test_markdown_has_the_totals(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = ctc(capsys, MINIMAL, "--target", "sagemaker", "--region", "sagemaker=eu-west-1", "-o", "markdown")

    assert out.startswith("#### late-parcels, default, sagemaker in eu-west-1, USD\n")
    assert "| everything |  | not estimated |" in out
    assert out.count("<details>") == out.count("</details>") == 1
