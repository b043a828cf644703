"""Functions of the language that work element by element; what they mean stands in the operator table.

Applied to plain numbers and ndarrays they compute at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lazyml import array as arrays
from lazyml.array import Array
from lazyml.expr import build
from lazyml.expr.infer import widen
from lazyml.expr.node import OPS, apply

__all__ = [
    "abs",
    "absolute",
    "add",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "cbrt",
    "ceil",
    "copysign",
    "cos",
    "cosh",
    "divide",
    "equal",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "floor_divide",
    "fmax",
    "fmin",
    "fmod",
    "greater",
    "greater_equal",
    "heaviside",
    "hypot",
    "invert",
    "isfinite",
    "isinf",
    "isnan",
    "left_shift",
    "less",
    "less_equal",
    "log",
    "log1mexp",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logcosh",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "mod",
    "multiply",
    "negative",
    "not_equal",
    "power",
    "reciprocal",
    "remainder",
    "right_shift",
    "rint",
    "sigmoid",
    "sigmoid_difference",
    "sigmoid_slope",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "softplus",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "trunc",
    "where",
]


def at_once(op: str, *operands: Any, arg: Any = None) -> Any:
    """The value of an operator on plain numbers and ndarrays, in the type that it has in a formula."""
    values = [np.asarray(x) for x in operands]
    node = apply(op, *(build.param(f"x{i}", x.shape, widen(x.dtype)) for i, x in enumerate(values)), arg=arg)
    return OPS[op].reference(node, *operands)[()]


def _function(op: str) -> Callable[..., Any]:
    row = OPS[op]

    def function(*operands: Any) -> Any:
        if any(isinstance(x, Array) for x in operands):
            return arrays.operation(op, *operands)
        return at_once(op, *operands)

    function.__name__ = function.__qualname__ = op
    function.__doc__ = f"""{row.doc.meaning}, element by element.

    Derivative: {row.doc.derivative}.
    """
    return function


absolute = _function("absolute")
add = _function("add")
arccos = _function("arccos")
arccosh = _function("arccosh")
arcsin = _function("arcsin")
arcsinh = _function("arcsinh")
arctan = _function("arctan")
arctan2 = _function("arctan2")
arctanh = _function("arctanh")
bitwise_and = _function("bitwise_and")
bitwise_or = _function("bitwise_or")
bitwise_xor = _function("bitwise_xor")
cbrt = _function("cbrt")
ceil = _function("ceil")
copysign = _function("copysign")
cos = _function("cos")
cosh = _function("cosh")
divide = _function("divide")
equal = _function("equal")
exp = _function("exp")
exp2 = _function("exp2")
expm1 = _function("expm1")
floor = _function("floor")
floor_divide = _function("floor_divide")
fmax = _function("fmax")
fmin = _function("fmin")
fmod = _function("fmod")
greater = _function("greater")
greater_equal = _function("greater_equal")
heaviside = _function("heaviside")
hypot = _function("hypot")
invert = _function("invert")
isfinite = _function("isfinite")
isinf = _function("isinf")
isnan = _function("isnan")
left_shift = _function("left_shift")
less = _function("less")
less_equal = _function("less_equal")
log = _function("log")
log10 = _function("log10")
log1p = _function("log1p")
log1mexp = _function("log1mexp")
log2 = _function("log2")
logaddexp = _function("logaddexp")
logical_and = _function("logical_and")
logical_not = _function("logical_not")
logical_or = _function("logical_or")
logical_xor = _function("logical_xor")
logcosh = _function("logcosh")
maximum = _function("maximum")
minimum = _function("minimum")
multiply = _function("multiply")
negative = _function("negative")
not_equal = _function("not_equal")
power = _function("power")
reciprocal = _function("reciprocal")
remainder = _function("remainder")
right_shift = _function("right_shift")
rint = _function("rint")
sigmoid = _function("sigmoid")
sigmoid_difference = _function("sigmoid_difference")
sigmoid_slope = _function("sigmoid_slope")
sign = _function("sign")
signbit = _function("signbit")
sin = _function("sin")
sinh = _function("sinh")
softplus = _function("softplus")
sqrt = _function("sqrt")
subtract = _function("subtract")
tan = _function("tan")
tanh = _function("tanh")
trunc = _function("trunc")
where = _function("where")

abs = absolute
mod = remainder


def square(x: Any) -> Any:
    """x * x, element by element.

    Derivative: 2 * x.
    """
    return multiply(x, x)
