"""Reductions over each axis and of all, with and without a choice of elements; statistics over rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special
from grammar import GROUPS, RULES, Session, rule, tame
from rules_elementwise import beside
from rules_layout import as_total
from typed_values import Unsuitable, Value, made

import lazyml as lz


def wide(x: Any, total: bool) -> Any:
    """As lazyml reduces it: in float64 over rows, in float32 what NumPy would reduce in float16."""
    return x.astype(np.float64) if total and x.dtype.kind == "f" else x


def total_over(x: Value, axis: Any) -> bool:
    """Whether a reduction over an axis goes over rows."""
    at = x.lazy.node.row_axis
    return at is not None and (axis is None or at in (axis if isinstance(axis, tuple) else (axis,)))


# name: (NumPy's, types, whether it reduces in float64 over rows)
REDUCTIONS: dict[str, tuple[Callable[..., Any], str, bool]] = {
    "sum": (np.sum, "biuf", True), "mean": (np.mean, "biuf", True), "prod": (np.prod, "biuf", True),
    "min": (np.min, "biuf", False), "max": (np.max, "biuf", False), "var": (np.var, "biuf", True),
    "std": (np.std, "biuf", True), "any": (np.any, "biuf", False), "all": (np.all, "biuf", False),
    "count_nonzero": (np.count_nonzero, "biuf", False), "ptp": (np.ptp, "iuf", False),
    "argmin": (np.argmin, "biuf", False), "argmax": (np.argmax, "biuf", False),
}  # fmt: skip


def _reduction_rule(name: str) -> Callable[[Session], Value]:
    plain, types, in_float64 = REDUCTIONS[name]

    def one(s: Session) -> Value:
        x = s.draw(types=types)
        if name.startswith("arg") and (x.dtype == np.uint64 or x.chosen):
            raise Unsuitable
        if name == "prod":
            x = tame(x, 1.2) if x.dtype.kind == "f" else x
        axis, keep = s.axis(x), s.chance(0.3)
        total = total_over(x, axis) and in_float64
        text = f"{name}({x.text}, axis={axis}, keepdims={keep})"
        size = None if name in ("min", "max") or name.startswith("arg") else _summed(name, axis, keep)
        return made(text, lambda v: getattr(lz, name)(v, axis=axis, keepdims=keep),
                    lambda v: plain(wide(v, total), axis=axis, keepdims=keep), x, summed=size)  # fmt: skip

    return one


def _summed(name: str, axis: Any, keep: bool) -> Callable[..., Any]:
    """The size of what is added up: the sum of absolute values."""
    power = 2 if name == "var" else 1
    mean = name in ("mean", "var", "std")
    return lambda x: (np.mean if mean else np.sum)(x**power, axis=axis, keepdims=keep) if name != "prod" else 1.0


for _name in REDUCTIONS:
    RULES[_name] = _reduction_rule(_name)

CHOOSING: dict[str, Any] = {
    "sum": np.sum, "prod": np.prod, "mean": np.mean, "any": np.any, "all": np.all, "var": np.var, "std": np.std,
}  # fmt: skip


@rule
def reduced_where(s: Session) -> Value:
    """With where=, a truth value for each element."""
    x = s.draw("rows matrix flipped line table")
    name = s.pick(CHOOSING)
    x = tame(x, 1.2) if name == "prod" and x.dtype.kind == "f" else x
    axis, keep = s.axis(x), s.chance(0.3)
    total, ddof = total_over(x, axis), {"ddof": 1} if name in ("var", "std") and s.chance(0.5) else {}
    mask = made(f"{x.text} > 0", lambda v: v > 0, lambda v: v > 0, x)
    options = {"axis": axis, "keepdims": keep, **ddof}
    return made(f"{name}({x.text}, where={mask.text}, {options})",
                lambda v, m: getattr(lz, name)(v, where=m, **options),
                lambda v, m: CHOOSING[name](wide(v, total), where=m, **options), x, mask,
                summed=lambda v, m: np.sum(v ** (2 if name == "var" else 1), axis=axis, keepdims=keep))  # fmt: skip


@rule
def extreme_where(s: Session) -> Value:
    x = s.draw("rows matrix flipped", types="iuf", suits=lambda v: _some_rows(v) and int(v.rows) > 0)
    name, axis = s.pick(["min", "max"]), s.axis(x)
    mask = made(f"{x.text} > 0", lambda v: v > 0, lambda v: v > 0, x)
    limits = (np.inf, -np.inf) if x.dtype.kind == "f" else (np.iinfo(x.dtype).max, np.iinfo(x.dtype).min)
    start = limits[name == "max"]
    return made(f"{name}({x.text}, where={mask.text}, axis={axis})",
                lambda v, m: getattr(lz, name)(v, axis=axis, where=m),
                lambda v, m: getattr(np, name)(v, axis=axis, where=m, initial=start), x, mask)  # fmt: skip


@rule
def over_nan(s: Session) -> Value:
    x = s.holes()
    name = s.pick(["nansum", "nanmean", "nanmin", "nanmax", "nanprod", "nanvar", "nanstd"])
    axis, keep = s.axis(x), s.chance(0.3)
    x = made("finite holes", lambda v: lz.where(lz.isinf(v), 1, v), lambda v: np.where(np.isinf(v), v.dtype.type(1), v),
             x)  # fmt: skip
    total = total_over(x, axis) and name not in ("nanmin", "nanmax")
    if name == "nanprod":
        x = tame(x, 1.2)
    return made(f"{name}({x.text}, axis={axis}, keepdims={keep})",
                lambda v: getattr(lz, name)(v, axis=axis, keepdims=keep),
                lambda v: getattr(np, name)(wide(v, total), axis=axis, keepdims=keep), x,
                summed=lambda v: np.nansum(v**2, axis=axis, keepdims=keep))  # fmt: skip


@rule
def weighted(s: Session) -> Value:
    x = s.draw("rows matrix", types="f")
    axis = s.axis(x)
    w = made(f"({x.text}**2 + 1)", lambda v: v * v + 1, lambda v: v * v + 1, tame(x, 3))
    total = total_over(x, axis)
    return made(f"average({x.text}, {axis}, {w.text})", lambda v, by: lz.average(v, axis=axis, weights=by),
                lambda v, by: np.average(wide(v, total), axis=axis, weights=wide(by, total)), x, w,
                summed=lambda v, by: np.mean(v, axis=axis), refuses=(ZeroDivisionError,))  # fmt: skip


def _lse(x: Any, axis: Any, keep: bool, total: bool) -> Any:
    x = wide(x if x.dtype.kind == "f" else x.astype(np.float64), total)
    if x.size == 0:
        return np.log(np.sum(np.exp(x), axis=axis, keepdims=keep))
    return np.asarray(scipy.special.logsumexp(x, axis=axis, keepdims=keep), x.dtype)


@rule
def logsumexp(s: Session) -> Value:
    x = s.draw()
    axis, keep = s.axis(x), s.chance(0.3)
    total = total_over(x, axis)
    if not x.plain.ndim:
        raise Unsuitable
    return made(f"logsumexp({x.text}, {axis})", lambda v: lz.logsumexp(v, axis, keep),
                lambda v: _lse(v, axis, keep, total), x, summed=lambda v: np.max(v, initial=1.0))  # fmt: skip


@rule
def softmax(s: Session) -> Value:
    x = s.draw("rows matrix line table flipped", types="f", suits=lambda v: not v.chosen)
    name, axis = s.pick(["softmax", "log_softmax"]), s.pick(range(x.plain.ndim))
    total = total_over(x, axis)

    def plain(v: Any) -> Any:
        log = v - _lse(v, axis, True, total)
        return log if name == "log_softmax" else np.exp(log)

    return made(f"{name}({x.text}, {axis})", lambda v: getattr(lz, name)(v, axis), plain, x,
                summed=lambda v: np.max(v, initial=1.0))  # fmt: skip


@rule
def norm(s: Session) -> Value:
    x = s.draw("rows matrix flipped line", suits=_some_rows)
    ord = s.pick([None, 1, 2, 3, np.inf, -np.inf, 0])
    axis = s.pick(range(x.plain.ndim)) if ord is not None else s.axis(x)
    total = total_over(x, axis) and ord not in (np.inf, -np.inf)

    def plain(v: Any) -> Any:
        if v.size == 0 and ord == np.inf:
            raise Unsuitable  # NumPy has 0; there is no largest of no rows
        v = v if v.dtype.kind == "f" else v.astype(np.float64)
        return np.asarray(np.linalg.norm(wide(v, total), ord, axis), v.dtype if ord == 0 else None)

    return made(f"norm({x.text}, {ord}, {axis})", lambda v: lz.norm(v, ord, axis), plain, x,
                summed=lambda v: np.sum(v, axis=axis))  # fmt: skip


# --- statistics over rows --------------------------------------------------------------------------------------------


def _some_rows(x: Value) -> bool:
    """What the shape says; how many rows a condition chooses is not known."""
    return x.plain.size > 0 or (x.chosen and x.plain.ndim == 1)


@rule
def quantile(s: Session) -> Value:
    """Of rows; of nothing else."""
    x = s.holes() if s.chance(0.3) else s.draw("rows matrix", suits=_some_rows)
    if not _some_rows(x):
        raise Unsuitable
    if np.isinf(x.plain).any():  # between a number and an infinity NumPy has nan
        x = made("finite holes", lambda v: lz.where(lz.isinf(v), 1, v),
                 lambda v: np.where(np.isinf(v), v.dtype.type(1), v), x)  # fmt: skip
    q = s.pick([0.5, [0.25, 0.9], [0.0, 1.0], 0.1])
    method, keep = s.pick(["linear", "lower", "higher", "nearest", "midpoint"]), s.chance(0.3)
    name = s.pick(["nanquantile", "quantile"])

    def plain(v: Any) -> Any:
        v = v.astype(np.int64) if v.dtype.kind == "b" else v
        whole = v.dtype.kind in "iu" and method in ("lower", "higher", "nearest")
        out = v.dtype if whole or v.dtype == np.float32 else np.float64
        if len(v) == 0 and whole:
            raise Unsuitable  # there is no nan to say it
        if len(v) == 0:  # where NumPy's nanquantile forgets the shape of q
            return np.full_like(np.quantile(np.ones((1, *v.shape[1:])), q, axis=0, keepdims=keep), np.nan, out)
        found = getattr(np, name)(v if whole else v.astype(np.float64), q, axis=0, method=method, keepdims=keep)
        return np.asarray(found, out)

    def lazy(v: Any) -> Any:
        return getattr(lz, name)(v, q, axis=0, method=method, keepdims=keep)

    return made(f"{name}({x.text}, {q}, {method})", lazy, plain, x,
                summed=lambda v: np.nanmax(v, axis=0, initial=0))  # fmt: skip


@rule
def median(s: Session) -> Value:
    x, name = s.draw("rows matrix", suits=_some_rows), s.pick(["median", "nanmedian"])
    out = np.float32 if x.dtype == np.float32 else np.float64
    return made(f"{name}({x.text})", lambda v: getattr(lz, name)(v, axis=0),
                lambda v: np.asarray(getattr(np, name)(v.astype(np.float64), axis=0), out), x,
                summed=lambda v: np.nanmax(v, axis=0, initial=0))  # fmt: skip


@rule
def histogram(s: Session) -> Value:
    x = s.draw("rows")
    if x.plain.size == 0:
        raise Unsuitable
    bins, limits = s.pick([(4, (-2.0, 2.0)), (5, None), ([-1.0, 0.0, 0.5, 9.0], None)])
    density, part = s.chance(0.3), s.pick([0, 1])

    def plain(v: Any) -> Any:
        counts, edges = np.histogram(v.astype(np.float64), bins, limits, density=density)
        return (counts, np.asarray(edges, np.float64))[part]

    if density and part == 0 and not np.any(np.histogram(x.plain.astype(np.float64), bins, limits)[0]):
        raise Unsuitable
    return made(f"histogram({x.text}, {bins}, {limits})[{part}]",
                lambda v: lz.histogram(v, bins, limits, density=density)[part], plain, x)  # fmt: skip


@rule
def weighted_histogram(s: Session) -> Value:
    x = s.draw("rows", suits=lambda v: v.plain.size > 0)
    x, w = beside(s, x)
    if x.kind != "rows" or w.kind != "rows":
        raise Unsuitable

    def weighted(v: Any, by: Any) -> Any:
        """NumPy's, which adds up integers in float64."""
        if by.dtype.kind != "f" and np.any(np.abs(by.astype(np.float64)) > 2.0**50):
            raise Unsuitable
        return np.histogram(v.astype("f8"), 3, (-4.0, 4.0), weights=as_total(by))[0]

    return made(f"histogram({x.text}, weights={w.text})", lambda v, by: lz.histogram(v, 3, (-4.0, 4.0), weights=by)[0],
                weighted, x, w,
                summed=lambda v, by: np.sum(by))  # fmt: skip


