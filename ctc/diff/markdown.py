"""A diff as one comment of a pull request: a table that is seen, and details that are folded.

Nothing of a spec's text is markup in it: values stand in code spans, everything else is escaped.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from ctc.diff import sentences
from ctc.diff.group import Group, groups, headline, levels
from ctc.diff.meaning import Level
from ctc.diff.model import Change, Holds, Report, safe

MARKER = "<!-- ctc-diff -->"
"""By this line a job finds its own comment, to edit it rather than to add another."""

LIMIT = 65_536
"""Of GitHub's comments, in characters; counted here in bytes of UTF-8, which are no fewer."""

_RESERVED = 600
_VALUE, _PATHS = 160, 40
_SIGNS = {Level.HIGH: "🔴 HIGH", Level.MEDIUM: "🟡 MEDIUM", Level.LOW: "⚪ LOW"}
_MENTION = re.compile(r"([@#])(?=\w)")


@dataclass(frozen=True)
class _Section:
    """One group: what is seen, row by row, and what is folded."""

    head: str
    rows: tuple[str, ...]
    folded: str


def as_markdown(report: Report) -> str:
    """The comment, within GitHub's limit; where that cuts something, its last line says what."""
    told = levels(report)
    invalid = sum(spec.is_invalid for spec in report.specs)
    broken = [f"{invalid:,} {'spec has' if invalid == 1 else 'specs have'} errors"] if invalid else []
    parts = [*broken, told] if told else broken
    said = ", ".join(parts) or ("nothing of meaning changed" if not report.is_different else headline(report))
    title = f"{MARKER}\n### ctc diff: {said}\n\n"
    opening = f"{title}{code(report.base)} → {code(report.head)}: {headline(report)}.\n"
    sections = [_section(group) for group in groups(report)]
    return _fitted(opening, sections)


def _fitted(opening: str, sections: list[_Section]) -> str:
    """What is seen goes before what is folded, and the gravest before the rest."""
    left = LIMIT - _RESERVED - _size(opening)
    seen: list[str] = []
    cut_rows = cut_groups = cut_folds = 0
    for section in sections:
        left -= _size(section.head)
        if left < 0:
            cut_groups, cut_rows = cut_groups + 1, cut_rows + len(section.rows)
            left += _size(section.head)
            seen.append("")
            continue
        rows = []
        for row in section.rows:
            if _size(row) <= left:
                left -= _size(row)
                rows.append(row)
        cut_rows += len(section.rows) - len(rows)
        seen.append(section.head + "".join(rows))
    text = opening
    for section, visible in zip(sections, seen, strict=True):
        fits = bool(visible) and _size(section.folded) <= left
        cut_folds += bool(section.folded) and not fits
        left -= _size(section.folded) if fits else 0
        text += visible + (section.folded if fits else "")
    parts = [
        f"{number:,} {word}"
        for number, word in (
            (cut_groups, "specs or groups of specs"),
            (cut_rows, "changes"),
            (cut_folds, "folded details"),
        )
        if number
    ]
    if parts:
        said = f"{', '.join(parts)} did not fit into a comment of {LIMIT:,} characters and were cut."
        text += f"\n**{said}** `ctc diff` shows all of them, `-o json` to a program.\n"
    return text


def _size(text: str) -> int:
    return len(text.encode())


def _section(group: Group) -> _Section:
    spec = group.shown
    if len(group.specs) > 1:
        more = f" and {len(group.changes) - 1} more" if len(group.changes) > 1 else ""
        one_sided = spec.verb in ("added", "removed")
        why = f"such as {code(spec.path)}" if one_sided else f"because of {code(group.why)}{more}"
        head = f"\n#### {len(group.specs):,} specs {spec.verb} {why}\n\n"
    else:
        what = ", ".join(part for part in (code(spec.name) if spec.name else "", _title(group)) if part)
        head = f"\n#### {code(spec.path)}" + (f" ({what})" if what else "") + "\n\n"
    said = [*spec.warnings, sentences.consequence(spec)]
    head += "".join(f"{prose(line)}\n\n" for line in said if line)
    if spec.is_invalid:
        head += "The spec has errors, so nothing of it is compared:\n\n"
        return _Section(head, tuple(f"- {prose(line)}\n" for line in sentences.errors_of(spec)), "")
    rows = tuple(_row(change) for change in group.changes)
    if rows:
        head += "| | what changes, and why it matters |\n|---|---|\n"
    return _Section(head, rows, _folded(group))


