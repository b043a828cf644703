"""Squared loss by one pass over the file: least squares, ridge regression, a path of 100 lasso penalties.

    python -m benchmarks.squares --rows 10000000 --columns 28 --json

scikit-learn works on the array in memory, ours on the file in the page cache. The objective is half the mean of squares
and the penalty, with an intercept. Exits with 1 when a fit of ours reads more than one pass and a sample of 1 %, or
when coefficients differ from those of float64 by more than 1e-4 of the largest.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import logistic_file
from benchmarks.harness import SETTLED, Contestant, Report, interleave, processors

RIDGE = 1e-2
VALUES, DEPTH = 100, 1e-3  # of the path, from the penalty at which all coefficients are 0 to that share of it
TARGET = 5.0
"""Times scikit-learn's speed, with the array in memory."""
SLOPES = 1e-4
PASSES = 1.02

Answer = Callable[[], tuple[Any, float | None]]
MODELS = ("least squares", "ridge", "lasso path")


def ours(path: Path, dtype: str, options: argparse.Namespace) -> dict[str, Answer]:
    """Coefficients, (d,) or (100, d), and the passes that they took."""
    import lazyml as lz
    from lazyml.solvers import Quadratic

    resources = {"memory": options.memory, "threads": options.threads}

    def loss() -> Any:
        X, y = lz.open(path, "X"), lz.open(path, "y")
        w, b = lz.param("w", X.shape[1], dtype), lz.param("b", dtype=dtype)
        return lz.mean((X @ w + b - y) ** 2) / 2, w

    def least_squares() -> tuple[Any, float]:
        fit = lz.minimize(loss()[0], **resources)
        return fit.params["w"], fit.passes

    def ridge() -> tuple[Any, float]:
        squares, w = loss()
        fit = lz.minimize(squares + RIDGE / 2 * lz.sum(w**2), **resources)
        return fit.params["w"], fit.passes

    def lasso_path() -> tuple[Any, float]:
        model = Quadratic(loss()[0], **resources)
        top = model.largest_l1("w")
        path = model.path([{"w": alpha} for alpha in np.geomspace(top, top * DEPTH, VALUES)])
        return np.stack([least.params["w"] for least in path]), model.passes

    return dict(zip(MODELS, (least_squares, ridge, lasso_path), strict=True))


def sklearn_squares(path: Path, threads: int) -> dict[str, Answer] | None:
    """The same by scikit-learn, with its defaults, on arrays in memory; None where it is not installed."""
    try:
        from sklearn.linear_model import LinearRegression, Ridge, lasso_path
        from threadpoolctl import threadpool_limits
    except ImportError:
        return None
    import h5py

    with h5py.File(path) as file:
        X, y = file["X"][:], file["y"][:]

    def least_squares() -> tuple[Any, None]:
        with threadpool_limits(threads):
            return LinearRegression().fit(X, y).coef_, None

    def ridge() -> tuple[Any, None]:
        with threadpool_limits(threads):
            return Ridge(alpha=RIDGE * len(y)).fit(X, y).coef_, None

    def path_of_lasso() -> tuple[Any, None]:
        with threadpool_limits(threads):
            centred, rest = X - X.mean(axis=0), y - y.mean()  # it has no intercept
            top = np.abs(centred.T @ rest).max() / len(y)
            _, slopes, _ = lasso_path(centred, rest, alphas=np.geomspace(top, top * DEPTH, VALUES))
        return slopes.T, None

    return dict(zip(MODELS, (least_squares, ridge, path_of_lasso), strict=True))


def compare(path: Path, options: argparse.Namespace, report: Report) -> None:
    mine, exact = ours(path, options.dtype, options), ours(path, "float64", options)
    contestants = []
    for name, fit in mine.items():
        slopes, passes = fit()
        best, _ = exact[name]()
        apart = float(np.abs(slopes - best).max() / np.abs(best).max())
        report.check(f"{name}: passes", passes, passes <= PASSES, f"at most {PASSES}")
        report.check(f"{name}: slopes apart from float64", apart, apart <= SLOPES, f"at most {SLOPES:g}")
        contestants.append(Contestant(f"lazyml {name}", fit))
    peers = sklearn_squares(path, options.threads)
    if peers is None:
        report.notes.append("scikit-learn is not installed and was left out")
    else:
        contestants += [Contestant(f"scikit-learn {name}, in memory", fit) for name, fit in peers.items()]
    report.timings = interleave(contestants, options.repeats, rest=SETTLED)
    report.ours = tuple(f"lazyml {name}" for name in MODELS)
    for name in MODELS if peers else ():
        theirs, here = (report.timings[key].median for key in (f"scikit-learn {name}, in memory", f"lazyml {name}"))
        report.checks[f"{name}: times scikit-learn"] = theirs / here


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.squares", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=28)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--threads", type=int, default=min(2, processors()))
    parser.add_argument("--memory", default="512 MiB", help="budget of ours")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the file is kept and found again; temporary if not given")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    facts = {"rows": options.rows, "columns": options.columns, "dtype": options.dtype, "threads": options.threads,
             "memory": options.memory, "repeats": options.repeats, "page_cache": "warm"}  # fmt: skip
    report = Report("squares", facts)
    with tempfile.TemporaryDirectory(prefix="lazyml-benchmark-") as temporary:
        path = logistic_file(options.folder or Path(temporary), options.rows, options.columns, options.dtype)
        compare(path, options, report)
    return report.finish(options.json)


if __name__ == "__main__":
    raise SystemExit(main())
