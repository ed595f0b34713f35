"""A scratch repository for `ctc diff`: so many specs, no two alike, each with a gate that is lowered since the commit.

`python bench/diff_repository.py FOLDER COUNT [alike]`; with `alike` all are lowered to the same number.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GIT = ["git", "-c", "user.name=bench", "-c", "user.email=bench@example.com", "-c", "commit.gpgsign=false"]
FLOOR = "min: 0.6}}"


def main(folder: Path, count: int, alike: bool) -> None:
    text = (ROOT / "specs" / "everywhere.yaml").read_text(encoding="utf-8")
    if FLOOR not in text:
        sys.exit(f"specs/everywhere.yaml has no gate with {FLOOR}")
    specs = {folder / f"{number}.yaml": text.replace("\nname: ", f"\nname: n{number}-") for number in range(count)}
    folder.mkdir(parents=True)
    for spec, content in specs.items():
        spec.write_text(content, encoding="utf-8")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "Specs"]):
        subprocess.run([*GIT, *words], cwd=folder, check=True)
    for number, (spec, content) in enumerate(specs.items()):
        lowered = 0.5 if alike else 0.1 + number / 10_000
        spec.write_text(content.replace(FLOOR, f"min: {lowered}}}}}"), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), "alike" in sys.argv[3:])
