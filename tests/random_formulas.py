"""Random formulas, written once as a tree and evaluated on ndarrays (plain NumPy and SciPy) or on Arrays."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

import lazyml as lz

DTYPES = ["bool", "int8", "uint8", "int16", "int32", "int64", "float32", "float64"]


def floating(x):
    """As lazyml computes it: what NumPy would do in float16 is done in float32."""
    x = np.asarray(x)
    small = x.dtype.kind in "biu" and x.dtype.itemsize == 1
    return x.astype(np.float32) if small else x


def total(x, axis):
    """A sum in float64, which is lazyml's for totals over rows; rows are always axis 0 here."""
    over_rows = axis is None or axis == 0
    return np.sum(x, axis=axis, dtype=np.float64 if x.dtype.kind == "f" and over_rows else None)


def mean(x, axis):
    size = x.size if axis is None else x.shape[axis]
    summed = total(x, axis)
    return summed / (summed.dtype.type(size) if summed.dtype.kind == "f" else np.float64(size))


# name: (on Arrays, on ndarrays). The arguments stay in ranges where nothing overflows (see `tame`).
UNARY = {
    "exp": (lz.exp, lambda x: np.exp(floating(x))),
    "tanh": (lz.tanh, lambda x: np.tanh(floating(x))),
    "sigmoid": (lz.sigmoid, lambda x: expit(floating(x).astype(np.result_type(np.exp(floating(x)))))),
    "softplus": (lz.softplus, lambda x: np.logaddexp(np.zeros_like(floating(x)), floating(x))),
    "expm1": (lz.expm1, lambda x: np.expm1(floating(x))),
    "log1p of abs": (lambda x: lz.log1p(abs(x * 1)), lambda x: np.log1p(floating(abs(x * 1)))),
    "sqrt of abs": (lambda x: lz.sqrt(abs(x * 1)), lambda x: np.sqrt(floating(abs(x * 1)))),
    "log of square": (lambda x: lz.log(x * x + 1.5), lambda x: np.log(x * x + 1.5)),
    "square": (lambda x: (x * 1) ** 2, lambda x: (x * 1) ** 2),
    "negative": (lambda x: -(x * 1), lambda x: -(x * 1)),
    "positive": (lambda x: x > 0, lambda x: x > 0),
    "as float32": (lambda x: x.astype("f4"), lambda x: x.astype("f4")),
}
SMOOTH = ("tanh", "sigmoid", "softplus", "log of square", "square", "negative")
BINARY = {
    "add": lambda x, y: x + y,
    "multiply": lambda x, y: x * y,
    "subtract": lambda x, y: x * 1 - y,
    "divide": lambda x, y: x / (y * y + 1.5),
    "maximum": np.maximum,
    "minimum": np.minimum,
    "less": lambda x, y: x < y,
    "where": lambda x, y: np.where(x > y, x, y * 2),
}
SMOOTH_BINARY = ("add", "multiply", "subtract", "divide")


@dataclass(frozen=True)
class Formula:
    """`on(leaves)` evaluates it; `kind` says how its value is laid out: "rows", "matrix", "line", "number"."""

    text: str
    kind: str
    on_arrays: Any
    on_numpy: Any

    def on(self, leaves):
        plain = isinstance(next(iter(leaves.values())), (np.ndarray, np.generic))
        return (self.on_numpy if plain else self.on_arrays)(leaves)


def leaf(name, kind):
    return Formula(name, kind, lambda env: env[name], lambda env: env[name])


def apply1(name, x, functions):
    ours, theirs = functions
    return Formula(f"{name}({x.text})", x.kind, lambda env: ours(x.on_arrays(env)), lambda env: theirs(x.on_numpy(env)))


def tame(x):
    """Bounded, so that chains of exp and square stay finite."""
    return Formula(f"tame({x.text})", x.kind, lambda env: lz.tanh(x.on_arrays(env)) * 3,
                   lambda env: np.tanh(floating(x.on_numpy(env))) * 3)  # fmt: skip


def as_column(x):
    return Formula(
        f"{x.text}[:, None]", "matrix", lambda env: x.on_arrays(env)[:, None], lambda env: x.on_numpy(env)[:, None]
    )


