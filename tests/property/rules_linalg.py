"""Products, contractions and small-side linear algebra; random numbers by row."""

from __future__ import annotations

from typing import Any

import numpy as np
from grammar import Session, away_from_zero, rule, tame
from rules_layout import same
from typed_values import Unsuitable, Value, made

import lazyml as lz


def product(x: Value, y: Value) -> Value:
    """x @ y; over rows in float64, or int64 for integers, and of truth values in int64."""
    over_rows = x.rows is not None and x.lazy.node.row_axis == x.plain.ndim - 1 and y.lazy.node.row_axis == 0
    kind = np.result_type(x.plain, y.plain).kind

    def plain(a: Any, b: Any) -> Any:
        common = np.result_type(a, b)
        if over_rows:
            common = np.dtype({"f": np.float64, "u": np.uint64}.get(kind, np.int64))
        return np.matmul(a, b, dtype=np.dtype(np.int64) if common.kind == "b" else common)

    return made(f"({x.text} @ {y.text})", lambda a, b: a @ b, plain, x, y, summed=np.matmul)


def _bounded(x: Value) -> Value:
    return tame(x, 8) if x.dtype.kind == "f" else x


@rule
def row_product(s: Session) -> Value:
    """matrix @ line, matrix @ table."""
    x = s.draw("matrix")
    y = s.draw("line table", suits=lambda v: v.plain.shape[0] == x.plain.shape[1])
    return product(_bounded(x), _bounded(y))


@rule
def flipped_product(s: Session) -> Value:
    """table @ flipped, line @ flipped."""
    y = s.draw("flipped") if s.chance(0.5) else same("X.T", lambda v: v.T, s.draw("matrix"))
    x = s.draw("line table", suits=lambda v: v.plain.shape[-1] == y.plain.shape[0])
    return product(_bounded(x), _bounded(y))


@rule
def total_product(s: Session) -> Value:
    """rows @ rows, rows @ matrix, flipped @ rows, flipped @ matrix: sums over the rows."""
    y = s.draw("rows matrix")
    x = s.draw("rows matrix", suits=lambda v: v.rows == y.rows)
    return product(_bounded(same(f"{x.text}.T", lambda v: v.T, x) if x.kind == "matrix" else x), _bounded(y))


@rule
def weighted_gram(s: Session) -> Value:
    x = s.draw("matrix", types="f")
    y = s.draw("rows", types="f", suits=lambda v: v.rows == x.rows)
    x, y = tame(x, 8), tame(y, 8)
    scaled = same(f"{y.text}[:, None] * {x.text}", lambda v, by: by[:, None] * v, x, y)
    return product(same(f"{x.text}.T", lambda v: v.T, x), scaled)


@rule
def centred_product(s: Session) -> Value:
    """Of columns less a value each, and scaled: no second copy of the data is made for it."""
    x = s.draw("matrix", types="f", suits=lambda v: v.lazy.node.op == "source" and v.plain.size > 0)
    line = s.draw("line", types="f", suits=lambda v: v.plain.shape == x.plain.shape[1:])
    centred = same(f"({x.text} - {line.text})", lambda a, b: a - b, x, tame(line, 8))
    if s.chance(0.5):
        scale = away_from_zero(line, 0.5)
        centred = same(f"{centred.text} / {scale.text}", lambda a, b: a / b, centred, scale)
    if s.chance(0.5):
        return product(centred, tame(line, 8))
    right = s.draw("rows", types="f", suits=lambda v: v.rows == x.rows)
    return product(same(f"{centred.text}.T", lambda v: v.T, centred), tame(right, 8))


@rule
def small_product(s: Session) -> Value:
    x = s.draw("line table")
    y = s.draw("line table", suits=lambda v: v.plain.shape[0] == x.plain.shape[-1])
    return product(_bounded(x), _bounded(y))


CONTRACTIONS = (("ni,nj->ij", "mm"), ("n,ni,nj->ij", "rmm"), ("ni,i->n", "ml"), ("ni->i", "m"), ("n,n->", "rr"),
                ("ni,ij,nj->n", "mgm"), ("in,n->i", "fr"))  # fmt: skip


