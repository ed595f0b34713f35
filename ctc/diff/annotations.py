"""A diff as workflow commands, which GitHub Actions shows beside the lines of a change."""

from __future__ import annotations

from ctc.diff.meaning import Level
from ctc.diff.model import Change, Report
from ctc.diff.sentences import where_of

_LEVELS = {Level.HIGH: "warning", Level.MEDIUM: "notice", Level.LOW: "notice"}


def as_github(report: Report, failing: Level | None = None) -> str:
    """One command a change, the gravest first: GitHub shows the first ten of a level and step.

    What is at or above `failing` is an error, since the job ends with one.
    """
    ordered = sorted(report.changes(), key=lambda pair: -pair[1].level)
    return "".join(_command(change, failing) + "\n" for _, change in ordered)


def _command(change: Change, failing: Level | None) -> str:
    was, now = change.said()
    word = "error" if failing is not None and change.level >= failing else _LEVELS[change.level]
    properties: dict[str, str | int] = {}
    # What is gone has no line in the files that GitHub shows.
    if change.place.side == "head":
        properties["file"] = change.place.file
        if change.place.line:
            properties["line"] = change.place.line
    properties["title"] = f"{change.level.word}: {change.kind.value}"
    written = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items())
    where = f" ({', '.join(where_of(change.where))})" if change.where else ""
    return f"::{word} {written}::{_data(f'{change.path}: {was} → {now}{where}: {change.meaning.why}')}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
