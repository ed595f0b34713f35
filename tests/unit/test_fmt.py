"""`ctc fmt` keeps what a spec means and every comment in it, settles in one pass, and lays out as described."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctc.diagnostics import CtcError
from ctc.language import comments as yaml_comments
from ctc.language import fmt
from ctc.language.fmt import duration_paths, format_text, meaning, short_duration
from ctc.language.load import load_spec
from ctc.language.shape import schema
from ctc.language.source import parse
from ctc.language.spec import Spec
from ctc.language.units import duration

ROOT = Path(__file__).resolve().parent.parent.parent
SPECS = sorted([*(ROOT / "specs").glob("*.yaml"), *(ROOT / "examples").glob("*/ctc.yaml")])
SEEDS = [path.read_text(encoding="utf-8") for path in SPECS] + [
    path.read_text(encoding="utf-8-sig") for path in sorted((ROOT / "tests" / "ok").glob("*.yaml"))
]
HARD = """\
# yaml-language-server: $schema=ct.v1.schema.json
apiVersion: ctc/v1
name: hard   # a "quoted" # comment
description: |  # a header
  # no comment
    deeper

  last%s
owner: "two
  lines # no comment"
triggers:
    weekly: &weekly
        schedule: {cron: "30 2 * * 1", # inside a flow map
                   timezone: UTC}
        sustained: PT48H               # aligned
    # indented less
    again:
        <<: *weekly
        enabled: false
    listed:
    - a: "#"
      b: it's # not a quote
    -
        c: >-
            folded
            text
# at the left edge
    last: {new_data: {min_rows: 1, settle: 'P1D'}}

# floating

# above training
training:
  argv: [python, "{train}",
         --x]
  timeout: 2160h
  plain: several
    lines of text

    with a gap
retraining: {window: 12w, gap: PT1H30M}
variables: {text: "PT6H # no"}
notes: |+
  kept

