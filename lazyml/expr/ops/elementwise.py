"""What is computed element by element: arithmetic, comparisons, elementary functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyml.expr import infer
from lazyml.expr.derivatives import elementwise as d
from lazyml.expr.derivatives.common import constant_derivative as none
from lazyml.expr.node import Doc, Node
from lazyml.expr.ops.table import elementwise, float_function, row, special_function

factor = d.by_factor


def _sigmoid(x: Any) -> Any:
    small = np.exp(-np.abs(x))
    return np.where(np.signbit(x), small, 1) / (1 + small)


def _softplus(x: Any) -> Any:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _sigmoid_slope(x: Any) -> Any:
    small = np.exp(-np.abs(x))
    return small / (1 + small) ** 2


def _sigmoid_difference(x: Any, y: Any) -> Any:
    """By Knuth's two-sum: what rounding x - y lost, times the slope of sigmoid."""
    d = x - y
    back = x - d
    lost = (x - (d + back)) + (back - y)
    return _sigmoid(d) + np.where(np.isfinite(lost), _sigmoid_slope(d) * lost, 0)


def _log1mexp(x: Any) -> Any:
    return np.where(x > -np.log(2), np.log(-np.expm1(x)), np.log1p(-np.exp(x)))


def _logcosh(x: Any) -> Any:
    away = np.abs(x)
    half = np.sinh(np.minimum(away, 1) / 2)
    return np.where(
        away < 1, np.log1p(2 * half * half), (away - np.log(2).astype(x.dtype)) + np.log1p(np.exp(-2 * away))
    )


def _power(node: Node, x: Any, y: Any) -> Any:
    """NumPy raises where an integer has a negative exponent; here 1 / x**-y loses its fraction, and 0 gives 0."""
    if node.dtype.kind == "f":
        return np.power(x, y)
    x, y = np.asarray(x, node.dtype), np.asarray(y, node.dtype)
    unit = np.where(y % 2 == 0, x * x, x)
    return np.where(y < 0, np.where((x == 1) | (x == -1), unit, 0), np.power(x, np.maximum(y, 0)))


def _cast(node: Node, x: Any) -> Any:
    return np.asarray(x).astype(node.dtype)


# fmt: off
# Arithmetic. Integers wrap around and divide as NumPy's do: // and % round down, and by zero they give 0.
elementwise(np.add, d.add, "{0} + {1}", 1, Doc("x + y", "1 and 1", "add(1.0, 2.0)"), "{0} + {1}")
elementwise(np.subtract, d.subtract, "{0} - {1}", 1, Doc("x - y", "1 and -1", "subtract(1.0, 2.0)"), "{0} - {1}")
elementwise(np.multiply, d.multiply, "{0} * {1}", 1, Doc("x * y", "y and x", "multiply(2.0, 3.0)"), "{0} * {1}")
elementwise(np.divide, d.divide, "{0} / {1}", 4, Doc("x / y", "1 / y and -x / y**2", "divide(1.0, 4.0)"), "{0} / {1}")
elementwise(np.floor_divide, none, "divide.floor_divide({T}({0}), {T}({1}))", 6,
            Doc("x / y rounded down to a whole number", "0", "floor_divide(-7, 2)"), "{0} // {1}")
elementwise(np.remainder, d.remainder, "divide.remainder({T}({0}), {T}({1}))", 8,
            Doc("x - y * (x // y), with the sign of y", "1 and -(x // y)", "remainder(-7, 3)"), "{0} % {1}")
elementwise(np.fmod, d.fmod, "divide.fmod({T}({0}), {T}({1}))", 8,
            Doc("x - y * trunc(x / y), with the sign of x", "1 and -trunc(x / y)", "fmod(-7, 3)"))
row("power", "elementwise", infer.elementwise(np.power), _power, d.power, "whole.power({T}({0}), {T}({1}))", 100,
    "{0} ** {1}",
    Doc("x to the power y; a negative power of an integer is refused, or loses its fraction where only the data has it",
        "y * x**(y - 1) and x**y * log(x), the second 0 where x <= 0", "power(2.0, 3.0)"))
elementwise(np.negative, d.negative, "-{0}", 1, Doc("-x", "-1", "negative(2.0)"), "-{0}")
elementwise(np.reciprocal, factor("reciprocal"), "whole.reciprocal({T}({0}))", 4,
            Doc("1 / x; of integers without its fraction", "-1 / x**2", "reciprocal(4.0)"))
