"""What programs read: the published JSON, SARIF for code scanning, and the commands of GitHub Actions."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctc import report
from ctc.diagnostics import Diagnostic, Edit, Label, Lines, Severity, Span
from ctc.language.load import load_each
from ctc.language.source import parse, read
from ctc.report import as_github, as_json, as_sarif
from ctc.report.sarif import MAX_RESULTS

ROOT = Path(__file__).resolve().parent.parent.parent
CASES = sorted((ROOT / "tests" / "err").glob("*.yaml"))
SCHEMA = json.loads((ROOT / "schemas" / "diagnostics.v1.schema.json").read_text(encoding="utf-8"))

TEXT = "a: é\nb: 12:30\n"
SPAN = Span("ctc.yaml", 2, 4, 9)
FINDING = Diagnostic(
    "CT011",
    Severity.ERROR,
    "`12:30` is read differently",
    "b",
    SPAN,
    Label(Span("ctc.yaml", 1, 1, 2), "after this"),
    'write "12:30"',
    Edit(SPAN, '"12:30"', 'write "12:30"'),
)
NO_PLACE = Diagnostic("CT001", Severity.ERROR, "cannot read gone.yaml: no such file", file="gone.yaml")

ODD = st.text(
    st.characters(codec=None) | st.sampled_from(list("\0\x1b\n\r%,:;`{}[]\"'\u2028\u202e\ud800€🙂")), max_size=40
)
SPANS = st.builds(
    lambda file, line, column, width, more: Span(file or "f", line, column, column + width, line + more if more else 0),
    ODD,
    st.integers(1, 5),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 2),
)
FINDINGS = st.builds(
    Diagnostic,
    st.sampled_from(["CT011", "CT248", "CT311", "CT501"]),
    st.sampled_from(list(Severity)),
    ODD.filter(bool),
    ODD,
    st.none() | SPANS,
    st.none() | st.builds(Label, SPANS, ODD),
    ODD,
    st.none() | st.builds(Edit, SPANS, ODD, ODD.filter(bool)),
    ODD,
)


def valid(document: str) -> Any:
    data = json.loads(document)
    jsonschema.Draft202012Validator(SCHEMA).validate(data)
    return data


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        valid('{"version": 1, "findings": [{}], "summary": {"files": 1, "errors": 1, "warnings": 0, "notes": 0}}')


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_every_recorded_case_has_the_published_form(case: Path) -> None:
    _, found = load_each(read(case))
    content = case.read_bytes()
    data = valid(as_json(found, {str(case): content.decode("utf-8", errors="replace")}, 1))

    assert len(data["findings"]) == len(found)
    for item in data["findings"]:
        assert item["file"] == str(case)
        if item["start"] is not None and not case.stem.startswith("CT002"):
            before = content[: item["start"]["byte"]]
            assert before.count(b"\n") + 1 == item["start"]["line"]


def test_json_counts_bytes_and_has_the_fix() -> None:
    [item] = valid(as_json([FINDING], {"ctc.yaml": "\ufeff" + TEXT}))["findings"]

    assert item["start"] == {"line": 2, "column": 4, "byte": 12}
    assert (TEXT.encode()[9:14], item["end"]["byte"]) == (b"12:30", 17)
    place = {key: item[key] for key in ("file", "start", "end")}
    assert item["fix"] == {"title": 'write "12:30"', "edits": [{**place, "text": '"12:30"'}]}


def test_a_file_that_cannot_be_read_is_named() -> None:
    [item] = valid(as_json([*read("no/such.yaml").diagnostics]))["findings"]

    assert (item["code"], item["file"], item["start"]) == ("CT001", "no/such.yaml", None)


def test_no_format_repeats_a_secret() -> None:
    text = "env:\n  secret:\n    value: hunter2hunter2\npassword: correct horse\n"
    item = Diagnostic(
        "CT501",
        Severity.ERROR,
        "`hunter2hunter2` looks like a secret",
        "env.secret.value",
        Span("f", 3, 12, 26),
        help="not `hunter2hunter2`",
        fix=Edit(Span("f", 3, 12, 26), "password: hunter2hunter2", "write it"),
    )
    said = [writer([item], {"f": text}) for writer in (as_json, as_sarif, as_github)] + [
        report.render([item], {"f": text}, color=False)
    ]

    for output in said:
        assert "CT501" in output
        assert "hunter2" not in output


def sarif(*findings: Diagnostic, root: str = "") -> Any:
    return json.loads(as_sarif(findings, {"ctc.yaml": TEXT}, root))


def test_sarif_has_what_code_scanning_reads() -> None:
    document = sarif(FINDING)
    [run] = document["runs"]
    [rule] = run["tool"]["driver"]["rules"]
    [result] = run["results"]

    assert (document["version"], run["columnKind"]) == ("2.1.0", "unicodeCodePoints")
    assert rule["id"] == result["ruleId"] == "CT011"
    assert rule["shortDescription"]["text"] in rule["help"]["text"]
    assert rule["defaultConfiguration"] == {"level": "error"}
    assert result["message"]["text"] == '`12:30` is read differently\nwrite "12:30"'
    region = {"startLine": 2, "startColumn": 4, "endLine": 2, "endColumn": 9}
    assert result["locations"] == [{"physicalLocation": {"artifactLocation": {"uri": "ctc.yaml"}, "region": region}}]
    assert result["relatedLocations"][0]["message"] == {"text": "after this"}
    [change] = result["fixes"][0]["artifactChanges"]
    assert change["replacements"] == [{"deletedRegion": region, "insertedContent": {"text": '"12:30"'}}]


def test_a_fingerprint_is_of_the_finding_and_not_of_its_line() -> None:
    def prints(*findings: Diagnostic) -> list[str]:
        return [
            item["partialFingerprints"]["primaryLocationLineHash"] for item in sarif(*findings)["runs"][0]["results"]
        ]

    moved = Diagnostic("CT011", Severity.ERROR, "other words", "b", Span("ctc.yaml", 40, 1, 2))
    elsewhere = Diagnostic("CT011", Severity.ERROR, "x", "c", SPAN)

    assert prints(FINDING) == prints(moved)
    assert len(set(prints(FINDING, elsewhere, moved))) == 3


def test_sarif_names_files_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["a b/ü.yaml", str(tmp_path / "in.yaml"), "/elsewhere/x.yaml", "sub/../top.yaml"]
    found = [Diagnostic("CT001", Severity.ERROR, "x", file=name) for name in names]
    results = sarif(*found, root=str(tmp_path))["runs"][0]["results"]

    assert [item["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for item in results] == [
        "a%20b/%C3%BC.yaml",
        "in.yaml",
        "file:///elsewhere/x.yaml",
        "top.yaml",
    ]


def test_of_too_many_results_the_errors_stay() -> None:
    warning = Diagnostic("CT248", Severity.WARNING, "x", span=SPAN)
    [run] = sarif(*[warning] * MAX_RESULTS, FINDING)["runs"]

    assert len(run["results"]) == MAX_RESULTS
    assert run["results"][-1]["ruleId"] == "CT011"
    [note] = run["invocations"][0]["toolExecutionNotifications"]
    assert note["message"]["text"].startswith("1 more finding")


TEXT_OBJECT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}
NUMBER = {"type": "integer", "minimum": 1}
REGION = {
    "type": "object",
    "required": ["startLine"],
    "additionalProperties": False,
    "properties": {"startLine": NUMBER, "startColumn": NUMBER, "endLine": NUMBER, "endColumn": NUMBER},
}
URI = {"type": "object", "required": ["uri"], "properties": {"uri": {"type": "string", "pattern": r"^[!-~]*$"}}}
LOCATION = {
    "type": "object",
    "required": ["physicalLocation"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "integer", "minimum": 0},
        "message": TEXT_OBJECT,
        "physicalLocation": {
            "required": ["artifactLocation", "region"],
            "properties": {"artifactLocation": URI, "region": REGION},
        },
    },
}
SARIF = {
    "type": "object",
    "required": ["version", "runs"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string"},
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "additionalProperties": False,
                "properties": {
                    "tool": {"required": ["driver"], "properties": {"driver": {"required": ["name", "rules"]}}},
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "invocations": {"type": "array", "items": {"required": ["executionSuccessful"]}},
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["message", "ruleId", "ruleIndex", "level"],
                            "properties": {
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "ruleIndex": {"type": "integer", "minimum": 0},
                                "message": TEXT_OBJECT,
                                "locations": {"type": "array", "items": LOCATION},
                                "relatedLocations": {"type": "array", "items": LOCATION},
                                "partialFingerprints": {"additionalProperties": {"type": "string"}},
                            },
                        },
                    },
                },
            },
        },
    },
}
"""The part of SARIF 2.1.0's own schema that concerns what is written here."""