def _title(group: Group) -> str:
    spec = group.shown
    return f"moved from {code(spec.former)}" if spec.verb == "moved" else sentences.title(spec)


def _row(change: Change) -> str:
    was, now = (code(text) for text in change.said(_VALUE))
    where = ", ".join(
        part for part in (sentences.place_of(change), *map(prose, sentences.where_of(change.where))) if part
    )
    place = code(change.path) + (f", {where}" if where else "")
    why = prose(change.meaning.why) + "".join(f"<br>→ {_holds(item)}" for item in change.comes_to[:5])
    if len(change.comes_to) > 5:
        why += f"<br>→ and {len(change.comes_to) - 5} more places"
    # Two columns: on a phone a wider table is read through a slit.
    return f"| {_SIGNS[change.level]}<br>{change.kind} | {place}<br>{was} → {now}<br>{why} |\n"


def _holds(item: Holds) -> str:
    where = f" ({prose(', '.join(sentences.where_of(item.where)))})" if item.where else ""
    was, now = (code(safe(item.path, value, 60)) for value in (item.was, item.now))
    return f"{code(item.path)}: {was} → {now}{where}"


def _folded(group: Group) -> str:
    outcome = group.outcome
    parts = []
    if len(group.specs) > 1:
        paths = list(sentences.paths_of(group))
        lines = [f"- {code(path)}\n" for path in paths[:_PATHS]]
        lines += [f"- and {len(paths) - _PATHS:,} more\n"] if len(paths) > _PATHS else []
        parts.append(_fold(f"{len(paths):,} specs", "".join(lines)))
    alike = f", as in {code(group.shown.path)}" if len(group.specs) > 1 else ""
    if outcome.resources:
        lines = [
            f"- **{prose(sentences.deployment(item))}**: {prose(sentences.resources_of(item, True))}\n"
            for item in outcome.resources
        ]
        parts.append(_fold(f"Resources, if the former spec is what is deployed{alike}", "".join(lines)))
    if outcome.numbers:
        rows = "".join(
            f"| {prose(number.what)}{f' ({prose(number.where)})' if number.where else ''} "
            f"| {prose(number.was)} | {prose(number.now)} |\n"
            for number in outcome.numbers
        )
        parts.append(_fold(f"Wakes, runs and what gates see{alike}", f"| | before | after |\n|---|---|---|\n{rows}"))
    if outcome.notes:
        parts.append(_fold(f"What follows{alike}", "".join(f"- {prose(note)}\n" for note in outcome.notes)))
    return "".join(parts)


def _fold(summary: str, body: str) -> str:
    # Markdown within the element needs the empty line; a code span within the summary is HTML there.
    shown = re.sub(r"(`+)(.*?)\1", lambda match: f"<code>{_html(match[2])}</code>", summary)
    return f"\n<details><summary>{shown}</summary>\n\n{body}\n</details>\n"


def _html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\\|", "|").strip()


def code(text: str) -> str:
    """Text as a code span: no markup, HTML, link or mention is found in it, and no cell of a table ends in it."""
    shown = _visible(text)
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") or not shown.strip() else ""
    return f"{fence}{pad}{shown or ' '}{pad}{fence}".replace("|", "\\|")


def prose(text: str) -> str:
    """A sentence in which backticks quote a spec's words: those as code, everything else escaped."""
    parts = _visible(text).split("`")
    if len(parts) % 2 == 0:
        return _escaped("`".join(parts))
    return "".join(code(part) if index % 2 else _escaped(part) for index, part in enumerate(parts) if part)


def _escaped(text: str) -> str:
    without_html = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    quoted = re.sub(r"([\\`*_\[\]|~])", r"\\\1", without_html)
    # A name after @, and a number after #, would call somebody or link to something.
    return _MENTION.sub("\\1\u200b", re.sub(r"(?<=\w)(://|www\.)", "\u200b\\1", quoted))


def _visible(text: str) -> str:
    """Without line breaks, and with those characters written out that are not seen or turn the text round."""
    return "".join(
        f"\\u{{{ord(sign):x}}}" if unicodedata.category(sign) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp") else sign
        for sign in text.replace("\r\n", "\n").replace("\n", "⏎")
    )