@rule
def top_k(s: Session) -> Value:
    x = s.draw("rows", suits=lambda v: not v.chosen and v.plain.size > 0 and v.dtype != np.uint64)
    k, part = s.numbers.integers(1, min(4, x.plain.size) + 1), s.pick([0, 1])

    def plain(v: Any) -> Any:
        order = sorted(range(len(v)), key=lambda i: (v[i] == v[i], -v[i].item() if v[i] == v[i] else 0, i))[:k]
        return (v[order].astype(np.int64) if v.dtype.kind == "b" else v[order]) if part == 0 else np.array(order)

    return made(f"top_k({x.text}, {k})[{part}]", lambda v: lz.top_k(v, int(k))[part], plain, x)


@rule
def segment_sum(s: Session) -> Value:
    values = s.draw("rows matrix")
    codes = s.codes(values)

    def plain(v: Any, at: Any) -> Any:
        out = np.zeros((GROUPS, *v.shape[1:]), as_total(v[:0]).dtype)
        np.add.at(out, at.astype(np.int64), as_total(v))
        return out

    return made(f"segment_sum({values.text}, {codes.text})", lambda v, at: lz.segment_sum(v, at, GROUPS), plain, values,
                codes, summed=lambda v, at: np.sum(v, axis=0))  # fmt: skip


