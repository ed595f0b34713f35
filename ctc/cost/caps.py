"""Whether an estimate keeps to the caps of `cost`, as verdicts, and as the findings of `ctc validate`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from ctc.cost.amounts import Amount, Range
from ctc.cost.book import Book
from ctc.cost.estimate import Estimate
from ctc.diagnostics import Diagnostic, Severity
from ctc.language.spec import Spec
from ctc.value import Value, frozen

SURELY, EXPECTED = "CT391", "CT392"

Answer = Literal["within", "not_known", "worst_above", "expected_above", "surely_above", "not_compared"]


@frozen
class Verdict(Value):
    """One cap, `max_per_run` or `max_per_month`, and the estimate, both in `currency`.

    `within`: also the worst case is known whole and below. `worst_above`: only what is expected is below. `not_known`:
    what is known of the expected is below, and something lacks. `not_compared`: in a currency of which the book does
    not know what it is worth; then there is no `estimate`.
    """

    cap: str
    amount: float
    currency: str
    answer: Answer
    estimate: Range | None = None


def verdicts(spec: Spec, found: Estimate, book: Book) -> tuple[Verdict, ...]:
    """One for each cap that the spec states: of a run, and of everything in a month."""
    return tuple(_verdicts(spec, found, book))


def _verdicts(spec: Spec, found: Estimate, book: Book) -> Iterator[Verdict]:
    cost = spec.cost
    if cost is None:
        return
    for cap, money, estimated in (
        ("max_per_run", cost.max_per_run, found.run),
        ("max_per_month", cost.max_per_month, found.month),
    ):
        if money is None:
            continue
        rate = 1.0 if cost.currency == book.currency else book.exchange.get(cost.currency)
        if rate is None or money.currency not in (None, cost.currency):
            yield Verdict(cap, money.amount, cost.currency, "not_compared")
            continue
        own = Range(*(Amount(amount.known * rate, amount.lacks) for amount in estimated.columns))
        yield Verdict(cap, money.amount, cost.currency, _answer(own, money.amount), own)


def _answer(estimated: Range, cap: float) -> Answer:
    """What is known of an amount is its least, so that it may be above a cap though something lacks."""
    if estimated.low.known > cap:
        return "surely_above"
    if estimated.expected.known > cap:
        return "expected_above"
    if estimated.expected.lacks:
        return "not_known"
    return "within" if estimated.worst.known <= cap and not estimated.worst.lacks else "worst_above"


def findings(spec: Spec, found: Estimate, book: Book) -> tuple[Diagnostic, ...]:
    """CT391, an error: surely above a cap. CT392, a warning: above it by what is to be expected."""
    return tuple(_findings(spec, found, book))


def _findings(spec: Spec, found: Estimate, book: Book) -> Iterator[Diagnostic]:
    for verdict in verdicts(spec, found, book):
        if verdict.estimate is None or verdict.answer not in ("surely_above", "expected_above"):
            continue
        surely = verdict.answer == "surely_above"
        amount = verdict.estimate.low if surely else verdict.estimate.expected
        of_run = verdict.cap == "max_per_run"
        subject = "a run" if of_run else "a month"
        lacking = " without what is not known" if amount.lacks else ""
        certainty = _certain(of_run=of_run) if surely else "as is to be expected"
        dearest = _dearest(found, of_run=of_run, surely=surely)
        costs, cap = _shown(amount.known, verdict.amount)
        yield Diagnostic(
            SURELY if surely else EXPECTED,
            Severity.ERROR if surely else Severity.WARNING,
            f"{subject} on {found.target} costs {costs} {verdict.currency}{lacking}, {certainty}: more "
            f"than the {cap} {verdict.currency} of `{verdict.cap}`; most of it is {dearest}",
            f"cost.{verdict.cap}",
            help=f"write more than {costs}, or ask for less of that; `ctc cost` shows each line, and "
            "`--prices FILE` takes prices of your own",
        )


def _shown(costs: float, cap: float) -> tuple[str, str]:
    """Both amounts, with as many digits as tell them apart."""
    digits = next((count for count in range(2, 7) if f"{costs:.{count}f}" != f"{cap:.{count}f}"), 7)
    return f"{costs:,.{digits}f}", f"{cap:,.{digits}f}"


def _certain(*, of_run: bool) -> str:
    return "even if its first check ends it" if of_run else "even if no run is ever started"


def _dearest(found: Estimate, *, of_run: bool, surely: bool) -> str:
    def amount(each: Range | None) -> float:
        return 0.0 if each is None else (each.low if surely else each.expected).known

    if of_run:
        line = max((line for line in found.lines if line.kind == "train"), key=lambda line: amount(line.each))
    else:
        line = max(found.lines, key=lambda line: amount(line.month))
    named = {
        "train": f"the step `{line.name}`",
        "wake": "the wakes",
        "server": f"the server `{line.name}`",
        "storage": "the object store",
    }
    return named.get(line.kind, line.name) + (f" ({line.hired})" if line.hired else "")
