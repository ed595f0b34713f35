"""The state and the records of a deployment, brought to this machine to be read."""

from __future__ import annotations

from pathlib import Path

from ctc.deploy.resource import Hands
from ctc.steps.local import FileObjectStore


def fetch(hands: Hands, folder: Path) -> None:
    """Fills `folder` as the state folder of a local deployment is filled: `state.json` and `records/`."""
    here, there = FileObjectStore(folder, ""), hands.objects()
    state = hands.state().read().document
    if state is not None:
        here.put("state.json", state)
    for key in hands.records():
        record = there.get(key)
        if record is not None:
            here.put(key, record)
