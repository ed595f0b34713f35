"""`ctc package`: the same bytes everywhere, nothing in an image that nobody meant, and digests that hold."""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
import stat
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from ctc.cli.common import guarded
from ctc.cli.package import package
from ctc.diagnostics import CtcError
from ctc.language.load import load_spec
from ctc.language.lock import LOCK, read_lock
from ctc.package import disk, dockerfile, images
from ctc.package.context import Context, context, write_tar
from ctc.package.tree import Entry, tree

ROOT = Path(__file__).resolve().parent.parent.parent
HADOLINT = ROOT / ".venv" / "judges" / "dockerfile" / "bin" / "hadolint"
DIGEST = "sha256:" + "ab" * 32
OTHER = "sha256:" + "cd" * 32
FILES = {"train.py": "import sys\n", "predict.py": "import sys\n", "requirements.txt": "numpy==2.0.0\n"}


def project(folder: Path, files: Mapping[str, str | bytes] = FILES, code: str = "./src", **change: str) -> Path:
    """A spec whose images have no digest, with its code."""
    import re

    text = (ROOT / "specs" / "minimal.yaml").read_text().replace("code: ./src", f"code: {code}")
    text = re.sub(r"(registry\.example/\w+)@sha256:[0-9a-f]{64}", r"\1", text)
    for old, new in change.items():
        assert old in text
        text = text.replace(old, new)
    folder.mkdir(parents=True, exist_ok=True)
    spec = folder / "ctc.yaml"
    spec.write_text(text)
    for name, content in files.items():
        file = folder / code / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return spec


def run(spec: Path, *words: str) -> int:
    return guarded(package, [str(spec), "-o", str(spec.parent / "images"), *words])


def contents(folder: Path) -> dict[str, tuple[bytes, int, float]]:
    return {
        item.relative_to(folder).as_posix(): (item.read_bytes(), item.stat().st_mode, item.stat().st_mtime)
        for item in folder.rglob("*")
        if item.is_file() and item.name != "package.json"
    }


def described(spec: Path) -> dict[str, dict[str, str]]:
    listed: dict[str, dict[str, str]] = json.loads((spec.parent / "images" / "package.json").read_text())["contexts"]
    return listed


def test_the_same_code_gives_the_same_bytes_whenever_and_wherever(tmp_path: Path) -> None:
    first = project(tmp_path / "first", {**FILES, "run.sh": "#!/bin/sh\n", "deep/er/é.txt": "x"})
    second = project(tmp_path / "second", {"deep/er/é.txt": "x", "run.sh": "#!/bin/sh\n", **FILES})
    for number, spec in enumerate((first, second)):
        (spec.parent / "src" / "run.sh").chmod(0o700 if number else 0o755)
        (spec.parent / "src" / "train.py").chmod(0o600 if number else 0o666)
        os.utime(spec.parent / "src" / "train.py", (number * 1e9, number * 1e9))
        assert run(spec) == 0

    assert contents(first.parent / "images") == contents(second.parent / "images")
    assert described(first) == described(second)
    modes = {name: stat.S_IMODE(mode) for name, (_, mode, _) in contents(first.parent / "images").items()}
    assert modes["training/run.sh"] == 0o755 and modes["training/train.py"] == 0o644


def test_a_second_run_touches_nothing_and_keeps_the_tag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = project(tmp_path)
    run(spec)
    before = {item: item.stat().st_ino for item in (tmp_path / "images").rglob("*")}
    capsys.readouterr()

    assert run(spec) == 0
    assert {item: item.stat().st_ino for item in (tmp_path / "images").rglob("*")} == before
    assert capsys.readouterr().out.count("unchanged") == 2


@pytest.mark.parametrize("change", ["content", "name", "executable", "new"])
def test_each_change_of_the_code_changes_the_tag(change: str, tmp_path: Path) -> None:
    spec = project(tmp_path)
    run(spec)
    before = described(spec)
    train = tmp_path / "src" / "train.py"
    if change == "content":
        train.write_text("import os\n")
    elif change == "name":
        train.rename(train.with_name("fit.py"))
    elif change == "executable":
        train.chmod(0o755)
    else:
        (tmp_path / "src" / "new.py").touch()
    run(spec)

    assert described(spec)["training"]["tag"] != before["training"]["tag"]
    assert described(spec)["runtime"] == before["runtime"]


