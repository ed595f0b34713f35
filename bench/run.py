"""`make bench`: every number of the project's speed, most as a ratio to a floor or a peer measured in the same run.

Prints one line a number as it is found, with what it is to hold and `ok` or `MISS`. `python bench/run.py start_up many`
measures those parts only; the parts are `PARTS`.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from measure import in_turn, median, once, ratio

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
CTC = [PYTHON, "-c", "from ctc.cli import main; main()"]
SPEC, EVERYWHERE = "specs/minimal.yaml", "specs/everywhere.yaml"
AZUREML = str(ROOT / ".venv" / "judges" / "azureml" / "bin" / "python")
ROUNDS, CYCLES, SPECS = 7, 3, 500
CHECKED_ROWS = 10_000_000
FIRST, SECOND = "2013-02-10T11:00:00Z", "2013-03-10T11:00:00Z"


@dataclass(frozen=True)
class Row:
    """One line of the table; `value` is held to `limit`, both in `unit`."""

    what: str
    peer: str
    value: float
    limit: float
    unit: str
    detail: str

    @property
    def holds(self) -> bool:
        return self.value <= self.limit


def start_up() -> list[Row]:
    with tempfile.TemporaryDirectory() as scratch:
        timings = in_turn(
            {
                "floor": [PYTHON, "-c", "pass"],
                "version": [*CTC, "--version"],
                "validate": [*CTC, "validate", SPEC],
                "compile": [*CTC, "compile", EVERYWHERE, "--out", f"{scratch}/{{round}}"],
                "kfp": [PYTHON, "bench/kfp_peer.py", f"{scratch}/peer.yaml"],
                "sagemaker": [PYTHON, "bench/sagemaker_peer.py", f"{scratch}/peer.json"],
                "azureml": [AZUREML, "bench/azureml_peer.py", f"{scratch}/peer.yml"],
            },
            ROOT,
            ROUNDS,
        )
    floor = timings["floor"]
    return [
        _row("ctc --version, CPU", "python -c pass", timings["version"], floor, "cpu", 2.0),
        _row("ctc validate, CPU", "python -c pass", timings["validate"], floor, "cpu", 16.0),
        *(
            _row(
                f"ctc compile, four targets, {figure}",
                f"{sdk} SDK script",
                timings["compile"],
                timings[sdk],
                figure,
                most,
            )
            for sdk, most in (("kfp", 1 / 3), ("azureml", 1 / 10), ("sagemaker", 1 / 20))
            for figure in ("wall", "cpu")
        ),
    ]


def _row(what: str, peer: str, ours: list, theirs: list, figure: str, limit: float) -> Row:  # type: ignore[type-arg]
    detail = f"{median(ours, figure) * 1000:.0f} ms against {median(theirs, figure) * 1000:.0f} ms"
    return Row(what, peer, ratio(ours, theirs, figure), limit, "x", detail)


def warm_compile() -> list[Row]:
    """One spec, to all four targets, in a process that has done it before."""
    from ctc import targets
    from ctc.compiler.build import build
    from ctc.compiler.write import files
    from ctc.language.load import load_spec
    from ctc.language.spec import Spec

    def compile_all() -> None:
        for name in targets.NAMES:
            spec = load_spec(ROOT / EVERYWHERE, None, name).spec
            assert spec is not None
            built = build(spec, targets.load(name))
            assert built.bundle is not None
            files(built.bundle, built.system)

    def without_loading() -> None:
        for name, spec in specs.items():
            built = build(spec, targets.load(name))
            assert built.bundle is not None
            files(built.bundle, built.system)

    def loaded(target: str) -> Spec:
        spec = load_spec(ROOT / EVERYWHERE, None, target).spec
        assert spec is not None
        return spec

    def load() -> None:
        assert load_spec(ROOT / SPEC, None, None).spec is not None

    specs = {name: loaded(name) for name in targets.NAMES}
    return [
        Row("parse and check one spec, warm", "", _milliseconds(load), 5.0, "ms", "in one process"),
        Row("compile, four targets, warm", "", _milliseconds(without_loading), 10.0, "ms", "from a loaded spec"),
        Row("load and compile, four targets, warm", "", _milliseconds(compile_all), 60.0, "ms", "in one process"),
    ]


def _milliseconds(work: Callable[[], None]) -> float:
    """The lowest of five medians of ten: what the machine does beside it only ever adds."""
    medians = []
    for _ in range(5):
        times = []
        for _ in range(10):
            start = time.perf_counter()
            work()
            times.append((time.perf_counter() - start) * 1000)
        medians.append(statistics.median(times))
    return min(medians)


def many() -> list[Row]:
    """One call that checks hundreds of specs, no two alike."""
    text = (ROOT / SPEC).read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as scratch:
        specs = [Path(scratch) / f"{index}.yaml" for index in range(SPECS)]
        for index, spec in enumerate(specs):
            changed = text.replace("name: late-parcels", f"name: late-parcels-{index}")
            spec.write_text(changed.replace("min_rows: 2000", f"min_rows: {2000 + index}"), encoding="utf-8")
        timings = in_turn({"validate": [*CTC, "validate", *map(str, specs)]}, ROOT, 3)["validate"]
    seconds = median(timings, "wall")
    detail = f"{seconds / SPECS * 1000:.1f} ms each"
    return [Row(f"ctc validate, {SPECS} specs in one call", "", seconds, 3.0, "s", detail)]


def local_run() -> list[Row]:
    """One cycle of the flight example with a champion, against the same user commands by hand."""
    example = ROOT / "examples" / "flight-delay"
    if not (example / "data" / "departures.parquet").is_file():
        once([PYTHON, "prepare.py", "--out", "data"], example)
    with tempfile.TemporaryDirectory() as scratch:
        state = Path(scratch) / "state"
        run = [*CTC, "run", "ctc.yaml", "--state", str(state), "--python", PYTHON]
        once([*run, "--at", FIRST], example)
        shutil.copytree(state, Path(scratch) / "first")
        cycles, by_hand = [], []
        for _ in range(CYCLES):
            shutil.rmtree(state)
            shutil.copytree(Path(scratch) / "first", state)
            cycles.append(once([*run, "--at", SECOND], example).wall)
            by_hand.append(_by_hand(state, example, Path(scratch)))
    overhead = statistics.median(a - b for a, b in zip(cycles, by_hand, strict=True))
    times = statistics.median(a / b for a, b in zip(cycles, by_hand, strict=True))
    detail = f"{statistics.median(cycles):.1f} s against {statistics.median(by_hand):.1f} s"
    return [
        Row("ctc run, one cycle, over the user's commands", "by hand", overhead, 6.0, "s", detail),
        Row("ctc run, one cycle", "by hand", times, 2.0, "x", detail),
    ]


def _by_hand(state: Path, example: Path, scratch: Path) -> float:
    """Seconds that the spec's train command and two of its predict commands take on the newest attempt's data."""
    from ctc.compiler.training import fill_hyperparameters
    from ctc.language.load import load_spec

    spec = load_spec(example / "ctc.yaml", None, None).spec
    assert spec is not None
    training = spec.training
    snapshots = [path for path in state.rglob("attempts/*/artifacts-*/*/snapshot") if (path / "rows").is_dir()]
    data = max(snapshots, key=lambda path: path.stat().st_mtime)
    model = scratch / "model"
    shutil.rmtree(model, ignore_errors=True)
    model.mkdir()
    places = {"{train}": data / "train", "{valid}": data / "valid", "{rows}": data / "rows", "{model}": model}

    def command(argv: tuple[str, ...], predictions: str) -> list[str]:
        filled = fill_hyperparameters(argv, training.hyperparameters)
        known = {**places, "{predictions}": scratch / predictions}
        return [PYTHON, *(str(known.get(word, word)) for word in filled[1:])]

    commands = [
        command(training.argv, ""),
        command(training.predict, "contender.parquet"),
        command(training.predict, "champion.parquet"),
    ]
    return sum(once(words, example).wall for words in commands)


def data_checks() -> list[Row]:
    """Every kind of data check on ten million rows of twenty columns, against one scan of the same columns."""
    peer = [PYTHON, "bench/checks_peer.py"]
    with tempfile.TemporaryDirectory() as scratch:
        once([*peer, "make", scratch, str(CHECKED_ROWS)], ROOT)
        commands = {"checks": [*peer, "checks", scratch], "scan": [*peer, "scan", scratch]}
        timings = in_turn(commands, ROOT, CYCLES)
    rows = f"{CHECKED_ROWS // 10**6} million rows"
    return [_row(f"data checks, {rows}, wall", "one DuckDB scan", timings["checks"], timings["scan"], "wall", 5.0)]


def diffs() -> list[Row]:
    """`ctc diff` of one changed spec, of 500 that changed alike, and of 500 of which each changed by itself."""
    with tempfile.TemporaryDirectory() as scratch:
        rows = []
        for what, count, alike, limit in (
            ("one spec", 1, True, 0.5),
            (f"{SPECS} specs, alike", SPECS, True, 5.0),
            (f"{SPECS} specs, each by itself", SPECS, False, 5.0),
        ):
            folder = Path(scratch) / f"{count}-{alike}"
            make = [PYTHON, "bench/diff_repository.py", str(folder), str(count), *(["alike"] if alike else [])]
            once(make, ROOT)
            timings = in_turn({"diff": [*CTC, "diff", "HEAD", "-o", "markdown"]}, folder, CYCLES)["diff"]
            detail = f"{median(timings, 'cpu'):.2f} s of CPU"
            rows.append(Row(f"ctc diff, {what}", "", median(timings, "wall"), limit, "s", detail))
        return rows


PARTS: dict[str, Callable[[], list[Row]]] = {
    "start_up": start_up,
    "warm_compile": warm_compile,
    "many": many,
    "diffs": diffs,
    "local_run": local_run,
    "data_checks": data_checks,
}


def main(chosen: list[str]) -> None:
    """Ends with 0 also after a `MISS`: another machine, or a busy one, is no failure of the build."""
    if unknown := [part for part in chosen if part not in PARTS]:
        sys.exit(f"no part {', '.join(unknown)}; there are: {', '.join(PARTS)}")
    for part in chosen or PARTS:
        for row in PARTS[part]():
            mark = "ok  " if row.holds else "MISS"
            told = f"{row.value:7.2f} {row.unit:2} (hold {row.limit:5.2f})"
            print(f"{mark} {row.what:44} {told}  {row.peer:14} {row.detail}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