elementwise(np.absolute, factor("abs"), "abs({0})", 1, Doc("|x|", "sign(x), so 0 at 0", "absolute(-2.0)"), "abs({0})")
elementwise(np.sign, none, "{0} if {0} != {0} else {T}({0} > 0) - {T}({0} < 0)", 2,
            Doc("-1, 0 or 1; nan for nan", "0", "sign(-2.0)"))
elementwise(np.copysign, d.copysign, "np.copysign({0}, {1})", 2,
            Doc("|x| with the sign of y", "1 where x and y have the same sign, else -1; 0 in y", "copysign(2.0, -0.0)"))

# Exponentials and logarithms
float_function(np.exp, factor("exp"), "scalar.exp({0})", 20, Doc("e to the power x", "exp(x)", "exp(1.0)"))
float_function(np.exp2, factor("exp2"), "powers.exp2({0})", 20, Doc("2 to the power x", "2**x * log(2)", "exp2(3.0)"))
float_function(np.expm1, factor("expm1"), "scalar.expm1({0})", 20,
               Doc("exp(x) - 1, exact near 0", "exp(x)", "expm1(1e-10)"))
float_function(np.log, factor("log"), "scalar.log({0})", 20,
               Doc("the natural logarithm; -inf at 0, nan below", "1 / x", "log(2.0)"))
float_function(np.log2, factor("log2"), "powers.log2({0})", 30,
               Doc("the logarithm to base 2", "1 / (x * log(2))", "log2(8.0)"))
float_function(np.log10, factor("log10"), "powers.log10({0})", 30,
               Doc("the logarithm to base 10", "1 / (x * log(10))", "log10(1000.0)"))
float_function(np.log1p, factor("log1p"), "scalar.log1p({0})", 20,
               Doc("log(1 + x), exact near 0", "1 / (1 + x)", "log1p(1e-10)"))
float_function(np.logaddexp, d.logaddexp, "scalar.logaddexp({T}({0}), {T}({1}))", 45,
               Doc("log(exp(x) + exp(y)) without overflow", "sigmoid(x - y) and sigmoid(y - x)",
                   "logaddexp(1000.0, 1000.0)"))
special_function("sigmoid", np.exp, _sigmoid, factor("sigmoid"), "scalar.sigmoid({0})", 25,
                 Doc("1 / (1 + exp(-x)); no overflow at any x", "sigmoid(x) * sigmoid(-x)", "sigmoid(0.0)"))
special_function("softplus", np.exp, _softplus, factor("softplus"), "scalar.softplus({0})", 40,
                 Doc("log(1 + exp(x)); no overflow at any x", "sigmoid(x)", "softplus(0.0)"))
special_function("sigmoid_slope", np.exp, _sigmoid_slope, d.sigmoid_slope, "scalar.sigmoid_slope({0})", 25,
                 Doc("sigmoid(x) * sigmoid(-x), the derivative of sigmoid; exact far from 0",
                     "-sigmoid_slope(x) * tanh(x / 2)", "sigmoid_slope(0.0)"))
special_function("sigmoid_difference", np.logaddexp, _sigmoid_difference, d.sigmoid_difference,
                 "scalar.sigmoid_difference({T}({0}), {T}({1}))", 35,
                 Doc("sigmoid(x - y) = exp(x) / (exp(x) + exp(y)), exact where rounding x - y is not",
                     "sigmoid_slope(x - y) and -sigmoid_slope(x - y)", "sigmoid_difference(1000.0, 1000.0)"))
special_function("log1mexp", np.exp, _log1mexp, d.log1mexp, "scalar.log1mexp({0})", 70,
                 Doc("log(1 - exp(x)), exact near 0 and far below; nan above 0", "exp(x) / expm1(x)",
                     "log1mexp(-1e-10)"))
special_function("logcosh", np.exp, _logcosh, factor("logcosh"), "scalar.logcosh({0})", 45,
                 Doc("log(cosh(x)); no overflow at any x, exact near 0", "tanh(x)", "logcosh(1000.0)"))

# Roots and powers
float_function(np.sqrt, factor("sqrt"), "math.sqrt({0})", 6,
               Doc("the square root; nan below 0", "0.5 / sqrt(x), so inf at 0", "sqrt(9.0)"))
float_function(np.cbrt, factor("cbrt"), "np.cbrt({0})", 20,
               Doc("the cube root", "1 / (3 * cbrt(x)**2), so inf at 0", "cbrt(-27.0)"))
