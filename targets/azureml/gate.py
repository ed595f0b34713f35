"""Runs a command unless an earlier step said no: Azure ML's job YAML has no branches.

`python gate.py --flag FOLDER:NAME ... --output FOLDER ... -- COMMAND...`. The command takes this process's place if
every named flag is true in its folder's `result.json`. Else this ends well and says why, in a file in each output too:
a store of objects has no empty folders, and later steps could not mount what is not there. A step that was skipped
itself left no result, which is a no too. Standard library only, Python 3.7 or newer: it runs in the user's image.
"""

from __future__ import annotations

import json
import os
import sys


def refusal(words: list[str]) -> str:
    """Why the command is skipped; empty if it is not."""
    for word in words:
        folder, _, name = word.rpartition(":")
        try:
            with open(os.path.join(folder, "result.json"), encoding="utf-8") as file:
                result = json.load(file)
        except FileNotFoundError:
            return "an earlier step was skipped"
        if result.get("flags", {}).get(name) is not True:
            return "%s said %s false" % (result.get("step", "a step"), name)
    return ""


def main(words: list[str]) -> None:
    """Becomes the command, or returns having skipped it."""
    cut = words.index("--")
    options = [(words[index], words[index + 1]) for index in range(0, cut, 2)]
    why = refusal([value for option, value in options if option == "--flag"])
    if not why:
        os.execvp(words[cut + 1], words[cut + 1 :])
    for folder in [value for option, value in options if option == "--output"]:
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "skipped.json"), "w", encoding="utf-8") as file:
            json.dump({"version": 1, "reason": why}, file)
    sys.stderr.write("ctc: skipped: %s\n" % why)


if __name__ == "__main__":
    main(sys.argv[1:])