@given(st.lists(FINDINGS, max_size=5))
def test_every_format_takes_any_text(findings: list[Diagnostic]) -> None:
    sources = {item.where: TEXT for item in findings}
    valid(as_json(findings, sources))
    document = json.loads(as_sarif(findings, sources).encode("utf-8"))
    jsonschema.Draft202012Validator(SARIF).validate(document)
    rules = [rule["id"] for rule in document["runs"][0]["tool"]["driver"]["rules"]]
    assert [rules[item["ruleIndex"]] for item in document["runs"][0]["results"]] == [item.code for item in findings]
    commands = as_github(findings, sources).encode("utf-8").decode().split("\n")
    assert len(commands) == len(findings) + 1
    assert all(re.match(r"::(error|warning|notice) [^:\r]*::", line) for line in commands[:-1])
    shown = report.render(findings, sources, color=False)
    assert shown.count("\n\n") >= len(findings)
    assert not re.search("[\0\x1b\r]", shown)


def test_github_gets_commands_with_errors_first() -> None:
    warning = Diagnostic("CT248", Severity.WARNING, "50% of\nit", "p", Span("a,b:c.yaml", 1, 2, 3, 4))
    assert as_github([warning, FINDING, NO_PLACE], {}) == (
        "::error file=ctc.yaml,line=2,endLine=2,col=4,endColumn=9,title=CT011::"
        '`12:30` is read differently%0Ahelp: write "12:30"\n'
        "::error file=gone.yaml,title=CT001::cannot read gone.yaml: no such file\n"
        "::warning file=a%2Cb%3Ac.yaml,line=1,endLine=4,title=CT248::50%25 of%0Ait\n"
    )


def test_a_span_and_its_text_agree() -> None:
    """Lines are those of libyaml, which also breaks where Python's `splitlines` does, but not everywhere."""
    text = "a: 1\u2028b: 2\x85c: 3\r\nd: 4\re: 5"
    document = parse(text, "f")
    lines = Lines(text)

    assert document.data == {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}
    keys = [place.key for place in document.spans.values() if place.key is not None]
    assert [lines.cut(key) for key in keys] == ["a", "b", "c", "d", "e"]
    assert [lines.place(lines.offset(key.line, key.column)) for key in keys] == [(key.line, key.column) for key in keys]
