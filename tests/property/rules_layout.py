"""Parts, shapes, and look-ups by codes in the data."""

from __future__ import annotations

from typing import Any

import numpy as np
from grammar import GROUPS, Session, rule
from rules_elementwise import as_column, beside
from typed_values import Unsuitable, Value, made

import lazyml as lz


def as_total(x: Any) -> Any:
    """In the type of a total over rows."""
    return x.astype({"f": np.float64, "u": np.uint64}.get(x.dtype.kind, np.int64))


def same(text: str, function: Any, *x: Value) -> Value:
    """What is written alike for Arrays and ndarrays."""
    return made(text, function, function, *x)


@rule
def transposed(s: Session) -> Value:
    x = s.draw("matrix flipped table")
    return same(f"{x.text}.T", lambda v: v.T, x)


@rule
def new_axis(s: Session) -> Value:
    x = s.draw("rows line")
    if s.chance(0.5):
        return as_column(x)
    return same(f"{x.text}[None, :]", lambda v: v[None, :], x)


@rule
def squeezed(s: Session) -> Value:
    x = s.draw("rows")
    column = as_column(x)
    column = same(f"({column.text} * 2)", lambda v: v * 2, column) if x.dtype.kind in "iuf" else column
    return made(f"squeeze({column.text}, 1)", lambda v: lz.squeeze(v, 1), lambda v: np.squeeze(v, 1), column)


@rule
def columns_by_slice(s: Session) -> Value:
    x = s.draw("matrix", suits=lambda v: v.plain.shape[1] > 0)
    d = x.plain.shape[1]
    start, step = int(s.numbers.integers(0, d)), s.pick([1, 2])
    return same(f"{x.text}[:, {start}::{step}]", lambda v: v[:, start::step], x)


@rule
def column_by_number(s: Session) -> Value:
    x = s.draw("matrix flipped", suits=lambda v: v.plain.shape[1 - v.lazy.node.row_axis] > 0)
    flip = x.kind == "flipped"
    j = int(s.numbers.integers(0, x.plain.shape[0 if flip else 1])) - s.pick([0, x.plain.shape[0 if flip else 1]])
    return same(f"{x.text}, column {j}", lambda v: v[j] if flip else v[:, j], x)


@rule
def columns_by_list(s: Session) -> Value:
    x = s.draw("matrix", suits=lambda v: v.plain.shape[1] > 0)
    d = x.plain.shape[1]
    chosen = s.pick([[int(k) for k in s.numbers.integers(-d, d, s.pick([1, 2, 4]))],
                     slice(None, None, -1), np.arange(d) % 2 == 0])  # fmt: skip
    return same(f"{x.text}[:, {chosen}]", lambda v: v[:, chosen], x)


@rule
def part_of_line(s: Session) -> Value:
    x = s.draw("line table", suits=lambda v: v.plain.shape[0] > 0)
    k = x.plain.shape[0]
    key = s.pick([slice(1, None), -1, [0, k - 1, 0], slice(None, None, 2)])
    return same(f"{x.text}[{key}]", lambda v: v[key], x)


