"""Functions of the language that work element by element; what they mean stands in the operator table.

Applied to plain numbers and ndarrays they compute at once.
"""

from __future__ import annotations

import builtins
import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from lazyml import array as arrays
from lazyml.array import Array
from lazyml.errors import LazymlError, ParameterError
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
    "astype",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "cbrt",
    "ceil",
    "clip",
    "copysign",
    "cos",
    "cosh",
    "deg2rad",
    "degrees",
    "divide",
    "divmod",
    "equal",
    "exp",
    "exp2",
    "expm1",
    "float_power",
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
    "isclose",
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
    "nan_to_num",
    "negative",
    "not_equal",
    "power",
    "rad2deg",
    "radians",
    "reciprocal",
    "remainder",
    "right_shift",
    "rint",
    "round",
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


HIGHEST_DECIMALS = 300


def at_once(op: str, *operands: Any, arg: Any = None) -> Any:
    """The value of an operator on plain numbers and ndarrays, in the type that it has in a formula."""
    values = [np.asarray(x) for x in operands]
    try:
        node = apply(op, *(build.param(f"x{i}", x.shape, widen(x.dtype)) for i, x in enumerate(values)), arg=arg)
        return OPS[op].reference(node, *operands)[()]
    except LazymlError as error:
        raise error.with_details(where=arrays.here()) from None


def call(op: str, *operands: Any) -> Any:
    """An operator on Arrays, as a formula; on plain numbers and ndarrays alone, at once."""
    if any(isinstance(x, Array) for x in operands):
        return arrays.operation(op, *operands)
    return at_once(op, *operands)


def _function(op: str) -> Callable[..., Any]:
    """The function of an operator of the table, whose operands are given by position, as NumPy's are."""
    doc = OPS[op].doc
    count = len(set(re.findall(r"{\d}", OPS[op].text)))
    names = doc.operands[:count]

    def function(*operands: Any) -> Any:
        if len(operands) != count:
            raise TypeError(f"{op}({', '.join(names)}) takes {count} argument{'s' * (count > 1)}, not {len(operands)}")
        return call(op, *operands)

    function.__name__ = function.__qualname__ = op
    function.__doc__ = f"""{doc.meaning}, element by element.

    Derivative: {doc.derivative}.

    Example: {doc.example}.
    """
    by_position = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY, annotation="Any") for name in names]
    vars(function)["__signature__"] = inspect.Signature(by_position, return_annotation="Any")
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


def astype(x: Any, dtype: DTypeLike) -> Any:
    """x in another type: x.astype(dtype). float16 becomes float32.

    Derivative: 1 between floating-point types, else 0.

    >>> astype(np.array([1.5, -1.5]), "int64")
    array([ 1, -1])
    """
    return x.astype(dtype) if isinstance(x, Array) else at_once("cast", x, arg=np.dtype(dtype).str)


def square(x: Any) -> Any:
    """x * x, element by element; int8 of truth values, as NumPy's.

    Derivative: 2 * x.

    >>> float(square(3.0))
    9.0
    """
    if isinstance(x, Array) and x.dtype.kind == "b":
        x = x.astype(np.int8)
    return multiply(x, x) if isinstance(x, Array) else np.square(x)


def divmod(x: Any, y: Any) -> tuple[Any, Any]:
    """floor_divide(x, y) and remainder(x, y), two results.

    Derivative: those of the two.

    >>> divmod(np.array([7, -7]), 3)
    (array([ 2, -3]), array([1, 2]))
    """
    return floor_divide(x, y), remainder(x, y)


def float_power(x: Any, y: Any) -> Any:
    """x**y in float64, so that negative powers of whole numbers are there.

    Derivative: that of x**y.

    >>> float(float_power(2, -1))
    0.5
    """
    x, y = (astype(v, np.float64) if isinstance(v, Array) else np.asarray(v, np.float64) for v in (x, y))
    return power(x, y)


def clip(x: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    """x, but a_min where x is below it and a_max where x is above it; either may be None. min and max are other names.

    Derivative: 1 between the bounds and at them, 0 outside; in a bound 1 where x is beyond it.

    >>> clip(np.array([-2.0, 0.5, 3.0]), 0.0, 1.0)
    array([0. , 0.5, 1. ])
    """
    if (a_min is not None and min is not None) or (a_max is not None and max is not None):
        raise ParameterError("a bound is given twice", expected="a_min or min, and a_max or max", where=arrays.here())
    a_min, a_max = min if a_min is None else a_min, max if a_max is None else a_max
    x = x if a_min is None else maximum(x, a_min)
    return x if a_max is None else minimum(x, a_max)


def round(x: Any, decimals: int = 0) -> Any:
    """x to some decimals, halves to the even digit, as NumPy does: rint(x * 10**decimals) / 10**decimals.

    Derivative: 0.

    >>> round(np.array([0.5, 1.5, 2.345]), 1)
    array([0.5, 1.5, 2.3])
    """
    if not isinstance(x, Array):
        return np.round(x, decimals)
    if builtins.abs(decimals) > HIGHEST_DECIMALS:
        raise ParameterError("so many decimals are beyond float64", found=str(decimals), where=arrays.here(),
                             expected=f"-{HIGHEST_DECIMALS} to {HIGHEST_DECIMALS}")  # fmt: skip
    if x.dtype.kind != "f" and decimals >= 0:
        return x
    if decimals == 0:
        return rint(x)
    scale = 10.0 ** builtins.abs(decimals)
    return rint(x * scale) / scale if decimals > 0 else (rint(x / scale) * scale).astype(x.dtype)


def isclose(x: Any, y: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Whether |x - y| <= atol + rtol * |y|; an infinity is close to itself, nan to nothing unless equal_nan.

    Derivative: 0.

    >>> bool(isclose(1.0, 1.0 + 1e-9))
    True
    """
    if not isinstance(x, Array) and not isinstance(y, Array):
        return np.isclose(x, y, rtol, atol, equal_nan)
    x, y = (v.astype(np.float64) if isinstance(v, Array) and v.dtype.kind != "f" else v for v in (x, y))
    near = logical_and(less_equal(absolute(x - y), atol + rtol * absolute(y)), isfinite(y))
    close = logical_or(near, equal(x, y))
    return logical_or(close, logical_and(isnan(x), isnan(y))) if equal_nan else close


def nan_to_num(x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """x with numbers for nan and the infinities; for these by default the largest and the lowest number of the type.

    Derivative: 1 where x is finite, 0 elsewhere.

    >>> nan_to_num(np.array([1.0, np.nan]), nan=-1.0)
    array([ 1., -1.])
    """
    if not isinstance(x, Array):
        return np.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf)
    if x.dtype.kind != "f":
        return x
    limit = float(np.finfo(x.dtype).max)
    high, low = limit if posinf is None else posinf, -limit if neginf is None else neginf
    infinite = where(x > 0, high, low).astype(x.dtype)  # two plain numbers would be float64
    return where(isfinite(x), x, where(isnan(x), nan, infinite))


def deg2rad(x: Any) -> Any:
    """Degrees as radians, x * pi / 180.

    Derivative: pi / 180.

    >>> float(deg2rad(180.0))
    3.14159265...
    """
    return multiply(x, np.pi / 180)


def rad2deg(x: Any) -> Any:
    """Radians as degrees, x * 180 / pi.

    Derivative: 180 / pi.

    >>> float(rad2deg(np.pi))
    180.0
    """
    return multiply(x, 180 / np.pi)


radians, degrees = deg2rad, rad2deg
