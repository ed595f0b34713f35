"""The comment as a Markdown reader takes it: nothing that a spec says is markup, whatever it says."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ctc.diff.markdown import as_markdown, code, prose
from ctc.diff.meaning import Kind, Level, Meaning
from ctc.diff.model import Change, Outcome, Place, Report, Resources, SpecDiff

READER = MarkdownIt("commonmark", {"html": True}).enable("table")
RECORDED = sorted((Path(__file__).resolve().parent.parent / "diff").glob("*.md"))
TAGS = {"h3", "h4", "p", "code", "table", "thead", "tbody", "tr", "th", "td", "br", "ul", "li", "strong"}
FOLDS = {"details", "summary"}
LAW = settings(max_examples=60, deadline=None, derandomize=True, database=None)
HOSTILE = st.text(
    st.one_of(st.sampled_from("`|\\<>&@#*_[]()!~-=:/$\n\r\t \u202e\u200b\x00"), st.characters(codec="utf-8")),
    max_size=40,
)


def tags(text: str) -> set[str]:
    return set(re.findall(r"<([a-z0-9]+)", READER.render(text)))


@pytest.mark.parametrize("comment", RECORDED, ids=lambda path: path.stem)
def test_a_comment_has_our_markup_only(comment: Path) -> None:
    said = comment.read_text(encoding="utf-8")
    shown = READER.render(said)

    assert tags(said) <= TAGS | FOLDS
    assert shown.count("<details>") == shown.count("</details>")
    for table in re.findall(r"<table>.*?</table>", shown, re.DOTALL):
        rows = [len(re.findall(r"<t[hd]", row)) for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL)]
        assert set(rows) <= {2, 3}
        assert len(set(rows)) == 1


@LAW
@given(HOSTILE)
def test_a_code_span_holds_whatever_is_put_into_it(text: str) -> None:
    # As it stands in a cell of a table.
    shown = READER.render(f"| a | b |\n|---|---|\n| {code(text)} | end |\n")
    cells = re.findall(r"<td>(.*?)</td>", shown, re.DOTALL)

    assert len(cells) == 2
    assert cells[1] == "end"
    assert re.fullmatch(r"<code>[^<]*</code>", cells[0])
    visible = html.unescape(re.sub(r"</?code>", "", cells[0]))
    assert [sign for sign in text if sign.isalnum()] == [
        sign for sign in re.sub(r"\\u\{[0-9a-f]+\}", "", visible) if sign.isalnum()
    ] or "\\u{" in text


@LAW
@given(HOSTILE)
def test_prose_is_never_markup(text: str) -> None:
    shown = READER.render(f"- said: {prose(text)} end\n")

    assert set(re.findall(r"<([a-z0-9]+)", shown)) <= {"ul", "li", "code"}
    outside = re.sub(r"<code>.*?</code>", "", shown, flags=re.DOTALL)
    assert not re.search(r"@\w", html.unescape(outside))


@LAW
@given(HOSTILE, HOSTILE)
def test_a_whole_comment_of_hostile_text(one: str, other: str) -> None:
    meaning = Meaning(Kind.DATA, Level.HIGH, f"why {one}")
    change = Change(f"a.{other}", Place("head", one, 1), one, other, meaning, (one,))
    resources = (Resources(one, other, (one,), (other,), unknown=""),)
    spec = SpecDiff("moved", other, one, (change,), Outcome(resources, (), (one, other)), (), (one,), other)
    said = as_markdown(Report(one, other, (spec,), 1))

    assert tags(said) <= TAGS | FOLDS
    assert READER.render(said).count("<h4>") == 1