def test_what_is_beside_the_code_does_not_change_the_tag(tmp_path: Path) -> None:
    """With the code in the spec's own folder: the spec, its lock, the state of runs and the contexts are no code."""
    spec = project(tmp_path, code=".")
    run(spec)
    before = described(spec)
    spec.write_text(spec.read_text().replace("min: 0.6", "min: 0.7"))
    (tmp_path / ".ctc").mkdir()
    (tmp_path / ".ctc" / "state.json").touch()
    assert run(spec, "--digest", f"registry.example/parcels@{DIGEST}") == 0

    assert described(spec) == before
    assert sorted(contents(tmp_path / "images" / "training")) == sorted(["Dockerfile", *FILES])
    (tmp_path / ".dockerignore").write_text(f"!{spec.name}\n")
    run(spec)
    assert "ctc.yaml" in contents(tmp_path / "images" / "training")


def test_dockerignore_decides_and_the_dockerfile_is_there_all_the_same(tmp_path: Path) -> None:
    spec = project(tmp_path, {**FILES, "data/a.csv": "1", "data/b.txt": "2", "Dockerfile": "FROM scratch\n"})
    (tmp_path / "src" / ".dockerignore").write_text("*\n!data/*.csv\n!*.py\n")
    run(spec)

    found = set(contents(tmp_path / "images" / "training"))
    assert found == {".dockerignore", "Dockerfile", "data/a.csv", "train.py", "predict.py"}