@rule
def contraction(s: Session) -> Value:
    """einsum, of floats."""
    subscripts, letters = s.pick(CONTRACTIONS)
    x = tame(s.draw("matrix", types="f", suits=lambda v: v.plain.shape[1] > 0), 4)
    d = x.plain.shape[1]
    line = s.draw("line", types="f", suits=lambda v: v.plain.shape == (d,)) if "l" in letters else x
    column = same(f"{x.text}[:, 0]", lambda v: v[:, 0], x)
    gram = _symmetric(s, x)
    flipped = same(f"{x.text}.T", lambda v: v.T, x)
    kinds = {"m": x, "r": column, "l": tame(line, 4), "g": gram, "f": flipped}
    operands = [kinds[letter] for letter in letters]
    out = np.result_type(*(v.plain for v in operands))
    if "n" in subscripts and "n" not in subscripts.split("->")[1]:
        out = np.dtype(np.float64)
    return made(f"einsum({subscripts})", lambda *v: lz.einsum(subscripts, *v),
                lambda *v: np.einsum(subscripts, *(a.astype(np.float64) for a in v)).astype(out), *operands,
                summed=lambda *v: np.einsum(subscripts, *v))  # fmt: skip


@rule
def small_contraction(s: Session) -> Value:
    subscripts, a = s.pick(["ij,jk->ik", "ij,ij->i", "ij,ji->", "ij,j->"]), _matrix(s)
    b = same("its first line", lambda v: v[0], a) if subscripts.endswith("j->") else a
    return made(f"einsum({subscripts})", lambda *v: lz.einsum(subscripts, *v), lambda *v: np.einsum(subscripts, *v), a,
                b, summed=lambda *v: np.einsum(subscripts, *v))  # fmt: skip


@rule
def outer(s: Session) -> Value:
    x, y = s.draw("rows line"), s.draw("line")
    return made(f"outer({x.text}, {y.text})", lz.outer, lambda a, b: a[:, None] * b, x, y)


# --- small matrices --------------------------------------------------------------------------------------------------


def _symmetric(s: Session, x: Value) -> Value:
    """X'X / n + 1: positive definite, and not near to singular."""
    gram = product(same(f"{x.text}.T", lambda v: v.T, x), x)
    n, d = max(1, x.plain.shape[0]), x.plain.shape[1]
    return made(f"({gram.text} / n + 1)", lambda g: g / n + np.eye(d), lambda g: g / n + np.eye(d), gram)


def _matrix(s: Session) -> Value:
    x = s.draw("matrix", types="f", suits=lambda v: 0 < v.plain.shape[1] < 6)
    return _symmetric(s, tame(x, 3))


def _norms(*x: Any) -> Any:
    return 10.0 * np.prod([max(1.0, float(np.max(v, initial=0.0))) for v in x])


@rule
def determinant(s: Session) -> Value:
    return made("det", lz.det, np.linalg.det, _matrix(s), summed=_norms)


@rule
def log_determinant(s: Session) -> Value:
    return made("log(det)", lambda a: lz.log(lz.det(a)), lambda a: np.log(np.linalg.det(a)), _matrix(s), summed=_norms)


@rule
def sign_of_determinant(s: Session) -> Value:
    return made("sign of det", lambda a: lz.slogdet(-a).sign, lambda a: np.linalg.slogdet(-a)[0], _matrix(s))


@rule
def logarithm_of_determinant(s: Session) -> Value:
    return made("slogdet", lambda a: lz.slogdet(a).logabsdet, lambda a: np.linalg.slogdet(a)[1], _matrix(s),
                summed=_norms)  # fmt: skip


@rule
def inverse(s: Session) -> Value:
    return made("inv", lz.inv, np.linalg.inv, _matrix(s), summed=_norms)


