"""Derivatives of formulas, as formulas. All take parameter trees: an Array, or Arrays in nested dicts, lists, tuples
and named tuples; what has a value for each parameter has the same tree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lazyml import array as arrays
from lazyml import trees
from lazyml.array import Array
from lazyml.errors import DtypeError, LazymlError, ParameterError, ShapeError, UnsupportedError
from lazyml.expr import build, forward
from lazyml.expr import grad as reverse
from lazyml.expr.collecting import no_collecting
from lazyml.expr.infer import show_shape
from lazyml.expr.node import Node
from lazyml.trees import Tree

__all__ = ["grad", "hvp", "jvp", "value_and_grad"]


def grad(loss: Array, wrt: Tree) -> Tree:
    """The gradient of a scalar formula, as a formula: d loss / d x with the shape of x.

    One parameter gives an Array, a list gives a list, a tree of parameters the same tree. `x` is what `lz.param`,
    `lz.open` or `lz.from_array` gave. Reverse mode; the loss is put into its stable form first.

    Raises ShapeError when the loss is not a scalar, DtypeError when it, or x, is not floating point, UnsupportedError
    when x is a formula and not a parameter, ParameterError when one is there twice.

    >>> import lazyml as lz
    >>> w = lz.param("w", 2)
    >>> lz.compile(lz.grad(lz.sum(w**2), w))(w=[1.0, -3.0])
    array([ 2., -6.])
    """
    leaves = _parameters(wrt, "wrt")
    found = _derived(loss, lambda: reverse.gradient(_differentiable(loss, "the loss"), leaves))
    return trees.unflatten(wrt, map(Array, found))


def value_and_grad(loss: Array, wrt: Tree) -> tuple[Array, Tree]:
    """The loss and its gradient, `(loss, grad(loss, wrt))`: computed together they take one pass.

    Errors are those of `grad`.

    >>> import lazyml as lz
    >>> w = lz.param("w", 2)
    >>> lz.compute(*lz.value_and_grad(lz.sum(w**2), w), params={"w": [1.0, -3.0]})
    (np.float64(10.0), array([ 2., -6.]))
    """
    return loss, grad(loss, wrt)


def jvp(outputs: Tree, params: Tree, vectors: Tree) -> Tree:
    """How fast formulas change as the parameters move along vectors: J v, with the tree and shapes of `outputs`.

    `vectors` has the tree of `params`, and each the shape of its parameter, or one more leading axis k for k
    directions at once, which the results then have too: of z = X @ w (n,), V (k, d) gives (k, n), the rows of V @ X.T.
    They are parameters (so that new ones change no plan), other Arrays, or plain arrays, and count as constants.
    Row-aligned outputs have row-aligned derivatives, in the pass that makes the outputs.

    Raises ShapeError for a vector of another shape, ParameterError for another tree or a parameter that is there twice,
    DtypeError for what is not floating point, UnsupportedError when a parameter is a formula, and for several
    directions of a row-aligned matrix.

    >>> import lazyml as lz
    >>> X, w = lz.from_array([[1.0, 2.0], [3.0, 4.0]]), lz.param("w", 2)
    >>> lz.compute(lz.jvp((X @ w) ** 2, w, [1.0, 0.0]), params={"w": [1.0, 1.0]})
    array([ 6., 42.])
    """
    leaves = _parameters(params, "params")
    directions = _vectors(params, leaves, vectors)
    named = trees.flatten(outputs)
    nodes = [_differentiable(output, f"outputs{place}") for place, output in named]
    found = _derived(named[0][1] if len(named) == 1 else None, lambda: forward.jvp(nodes, leaves, directions))
    return trees.unflatten(outputs, map(Array, found))


def hvp(loss: Array, params: Tree, vectors: Tree) -> Tree:
    """The Hessian of a scalar formula times vectors, H v, with the tree and shapes of `params`.

    `vectors` has the tree of `params`, and each the shape of its parameter, or one more leading axis k for k vectors at
    once: w (d,) and V (k, d) give (k, d), the rows of V @ H. They are parameters (so that new ones change no plan),
    other Arrays, or plain arrays, and count as constants. The Hessian itself is never formed: for a generalised linear
    model H v is X.T @ (h * (X @ v)), in the pass of the loss and its gradient, and V costs one product X @ V.T.

    Raises ShapeError when the loss is not a scalar and for a vector of another shape, ParameterError for another tree
    or a parameter that is there twice, DtypeError for what is not floating point, UnsupportedError when a parameter is
    a formula.

    Source: Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 6 (1994) 147.

    >>> import lazyml as lz
    >>> w = lz.param("w", 2)
    >>> lz.compile(lz.hvp(lz.sum(w**3), w, [1.0, 10.0]))(w=[1.0, 2.0])
    array([  6., 120.])
    """
    leaves = _parameters(params, "params")
    directions = _vectors(params, leaves, vectors)
    found = _derived(loss, lambda: forward.hvp(_differentiable(loss, "the loss"), leaves, directions))
    return trees.unflatten(params, map(Array, found))


def _derived(of: Any, derive: Callable[[], list[Node]]) -> list[Node]:
    """The derivatives; an error gets the formula and the user's line."""
    try:
        with no_collecting():
            return derive()
    except LazymlError as error:
        shown = of.name if isinstance(of, Array) else None
        raise error.with_details(formula=shown, where=arrays.here()) from None