HOSTILE = {
    "symlink": "a symbolic link to /etc/passwd",
    "folder-link": "a symbolic link to ..",
    "dangling": "a symbolic link to nowhere",
    "pipe": "no file: a pipe",
    "socket": "no file: a pipe, a socket",
    "newline": "control characters",
    "backslash": "a backslash",
    "not-utf8": "not UTF-8",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_no_plain_file_is_refused_by_name_and_nothing_is_written(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, code = project(tmp_path), tmp_path / "src"
    if kind == "symlink":
        (code / "x").symlink_to("/etc/passwd")
    elif kind == "folder-link":
        (code / "x").symlink_to("..")
    elif kind == "dangling":
        (code / "x").symlink_to("nowhere")
    elif kind == "pipe":
        os.mkfifo(code / "x")
    elif kind == "socket":
        monkeypatch.chdir(code)
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("x")
    else:
        name = {"newline": b"x\ny", "backslash": b"x\\y", "not-utf8": b"x\xff"}[kind]
        (Path(os.fsdecode(os.fsencode(code) + b"/" + name))).touch()

    assert run(spec) == 3
    said = capsys.readouterr().err
    assert HOSTILE[kind] in said and "x" in said and "Traceback" not in said
    assert not (tmp_path / "images").exists()
    (code / ".dockerignore").write_text("x*\n")
    assert run(spec) == 0


def test_all_that_is_refused_is_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = project(tmp_path)
    for number in range(30):
        (tmp_path / "src" / f"link{number:02}").symlink_to("/etc")

    assert run(spec) == 3
    said = capsys.readouterr().err
    assert "link00" in said and "link19" in said and "and 10 more" in said


@pytest.mark.parametrize("pair", [("a.py", "A.py"), ("\u00e9.py", "e\u0301.py")], ids=["case", "composed"])
def test_two_names_that_are_one_elsewhere_are_refused(pair: tuple[str, str], tmp_path: Path) -> None:
    for name in pair:
        (tmp_path / name).touch()

    with pytest.raises(CtcError, match="one file on macOS and Windows"):
        tree(tmp_path, "Dockerfile")


def test_names_that_are_only_odd_go_in(tmp_path: Path) -> None:
    names = ["-rf", "a b", "'\"$HOME`id`.py", "日本語", "x" * 200, "/".join(["d" * 90] * 4)]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    made = context("training", "r/i", tree(tmp_path, "Dockerfile").entries)
    written = io.BytesIO()
    write_tar(made, written)

    with tarfile.open(fileobj=io.BytesIO(written.getvalue())) as archive:
        assert sorted(archive.getnames()) == sorted(names)
        assert {item.mtime for item in archive} == {315_532_800}
        assert {(item.uid, item.gid, item.uname, item.gname) for item in archive} == {(0, 0, "", "")}


def test_a_large_tree_is_whole_and_sizes_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "LARGE", 20_000_000)
    spec = project(tmp_path)
    for number in range(2000):
        file = tmp_path / "src" / f"pkg{number % 40}" / f"mod{number}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(str(number))
    with (tmp_path / "src" / "big.bin").open("wb") as stream:
        stream.truncate(20_100_000)

    assert run(spec) == 0
    said = capsys.readouterr()
    assert "2005 files, 20.1 MB" in said.out
    assert " 20.1 MB  big.bin" in said.out and "20 MB go into the image" in said.err
    assert disk.digest_of_folder(tmp_path / "images" / "training") == described(spec)["training"]["context"]


SECRETS: dict[str, str | bytes] = {
    ".env": "A=1",
    "conf/.env.production": "A=1",
    "id_rsa": "x",
    "server.pem": "x",
    ".aws/config": "x",
    "service-account-prod.json": "{}",
    "deploy.txt": "-----BEGIN RSA PRIVATE KEY-----\n",
    "settings.py": 'KEY = "AKIA' + "A1" * 8 + '"\n',
    "notes.md": "ghp_" + "a1" * 18,
    "pip.conf": "index-url = https://ann:hunter2@registry.example/simple\n",
}
PLAIN: dict[str, str | bytes] = {
    ".env.example": "A=",
    "keys.py": "KEY = 1\n",
    "monkey.md": "AKIA",
    "tokens.json": "[]",
    "db.py": "url = f'postgres://{user}:${PASSWORD}@db.example'",
}


def test_what_looks_like_a_secret_is_warned_of_and_never_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(project(tmp_path, {**FILES, **SECRETS, **PLAIN}))

    said = capsys.readouterr()
    warned = [line for line in said.err.splitlines() if "can read it" in line]
    assert {line.split(":")[1].strip().removeprefix("./src/") for line in warned} == set(SECRETS)
    for value in ("A1" * 8, "a1" * 18):
        assert value not in said.err + said.out


def test_a_write_that_was_cut_short_is_finished_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    spec, images = project(tmp_path), tmp_path / "images"
    (images / ".training.partial").mkdir(parents=True)
    (images / ".training.partial" / "half").touch()
    assert run(spec) == 0
    assert not (images / ".training.partial").exists()
    whole = contents(images)
    # Killed between the two renames: the old one is aside, the new one not yet in its place.
    (images / "training").rename(images / ".training.old")
    assert run(spec) == 0
    assert contents(images) == whole

    (images / "training" / "mine.py").touch()
    (tmp_path / "src" / "train.py").write_text("new")
    assert run(spec) == 3
    assert (images / "training" / "mine.py").exists()


def test_a_file_that_changes_while_it_is_read_is_no_context(tmp_path: Path) -> None:
    file = tmp_path / "growing.csv"
    file.write_text("a" * 100)
    made = context("training", "r/i", (Entry("growing.csv", file),))
    for content in ("b" * 100, "a" * 50):
        file.write_text(content)
        with pytest.raises(CtcError, match="changed while it was read"):
            write_tar(made, io.BytesIO())
        with pytest.raises(CtcError, match="changed while it was read"):
            disk.write([made], tmp_path / "out")
        assert not (tmp_path / "out" / "training").exists()


def test_a_tar_is_the_folder(tmp_path: Path) -> None:
    spec = project(tmp_path)
    run(spec)
    folder = contents(tmp_path / "images" / "training")
    assert guarded(package, [str(spec), "-o", str(tmp_path / "tars"), "--tar"]) == 0
    first = {item.name: hashlib.sha256(item.read_bytes()).hexdigest() for item in (tmp_path / "tars").glob("*.tar")}

    with tarfile.open(tmp_path / "tars" / "training.tar") as archive:
        held = {item.name: archive.extractfile(item).read() for item in archive}  # type: ignore[union-attr]
    assert held == {name: content for name, (content, _, _) in folder.items()}
    guarded(package, [str(spec), "-o", str(tmp_path / "tars"), "--tar"])
    assert first == {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in (tmp_path / "tars").glob("*.tar")}


PINNED = ["--digest", f"registry.example/parcels@{DIGEST}", "--digest", f"registry.example/ctc@{OTHER}"]


def test_digests_reach_what_is_compiled_and_a_change_is_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = project(tmp_path)
    assert run(spec, "--check") == 4
    assert run(spec, *PINNED) == 0
    loaded = load_spec(spec)
    assert loaded.spec is not None
    assert loaded.spec.training.image == f"registry.example/parcels@{DIGEST}"
    assert loaded.spec.runtime_image == f"registry.example/ctc@{OTHER}"
    assert run(spec, "--check") == 0

    capsys.readouterr()
    (tmp_path / "src" / "train.py").write_text("import os\n")
    assert run(spec, "--check") == 4
    said = capsys.readouterr().out
    assert "changed: training; pinned is ctc-" in said and "differs" in said
    assert "runtime" not in said


def test_a_base_that_is_pinned_is_what_is_built_on(tmp_path: Path) -> None:
    spec = project(tmp_path)
    assert run(spec, "--digest", f"python:3.11-slim@{DIGEST}", *PINNED) == 0

    text = (tmp_path / "images" / "training" / "Dockerfile").read_text()
    assert f"FROM python@{DIGEST}\n" in text
    assert run(spec, "--check") == 0
    assert run(spec, "--digest", f"python:3.11-slim@{OTHER}") == 0
    assert run(spec, "--check") == 4, "the images that are pinned were made of the other base"


@pytest.mark.parametrize(
    ("digest", "said"),
    [
        ("registry.example/parcels", "no image with its digest"),
        ("registry.example/parcels@sha256:12", "no image with its digest"),
        (f"registry.example/other@{DIGEST}", "there are: registry.example/parcels, registry.example/ctc"),
        (f"registry.example/parcels:v7@{DIGEST}", "the spec says registry.example/parcels"),
        (f"registry.example/parcels:ctc-0123456789abcdef@{DIGEST}", "made of something else"),
    ],
)
def test_a_digest_of_something_else_is_refused(
    digest: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = project(tmp_path)

    assert run(spec, "--digest", digest) == 3
    assert said in capsys.readouterr().err
    assert not (tmp_path / LOCK).exists()


def test_a_digest_by_the_tag_that_was_shown_is_taken(tmp_path: Path) -> None:
    spec = project(tmp_path)
    run(spec)
    tag = described(spec)["training"]["tag"]

    assert run(spec, "--digest", f"{tag}@{DIGEST}") == 0
    assert read_lock(tmp_path).images["registry.example/parcels"].digest == DIGEST


def test_an_image_that_the_spec_pins_itself_is_not_pinned_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = project(tmp_path)
    spec.write_text(spec.read_text().replace("registry.example/parcels", f"registry.example/parcels@{OTHER}"))

    assert run(spec, "--digest", f"registry.example/parcels@{DIGEST}") == 3
    assert f"the spec itself says registry.example/parcels@{OTHER}" in capsys.readouterr().err


DOCKER = """#!/bin/sh
echo "$(basename "$0") $*" >> "$LOG"
case "$1" in
  build) [ -f "$6/Dockerfile" ] || exit 9; exit "${BUILD:-0}" ;;
  push) exit "${PUSH:-0}" ;;
  image) case "$5" in
    *parcels*) echo '["registry.example/parcels@'$DIGEST'"]' ;;
    *) echo '["registry.example/ctc@'$OTHER'"]' ;;
  esac ;;
esac
"""


@pytest.fixture
def tools(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH; the log of what was run in it."""
    folder = tmp_path_factory.mktemp("bin")
    for name in ("basename", "sh"):
        (folder / name).symlink_to(f"/bin/{name}" if Path(f"/bin/{name}").exists() else f"/usr/bin/{name}")
    for name, value in {"PATH": str(folder), "LOG": str(folder / "log"), "DIGEST": DIGEST, "OTHER": OTHER}.items():
        monkeypatch.setenv(name, value)
    return folder


def install(tools: Path, name: str) -> None:
    (tools / name).write_text(DOCKER)
    (tools / name).chmod(0o755)


@pytest.mark.parametrize("tool", ["docker", "podman"])
def test_push_builds_pushes_pins_and_does_nothing_again(tool: str, tmp_path: Path, tools: Path) -> None:
    install(tools, tool)
    spec = project(tmp_path)
    assert run(spec, "--push") == 0

    tags = [described(spec)[name]["tag"] for name in ("training", "runtime")]
    log = (tools / "log").read_text().splitlines()
    assert [line.split()[:2] for line in log] == [[tool, verb] for verb in ("build", "push", "image")] * 2
    assert f"{tool} build --platform linux/amd64 --tag {tags[0]} {tmp_path / 'images' / 'training'}" == log[0]
    pins = read_lock(tmp_path).images
    assert {name: pin.digest for name, pin in pins.items()} == {
        "registry.example/parcels": DIGEST,
        "registry.example/ctc": OTHER,
    }
    assert run(spec, "--check") == 0 and run(spec, "--push") == 0
    assert (tools / "log").read_text().splitlines() == log


def test_build_alone_pushes_and_pins_nothing(tmp_path: Path, tools: Path) -> None:
    install(tools, "docker")

    assert run(project(tmp_path), "--build") == 0
    assert {line.split()[1] for line in (tools / "log").read_text().splitlines()} == {"build"}
    assert not (tmp_path / LOCK).exists()


def test_without_a_tool_it_says_what_to_do(tmp_path: Path, tools: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(project(tmp_path), "--build") == 3
    said = capsys.readouterr().err
    assert "neither docker nor podman is on PATH" in said and "ctc package --digest" in said


@pytest.mark.parametrize(("name", "said"), [("BUILD", "training could not be built"), ("PUSH", "could not be pushed")])
def test_a_tool_that_fails_pins_nothing(
    name: str,
    said: str,
    tmp_path: Path,
    tools: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(tools, "docker")
    monkeypatch.setenv(name, "7")

    assert run(project(tmp_path), "--push") == 3
    told = capsys.readouterr().err
    assert said in told and "exited with 7" in told
    assert not (tmp_path / LOCK).exists()


def test_nothing_is_run_unless_it_is_asked_for(tmp_path: Path, tools: Path) -> None:
    install(tools, "docker")
    spec = project(tmp_path)
    run(spec)
    run(spec, *PINNED)
    run(spec, "--check")

    assert not (tools / "log").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("RUN echo\n", "has no FROM"),
        ("FROM a\nCOPY gone.py .\n", "Dockerfile:2: gone.py"),
        ("FROM a\nCOPY ../up .\n", "it is outside of the context"),
        ("FROM a\nCOPY train.py \\\n  # a comment\n\n  gone.py .\n", "Dockerfile:2: gone.py"),
        ('FROM a\nADD ["gone one", "/x"]\n', "gone one"),
        ("FROM a\nCOPY *.csv ./\n", r"*.csv"),
        ("FROM a\nFRMO b\n", "Dockerfile:2: `FRMO` is no instruction"),
        ("FROM a\nRUN <<EOF\npip install x\n", "does not end"),
    ],
)
def test_a_dockerfile_that_could_not_be_built_is_told_with_its_line(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(project(tmp_path, {**FILES, "Dockerfile": text})) == 3
    assert said in capsys.readouterr().err


GOOD = """# syntax=docker/dockerfile:1
# escape=`
ARG TAG=3.11
FROM python:${TAG} AS base
FROM base AS built
COPY --from=base /x /y
COPY --chown=1:1 train.py `
  *.py requirements.txt ./
COPY <<EOF /etc/conf
COPY gone /
EOF
ADD https://registry.example/file.tgz $WHERE/
FROM python:3.12
COPY . .
"""


def test_a_dockerfile_of_ones_own_is_used_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(project(tmp_path, {**FILES, "Dockerfile": GOOD})) == 0

    assert (tmp_path / "images" / "training" / "Dockerfile").read_text() == GOOD
    said = capsys.readouterr().err
    assert "Dockerfile:13: the base python:3.12 can move" in said and said.count("can move") == 2


@pytest.mark.parametrize(
    ("files", "words", "absent"),
    [
        ({"requirements.txt": "-r more/b.txt\nnumpy==2\n", "more/b.txt": "-c c.txt\n", "more/c.txt": "x==1\n"},
         ['COPY ["requirements.txt", "./"]', 'COPY ["more/b.txt", "more/c.txt", "./more/"]'], "install\", \".\""),
        ({"pyproject.toml": '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.12"\n'},
         ["FROM python:3.12-slim", 'RUN ["pip", "install", "."]'], "--requirement"),
        ({".python-version": "3.13.1\n", "requirements.txt": ""}, ["FROM python:3.13-slim"], "3.11"),
    ],
    ids=["includes", "project", "python"],
)  # fmt: skip
def test_the_dockerfile_that_is_made_fits_the_project(
    files: dict[str, str], words: list[str], absent: str, tmp_path: Path
) -> None:
    assert run(project(tmp_path, {"train.py": "", "predict.py": "", **files})) == 0

    text = (tmp_path / "images" / "training" / "Dockerfile").read_text()
    assert [word for word in words if word not in text] == [] and absent not in text


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"environment.yml": "x"}, "environment.yml, which ctc does not install"),
        ({"requirements.txt": "-r ../up.txt\n"}, "requirements.txt:1: `-r ../up.txt` names what is outside"),
        ({"requirements.txt": "a\n-e ../lib\n"}, "requirements.txt:2: `-e ../lib` names what is outside"),
        ({"requirements.txt": "# x\n./lib\n", "lib/setup.py": ""}, "installs a folder before the code is copied"),
        ({"requirements.txt": "-r gone.txt\n"}, "names what is not in the context"),
        ({"requirements.txt": b"\xff\xfe"}, "requirements.txt: invalid start byte"),
        ({"pyproject.toml": "[project"}, "pyproject.toml"),
    ],
)
def test_a_project_that_no_dockerfile_can_be_made_for_is_told_why(
    files: dict[str, str | bytes], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(project(tmp_path, {"train.py": "", **files})) == 3
    told = capsys.readouterr().err
    assert said in told.replace("'utf-8' codec can't decode byte 0xff in position 0: ", "")


def judged(text: bytes) -> str:
    """What a real parser of Dockerfiles says; it exits 1 for what it cannot parse."""
    if not HADOLINT.is_file():
        reason = f"{HADOLINT} is not there: `make test` installs it"
        if os.environ.get("CTC_REQUIRE_TOOLS"):
            pytest.fail(reason)
        pytest.skip(reason)
    done = subprocess.run([str(HADOLINT), "--no-color", "-"], input=text, capture_output=True)
    return done.stdout.decode() + done.stderr.decode()


def test_a_real_parser_reads_what_is_made(tmp_path: Path) -> None:
    run(project(tmp_path, {**FILES, "sub dir/é.txt": "x"}))
    for name in ("training", "runtime"):
        assert judged((tmp_path / "images" / name / "Dockerfile").read_bytes()) == ""
    serve = ["python", "it's.py", "{model}/m", "$(id)"]
    assert judged(dockerfile.made("python:3.11-slim", ["a b/r.txt", "c'd.txt"], True, serve)) == ""


def test_the_judge_is_not_blind() -> None:
    assert "unexpected" in judged(b"FROM a\nFRMO b\n")
    assert "DL3006" in judged(b"FROM python\n")


def test_the_instructions_are_those_that_docker_would_see() -> None:
    found = dockerfile.instructions(GOOD, "Dockerfile")

    assert [item.keyword for item in found] == ["ARG", "FROM", "FROM", "COPY", "COPY", "COPY", "ADD", "FROM", "COPY"]
    assert [item.line for item in found] == [3, 4, 5, 6, 7, 9, 12, 13, 14]


def test_contexts_of_one_content_have_one_digest() -> None:
    def made(*entries: Entry) -> Context:
        return context("training", "r.example:5000/i:v1", entries)

    one = made(Entry("b", b"2"), Entry("a", b"1"))
    assert one.digest == made(Entry("a", b"1"), Entry("b", b"2")).digest
    assert one.digest != made(Entry("a", b"12"), Entry("b", b"")).digest
    assert one.digest != made(Entry("a", b"1", True), Entry("b", b"2")).digest
    assert one.tag == f"r.example:5000/i:ctc-{one.digest[7:23]}"


def test_the_server_of_an_image_is_what_serve_starts(tmp_path: Path) -> None:
    """As a shell would start it: words stay words, and the model is where the service says."""
    words = ["printf", "<%s>", "it's", "{model}", "{model}/sub dir", "$(id)", "--x={model}"]
    text = dockerfile.made("python:3.11-slim", [], False, words).decode()
    assert text.endswith('CMD ["serve"]\n')
    [line] = [line for line in text.splitlines() if "/usr/local/bin/serve" in line]
    _, _, program = json.loads(line.removeprefix("RUN "))
    script = tmp_path / "serve"
    subprocess.run(["/bin/sh", "-c", program.replace("/usr/local/bin/serve", str(script))], check=True)
    for environment, model in (({"CTC_MODEL": "/m n"}, "/m n"), ({}, "/opt/ml/model")):
        said = subprocess.run([str(script)], env={"PATH": os.defpath, **environment}, capture_output=True, text=True)
        assert said.stdout == f"<it's><{model}><{model}/sub dir><$(id)><--x={model}>"


def test_an_image_that_also_serves_has_the_servers_words(tmp_path: Path) -> None:
    spec = tmp_path / "ctc.yaml"
    spec.write_text((ROOT / "specs" / "canary.yaml").read_text())
    for name in ("train.py", "fraud/__init__.py", "fraud/serve.py"):
        (tmp_path / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "src" / name).touch()
    assert run(spec) == 0

    text = (tmp_path / "images" / "training" / "Dockerfile").read_text()
    assert "python -m fraud.serve --model" in text and 'CMD ["serve"]' in text


def test_each_environment_pins_the_image_that_it_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = project(tmp_path)
    spec.write_text(
        f"{spec.read_text()}\nenvironments:\n  dev: {{training: {{image: registry.example/dev}}}}\n  prod: {{}}\n"
    )
    assert run(spec) == 1
    assert "this spec has environments; say which one" in capsys.readouterr().err
    assert run(spec, "--env", "dev", "--digest", f"registry.example/dev@{OTHER}") == 0
    assert run(spec, "--env", "prod", *PINNED) == 0

    images = {name: load_spec(spec, name).spec for name in ("dev", "prod")}
    assert [found.training.image for found in images.values() if found is not None] == [
        f"registry.example/dev@{OTHER}",
        f"registry.example/parcels@{DIGEST}",
    ]


def test_an_image_of_others_is_theirs_to_build_and_can_be_pinned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = project(tmp_path)
    commands = "fit: [fit, '{train}', '{prepared}'], apply: [apply, '{rows}', '{out}']"
    prepare = f"prepare: {{image: registry.example/prep:v2, {commands}}}"
    spec.write_text(f"{spec.read_text()}\n{prepare}\n")
    assert run(spec) == 0
    assert "prepare.image: registry.example/prep:v2 is yours to build, and not pinned" in capsys.readouterr().err
    assert run(spec, "--digest", f"registry.example/prep:v2@{DIGEST}") == 0

    assert read_lock(tmp_path).images["registry.example/prep:v2"].context == ""
    loaded = load_spec(spec).spec
    assert loaded is not None and loaded.prepare is not None
    assert loaded.prepare.image == f"registry.example/prep@{DIGEST}"
    assert run(spec, "--digest", f"registry.example/prep:v3@{DIGEST}") == 3
    assert "what is used here is registry.example/prep:v2" in capsys.readouterr().err