@rule
def solved(s: Session) -> Value:
    a = _matrix(s)
    right = s.draw("line table", types="f", suits=lambda v: v.plain.shape[0] == a.plain.shape[0])
    right = tame(right, 9)
    return made(f"solve({a.text}, {right.text})", lz.solve, np.linalg.solve, a, right, summed=_norms)


@rule
def cholesky(s: Session) -> Value:
    return made("cholesky", lz.cholesky, np.linalg.cholesky, _matrix(s), summed=_norms)


@rule
def diagonals(s: Session) -> Value:
    name = s.pick(["diagonal", "diag", "trace"])
    a = s.draw("table") if s.chance(0.7) or name == "trace" else s.draw("line")
    if name == "diagonal" and a.kind == "line":
        raise Unsuitable
    return made(f"{name}({a.text})", getattr(lz, name), getattr(np, name), a)


@rule
def running_sums(s: Session) -> Value:
    a = s.draw("line table")
    axis = s.pick([None, *range(a.plain.ndim)])
    return made(f"cumsum({a.text}, {axis})", lambda v: lz.cumsum(v, axis), lambda v: np.cumsum(v, axis), a,
                summed=lambda v: np.cumsum(v, axis))  # fmt: skip


@rule
def diagonal_matrix(s: Session) -> Value:
    a = s.draw("line")
    return made(f"diag({a.text})", lz.diag, np.diag, a)


# --- random numbers --------------------------------------------------------------------------------------------------


def philox(row: int, seed: int, stream: int) -> tuple[int, ...]:
    """Philox4x32-10 as its authors write it (Salmon and others 2011), on Python's integers."""
    low, c, k = 2**32 - 1, [row, row >> 32, stream, stream >> 32], [seed, seed >> 32]
    c, k = [x & low for x in c], [x & low for x in k]
    for _ in range(10):
        a, b = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(b >> 32) ^ c[1] ^ k[0], b & low, (a >> 32) ^ c[3] ^ k[1], a & low]
        k = [(k[0] + 0x9E3779B9) & low, (k[1] + 0xBB67AE85) & low]
    return tuple(c)


def _unit(high: int, low: int) -> float:
    return high * 2.0**-32 + (low >> 11) * 2.0**-53


def _uniform(rows: int, seed: int, stream: int) -> np.ndarray:
    return np.array([_unit(*philox(i, seed, stream)[:2]) for i in range(rows)], np.float64)


def _normal(rows: int, seed: int, stream: int) -> np.ndarray:
    words = [philox(i, seed, stream) for i in range(rows)]
    u, v = (np.array([_unit(*w[at : at + 2]) for w in words], np.float64) for at in (0, 2))
    return np.sqrt(-2 * np.log1p(-u)) * np.cos(2 * np.pi * v)


@rule
def random_numbers(s: Session) -> Value:
    x = s.draw("rows matrix", suits=lambda v: not v.chosen)
    seed, stream = s.pick([0, 7, 2**40 + 3]), s.pick([0, 3])
    how = s.pick([
        ("uniform", lambda v: lz.random_uniform(v, seed, stream), lambda n: _uniform(n, seed, stream)),
        ("bernoulli", lambda v: lz.random_bernoulli(v, 0.3, seed, stream), lambda n: _uniform(n, seed, stream) < 0.3),
        ("integers", lambda v: lz.random_integers(v, 9, seed, stream),
         lambda n: np.floor(9 * _uniform(n, seed, stream)).astype(np.int64)),
        ("fold", lambda v: lz.fold(v, 5, seed), lambda n: np.floor(5 * _uniform(n, seed, 2**64 - 1)).astype(np.int64)),
    ])  # fmt: skip
    return made(how[0], how[1], lambda v: how[2](len(v)), x)


@rule
def random_normal(s: Session) -> Value:
    x = s.draw("rows matrix", suits=lambda v: not v.chosen)
    return made("normal", lambda v: lz.random_normal(v, 7, 2), lambda v: _normal(len(v), 7, 2), x,
                summed=lambda v: 10.0)  # fmt: skip