def apply2(name, x, y, functions=BINARY):
    """Of two kinds that broadcast: values a row become a column beside a matrix or a line."""
    if "rows" in (x.kind, y.kind) and {"matrix", "line"} & {x.kind, y.kind}:
        x, y = (as_column(v) if v.kind == "rows" else v for v in (x, y))
    order = ["number", "line", "rows", "matrix"]
    kind = max((x.kind, y.kind), key=order.index)
    made = functions[name]
    return Formula(f"{name}({x.text}, {y.text})", kind, lambda env: made(x.on_arrays(env), y.on_arrays(env)),
                   lambda env: made(x.on_numpy(env), y.on_numpy(env)))  # fmt: skip


def reduced(x, how, axis):
    kind = "number" if axis is None or x.kind in ("rows", "line") else "line" if axis == 0 else "rows"
    ours = {"sum": lz.sum, "mean": lz.mean}[how]
    plain = {"sum": np.sum, "mean": lambda v, axis: np.mean(floating(v) if v.dtype.kind == "f" else v, axis=axis)}
    theirs = (plain if x.kind == "line" else {"sum": total, "mean": mean})[how]
    return Formula(f"{how}({x.text}, {axis})", kind, lambda env: ours(x.on_arrays(env), axis=axis),
                   lambda env: theirs(x.on_numpy(env), axis))  # fmt: skip


def product(x, y):
    """matrix @ line, line @ line, rows @ matrix, rows @ rows, matrix' @ matrix: whatever the two kinds allow."""

    def on(transpose, env, numpy):
        a, c = (v.on_numpy(env) if numpy else v.on_arrays(env) for v in (x, y))
        a = a.T if transpose else a
        return np.matmul(a, c, dtype=np.float64) if numpy and (transpose or x.kind == "rows") else a @ c

    kinds = {
        ("matrix", "line"): ("rows", False),
        ("line", "line"): ("number", False),
        ("rows", "matrix"): ("line", False),
        ("rows", "rows"): ("number", False),
        ("matrix", "matrix"): ("square", True),
        ("matrix", "rows"): ("line", True),
    }
    kind, transpose = kinds[x.kind, y.kind]
    return Formula(
        f"{x.text} @ {y.text}", kind, lambda env: on(transpose, env, False), lambda env: on(transpose, env, True)
    )


def grow(pick, leaves, steps, unary=tuple(UNARY), binary=tuple(BINARY)):
    """Formulas made by random steps from leaves; `pick(list)` chooses. Every value made can be used again."""
    made = list(leaves)
    for _ in range(steps):
        what = pick(["unary", "binary", "binary", "reduce", "product"])
        x, y = pick(made), pick(made)
        if what == "unary":
            name = pick(list(unary))
            x = tame(x) if name in ("exp", "expm1", "square") else x
            new = apply1(name, x, UNARY[name])
        elif what == "binary":
            new = apply2(pick(list(binary)), x, y)
        elif what == "reduce" and x.kind != "number":
            how = pick(["sum", "mean"])
            axis = pick([None, 0, 1]) if x.kind == "matrix" else None
            new = reduced(x, how, axis)
        elif what == "product" and x.kind in ("matrix", "rows") and y.kind in ("line", "rows"):
            pair = {("matrix", "line"): (x, y), ("matrix", "rows"): (x, y), ("rows", "rows"): (x, y)}.get(
                (x.kind, y.kind)
            )
            if pair is None:
                continue
            new = product(tame(pair[0]), tame(pair[1]))
        else:
            continue
        made.append(new)
    return made[len(leaves) :]


def data(rng, n, d, dtypes):
    """Leaves: X (n, d), y (n,), w (d,), b (), as ndarrays of the given dtypes."""

    def of(shape, dtype):
        dtype = np.dtype(dtype)
        if dtype.kind == "f":
            return rng.normal(size=shape).astype(dtype)
        if dtype.kind == "b":
            return rng.random(shape) < 0.5
        return rng.integers(0 if dtype.kind == "u" else -9, 10, shape).astype(dtype)

    shapes = {"X": (n, d), "y": (n,), "w": (d,), "b": ()}
    return {name: np.asarray(of(shape, dtype)) for (name, shape), dtype in zip(shapes.items(), dtypes, strict=True)}


LEAVES = [leaf("X", "matrix"), leaf("y", "rows"), leaf("w", "line"), leaf("b", "number")]


def arrays_of(values):
    """The same leaves as Arrays: X and y streamed, w and b parameters."""
    return {
        "X": lz.from_array(values["X"], "X"), "y": lz.from_array(values["y"], "y"),
        "w": lz.param("w", values["w"].shape, values["w"].dtype), "b": lz.param("b", (), values["b"].dtype),
    }  # fmt: skip
