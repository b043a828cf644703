"""`elementwise`: a scalar function of the user's own becomes a function on Arrays, numbers and ndarrays."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from lazyml import array as arrays
from lazyml import user_functions
from lazyml.array import Array
from lazyml.errors import DtypeError, ParameterError, UnsupportedError
from lazyml.expr.infer import widen
from lazyml.expr.node import OPS, Node, apply
from lazyml.frozen_function import describe, python_function, show_name

__all__ = ["elementwise"]


def elementwise(function: Any = None, derivative: Any = None, dtype: DTypeLike | None = None) -> Any:
    """A function of one or more numbers, compiled by Numba, as a function on Arrays, numbers and ndarrays.

    Arguments broadcast and reach the function in their own types. The result is floating point, in NumPy's promotion of
    the arguments with float32 at the least, or of the type `dtype`. The function may use what Numba compiles: numbers,
    tuples, loops, conditions, `math` and `numpy`, other functions (they are compiled with it, with or without
    `numba.njit`), and numbers, arrays and tuples from around it, which are taken as they are when `elementwise` is
    called. Both backends run the same machine code: operations as written, division as in NumPy, every index checked
    (IndexRangeError when the run meets one that is not there). A function that raises, prints, draws random numbers or
    refers to other objects is refused.

    `derivative` is a function on Arrays that gives the partial derivative as a formula; of several arguments a tuple,
    with None where there is none. `lz.grad` through a function without one raises UnsupportedError.

    Also a decorator: `@lz.elementwise`, `@lz.elementwise(derivative=...)`. A formula with the function can be pickled
    when its module has the function under its name.

    Raises UnsupportedError for what can not be frozen, when it is called; and for what Numba can not compile, with
    Numba's first line, when the formula is compiled or computed. Never falls back on Python.

    >>> import lazyml as lz
    >>> cube = lz.elementwise(lambda x: x * x * x, derivative=lambda x: 3 * x * x)
    >>> w = lz.param("w", 2)
    >>> lz.compute(lz.grad(lz.sum(cube(w)), w), params={"w": [1.0, 2.0]})
    array([ 3., 12.])
    >>> cube(2.0)
    np.float64(8.0)
    """
    if function is None:
        return lambda given: elementwise(given, derivative, dtype)
    return Elementwise(_make(function, derivative, dtype))


class Elementwise:
    """A user's function on Arrays. `user_function` is what formulas hold."""

    def __init__(self, user: user_functions.UserFunction) -> None:
        self.user_function = user
        self._least, self._most = _argument_counts(user.function)
        functools.update_wrapper(self, user.function)

    def __call__(self, *operands: Any) -> Any:
        if not self._least <= len(operands) <= self._most:
            expected = str(self._least) if self._least == self._most else f"{self._least} to {self._most}"
            raise ParameterError(f"{self.user_function.name} takes another number of arguments", expected=expected,
                                 found=str(len(operands)), where=arrays.here())  # fmt: skip
        defaults = self.user_function.frozen.defaults
        operands += defaults[len(defaults) - (self._most - len(operands)) :] if len(operands) < self._most else ()
        if any(isinstance(x, Array) for x in operands):
            return arrays.operation("user_function", *operands, arg=self.user_function)
        nodes = arrays.operands("user_function", *operands)
        node = apply("user_function", *nodes, arg=self.user_function)
        return OPS[node.op].reference(node, *(n.arg.value for n in nodes))[()]

    def __repr__(self) -> str:
        return f"<lz.elementwise {describe(self.user_function.function)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Elementwise, (self.user_function,)


def _make(function: Any, derivative: Any, dtype: Any) -> user_functions.UserFunction:
    plain = python_function(function)
    if plain is None:
        fix = "write lambda x: f(x)" if callable(function) else None
        fix = "apply it to the Array" if isinstance(function, (np.ufunc, Elementwise)) else fix
        raise UnsupportedError("not a function of numbers", expected="a function written in Python",
                               found=f"{function!r:.80}", where=arrays.here(), fix=fix)  # fmt: skip
    hashable = isinstance(derivative, Hashable)
    if derivative is not None and not (hashable and callable(derivative)):
        raise UnsupportedError("the derivative is not a function", expected="a function on Arrays",
                               found=f"{derivative!r:.80}", where=arrays.here())  # fmt: skip
    _argument_counts(plain)
    chosen = None if dtype is None else np.dtype(dtype).str
    if chosen is not None:
        widen(chosen)
    partials = None if derivative is None else functools.partial(_partials, show_name(plain), derivative)
    try:
        return user_functions.make(plain, derivative, chosen, partials)
    except UnsupportedError as error:
        raise error.with_details(where=arrays.here()) from None


user_functions.MAKERS[:] = [_make]


def _argument_counts(function: types.FunctionType) -> tuple[int, int]:
    """The least and the most arguments of a function that takes numbers by position."""
    parameters = inspect.signature(function).parameters.values()
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if not parameters or any(p.kind not in by_position for p in parameters):
        raise UnsupportedError(f"the function {show_name(function)} does not take a number of numbers",
                               expected="one argument or more, by position", found=str(inspect.signature(function)),
                               formula=describe(function), where=arrays.here())  # fmt: skip
    return sum(p.default is p.empty for p in parameters) or 1, len(parameters)


def _partials(name: str, derivative: Callable[..., Any], *nodes: Node) -> tuple[Node | None, ...]:
    """What the user's derivative gives for these arguments."""
    given = derivative(*(Array(node) for node in nodes))
    parts = given if isinstance(given, tuple) else (given,)
    if len(parts) != len(nodes):
        raise UnsupportedError(f"the derivative of {name} gives another number of formulas",
                               expected=f"{len(nodes)}, one for each argument", found=str(len(parts)))  # fmt: skip
    like = np.result_type(np.float32, *(node.dtype for node in nodes))
    found = [None if part is None else arrays.coerce(part, like, f"the derivative of {name}") for part in parts]
    for node in found:
        if node is not None and node.dtype.kind not in "biuf":
            raise DtypeError(f"the derivative of {name} is not a number", found=node.dtype)
    return tuple(found)
