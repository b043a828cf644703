"""Softmax along one axis and what belongs to it: every value depends on all of its line."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyml.errors import UnsupportedError
from lazyml.expr import infer
from lazyml.expr.derivatives import lines as d
from lazyml.expr.infer import Typed, broadcast_shapes, show_shape, widen
from lazyml.expr.node import Doc, Node
from lazyml.expr.ops.table import row


def infer_lines(src: tuple[Node, ...], axis: int) -> Typed:
    """One shape for operands and result, floating point. Along the row axis it would need a total first."""
    shape = broadcast_shapes([s.shape for s in src])
    if any(s.row_axis == axis for s in src):
        raise UnsupportedError("a softmax over the rows is no operation on a line", found=show_shape(shape),
                               fix="write exp(x - logsumexp(x, axis=0))")  # fmt: skip
    dtype = widen(np.result_type(*(s.dtype for s in src)))
    return shape, dtype if dtype.kind == "f" else np.dtype(np.float64)


def infer_difference(src: tuple[Node, ...], axis: int) -> Typed:
    """Two matrices that are alike in the other axis."""
    (first, dtype), (second, other) = (infer.reduce_float((s,), (axis,)) for s in src)
    return broadcast_shapes([first, second]), np.result_type(dtype, other)


def shifted(x: Any, axis: int) -> tuple[Any, Any, Any]:
    """exp(x - m), m, and log(sum(exp(x - m))), as in lazyml_kernels.lines."""
    x = np.asarray(x)
    top = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    finite = np.isfinite(top)
    base = np.where(finite, top, 0).astype(x.dtype)
    d = x - base
    back = x - d
    lost = (x - (d + back)) + (back - base)
    e = np.exp(d)
    e = e + np.where(np.isfinite(e * lost), e * lost, 0)
    is_top = finite & (x == base)
    rest = np.sum(np.where(is_top, 0, e), axis=axis, keepdims=True) + np.where(
        finite, is_top.sum(axis, keepdims=True) - 1, 0
    )
    return e, base, (rest, np.where(finite, 1, 0))


def log_of_sum(parts: tuple[Any, Any]) -> Any:
    rest, one = parts
    return np.where(one == 1, np.log1p(rest), np.log(np.where(one == 1, 1, rest)))


def _softmax(node: Node, x: Any) -> Any:
    e, _, (rest, one) = shifted(np.asarray(x, node.dtype), node.arg)
    return e / (rest + one)


def _log_softmax(node: Node, x: Any) -> Any:
    x = np.asarray(x, node.dtype)
    _, base, parts = shifted(x, node.arg)
    return (x - base) - log_of_sum(parts)


def logsumexp(x: Any, axis: int) -> tuple[Any, Any]:
    """The largest, or 0 where it is not finite, and what is to be added to it."""
    _, base, parts = shifted(x, axis)
    return np.squeeze(base, axis), np.squeeze(log_of_sum(parts), axis)


def _difference(node: Node, x: Any, y: Any) -> Any:
    """As in lazyml_kernels.lines: near 0 by the difference of the sums, column by column."""
    x, y = (np.moveaxis(np.asarray(v, node.dtype), node.arg, -1) for v in (x, y))
    (p, s), (q, t) = (logsumexp(v, -1) for v in (x, y))
    plain = np.asarray((p - q) + (s - t))
    base = np.maximum(p, q)
    near = (np.abs(plain) < 0.5) & np.isfinite(np.max(x, axis=-1)) & np.isfinite(np.max(y, axis=-1))
    shared = min(x.shape[-1], y.shape[-1])
    u, v = x[..., :shared], y[..., :shared]
    more, less = np.maximum(u, v), np.minimum(u, v)
    with np.errstate(all="ignore"):
        change = np.where(more > less, _exp_difference(more, base) * -np.expm1(less - more), 0)
        total = np.sum(np.where(u == more, change, -change), axis=-1)
        total = total + np.sum(_exp_difference(x[..., shared:], base), axis=-1)
        total = total - np.sum(_exp_difference(y[..., shared:], base), axis=-1)
        exact = np.log1p(total / np.sum(_exp_difference(y, base), axis=-1))
    return np.where(near, exact, plain)


def _exp_difference(x: Any, base: Any) -> Any:
    """exp(x - base) along the last axis, with the rounding of x - base put right."""
    base = np.asarray(base)[..., None]
    d = x - base
    back = x - d
    lost = (x - (d + back)) + (back - base)
    e = np.exp(d)
    return e + np.where(np.isfinite(e * lost), e * lost, 0)


def _gain(node: Node, x: Any, y: Any) -> Any:
    x, y = (np.moveaxis(np.asarray(v, node.dtype), node.arg, -1) for v in (x, y))
    (p, s), (q, t) = (logsumexp(v, -1) for v in (x, y))
    d = np.asarray((p - q) + (s - t))
    finite = np.isfinite(np.max(x, axis=-1)) & np.isfinite(np.max(y, axis=-1))
    with np.errstate(all="ignore"):
        rough = np.exp(-np.abs(d))
        top, bottom = (np.sum(_exp_difference(v, base), axis=-1) for v, base in ((x, p), (y, q)))
        up, down = (_exp_difference(np.asarray(v)[..., None], base)[..., 0] for v, base in ((p, q), (q, p)))
        share = np.where(finite, np.where(d <= 0, up * (top / bottom), down * (bottom / top)), rough)
    return np.maximum(d, 0) + np.log1p(share)


def _largest(p: Any, axis: int) -> Any:
    """Where the first of the largest of each line is, as truth values."""
    place = np.expand_dims(np.argmax(p, axis=axis), axis)
    return np.arange(p.shape[axis]).reshape([-1 if a == axis else 1 for a in range(p.ndim)]) == place


def _softmax_pullback(node: Node, g: Any, p: Any) -> Any:
    at = _largest(p, node.arg)
    away = g - np.sum(np.where(at, g, 0), axis=node.arg, keepdims=True)
    return p * (away - np.sum(p * away, axis=node.arg, keepdims=True))


def _log_softmax_pullback(node: Node, g: Any, p: Any) -> Any:
    at = _largest(p, node.arg)
    others, share, own = (np.sum(np.where(keep, v, 0), axis=node.arg, keepdims=True)
                          for keep, v in ((~at, g), (~at, p), (at, g)))  # fmt: skip
    total = others + own
    return np.where(at & (p > 0.5), share * total - others, g - p * total)


# fmt: off
row("softmax", "line", infer_lines, _softmax, d.softmax, "kernel:lines", 25, "softmax({0}, axis={arg})",
    Doc("exp(x) / sum(exp(x)) without overflow", "diag(p) - p p' for p = softmax(x)", "softmax([1000.0, 1000.0])"))
row("log_softmax", "line", infer_lines, _log_softmax, d.log_softmax, "kernel:lines", 25, "log_softmax({0}, axis={arg})",
    Doc("x - logsumexp(x), exact next to 0", "I - 1 p' for p = softmax(x)", "log_softmax([1000.0, 0.0])"))
row("softmax_pullback", "line", infer_lines, _softmax_pullback, d.softmax_pullback, "kernel:lines", 4,
    "softmax_pullback({0}, {1}, axis={arg})",
    Doc("p * (g - sum(g * p)) of the cotangent g and p = softmax(x): what the derivative of softmax is made of",
        "the same of g, and g - sum(g * p) less g times the sum", "grad of softmax(X @ W)"))
row("log_softmax_pullback", "line", infer_lines, _log_softmax_pullback, d.log_softmax_pullback, "kernel:lines", 4,
    "log_softmax_pullback({0}, {1}, axis={arg})",
    Doc("g - p * sum(g) of the cotangent g and p = softmax(x): what the derivative of log_softmax is made of",
        "g - sum(g * p), and -g times the sum", "grad of log_softmax(X @ W)"))
row("logsumexp_difference", "line", infer_difference, _difference, d.logsumexp_difference, "kernel:lines", 50,
    "logsumexp_difference({0}, {1}, axis={arg})",
    Doc("logsumexp(x) - logsumexp(y) along an axis, the maxima subtracted first. Next to 0 the sums are subtracted "
        "column by column: the error is the rounding of what the columns differ by, so that there are all digits where "
        "all differ in one direction. Of equal terms in different columns it is the rounding of the sums",
        "softmax(x) and -softmax(y)", "log(sum(exp(X), axis=1) / sum(exp(Z), axis=1))"))
row("logsumexp_gain", "line", infer_difference, _gain, d.logsumexp_gain, "kernel:lines", 50,
    "logsumexp_gain({0}, {1}, axis={arg})",
    Doc("log(1 + sum(exp(x)) / sum(exp(y))) along an axis: what the columns x add to logsumexp(y), with all digits",
        "(1 - exp(-v)) * softmax(x) and -(1 - exp(-v)) * softmax(y) of the value v",
        "logsumexp(X, axis=1) - logsumexp(X[:, :2], axis=1)"))
