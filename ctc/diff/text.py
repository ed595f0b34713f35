"""A diff for a terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

from ctc.diff import sentences
from ctc.diff.group import Group, because, groups, headline, levels
from ctc.diff.meaning import Level
from ctc.diff.model import Change, Holds, Report, safe

WIDTH = 110
_PATHS = 10
_COLORS = {Level.HIGH: "31;1", Level.MEDIUM: "33", Level.LOW: "36", Level.NONE: "0"}
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def as_text(report: Report, color: bool = False) -> str:
    """The whole report, one block a spec, or a group of specs that changed alike."""
    told = levels(report)
    lines = [f"{report.base} → {report.head}: {headline(report)}{f' ({told})' if told else ''}"]
    for group in groups(report):
        lines += ["", *_group(group, color)]
    return "".join(f"{_plain(line) if not color else line}\n" for line in lines)


def _plain(line: str) -> str:
    """Without characters that would move a terminal's cursor or turn the text round."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", line)


def _group(group: Group, color: bool) -> Iterator[str]:
    spec = group.shown
    if len(group.specs) > 1:
        yield _plain(because(group))
        paths = list(sentences.paths_of(group))
        for path in paths[:_PATHS]:
            yield _plain(f"  {path}")
        if len(paths) > _PATHS:
            yield f"  and {len(paths) - _PATHS:,} more"
    else:
        what = sentences.title(spec)
        yield _plain(f"{spec.path} ({', '.join(part for part in (spec.name, what) if part)})")
    for line in (*spec.warnings, sentences.consequence(spec)):
        if line:
            yield _plain(f"  {line}")
    if spec.is_invalid:
        yield "  it has errors, so nothing of it is compared"
    for change in group.changes:
        yield from _change(change, color)
    yield from (_plain(line) for line in _outcome(group))


def _change(change: Change, color: bool) -> Iterator[str]:
    was, now = change.said()
    level = change.level.word.upper()
    head = f"\x1b[{_COLORS[change.level]}m{level:<6}\x1b[0m" if color else f"{level:<6}"
    where = ", ".join(part for part in (sentences.place_of(change), *sentences.where_of(change.where)) if part)
    body = f"{change.kind:<10} {change.path}: {was} → {now}" + (f" ({where})" if where else "")
    yield f"  {head} {_plain(body)}"
    yield from textwrap.wrap(_plain(change.meaning.why), WIDTH, initial_indent=" " * 9, subsequent_indent=" " * 9)
    for item in change.comes_to:
        yield _plain(f"         {_holds(item)}")


def _holds(item: Holds) -> str:
    where = f" ({', '.join(sentences.where_of(item.where))})" if item.where else ""
    return f"→ {item.path}: {safe(item.path, item.was, 60)} → {safe(item.path, item.now, 60)}{where}"


def _outcome(group: Group) -> Iterator[str]:
    outcome = group.outcome
    alike = sentences.only_of_one(group)
    suffix = f", {alike}" if alike else ""
    if outcome.resources:
        yield f"  resources, if the former spec is what is deployed{suffix}:"
        for item in outcome.resources:
            yield f"    {sentences.deployment(item)}: {sentences.resources_of(item)}"
    if outcome.numbers:
        yield f"  before and after{suffix}:"
        for number in outcome.numbers:
            where = f" ({number.where})" if number.where else ""
            yield f"    {number.what}{where}: {number.was} → {number.now}"
    if outcome.notes:
        yield f"  what follows{suffix}:"
        for note in outcome.notes:
            yield from textwrap.wrap(note, WIDTH, initial_indent="    ", subsequent_indent="      ")
