"""The documentation is true: tables are what the code says, commands run, links lead somewhere.

`make golden` rewrites the generated blocks, which stand between `<!-- generated: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import price_coverage
import proofs
import pytest
from reference import language_reference

from ctc import targets
from ctc.cli import VERBS
from ctc.diff.meaning import rules
from ctc.graph.mermaid import mermaid
from ctc.graph.system import graph_of
from ctc.language.load import load_spec
from ctc.report.explanations import GROUPS, explanations

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").glob("*/*.md"),
        *(ROOT / "targets").rglob("*.md"),
    ]
)
PAGES = [page for page in PAGES if ".ctc" not in page.parts]
BLOCK = re.compile(r"<!-- generated: (\w+) -->\n(.*?)<!-- end -->", re.DOTALL)


def verbs() -> str:
    return table(("verb", "what it does"), [(f"`ctc {name}`", text) for name, text in VERBS.items()])


def support() -> str:
    """Every feature on every target; the reasons are in each target's own page."""
    faces = {name: targets.load(name) for name in targets.NAMES}
    features = sorted({feature for face in faces.values() for feature in face.CAPABILITIES})
    rows = [
        (f"`{feature}`", *(str(face.CAPABILITIES[feature].support) for face in faces.values())) for feature in features
    ]
    return table(("feature", *faces), rows)


def reasons(target: str) -> Callable[[], str]:
    def rows() -> str:
        capabilities = targets.load(target).CAPABILITIES
        return table(
            ("feature", "support", "how, or why not"),
            [(f"`{name}`", str(item.support), item.reason) for name, item in sorted(capabilities.items())],
        )

    return rows


def checks() -> str:
    """Every code; one that has a page leads to its section."""
    rows = []
    for item in explanations(complete=True):
        code = f"[`{item.code}`](#{item.code.lower()})" if item.why else f"`{item.code}`"
        rows.append((code, str(item.severity), item.title))
    return table(("code", "severity", "finds"), rows)


def explained() -> str:
    """The page of every code that has one, under its kind."""
    sections = []
    for digit, kind in GROUPS.items():
        pages = [item for item in explanations(complete=True) if item.code.startswith(digit) and item.why]
        if pages:
            sections.append(f"## {digit}xx: {kind}\n")
            sections += [f"### {item.code}\n{item.markdown()}\n" for item in pages]
    return "\n".join(sections)


def meanings() -> str:
    """What a change of each place means, from the table that `ctc diff` asks."""
    directions = {"looser": "looser, or removed", "tighter": "tighter, or added", "any": "changed"}
    rows = [
        (
            "<br>".join(f"`{path}`" for path in rule.paths) if number == 0 else "",
            directions.get(way, way),
            f"{item.level.word} {item.kind}",
            item.why,
        )
        for rule in rules()
        for number, (way, item) in enumerate(rule.means.items())
    ]
    return table(("place", "what happens", "level, kind", "why it matters"), rows)


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def graph() -> str:
    """The spec of the example, as GitHub draws it."""
    spec = load_spec(ROOT / "examples" / "flight-delay" / "ctc.yaml").spec
    assert spec is not None
    return f"```mermaid\n{mermaid(graph_of(spec))}```\n"


GENERATED: dict[str, Callable[[], str]] = {
    "graph": graph,
    "verbs": verbs,
    "support": support,
    "checks": checks,
    "explained": explained,
    "meanings": meanings,
    "proofs": lambda: proofs.table(ROOT / "docs" / "proofs.json"),
    "price_coverage": lambda: table(
        ("target", "region", "machines", "with spot", "other prices", "dates", "least confidence"),
        price_coverage.coverage(),
    ),
    "price_gaps": lambda: table(("target", "machines without a price"), price_coverage.missing()),
    "price_sources": lambda: table(("source", "licence", "prices", "dates"), price_coverage.sources()),
    "language": lambda: f"{language_reference()}\n",
    **{f"support_{name}": reasons(name) for name in targets.NAMES},
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_generated_blocks_are_current(page: Path, update: bool) -> None:
    text = page.read_text(encoding="utf-8")
    fresh = BLOCK.sub(lambda match: f"<!-- generated: {match[1]} -->\n{GENERATED[match[1]]()}<!-- end -->", text)
    if update:
        page.write_text(fresh, encoding="utf-8")

    assert page.read_text(encoding="utf-8") == fresh, "run `make golden` and review the diff"


def test_every_generated_table_stands_on_a_page() -> None:
    placed = {match[1] for page in PAGES for match in BLOCK.finditer(page.read_text(encoding="utf-8"))}

    assert placed == set(GENERATED)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_within_a_page_lead_to_a_heading(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    headings = {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in re.findall(r"^#+ (.+)$", text, re.M)}

    assert set(re.findall(r"\]\(#([^)\s]+)\)", text)) <= headings


def readme_commands() -> list[str]:
    """The `ctc …` lines of the README's shell blocks, but for those that train for minutes (`make demo` runs these)."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL)
    lines = [line.removeprefix("$ ").strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("ctc ") and not line.startswith("ctc run")]


@pytest.mark.parametrize("command", readme_commands())
def test_readme_commands_run(command: str, tmp_path: Path) -> None:
    words = [word.replace("pipelines", str(tmp_path / "pipelines")) for word in shlex.split(command, comments=True)[1:]]
    if "--check" in words:
        subprocess.run(
            [sys.executable, "-m", "ctc", *(word for word in words if word != "--check")], cwd=ROOT, check=True
        )
    done = subprocess.run([sys.executable, "-m", "ctc", *words], cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_project_speaks_of_itself_only() -> None:
    """No machine's paths, no package index, in any file that git tracks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    # Spelt in parts, so that this file does not find itself.
    forbidden = re.compile(
        "|".join(["/wo" + "rk/", "/fa" + "rm/", r"\.py" + "env", "pypi" + r"\.org", "pythonhost" + "ed"])
    )
    for name in filter(None, listed.split("\0")):
        file = ROOT / name
        if file.is_symlink() or not file.is_file():
            continue
        found = forbidden.search(file.read_text(encoding="utf-8", errors="ignore"))
        assert found is None, f"{name}: {found and found[0]}"
