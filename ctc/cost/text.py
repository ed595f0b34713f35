"""Estimates as text: tables for terminals and for Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ctc.cost.amounts import Amount, sum_of
from ctc.cost.book import ANYWHERE, CONFIDENCES, Price
from ctc.cost.caps import Verdict
from ctc.cost.estimate import Estimate, Line

COLUMNS = ("low", "expected", "worst")
NOT_ESTIMATED = "not estimated"
HEADINGS = {"wake": "wakes", "train": "runs", "server": "servers", "storage": "storage"}

Row = tuple[str, ...]

_ANSWERS = {
    "within": "within it, also at worst",
    "not_known": "what is known is within it, but something lacks",
    "worst_above": "within it as expected, not at worst",
    "expected_above": "above it, as is to be expected",
    "surely_above": "surely above it",
    "not_compared": "not compared: the prices are in {currency}, and no `exchange` says what that is worth",
}


def money(amount: Amount) -> str:
    """`12.30`; `> 12.30` where something lacks; words where nothing is known. Small amounts keep two digits."""
    if amount.lacks and amount.known == 0:
        return NOT_ESTIMATED
    shown = f"{amount.known:,.2f}" if amount.known >= 0.095 or amount.known == 0 else f"{amount.known:.2g}"
    return f"> {shown}" if amount.lacks else shown


def heading(found: Estimate) -> str:
    """What an estimate is of."""
    place = f" in {found.region}" if found.region not in ("", ANYWHERE) else ""
    return f"{found.name}, {found.environment}, {found.target}{place}, {found.currency}"


def rows(found: Estimate) -> Iterator[Row]:
    """Name, what is hired, and the three columns of a month: for each kind of thing its lines, alike ones together."""
    for kind in dict.fromkeys(line.kind for line in found.lines):
        lines = [line for line in found.lines if line.kind == kind]
        count = _count(found, kind)
        yield (f"{HEADINGS.get(kind, kind)}{count}", "", "", "", "")
        for together in _alike(lines):
            months = sum_of(line.month for line in together)
            yield (f"  {_named(together)}", together[0].hired, *map(money, months.columns))
    yield ("one run", "", *map(money, found.run.columns))
    yield ("everything", "", *map(money, found.month.columns))


def lacks(found: Estimate) -> tuple[str, ...]:
    """Everything that any column lacks, each once."""
    totals = (*found.run.columns, *found.month.columns)
    return tuple(dict.fromkeys(lack for amount in totals for lack in amount.lacks))


def book_line(prices: Sequence[Price]) -> str:
    """The days of the prices that were used, and the least sure of them."""
    if not prices:
        return "prices: none was found"
    days = sorted(price.as_of for price in prices)
    least = min((price.confidence for price in prices), key=CONFIDENCES.index)
    span = days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
    count = f"{len(prices)} price{'s' if len(prices) > 1 else ''} of {span}"
    if least == CONFIDENCES[-1]:
        return f"prices: {count}, your own"
    return f"prices: {count}; the least sure has {least} confidence"


def cap_line(verdict: Verdict, currency: str) -> str:
    answer = _ANSWERS[verdict.answer].format(currency=currency)
    return f"{verdict.cap} {verdict.amount:,.2f} {verdict.currency}: {answer}"


def table(found: Estimate, caps: Sequence[Verdict] = ()) -> str:
    """For a terminal."""
    body: list[Row] = [("a month", "hired", *COLUMNS), *rows(found)]
    widths = [max(len(row[index]) for row in body) for index in range(len(body[0]))]
    lines = [heading(found), ""]
    for row in body:
        left = [cell.ljust(width) for cell, width in zip(row[:2], widths, strict=False)]
        right = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        lines.append("  ".join((*left, *right)).rstrip())
    return "\n".join((*lines, "", *_below(found, caps, "{}"))) + "\n"


def markdown(found: Estimate, caps: Sequence[Verdict] = ()) -> str:
    """A table for a comment or a page, with what it rests on in a fold."""

    def cells(row: Row) -> str:
        return "| " + " | ".join(cell.strip().replace("|", "\\|") for cell in row) + " |"

    lines = [f"#### {heading(found)}", "", cells(("a month", "hired", *COLUMNS)), "| --- | --- | ---: | ---: | ---: |"]
    lines += [cells(row) for row in rows(found)]
    lines += ["", "<details><summary>What this rests on</summary>", ""]
    return "\n".join((*lines, *_below(found, caps, "- {}"), "", "</details>")) + "\n"


def short(found: Sequence[Estimate]) -> str:
    """One line for each of many estimates: a month of everything."""
    body: list[Row] = [("spec", "environment", "target", *COLUMNS)]
    body += [(item.name, item.environment, item.target, *map(money, item.month.columns)) for item in found]
    widths = [max(len(row[index]) for row in body) for index in range(6)]
    lines = []
    for row in body:
        left = [cell.ljust(width) for cell, width in zip(row[:3], widths, strict=False)]
        right = [cell.rjust(width) for cell, width in zip(row[3:], widths[3:], strict=True)]
        lines.append("  ".join((*left, *right)).rstrip())
    return "\n".join(lines) + "\n"


def _below(found: Estimate, caps: Sequence[Verdict], form: str) -> Iterator[str]:
    for verdict in caps:
        yield form.format(cap_line(verdict, found.currency))
    for lack in lacks(found):
        yield form.format(f"not estimated: {lack}")
    for basis in _bases(found):
        yield form.format(basis)
    for note in found.notes:
        yield form.format(note)
    yield form.format(book_line(found.prices))


def _bases(found: Estimate) -> Iterator[str]:
    """Where durations and sizes come from, for all that share it."""
    by_basis: dict[tuple[str, str], list[Line]] = {}
    for line in found.lines:
        by_basis.setdefault((HEADINGS.get(line.kind, line.kind), line.basis), []).append(line)
    for (kind, basis), lines in by_basis.items():
        yield f"{kind}, {_named(lines)}: {basis}"


def _alike(lines: Sequence[Line]) -> list[list[Line]]:
    """Lines of one machine and one basis together, in their order."""
    groups: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        groups.setdefault((line.hired, line.basis), []).append(line)
    return list(groups.values())


def _named(lines: Sequence[Line]) -> str:
    if len(lines) <= 2:
        return ", ".join(line.name for line in lines)
    return f"{lines[0].name} and {len(lines) - 1} more steps"


def _count(found: Estimate, kind: str) -> str:
    count = {"wake": found.counts.wakes, "train": found.counts.runs, **found.counts.jobs}.get(kind)
    if count is None:
        return ""
    return f" ({' / '.join(map(_times, count.columns))} a month)"


def _times(amount: Amount) -> str:
    if amount.lacks:
        return f"{amount.known:.4g}+" if amount.known else "?"
    return f"{amount.known:.4g}"


FORMATS: dict[str, Callable[[Estimate, Sequence[Verdict]], str]] = {"human": table, "markdown": markdown}