@rule
def segment_sum_by_columns(s: Session) -> Value:
    values = s.draw("rows matrix")
    codes = s.codes(values)

    def plain(v: Any, at: Any) -> Any:
        out = np.zeros((GROUPS, *v.shape[1:]), as_total(v[:0]).dtype)
        np.add.at(out, GROUPS - 1 - at.astype(np.int64), as_total(v))
        return out

    def ours(v: Any, at: Any) -> Any:
        return lz.segment_sum(v, lz.stack([at, GROUPS - 1 - at], axis=1), GROUPS)[1]

    return made(f"segment_sum({values.text}, [_, {GROUPS} - 1 - {codes.text}])[1]", ours, plain, values, codes,
                summed=lambda v, at: np.sum(v, axis=0))  # fmt: skip


@rule
def bincount(s: Session) -> Value:
    codes = s.codes(s.draw("rows matrix"))
    return made(f"bincount({codes.text})", lambda at: lz.bincount(at, minlength=GROUPS),
                lambda at: np.bincount(at.astype(np.int64), minlength=GROUPS), codes)  # fmt: skip


@rule
def difference_of_logsumexps(s: Session) -> Value:
    """A ratio of sums of exponentials, and its logarithm."""
    x, y = s.draw("matrix", types="f", suits=_some_columns), s.draw("matrix", types="f", suits=_some_columns)
    x, y = tame(x, 5), tame(y, 5)
    if s.chance(0.5) and x.plain.shape[1] > 1:  # and of some of its columns
        return made(f"log(sum exp({x.text}) / sum exp({x.text}[:, 1:]))",
                    lambda a: lz.log(lz.sum(lz.exp(a), axis=1) / lz.sum(lz.exp(a[:, 1:]), axis=1)),
                    lambda a: np.log1p(np.exp(a[:, 0]) / np.sum(np.exp(a[:, 1:]), axis=1)), x)  # fmt: skip
    if x.rows != y.rows:
        raise Unsuitable
    return made(f"log(sum exp({x.text}) / sum exp({y.text}))",
                lambda a, b: lz.log(lz.sum(lz.exp(a), axis=1) / lz.sum(lz.exp(b), axis=1)),
                lambda a, b: np.log(np.sum(np.exp(a), axis=1) / np.sum(np.exp(b), axis=1)), x, y,
                summed=lambda a, b: 1.0)  # fmt: skip


def _some_columns(x: Value) -> bool:
    return x.plain.shape[1] > 0
