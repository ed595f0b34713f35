"""`.dockerignore` is read as Docker reads it."""

from __future__ import annotations

import docker.utils.build
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctc.package.dockerignore import DEFAULT, Ignored, read

CASES = [
    ("a", "a", True),
    ("a", "a/b/c", True),
    ("a", "b/a", False),
    ("/a/", "a/b", True),
    ("./a//b/../c", "a/c", True),
    ("*", "a/b", True),
    ("*.py", "a.py", True),
    ("*.py", "a/b.py", False),
    ("**/*.py", "b.py", True),
    ("**/*.py", "a/c/b.py", True),
    ("**/a", "c/a/b", True),
    ("a/**", "a/b/c", True),
    ("a/**", "a", False),
    ("a/**/c", "a/c", True),
    ("a/**/c", "a/b/b/c", True),
    ("a?c", "abc", True),
    ("a?c", "a/c", False),
    ("[a-c].py", "b.py", True),
    ("[^a-c].py", "b.py", False),
    ("[[].py", "[.py", True),
    (r"\*.py", "*.py", True),
    (r"\*.py", "a.py", False),
    ("a.py", "aXpy", False),
    ("a+(b)|{c}$", "a+(b)|{c}$", True),
    ("# a", "# a", False),
    (" # a", "# a", True),
    ("", "a", False),
    (".", "a", False),
    ("é", "é", True),
]


@pytest.mark.parametrize(("pattern", "path", "ignored"), CASES)
def test_one_pattern(pattern: str, path: str, ignored: bool) -> None:
    assert Ignored([pattern])(path) is ignored


@pytest.mark.parametrize(
    ("patterns", "path", "ignored"),
    [
        (["*", "!src"], "src/a.py", False),
        (["*", "!src/*.py"], "src/a.py", False),
        (["*", "!src/*.py"], "src/a.csv", True),
        (["*.md", "!README.md"], "README.md", False),
        (["!README.md", "*.md"], "README.md", True),
        (["a", "! a/b "], "a/b/c", False),
        (["a", "!a/b", "a/b/c"], "a/b/c", True),
    ],
)
def test_the_last_pattern_that_matches_decides(patterns: list[str], path: str, ignored: bool) -> None:
    assert Ignored(patterns)(path) is ignored


@pytest.mark.parametrize("pattern", ["[a", "[]", "[^]", "a\\", "!", "[b-a]", "! "])
def test_what_docker_refuses_is_refused_with_its_line(pattern: str) -> None:
    with pytest.raises(ValueError, match="line 3"):
        Ignored(["a", "# b", pattern])


def test_the_end_of_lines_and_a_mark_at_the_start_are_no_part_of_a_pattern() -> None:
    ignored = read(b"\xef\xbb\xbfa\r\n  b  \r\n")

    assert ignored("a") and ignored("b")


def test_a_folder_is_looked_into_only_if_something_in_it_may_be_let_in() -> None:
    ignored = Ignored(["*", "!src/*.py"])

    assert ignored.whole(".git") and ignored.whole("data/src")
    assert not ignored.whole("src") and not Ignored(["a", "!**/b"]).whole("a")


def test_what_tools_write_is_left_out_by_default() -> None:
    ignored = Ignored(DEFAULT)

    for path in (
        ".git/HEAD",
        "pkg/__pycache__/a.cpython-311.pyc",
        "a.pyc",
        "sub/.venv/bin/python",
        "x.egg-info/PKG-INFO",
    ):
        assert ignored(path), path
    for path in ("train.py", ".gitignore", "data/a.parquet", "venv.py"):
        assert not ignored(path), path


NAMES = st.sampled_from(["a", "b.py", "c", "ab", "d.py"])
SEGMENTS = st.sampled_from(["a", "b.py", "c", "*", "?", "*.py", "a*", "[ab]"])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.builds(
            lambda lets_in, start, segments, end: f"{lets_in}{start}{'/'.join(segments)}{end}",
            st.sampled_from(["", "", "!"]),
            st.sampled_from(["", "/", "./"]),
            st.lists(SEGMENTS, min_size=1, max_size=3),
            st.sampled_from(["", "/"]),
        ),
        min_size=1,
        max_size=4,
    ),
    st.lists(NAMES, min_size=1, max_size=4).map("/".join),
)
def test_it_agrees_with_the_client_of_docker_where_that_agrees_with_docker(patterns: list[str], path: str) -> None:
    """The client in Python looks at parents by the number of a pattern's parts and knows no `[^`: not asked."""
    assert Ignored(patterns)(path) is docker.utils.build.PatternMatcher(list(patterns)).matches(path)