float_function(np.hypot, d.hypot, "np.hypot({0}, {1})", 12,
               Doc("sqrt(x**2 + y**2) without overflow", "x / hypot(x, y) and y / hypot(x, y), both 0 at (0, 0)",
                   "hypot(3.0, 4.0)"))

# Trigonometry, in radians
float_function(np.sin, factor("sin"), "np.sin({0})", 20, Doc("the sine", "cos(x)", "sin(0.5)"))
float_function(np.cos, factor("cos"), "np.cos({0})", 20, Doc("the cosine", "-sin(x)", "cos(0.5)"))
float_function(np.tan, factor("tan"), "np.tan({0})", 30, Doc("the tangent", "1 + tan(x)**2", "tan(0.5)"))
float_function(np.arcsin, factor("arcsin"), "np.arcsin({0})", 25,
               Doc("the angle whose sine is x, from -pi/2 to pi/2; nan outside [-1, 1]", "1 / sqrt(1 - x**2)",
                   "arcsin(0.5)"))
float_function(np.arccos, factor("arccos"), "np.arccos({0})", 25,
               Doc("the angle whose cosine is x, from 0 to pi; nan outside [-1, 1]", "-1 / sqrt(1 - x**2)",
                   "arccos(0.5)"))
float_function(np.arctan, factor("arctan"), "np.arctan({0})", 25,
               Doc("the angle whose tangent is x, from -pi/2 to pi/2", "1 / (1 + x**2)", "arctan(0.5)"))
float_function(np.arctan2, d.arctan2, "np.arctan2({0}, {1})", 30,
               Doc("the angle of the point (x, y), from -pi to pi; y comes first, as in NumPy",
                   "x / (x**2 + y**2) and -y / (x**2 + y**2)", "arctan2(1.0, -1.0)", ("y", "x")))

# Hyperbolic functions
float_function(np.sinh, factor("sinh"), "np.sinh({0})", 30, Doc("(exp(x) - exp(-x)) / 2", "cosh(x)", "sinh(0.5)"))
float_function(np.cosh, factor("cosh"), "np.cosh({0})", 30, Doc("(exp(x) + exp(-x)) / 2", "sinh(x)", "cosh(0.5)"))
float_function(np.tanh, factor("tanh"), "scalar.tanh({0})", 25,
               Doc("sinh(x) / cosh(x)", "1 - tanh(x)**2", "tanh(0.5)"))
float_function(np.arcsinh, factor("arcsinh"), "np.arcsinh({0})", 30,
               Doc("log(x + sqrt(x**2 + 1))", "1 / sqrt(x**2 + 1)", "arcsinh(0.5)"))
float_function(np.arccosh, factor("arccosh"), "np.arccosh({0})", 30,
               Doc("log(x + sqrt(x**2 - 1)); nan below 1", "1 / sqrt(x**2 - 1)", "arccosh(1.5)"))
float_function(np.arctanh, factor("arctanh"), "np.arctanh({0})", 30,
               Doc("log((1 + x) / (1 - x)) / 2; nan outside [-1, 1]", "1 / (1 - x**2)", "arctanh(0.5)"))

# Rounding
elementwise(np.floor, none, "np.floor({0})", 1, Doc("the largest whole number not above x", "0", "floor(-1.5)"))
elementwise(np.ceil, none, "np.ceil({0})", 1, Doc("the smallest whole number not below x", "0", "ceil(-1.5)"))
elementwise(np.trunc, none, "np.trunc({0})", 1, Doc("x without its fraction", "0", "trunc(-1.5)"))
float_function(np.rint, none, "np.rint({0})", 1,
               Doc("the nearest whole number, halves to the even one", "0", "rint(2.5)"))

# The larger and the smaller
elementwise(np.maximum, d.maximum, "{0} if ({0} >= {1}) | ({0} != {0}) else {1}", 1,
            Doc("the larger; nan if either is nan", "1 for the larger, 0 for the other; of equals x is the larger",
                "maximum(1.0, 2.0)"))
elementwise(np.minimum, d.maximum, "{0} if ({0} <= {1}) | ({0} != {0}) else {1}", 1,
            Doc("the smaller; nan if either is nan", "1 for the smaller, 0 for the other; of equals x is the smaller",
                "minimum(1.0, 2.0)"))
elementwise(np.fmax, d.fmax, "{0} if ({0} >= {1}) | ({1} != {1}) else {1}", 1,
            Doc("the larger; if one is nan, the other", "1 for the one chosen, 0 for the other; of equals it is x",
                "fmax(nan, 2.0)"))