def _differentiable(x: Any, what: str) -> Node:
    if not isinstance(x, Array):
        raise ParameterError(
            f"{what} is not an Array", expected="a formula", found=type(x).__name__, where=arrays.here()
        )
    if x.dtype.kind != "f":
        raise DtypeError("only floating-point formulas have gradients", found=f"{x.dtype} {x.name}, {what}",
                         where=arrays.here(), fix="use astype")  # fmt: skip
    return x.node


def _parameters(tree: Any, what: str) -> list[Node]:
    """The leaves of a parameter tree, checked."""
    seen: dict[Node, trees.Place] = {}
    for place, leaf in trees.flatten(tree):
        at = f"{what}{place}"
        if not isinstance(leaf, Array):
            raise ParameterError(f"{at} is not an Array", expected="a parameter, or a dict, list or tuple of them",
                                 found=type(leaf).__name__, where=arrays.here())  # fmt: skip
        if leaf.node.op not in ("param", "source"):
            raise UnsupportedError("gradients are taken with respect to parameters", expected="what lz.param gave",
                                   found=f"{leaf.name}, {at}", where=arrays.here())  # fmt: skip
        node = _differentiable(leaf, at)
        if node in seen:
            raise ParameterError("a parameter is there twice", expected="each parameter once",
                                 found=f"{leaf.name}, {what}{seen[node]} and {at}", where=arrays.here())  # fmt: skip
        seen[node] = place
    return list(seen)


def _vectors(params: Any, leaves: list[Node], vectors: Any) -> list[Node]:
    """A vector for each parameter, checked: all of the parameters' shapes, or all with one more axis of one length."""
    try:
        named = trees.flatten_like(params, vectors, "vectors")
    except ParameterError as error:
        raise error.with_details(where=arrays.here()) from None
    found: list[Node] = []
    count: tuple[int, ...] | None = None
    for (place, vector), leaf in zip(named, leaves, strict=True):
        node = _vector(vector, leaf, f"vectors{place}")
        more = node.ndim - leaf.ndim
        extra = node.shape[: max(more, 0)]
        many = leaf.row_axis is None or leaf.ndim == 1  # a third axis of rows would be one too many
        if node.shape[len(extra) :] != leaf.shape or not (more == 0 or (more == 1 and extra[0] > 0 and many)):
            shapes = show_shape(leaf.shape) + ", or k of that shape along a leading axis" * many
            raise ShapeError(f"vectors{place} does not fit its parameter", expected=shapes,
                             found=show_shape(node.shape), where=arrays.here())  # fmt: skip
        count = extra if count is None else count
        if extra != count:
            raise ShapeError("the vectors are of different numbers",
                             expected=f"{show_shape((*count, *leaf.shape))}, as vectors{named[0][0]}",
                             found=f"{show_shape(node.shape)}, vectors{place}", where=arrays.here())  # fmt: skip
        found.append(node)
    return found


def _vector(given: Any, leaf: Node, what: str) -> Node:
    """A vector in the type of its parameter; a plain array beside streamed data is streamed too."""
    if isinstance(given, Array):
        return build.cast(given.node, leaf.dtype)
    node = arrays.coerce(given, leaf.dtype, what)
    if leaf.row_axis == 0:
        plain = tuple(int(size) for size in leaf.shape)
        if node.shape == plain:
            node = arrays.from_ndarray(node.arg.value).node
        elif node.shape[1:] == plain and leaf.ndim == 1:
            node = build.transpose(arrays.from_ndarray(node.arg.value.T).node)
    return build.cast(node, leaf.dtype)
