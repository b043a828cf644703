"""What an Array says of itself, and what it answers when it is asked for something that it does not do."""

from __future__ import annotations

import difflib
import html
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from lazyml.config import format_bytes
from lazyml.errors import UnsupportedError
from lazyml.expr.infer import widen
from lazyml.expr.node import ChosenRows, Node, topological
from lazyml.expr.show import formula
from lazyml.plan.prologue import node_bytes

METHODS_OF_UFUNCS = {
    ("add", "reduce"): "sum", ("multiply", "reduce"): "prod", ("maximum", "reduce"): "max",
    ("minimum", "reduce"): "min", ("logical_and", "reduce"): "all", ("logical_or", "reduce"): "any",
    ("logaddexp", "reduce"): "logsumexp", ("multiply", "outer"): "outer",
}  # fmt: skip

SMALL_SIDE = ("of small matrices there are lz.solve, lz.inv, lz.cholesky, lz.det and lz.slogdet; for others use "
              "lz.compute(X.T @ X) first, and NumPy on it")  # fmt: skip
"""What serves in the place of the rest of np.linalg."""

INSTEAD = {
    **dict.fromkeys(("inner", "vdot"), "write x @ y"), "tensordot": "use lz.einsum", "fabs": "use lz.abs",
    **dict.fromkeys(("sort", "argsort", "partition", "argpartition"), "use lz.top_k or lz.quantile"),
    "flip": "the order of the rows is fixed: reverse columns by number, as in X[:, [2, 1, 0]]",
    "modf": "write lz.trunc(x) for the whole part and x - lz.trunc(x) for the fraction",
    "diff": "write X[:, 1:] - X[:, :-1] for columns; rows do not see each other",
    "svd": "lz.compute(X.T @ X) first: np.linalg.eigh of it gives the squares of the singular values",
    "lstsq": "use lz.solve(X.T @ X, X.T @ y)",
    "unique": "use lz.bincount", "cov": "write X.T @ X / n of centred X", "nonzero": "use lz.where, or x[condition]",
}  # fmt: skip
"""What serves in the place of functions that are not there."""

OPTIONS = {
    "out": "a formula has no memory to write to: name the result, as in y = np.exp(x), or write it with lz.store",
    "where": "choose with lz.where(condition, result, other)",
    "dtype": "use .astype on the operands or the result",
    "initial": "add it to the total, or take lz.maximum or lz.minimum with it",
}
"""What to do instead of an option of a ufunc."""

COMPARISONS = ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal")
LISTED = 8


def refused_ufunc(
    ufunc: np.ufunc, method: str, options: Iterable[str], known: Collection[str], where: str | None
) -> UnsupportedError:
    """The error for a ufunc, a method of one or an option that a lazy Array does not take."""
    package = "np" if getattr(np, ufunc.__name__, None) is ufunc else "ufunc"
    how = f"{package}.{ufunc.__name__}" + (f".{method}" if method != "__call__" else "")
    options = list(options)
    instead = METHODS_OF_UFUNCS.get((ufunc.__name__, method))
    if instead is not None:
        fix = f"use lz.{instead}"
    elif method != "__call__":
        fix = "use a reduction of lazyml, or lz.compute(...) it first"
    elif options:
        fix = next((OPTIONS[name] for name in options if name in OPTIONS), "leave them out")
    else:
        fix = advice(ufunc.__name__, known)
    return UnsupportedError(f"{how} is not available on a lazy Array" + (" with these options" if options else ""),
                            found=", ".join(options) or None, where=where, fix=fix)  # fmt: skip


def refused_function(function: Any, known: Collection[str], where: str | None) -> UnsupportedError:
    """The error for a function of NumPy's that the language does not have."""
    module = getattr(function, "__module__", "numpy").replace("numpy", "np", 1)
    fix = advice(function.__name__, known)
    if module.startswith("np.linalg") and function.__name__ not in INSTEAD:
        fix = SMALL_SIDE
    return UnsupportedError(f"{module}.{function.__name__} is not available on a lazy Array", where=where,
                            fix=fix)  # fmt: skip