@rule
def rows_by_range(s: Session) -> Value:
    x = s.draw("rows matrix flipped", suits=lambda v: not v.chosen)
    n = int(x.rows)
    key = s.pick([slice(1, None), slice(None, -1), slice(n // 3, n // 2 + 1), slice(-3, None)])
    return same(f"{x.text}, rows {key}", lambda v: v[:, key] if x.kind == "flipped" else v[key], x)


@rule
def row_by_number(s: Session) -> Value:
    x = s.draw("rows matrix", suits=lambda v: not v.chosen and v.plain.shape[0] > 0)
    i = int(s.numbers.integers(-int(x.rows), int(x.rows)))
    return same(f"{x.text}[{i}]", lambda v: v[i], x)


@rule
def rows_by_condition(s: Session) -> Value:
    """Rows that are no result themselves: a total of them is."""
    x, y = s.draw("rows matrix"), s.draw("rows")
    if x.rows != y.rows:
        raise Unsuitable
    mask = made(f"({y.text} > 0)", lambda v: v > 0, lambda v: v > 0, y)
    return same(f"{x.text}[{mask.text}]", lambda v, m: v[m], x, mask)


@rule
def total_of_chosen_rows(s: Session) -> Value:
    x = rows_by_condition(s)
    name = s.pick(["sum", "mean", "max"])
    return made(f"{name}({x.text}, axis=0)", lambda v: getattr(lz, name)(v, axis=0),
                lambda v: getattr(np, name)(v if name == "max" else as_total(v), axis=0), x,
                summed=lambda v: np.sum(v, axis=0))  # fmt: skip


@rule
def side_by_side(s: Session) -> Value:
    x, y = beside(s, s.draw("rows matrix"))
    if not {x.kind, y.kind} <= {"rows", "matrix"}:
        raise Unsuitable
    x, y = (as_column(v) if v.kind == "rows" else v for v in (x, y))
    name, how = s.pick([
        ("concatenate", lambda m, a, b: m.concatenate([a, b], axis=1)),
        ("hstack", lambda m, a, b: m.hstack([b, a])),
        ("column_stack", lambda m, a, b: m.column_stack([a, b])),
        ("flipped", lambda m, a, b: m.concatenate([a.T, b.T, b.T], axis=0)),
    ])  # fmt: skip
    return made(f"{name}({x.text}, {y.text})", lambda a, b: how(lz, a, b), lambda a, b: how(np, a, b), x, y)


@rule
def stacked(s: Session) -> Value:
    x, y = beside(s, s.draw("rows line"))
    if x.plain.shape != y.plain.shape or x.kind not in ("rows", "line"):
        raise Unsuitable
    axis = s.pick([0, 1]) if x.kind == "rows" else 1
    return made(f"stack({x.text}, {y.text})", lambda a, b: lz.stack([a, b, a], axis),
                lambda a, b: np.stack([a, b, a], axis), x, y)  # fmt: skip


@rule
def filled(s: Session) -> Value:
    x = s.draw("rows matrix line", types="iuf")
    name = s.pick(["zeros_like", "ones_like", "full_like"])
    extra = (3,) if name == "full_like" else ()
    return made(f"{name}({x.text})", lambda v: getattr(lz, name)(v, *extra), lambda v: getattr(np, name)(v, *extra), x)


@rule
def spread(s: Session) -> Value:
    w = s.draw("line number")
    shape = (3, *w.plain.shape)
    return made(f"broadcast_to({w.text})", lambda v: lz.broadcast_to(v, shape), lambda v: np.broadcast_to(v, shape), w)


@rule
def reshaped(s: Session) -> Value:
    x = s.draw("line table", suits=lambda v: v.plain.size > 0)
    shape = s.pick([(-1,), (1, -1), (x.plain.size, 1)])
    return made(f"reshape({x.text}, {shape})", lambda v: lz.reshape(v, shape), lambda v: np.reshape(v, shape), x)


# --- by codes --------------------------------------------------------------------------------------------------------


@rule
def take(s: Session) -> Value:
    codes = s.codes(s.draw("rows matrix"))
    table = s.draw("line table", suits=lambda v: v.plain.shape[0] > 0)
    last = table.plain.shape[0]
    at = made(f"{codes.text} % {last}", lambda c: c % last, lambda c: c % last, codes)
    if at.dtype.kind == "i" and s.chance(0.3):
        at = same(f"-1 - {at.text}", lambda c: -1 - c, at)
    return made(f"take({table.text}, {at.text})", lz.take, lambda t, i: np.take(t, i.astype(np.int64), axis=0), table,
                at)  # fmt: skip


@rule
def small_take(s: Session) -> Value:
    table = s.draw("line table", suits=lambda v: v.plain.shape[0] > 0)
    at = np.array([0, -1, table.plain.shape[0] - 1])
    return made(f"take({table.text}, {at})", lambda t: lz.take(t, at), lambda t: np.take(t, at, axis=0), table)


@rule
def picked(s: Session) -> Value:
    x = s.draw("matrix", suits=lambda v: v.plain.shape[1] > 0 and not v.chosen)
    codes, d = s.codes(x), x.plain.shape[1]
    at = made(f"{codes.text} % {d}", lambda c: c % d, lambda c: c % d, codes)
    if s.chance(0.5):
        return made(f"{x.text}[row_index, {at.text}]", lambda v, c: v[lz.row_index(v), c],
                    lambda v, c: v[np.arange(len(v)), c.astype(np.int64)], x, at)  # fmt: skip
    return made(f"take_along_axis({x.text}, {at.text})", lambda v, c: lz.take_along_axis(v, c[:, None], 1),
                lambda v, c: np.take_along_axis(v, c.astype(np.int64)[:, None], 1), x, at)  # fmt: skip


@rule
def one_hot(s: Session) -> Value:
    codes = s.codes(s.draw("rows matrix"))
    dtype = s.pick(["float64", "float32", "bool", "int8"])
    return made(f"one_hot({codes.text})", lambda c: lz.one_hot(c, GROUPS, dtype),
                lambda c: (c[:, None] == np.arange(GROUPS)).astype(dtype), codes)  # fmt: skip


@rule
def one_hot_product(s: Session) -> Value:
    """Which is a sum by group: of other rows it takes nothing, be it nan."""
    x = s.draw("rows matrix", types="f")
    codes = s.codes(x)
    return made(f"one_hot({codes.text}).T @ {x.text}", lambda v, c: lz.one_hot(c, GROUPS).T @ v,
                lambda v, c: np.stack([v.astype("f8")[c == k].sum(axis=0) for k in range(GROUPS)]), x, codes,
                summed=lambda v, c: np.sum(v, axis=0))  # fmt: skip


EDGES = np.array([-1.5, -0.25, 0.75, 3.0])


@rule
def searched(s: Session) -> Value:
    x, side = s.draw("rows matrix flipped", types="iuf"), s.pick(["left", "right"])
    return made(f"searchsorted({x.text}, {side})", lambda v: lz.searchsorted(EDGES, v, side),
                lambda v: np.searchsorted(EDGES, v, side), x)  # fmt: skip


@rule
def digitized(s: Session) -> Value:
    x, edges, right = s.draw("rows matrix", types="iuf"), s.pick([EDGES, EDGES[::-1]]), s.chance(0.5)
    return made(f"digitize({x.text})", lambda v: lz.digitize(v, edges, right), lambda v: np.digitize(v, edges, right),
                x)  # fmt: skip


@rule
def row_index(s: Session) -> Value:
    x = s.draw("rows matrix", suits=lambda v: not v.chosen)
    return made("row_index", lz.row_index, lambda v: np.arange(len(v)), x)