elementwise(np.fmin, d.fmax, "{0} if ({0} <= {1}) | ({1} != {1}) else {1}", 1,
            Doc("the smaller; if one is nan, the other", "1 for the one chosen, 0 for the other; of equals it is x",
                "fmin(nan, 2.0)"))
elementwise(np.heaviside, none, "{T}(0) if {0} < 0 else {T}(1) if {0} > 0 else {T}({1}) if {0} == 0 else {T}({0})", 3,
            Doc("0 where x < 0, y where x is 0, 1 where x > 0", "0", "heaviside(0.0, 0.5)"))

# Comparisons, to truth values
for _ufunc, _sign, _example in (
    (np.less, "<", "less(1, 2)"),
    (np.less_equal, "<=", "less_equal(1, 2)"),
    (np.greater, ">", "greater(1, 2)"),
    (np.greater_equal, ">=", "greater_equal(1, 2)"),
    (np.equal, "==", "equal(1, 2)"),
    (np.not_equal, "!=", "not_equal(1, 2)"),
):
    _text = f"{{0}} {_sign} {{1}}"
    elementwise(_ufunc, none, _text, 1, Doc(f"whether x {_sign} y", "0", _example), _text)
elementwise(np.isnan, none, "{0} != {0}", 1, Doc("whether x is nan", "0", "isnan(nan)"))
elementwise(np.isinf, none, "np.isinf({0})", 1, Doc("whether x is inf or -inf", "0", "isinf(inf)"))
elementwise(np.isfinite, none, "np.isfinite({0})", 1, Doc("whether x is neither inf nor nan", "0", "isfinite(inf)"))
elementwise(np.signbit, none, "np.signbit({0})", 1,
            Doc("whether the sign of x is minus; -0.0 has it", "0", "signbit(-0.0)"))

# Truth values and bits
elementwise(np.logical_and, none, "({0} != 0) & ({1} != 0)", 1,
            Doc("whether x and y are both true; a number is true when it is not 0", "0", "logical_and(True, False)"),
            "{0} & {1}")
elementwise(np.logical_or, none, "({0} != 0) | ({1} != 0)", 1,
            Doc("whether x or y is true, or both", "0", "logical_or(True, False)"), "{0} | {1}")
elementwise(np.logical_xor, none, "({0} != 0) != ({1} != 0)", 1,
            Doc("whether just one of x and y is true", "0", "logical_xor(True, False)"))
elementwise(np.logical_not, none, "{0} == 0", 1,
            Doc("whether x is not true", "0", "logical_not(True)"), "~{0}")
elementwise(np.bitwise_and, none, "{0} & {1}", 1,
            Doc("the bits that are set in both, of whole numbers", "0", "bitwise_and(12, 10)"), "{0} & {1}")
elementwise(np.bitwise_or, none, "{0} | {1}", 1,
            Doc("the bits that are set in x or y or both, of whole numbers", "0", "bitwise_or(12, 10)"), "{0} | {1}")
elementwise(np.bitwise_xor, none, "{0} ^ {1}", 1,
            Doc("the bits that are set in just one, of whole numbers", "0", "bitwise_xor(12, 10)"), "{0} ^ {1}")
elementwise(np.invert, none, "np.invert({0})", 1,
            Doc("every bit of a whole number turned over: -x - 1 of a signed one", "0", "invert(5)"), "~{0}")
elementwise(np.left_shift, none, "whole.left_shift({T}({0}), {T}({1}))", 1,
            Doc("x * 2**y, of whole numbers; bits beyond the type are lost", "0", "left_shift(3, 2)"), "{0} << {1}")
elementwise(np.right_shift, none, "whole.right_shift({T}({0}), {T}({1}))", 1,
            Doc("x // 2**y, of whole numbers", "0", "right_shift(12, 2)"), "{0} >> {1}")

# Choice and type
row("where", "elementwise", infer.select, lambda node, *x: np.where(*x), d.where, "{T}({1}) if {0} else {T}({2})", 1,
    "where({0}, {1}, {2})",
    Doc("x where the condition holds, else y", "1 for the one chosen, 0 for the other; 0 in the condition",
        "where(True, 1.0, 2.0)", ("condition", "x", "y")))
row("cast", "elementwise", infer.cast, _cast, d.cast, "{T}({0})", 1, "{0}.astype({arg})",
    Doc("x in another type", "1 between floating-point types, else 0", 'X.astype("float64")'))