def advice(name: str, known: Collection[str]) -> str:
    """What serves instead, or the nearest functions that there are, and what else to do.

    >>> advice("nanmeen", ["nanmean", "mean", "std"])
    'the nearest there is lz.nanmean; or lz.compute(...) it first'
    """
    near = [f"lz.{found}" for found in difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.8)]
    served = INSTEAD.get(
        name, f"the nearest there is {', '.join(near)}" if near else "write it with lazyml's functions"
    )
    return f"{served}; or lz.compute(...) it first"


def refused_truth(node: Node) -> UnsupportedError:
    """The error for what asks whether an Array is true: if, and, or, not, assert, in, a < b < c."""
    fix = "use lz.compute(...) first, or & | ~ and lz.where in a formula"
    if node.op in COMPARISONS:
        fix = ("lz.compute(lz.all(a == b)) says whether all are equal, and a is b whether two names are one Array; "
               "write (a < x) & (x < b) for a < x < b")  # fmt: skip
    return UnsupportedError("the truth of a lazy Array is known only when computed", formula=formula(node), fix=fix)


def refused_number(node: Node, what: str, parameters: Collection[str]) -> UnsupportedError | None:
    """The error for taking something as one number that is none, or is not known without parameters."""
    if node.shape != ():
        return UnsupportedError(f"only a scalar can be taken as {what}", found=f"shape {shown_shape(node)}",
                                formula=formula(node), fix="reduce it first, as in lz.sum(x)")  # fmt: skip
    if parameters:
        values = ", ".join(f'"{name}": ...' for name in parameters)
        return UnsupportedError(f"what is taken as {what} depends on parameters", found=", ".join(parameters),
                                formula=formula(node), fix=f"use lz.compute(x, params={{{values}}})")  # fmt: skip
    return None


def loop_type(op: str, like: np.dtype[Any]) -> np.dtype[Any]:
    """What NumPy makes of an integer beside others of a type: that of what it computes in. A quotient is a float64, and
    so an integer need not fit an int8 to be divided by. OverflowError where it must."""
    ufunc = getattr(np, op, None)
    if not isinstance(ufunc, np.ufunc) or ufunc.nin != 2:
        raise OverflowError
    found = ufunc.resolve_dtypes((like, int, None))[1]
    if found.kind != "f":
        raise OverflowError
    return widen(found)


def shown_shape(node: Node) -> str:
    """As NumPy shows it; how many rows a condition chooses is not known."""
    sizes = ["?" if isinstance(size, ChosenRows) else str(int(size)) for size in node.shape]
    return f"({', '.join(sizes)}{',' * (len(sizes) == 1)})"


def places(node: Node) -> list[str]:
    """The datasets and arrays that a formula reads."""
    keys = [n.arg for n in topological([node]) if n.op == "source"]
    return [key.place if key.kind == "hdf5" else f"{key.label} in memory" for key in keys]


def described(node: Node) -> str:
    """An Array on one line: shape, type, formula or place, and bytes."""
    rows = " rows" if node.row_axis == 0 and node.ndim == 1 else ""
    what = places(node)[0] if node.op == "source" else formula(node, depth=4)
    return f"<lazyml.Array {shown_shape(node)}{rows} {node.dtype}: {what}, {format_bytes(node_bytes(node))}>"


def particulars(node: Node) -> dict[str, str]:
    """An Array line by line."""
    parameters = sorted({n.arg: shown_shape(n) for n in topological([node]) if n.op == "param"}.items())
    read = places(node)
    return {
        "shape": f"{shown_shape(node)} {node.dtype}, {format_bytes(node_bytes(node))}",
        "formula": formula(node),
        "reads": ", ".join(read[:LISTED]) + (f" and {len(read) - LISTED} more" if len(read) > LISTED else ""),
        "parameters": ", ".join(f"{name} {shape}" for name, shape in parameters),
    }


def html_table(title: str, rows: Mapping[str, str]) -> str:
    """A small table for notebooks, of the rows that say something; all of it is text, whatever it contains.

    >>> html_table("a", {"b": "<c>", "d": ""})
    '<table><caption>a</caption><tr><th>b</th><td>&lt;c&gt;</td></tr></table>'
    """
    lines = "".join(f"<tr><th>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in rows.items() if v)
    return f"<table><caption>{html.escape(title)}</caption>{lines}</table>"
