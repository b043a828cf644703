"""Gathers and scatters by codes in the data, chosen columns, searches, the k largest, and digits of sort keys."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from lazyml.expr import infer_indexed as infer
from lazyml.expr.derivatives import indexed as d
from lazyml.expr.derivatives.common import constant_derivative as none
from lazyml.expr.infer import INDEXED, index_error
from lazyml.expr.node import Doc, Node
from lazyml.expr.ops.table import row
from lazyml.expr.sort_keys import downwards, from_key, sort_key


def _checked(node: Node, index: Any) -> Any:
    """The index as int64, within its range; negative numbers count from the end where the operator lets them."""
    size, from_end = INDEXED[node.op](node)
    index = np.asarray(index)
    low = -size if from_end else 0
    if index.size and (index.max() >= size or index.min() < low):
        raise index_error(node)
    return index.astype(np.int64)


def _segment_sum(node: Node, values: Any, index: Any) -> Any:
    index = _checked(node, index)
    lines = index.T if index.ndim == 2 else index[None]
    out = np.zeros((len(lines), node.arg, *np.shape(values)[1:]), node.dtype)
    for total, codes in zip(out, lines, strict=True):
        np.add.at(total, codes, values)
    return out if index.ndim == 2 else out[0]


def _one_hot(node: Node, index: Any) -> Any:
    return (_checked(node, index)[..., None] == np.arange(node.shape[-1])).astype(node.dtype)


def _put_columns(node: Node, x: Any, numbers: Any) -> Any:
    out = np.zeros((np.shape(x)[0], node.arg), node.dtype)
    np.add.at(out.T, _checked(node, numbers), np.transpose(x))
    return out


def _search(side: Literal["left", "right"]) -> Any:
    return lambda node, edges, values: np.searchsorted(np.asarray(edges), np.asarray(values), side)


def _order(x: Any, count: int) -> Any:
    """Rows of the largest, nan first, the earlier of equals first."""
    x = np.asarray(x)
    return np.lexsort((downwards(x), ~np.isnan(x)))[:count]


def _digit_counts(node: Node, x: Any, prefix: Any, shift: Any) -> Any:
    shift, width = np.uint64(shift), np.uint64(node.arg)
    bins = 1 << node.arg
    keys = sort_key(np.asarray(x)).reshape(len(x), -1)
    out = np.zeros((*np.shape(prefix), bins), np.int64)
    digits, heads = (keys >> shift) & np.uint64(bins - 1), keys >> shift >> width
    for q, j in np.ndindex(*np.shape(prefix)):
        chosen = digits[:, j][heads[:, j] == prefix[q, j]]
        out[q, j] = np.bincount(chosen.astype(np.int64), minlength=bins)
    return out


def _digit(node: Node, counts: Any, rank: Any) -> Any:
    """The digit at which as many smaller ones have gone by as the rank says."""
    passed = np.cumsum(np.broadcast_to(counts, (*np.shape(rank), np.shape(counts)[-1])), axis=-1)
    return np.minimum((passed <= np.asarray(rank)[..., None]).sum(axis=-1), np.shape(counts)[-1] - 1)


def _rank_left(node: Node, counts: Any, rank: Any) -> Any:
    """The rank among those of that digit."""
    whole = np.broadcast_to(counts, (*np.shape(rank), np.shape(counts)[-1]))
    before = np.cumsum(whole, axis=-1) - whole
    return rank - np.take_along_axis(before, _digit(node, counts, rank)[..., None], -1)[..., 0]


# fmt: off
row("take", "gather", infer.take, lambda node, table, index: np.take(table, _checked(node, index), axis=0), d.take,
    "kernel:take", 1, "take({0}, {1})",
    Doc("the number or line of a small table x at each index y; -1 is the last", "the sum of g by index",
        "take([5.0, 7.0], [1, 0, 1])"))
row("pick", "gather", infer.pick,
    lambda node, x, index: np.take_along_axis(x, _checked(node, index)[:, None], axis=1)[:, 0], d.pick,
    "kernel:pick", 1, "pick({0}, {1})",
    Doc("for each row of X the value in the column that c has there; -1 is the last", "g in that column, 0 elsewhere",
        "X[row_index(X), c]", ("X", "c")))
row("one_hot", "gather", infer.one_hot, _one_hot, none, "loop:one_hot", 1, "one_hot({0}, {arg})",
    Doc("1 in column x, 0 elsewhere", "0", "one_hot([1, 0], 3)"))
row("columns", "gather", infer.columns, lambda node, x, numbers: np.take(x, _checked(node, numbers), axis=1), d.columns,
    "kernel:take_columns", 0, "{0}[:, {1}]",
    Doc("columns by a list of their numbers, or of a truth value for each", "g added at these columns, 0 elsewhere",
        "X[:, [2, 0]]"))
row("put_columns", "gather", infer.put_columns, _put_columns, d.put_columns, "kernel:add_columns", 1,
    "put_columns({0}, {1})",
    Doc("zeros with x added at columns y: what the derivative of choosing columns is made of", "these columns",
        "grad of X[:, [0, 3]]"))
row("concatenate", "gather", infer.concatenate, lambda node, *x: np.concatenate(x, axis=node.arg), d.concatenate,
    "kernel:concatenate", 0, "concatenate({all})",
    Doc("features side by side", "the columns of each part", "concatenate([[1.0], [2.0, 3.0]])"))
row("search_left", "gather", infer.search, _search("left"), none, "loop:search", 10, "searchsorted({0}, {1})",
    Doc("how many of the sorted edges x are below y", "0", "searchsorted([1.0, 2.0], 2.0)"))
row("search_right", "gather", infer.search, _search("right"), none, "loop:search", 10,
    "searchsorted({0}, {1}, 'right')",
    Doc("how many of the sorted edges x are not above y", "0", "searchsorted([1.0, 2.0], 2.0, side='right')"))
row("segment_sum", "scatter", infer.segment_sum, _segment_sum, d.segment_sum, "kernel:segment_sum", 1,
    "segment_sum({0}, {1}, {arg})",
    Doc("the sum of x over the rows of each code y; for each column of codes", "g at the row's code",
        "segment_sum([1.0, 2.0, 4.0], [1, 0, 1], 2)"))
row("segment_count", "scatter", infer.segment_count,
    lambda node, index: np.bincount(_checked(node, index), minlength=node.arg), none, "kernel:segment_count", 1,
    "bincount({0}, {arg})", Doc("the number of rows of each code", "0", "bincount([1, 0, 1], minlength=2)"))
row("top_values", "scatter", infer.largest, lambda node, x: np.asarray(x)[_order(x, node.arg)], d.top_values,
    "kernel:largest", 2, "top_k({0}, {arg})[0]",
    Doc("the k largest, downwards; nan first", "g at the rows they come from", "top_k([1.0, 3.0, 2.0], 2)[0]"))
row("top_rows", "scatter", infer.largest_rows, lambda node, x: _order(x, node.arg), none, "kernel:largest", 2,
    "top_k({0}, {arg})[1]", Doc("the rows of the k largest", "0", "top_k([1.0, 3.0, 2.0], 2)[1]"))
row("digit_counts", "scatter", infer.digit_counts, _digit_counts, none, "kernel:digit_counts", 4,
    "digit_counts({0}, {1}, {2}, {arg})",
    Doc("how often each digit of a sort key occurs below a prefix", "0", "one pass of quantile(x, 0.5)"))
row("digit", "gather", infer.digit, _digit, none, "plan:small", 1, "digit({0}, {1})",
    Doc("the digit at which a rank falls", "0", "a step of quantile(x, 0.5)"))
row("rank_left", "gather", infer.digit, _rank_left, none, "plan:small", 1, "rank_left({0}, {1})",
    Doc("the rank among the values of that digit", "0", "a step of quantile(x, 0.5)"))
row("from_key", "gather", infer.from_key, lambda node, key: from_key(key, node.dtype), d.from_key, "plan:small", 1,
    "from_key({0})", Doc("the value of a sort key", "none: it is refused", "the last step of quantile(x, 0.5)"))
