"""What a local run tells while it goes on, and to whom."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from ctc.run.records import Record


class Progress(Protocol):
    """What a run tells while it goes on. Records are those that appeared since it last told."""

    def instant(self, instant: datetime) -> None: ...

    def woke(self, records: Sequence[Record], said: str) -> None:
        """`said` is the wake's own summary, in a line; empty if it gave none."""
        ...

    def training(self, attempt: str) -> None: ...

    def scoring(self, job: str, serving: str) -> None: ...

    def step_ended(self, step: str, status: str, seconds: float) -> None: ...

    def waiting(self, seconds: float) -> None:
        """Called a few times a second; `seconds` since the last step ended."""
        ...

    def trained(self, record: Record | None, seconds: float) -> None: ...


class Silent:
    """Tells nobody."""

    def instant(self, instant: datetime) -> None:
        pass

    def woke(self, records: Sequence[Record], said: str) -> None:
        pass

    def training(self, attempt: str) -> None:
        pass

    def scoring(self, job: str, serving: str) -> None:
        pass

    def step_ended(self, step: str, status: str, seconds: float) -> None:
        pass

    def waiting(self, seconds: float) -> None:
        pass

    def trained(self, record: Record | None, seconds: float) -> None:
        pass