# the end
""".replace("%s", "   ")


def formatted(text: str) -> str:
    found = format_text(text)
    assert found.text is not None, found.diagnostics
    return found.text


def comments(text: str) -> list[str]:
    found = yaml_comments.comments(text.removeprefix("\ufeff").replace("\r\n", "\n"), "")
    return sorted(comment.text.rstrip(" \t") for comment in found)


def holds_the_laws(text: str) -> None:
    before = parse(text.removeprefix("\ufeff"))
    if before.data is None or any(item.code.startswith("CT0") for item in before.diagnostics):
        assert format_text(text).text is None
        return
    result = formatted(text)

    assert meaning(parse(result)) == meaning(before)
    assert formatted(result) == result
    assert comments(result) == comments(text)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_specs_of_the_project_are_formatted(path: Path) -> None:
    text = path.read_bytes().decode()

    assert formatted(text) == text


def test_a_spec_with_every_hazard_keeps_the_laws() -> None:
    holds_the_laws(HARD)
    holds_the_laws(HARD.replace("\n", "\r\n"))


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A spec that somebody has worked on: lines moved, doubled, indented, commented, ended in another way."""
    lines = draw(st.sampled_from([*SEEDS, HARD])).splitlines()
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, len(lines) - 1))
        change: Callable[[str], list[str]] = draw(
            st.sampled_from(
                [
                    lambda line: ["", "", line],
                    lambda line: [line, "  "],
                    lambda line: [line + "   "],
                    lambda line: [line + "  # said later"],
                    lambda line: ["# above", line],
                    lambda line: ["    # indented", line],
                    lambda line: ["", "# floating", "", line],
                    lambda line: [" " * (len(line) - len(line.lstrip()) + 2) + line.lstrip()],
                    lambda line: [],
                    lambda line: [re.sub(r"\b\d+[dhm]\b", draw(DURATIONS), line)],
                    lambda line: [line.replace(": {", ": &here {", 1)],
                    lambda line: [line, "extra: |", "    text", "     ", ""],
                    lambda line: [line, "extra: |+2", "    text", "", ""],
                    lambda line: [line, "extra: [a,", "  # inside", "  b]"],
                ]
            )
        )
        lines[place : place + 1] = change(lines[place])
        lines = lines or [""]
    if draw(st.booleans()):
        width = draw(st.sampled_from([1, 3, 4]))
        lines = [" " * (width * ((len(line) - len(line.lstrip())) // 2)) + line.lstrip() for line in lines]
    if draw(st.booleans()):
        lines = shuffled(lines, draw(st.randoms(use_true_random=False)).shuffle)
    start, end = draw(st.sampled_from(["", "", "\ufeff", "---\n", "\n\n"])), draw(st.sampled_from(["\n", "", "\n\n\n"]))
    text = start + "\n".join(lines) + end
    return text.replace("\n", "\r\n") if draw(st.sampled_from([False, False, True])) else text


DURATIONS = st.sampled_from(["6h", "PT6H", "P1DT2H", "2160h", '"PT6H"', "'90m'", "0h", "P2W", "1w1d", "3600s", "06h"])


def shuffled(lines: list[str], shuffle: Callable[[list[list[str]]], None]) -> list[str]:
    """The lines with their sections in another order; what stands above a section at the left edge goes with it."""
    sections: list[list[str]] = [[]]
    for line in lines:
        if re.match(r"[a-zA-Z]", line):
            sections.append([])
        sections[-1].append(line)
    head, rest = sections[0], sections[1:]
    shuffle(rest)
    return head + [line for section in rest for line in section]


@given(mutated())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_text_loses_its_meaning_or_a_comment(text: str) -> None:
    holds_the_laws(text)


SCALARS = st.sampled_from(["a", "1", '"#"', "'it''s'", "[x, {y: z}]", "{a: [1], b: }", "PT6H", "~", '"\\u00e9"'])
COMMENTS = st.sampled_from(["", "", "", " # c", "     # far", "  #", "   "])


@st.composite
def blocks(draw: st.DrawFn, depth: int = 3) -> list[str]:
    """Lines of a block map or list at the left edge, in every style of YAML's blocks."""
    is_map, lines = draw(st.booleans()), list[str]()
    for index in range(draw(st.integers(1, 3))):
        head = f"k{index}:" if is_map else "-"
        kind = draw(st.sampled_from(["scalar", "block", "inline", "literal", "folded"] if depth else ["scalar"]))
        step = draw(st.integers(1, 4))
        pad = " " * step
        lines += draw(st.sampled_from([[], [], [], ["# edge"], [f"{pad}# in"], [""]])) if index else []
        if kind == "scalar" or (kind == "inline" and is_map):
            lines.append(f"{head} {draw(SCALARS)}{draw(COMMENTS)}")
        elif kind == "literal":
            sign = draw(st.sampled_from(["|", "|-", "|+", ">", ">+", f"|{step}"]))
            lines += [f"{head} {sign}{draw(COMMENTS)}", f"{pad}text", "", f"{pad}  # no comment  "]
            lines += draw(st.sampled_from([[], [""], [pad], ["", ""]]))
        elif kind == "folded":
            quote = draw(st.sampled_from(['"', "'", ""]))
            lines += [f"{head} {quote}one", "", f"{pad}two{quote}{draw(COMMENTS)}"]
        elif kind == "block":
            inner = draw(blocks(depth=depth - 1))
            lines += [f"{head}{draw(COMMENTS)}", *(pad + line if line else line for line in inner)]
        else:
            inner = draw(blocks(depth=depth - 1))
            lines += [f"-{pad}{inner[0]}", *(f" {pad}{line}" if line else line for line in inner[1:])]
    return lines


@given(blocks(depth=4), st.sampled_from(["\n", ""]))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_block_loses_its_meaning_or_a_comment(lines: list[str], end: str) -> None:
    text = "\n".join(lines) + end
    holds_the_laws(text)

    # PyYAML itself reads the same; nothing here is a duration.
    assert yaml.load(formatted(text), yaml.BaseLoader) == yaml.load(text, yaml.BaseLoader)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_spec_in_disorder_is_the_same_spec(path: Path, tmp_path: Path) -> None:
    lines = shuffled(path.read_text(encoding="utf-8").splitlines(), list.reverse)
    if not any(line.lstrip().startswith("- ") for line in lines):
        lines = ["  " * ((len(line) - len(line.lstrip())) // 2) + line for line in lines]
    text = "\n".join(lines) + "\n"
    (tmp_path / "before.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "after.yaml").write_text(formatted(text), encoding="utf-8")
    named = parse(text).data.get("environments")
    environment = next(iter(named)) if named else None
    before, after = (load_spec(tmp_path / name, environment) for name in ("before.yaml", "after.yaml"))

    assert before.spec is not None or path.stem != "minimal"
    assert whole(after.spec) == whole(before.spec)
    assert sorted(item.code for item in after.diagnostics) == sorted(item.code for item in before.diagnostics)
    assert list(parse(formatted(text)).data) == [name for name in schema()["properties"] if name in keys_of(text)]


def whole(spec: Spec | None) -> Spec | None:
    """The spec without the order in which it names what this version does not run."""
    return None if spec is None else dataclasses.replace(spec, gaps=tuple(sorted(spec.gaps)))


def keys_of(text: str) -> set[str]:
    return set(yaml.load(text, yaml.BaseLoader))


@given(st.integers(0, 4_000_000), st.sampled_from("wdhms"))
def test_a_short_duration_is_as_long_and_stays(count: int, unit: str) -> None:
    written = f"{count}{unit}"
    try:
        wanted = duration(written)
    except ValueError:
        return
    short = short_duration(written)

    assert duration(short) == wanted
    assert short_duration(short) == short
    assert len(short) <= max(len(written), 2)


@pytest.mark.parametrize(
    ("written", "short"),
    [
        ("PT6H", "6h"), ("2160h", "90d"), ("P1DT12H", "1d12h"), ("90m", "90m"), ("120m", "2h"), ("1h30m", "1h30m"),
        ("P8W", "8w"), ("14d", "14d"), ("0h", "0d"), ("P0D", "0d"), ("86400s", "24h"), ("PT48H", "2d"), ("60m", "60m"),
        ("12w6d", "90d"), ("06h", "6h"),
    ],
)  # fmt: skip
def test_durations_are_short(written: str, short: str) -> None:
    assert short_duration(written) == short


def test_durations_are_edited_only_where_the_language_has_them() -> None:
    text = (
        "variables: {v: PT6H}\n"
        "training:\n"
        '  timeout: "PT2H"                     # stays aligned\n'
        "  argv: [PT6H]\n"
        "  hyperparameters: {h: PT6H}\n"
        "trigger_policy: {wake_every: PT1H, cooldown: 'P1D'} # close\n"
        "environments:\n"
        "  dev: {trigger_policy: {cooldown: PT36H}, description: PT6H}\n"
    )

    assert formatted(text) == (
        "variables: {v: PT6H}\n"
        "training:\n"
        '  timeout: "2h"                       # stays aligned\n'
        "  argv: [PT6H]\n"
        "  hyperparameters: {h: PT6H}\n"
        "trigger_policy: {wake_every: 1h, cooldown: '1d'} # close\n"
        "environments:\n"
        "  dev: {trigger_policy: {cooldown: 36h}, description: PT6H}\n"
    )


def test_a_duration_that_is_text_elsewhere_too_is_left() -> None:
    shared = "training:\n  hyperparameters: &h {timeout: PT2H}\n  <<: *h\n"

    assert formatted(shared) == shared
    assert formatted(shared.replace("hyperparameters", "<<")) == shared.replace("hyperparameters", "<<").replace(
        "PT2H", "2h"
    )


def test_a_section_moves_with_its_comments() -> None:
    text = (
        "# yaml-language-server: $schema=s\n"
        "# why it fires\n"
        "triggers:\n"
        "  asked: {manual: {}}\n"
        "  # in it\n"
        "# still of the triggers\n"
        "\n"
        "# floating\n"
        "\n"
        "# what it is\n"
        "name: x # here\n"
        "apiVersion: ctc/v1\n"
        "# the end\n"
    )

    assert formatted(text) == (
        "# yaml-language-server: $schema=s\n"
        "apiVersion: ctc/v1\n"
        "\n"
        "# floating\n"
        "\n"
        "# what it is\n"
        "name: x # here\n"
        "\n"
        "# why it fires\n"
        "triggers:\n"
        "  asked: {manual: {}}\n"
        "  # in it\n"
        "# still of the triggers\n"
        "# the end\n"
    )


def test_an_indented_comment_above_the_first_section_stays() -> None:
    assert formatted("  # head\ntask: y\nname: x\n") == "  # head\nname: x\ntask: y\n"


def test_sections_come_in_the_order_of_the_schema() -> None:
    names = list(schema()["properties"])
    text = "".join(f"{name}: 1\n" for name in reversed(names))

    assert formatted(text).split(": 1\n")[:-1] == names


def test_a_key_of_the_users_stays_behind_the_one_it_follows() -> None:
    assert formatted("x-first: 1\ntask: 2\nx-mine: 3\nname: 4\n").startswith(
        "x-first: 1\nname: 4\ntask: 2\nx-mine: 3\n"
    )


def test_an_alias_keeps_the_order() -> None:
    text = "training: {timeout: &long 2h}\nname: *long\n"

    assert formatted(text) == text
    assert formatted(text.replace("*long", "x")) == "name: x\n\ntraining: {timeout: &long 2h}\n".replace("\n\n", "\n")


def test_blank_lines() -> None:
    text = "\n\nname: x\n\n\n\ntraining:\n  code: .\nretraining:\n  window: 1d\n\n\n  gap: 1d\npromotion: {}\n\n\n"

    assert formatted(text) == (
        "name: x\n\ntraining:\n  code: .\n\nretraining:\n  window: 1d\n\n  gap: 1d\npromotion: {}\n"
    )


def test_indentation_by_four_becomes_two_and_texts_move_along() -> None:
    text = (
        "sources:\n"
        "    # of a\n"
        "    a:\n"
        "        note: |\n"
        "            one\n"
        "              two\n"
        "        key: [x,\n"
        "              y]     # aligned\n"
        "        items:\n"
        "        -   m: 1\n"
        "            n: 2     # aligned\n"
        "    # b: {}\n"
    )

    assert formatted(text) == (
        "sources:\n"
        "  # of a\n"
        "  a:\n"
        "    note: |\n"
        "        one\n"
        "          two\n"
        "    key: [x,\n"
        "          y]         # aligned\n"
        "    items:\n"
        "    -   m: 1\n"
        "        n: 2         # aligned\n"
        "  # b: {}\n"
    )


@pytest.mark.parametrize("text", ["? name\n: x\n", "? [a]\n", "{name: x,\n    task: y}\n", "- a\n-   b\n"])
def test_what_no_spec_looks_like_is_not_moved(text: str) -> None:
    assert format_text(text).text in (text, None)


def test_line_ends_and_the_byte_order_mark() -> None:
    assert formatted("\ufeffname: x  \r\ntask: y") == "name: x\ntask: y\n".replace("\n", "\r\n")
    assert formatted("name: x\ntask: y\r\nmode: z\n") == "name: x\nmode: z\ntask: y\n"
    assert formatted("name: x\rmode: z\n") == "name: x\nmode: z\n"


def test_a_text_at_the_end_does_not_grow() -> None:
    assert formatted("name: x\ndescription: |\n  text") == "name: x\ndescription: |\n  text"
    assert formatted("name: x\nnotes: |+\n  text\n\n\n") == "name: x\nnotes: |+\n  text\n\n\n"
    assert formatted("name: x\ndescription: |-\n  text") == "name: x\ndescription: |-\n  text\n"


def test_ends_of_lines_that_only_old_yaml_knows_stop_everything() -> None:
    text = "task: y   \nname: 'a\u2028b'\n"

    assert formatted(text) == text


def test_what_is_no_yaml_is_told() -> None:
    found = format_text("name: [x\n", "a.yaml")

    assert found.text is None
    assert [item.code for item in found.diagnostics] == ["CT004"]


def test_a_layout_with_another_meaning_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fmt, "short_duration", lambda text: "7h")

    with pytest.raises(CtcError, match=r"a\.yaml is left as it is"):
        format_text("training: {timeout: 6h}\n", "a.yaml")


def test_a_layout_that_loses_a_comment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fmt, "_tidied", lambda layout: [line.split("#")[0] for line in layout.lines])

    with pytest.raises(CtcError, match="would not mean the same"):
        format_text("name: x # why\n")


def test_durations_are_found_in_the_whole_of_a_spec() -> None:
    data = parse(SEEDS[0]).data
    found = set(duration_paths(data))

    assert ("label", "known_after") in found
    assert ("environments", "dev", "variables", "window") not in found
    assert ("retraining", "holdout", "time") in found
