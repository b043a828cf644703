"""Operations element by element: a rule each, on operands where NumPy defines them and rounding does not decide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special
from grammar import RULES, Session, away_from_zero, rule, tame
from typed_values import Unsuitable, Value, floating, made

import lazyml as lz


def _float_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function in lazyml's type: that of np.exp of the operands, float32 where that would be float16."""

    def plain(*x: Any) -> Any:
        x = tuple(floating(v) for v in x)
        dtype = np.result_type(*(np.exp(np.zeros(1, v.dtype)).dtype for v in x))
        return np.asarray(function(*(v.astype(dtype) for v in x)), dtype)

    return plain


def _softplus(x: Any) -> Any:
    return np.logaddexp(np.zeros_like(x), x)


def _logcosh(x: Any) -> Any:
    x = np.abs(x.astype(np.longdouble))
    near = np.log1p(2 * np.sinh(np.minimum(x, 1) / 2) ** 2)
    return np.where(x < 1, near, np.logaddexp(x, -x) - np.log(np.longdouble(2)))


def _as_is(x: Value) -> Value:
    return x


def _up_to(limit: float) -> Callable[[Value], Value]:
    return lambda x: tame(x, limit)


def _above(distance: float, limit: float = 8.0) -> Callable[[Value], Value]:
    return lambda x: away_from_zero(x, distance, limit)


def _below(distance: float) -> Callable[[Value], Value]:
    return lambda x: made("-", lambda v: -v, lambda v: -v, away_from_zero(x, distance))


expit = scipy.special.expit
# name: (NumPy's or SciPy's function of floats, what makes an operand suitable)
FLOAT_FUNCTIONS: dict[str, tuple[Callable[..., Any], Callable[[Value], Value]]] = {
    "exp": (np.exp, _up_to(5)), "exp2": (np.exp2, _up_to(5)), "expm1": (np.expm1, _up_to(5)),
    "log": (np.log, _above(0.3)), "log2": (np.log2, _above(0.3)), "log10": (np.log10, _above(0.3)),
    "log1p": (np.log1p, _above(0.0)), "sqrt": (np.sqrt, _above(0.1)), "cbrt": (np.cbrt, _above(0.1)),
    "sin": (np.sin, _up_to(20)), "cos": (np.cos, _up_to(20)), "tan": (np.tan, _up_to(1.3)),
    "arcsin": (np.arcsin, _up_to(0.9)), "arccos": (np.arccos, _up_to(0.9)), "arctan": (np.arctan, _as_is),
    "sinh": (np.sinh, _up_to(5)), "cosh": (np.cosh, _up_to(5)), "tanh": (np.tanh, _as_is),
    "arcsinh": (np.arcsinh, _as_is), "arccosh": (np.arccosh, _above(1.1)), "arctanh": (np.arctanh, _up_to(0.9)),
    "sigmoid": (expit, _as_is), "softplus": (_softplus, _as_is),
    "sigmoid_slope": (lambda x: expit(x) * expit(-x), _as_is),
    "log1mexp": (lambda x: np.log1p(-np.exp(np.longdouble(x))), _below(0.2)),
    "logcosh": (_logcosh, _as_is),
    "erf": (scipy.special.erf, _as_is), "erfc": (scipy.special.erfc, _up_to(4)),
    "gammaln": (scipy.special.gammaln, _above(0.3)), "digamma": (scipy.special.digamma, _above(0.3)),
    "rint": (np.rint, _as_is),
}  # fmt: skip


def _float_rule(name: str) -> Callable[[Session], Value]:
    plain, suitable = FLOAT_FUNCTIONS[name]

    def one(s: Session) -> Value:
        x = suitable(s.draw())
        return made(f"{name}({x.text})", getattr(lz, name), _float_of(plain), x)

    return one


# name: (NumPy's function, kinds of types it is defined for)
ANY_FUNCTIONS: dict[str, tuple[Callable[..., Any], str]] = {
    "negative": (np.negative, "iuf"), "absolute": (np.absolute, "biuf"), "sign": (np.sign, "iuf"),
    "square": (np.square, "biuf"),
    "floor": (np.floor, "biuf"), "ceil": (np.ceil, "biuf"), "trunc": (np.trunc, "biuf"),
    "isnan": (np.isnan, "biuf"), "isinf": (np.isinf, "biuf"), "isfinite": (np.isfinite, "biuf"),
    "logical_not": (np.logical_not, "biuf"), "invert": (np.invert, "biu"),
    "reciprocal": (np.reciprocal, "f"), "signbit": (lambda x: np.signbit(floating(x)), "f"),
    "deg2rad": (lambda x: x * (np.pi / 180), "f"), "rad2deg": (lambda x: x * (180 / np.pi), "f"),
}  # fmt: skip


def _any_rule(name: str) -> Callable[[Session], Value]:
    plain, types = ANY_FUNCTIONS[name]

    def one(s: Session) -> Value:
        x = s.draw(types=types)
        x = away_from_zero(x, 0.2) if name == "reciprocal" else x
        if name == "signbit" and np.isnan(x.plain).any():
            raise Unsuitable  # whose sign is anything
        return made(f"{name}({x.text})", getattr(lz, name), plain, x)

    return one


def beside(s: Session, x: Value, types: str = "biuf") -> tuple[Value, Value]:
    """x and another value that broadcasts with it; a vector of the rows becomes a column beside a matrix."""

    def lines_up(y: Value) -> bool:
        if x.rows is not None and y.rows is not None and x.rows != y.rows:
            return False
        pairs = {"rows": "rows number matrix", "matrix": "matrix rows line number", "flipped": "flipped rows number",
                 "line": "line number matrix table", "table": "table number line", "number": ""}  # fmt: skip
        if pairs[x.kind] and y.kind not in pairs[x.kind].split():
            return False
        shapes = [(*v.plain.shape, 1) if {x.kind, y.kind} == {"rows", "matrix"} and v.kind == "rows" else v.plain.shape
                  for v in (x, y)]  # fmt: skip
        tails = zip(reversed(shapes[0]), reversed(shapes[1]), strict=False)
        return all(a == b or 1 in (a, b) for a, b in tails)

    y = s.draw(types=types, suits=lines_up)
    if {x.kind, y.kind} == {"rows", "matrix"}:
        x, y = (as_column(v) if v.kind == "rows" else v for v in (x, y))
    return (x, y) if s.chance(0.5) else (y, x)


def as_column(x: Value) -> Value:
    return made(f"{x.text}[:, None]", lambda v: v[:, None], lambda v: v[:, None], x)


# name: (NumPy's function, types, what makes the first and the second operand suitable)
Fit = Callable[[Value], Value]
PAIRS: dict[str, tuple[Callable[..., Any], str, Fit, Fit]] = {
    "add": (np.add, "biuf", _as_is, _as_is), "subtract": (np.subtract, "iuf", _as_is, _as_is),
    "multiply": (np.multiply, "biuf", _as_is, _as_is),
    "divide": (lambda x, y: np.divide(floating(x), floating(y)), "biuf", _as_is, _above(0.4)),
    "maximum": (np.maximum, "biuf", _as_is, _as_is), "minimum": (np.minimum, "biuf", _as_is, _as_is),
    "fmax": (np.fmax, "biuf", _as_is, _as_is), "fmin": (np.fmin, "biuf", _as_is, _as_is),
    "floor_divide": (np.floor_divide, "iuf", _as_is, _as_is), "remainder": (np.remainder, "iuf", _as_is, _as_is),
    "fmod": (np.fmod, "iuf", _as_is, _as_is), "power": (np.power, "f", _above(0.3, 3), _up_to(3)),
    "hypot": (_float_of(np.hypot), "biuf", _above(0.1), _as_is),
    "arctan2": (_float_of(np.arctan2), "biuf", _above(0.1), _as_is),
    "logaddexp": (_float_of(np.logaddexp), "biuf", _up_to(30), _up_to(30)),
    "sigmoid_difference": (_float_of(lambda x, y: expit(x - y)), "biuf", _up_to(30), _up_to(30)),
    "copysign": (lambda x, y: np.copysign(floating(x), floating(y)), "biuf", _as_is, _as_is),
    "heaviside": (lambda x, y: np.heaviside(floating(x), floating(y)), "biuf", _as_is, _as_is),
    "xlogy": (_float_of(scipy.special.xlogy), "biuf", _up_to(9), _above(0.3)),
    "xlog1py": (_float_of(scipy.special.xlog1py), "biuf", _up_to(9), _above(0.0)),
    "bitwise_and": (np.bitwise_and, "biu", _as_is, _as_is), "bitwise_or": (np.bitwise_or, "biu", _as_is, _as_is),
    "bitwise_xor": (np.bitwise_xor, "biu", _as_is, _as_is),
    **{name: (getattr(np, name), "biuf", _as_is, _as_is) for name in (
        "less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "logical_and", "logical_or",
        "logical_xor")},
}  # fmt: skip


def near_equal(x: Value, y: Value) -> np.ndarray:
    """Where rounding decides whether two values are equal."""
    with np.errstate(invalid="ignore"):
        away = np.abs(np.subtract(x.plain, y.plain, dtype=np.float64))
        return (x.error + y.error > 0) & (away <= 3 * (x.error + y.error))


def _pair_rule(name: str) -> Callable[[Session], Value]:
    plain, types, first, second = PAIRS[name]

    def one(s: Session) -> Value:
        x, y = beside(s, s.draw(types=types), types)
        x, y = first(x), second(y)
        if {x.dtype.kind, y.dtype.kind} == {"b"} and name == "subtract":
            raise Unsuitable
        if np.uint64 in (x.dtype, y.dtype) and types == "biu" and np.result_type(x.plain, y.plain).kind == "f":
            raise Unsuitable  # NumPy has no bits of uint64 beside int64
        if name in ("equal", "not_equal") and np.any(near_equal(x, y)):
            raise Unsuitable
        return made(f"{name}({x.text}, {y.text})", getattr(lz, name), plain, x, y)

    return one


for _name in FLOAT_FUNCTIONS:
    RULES[_name] = _float_rule(_name)
for _name in ANY_FUNCTIONS:
    RULES[_name] = _any_rule(_name)
for _name in PAIRS:
    RULES[_name] = _pair_rule(_name)


@rule
def shifts(s: Session) -> Value:
    x, by = beside(s, s.draw(types="iu"), "iu")
    by = made(f"{by.text} & 3", lambda v: v & 3, lambda v: v & 3, by)
    name = s.pick(["left_shift", "right_shift"])
    if np.result_type(x.plain, by.plain).kind == "f":
        raise Unsuitable
    return made(f"{name}({x.text}, {by.text})", getattr(lz, name), getattr(np, name), x, by)


@rule
def left_shift(s: Session) -> Value:
    x = s.draw(types="iu")
    return made(f"{x.text} << 2", lambda v: v << 2, lambda v: v << 2, x)


@rule
def where(s: Session) -> Value:
    x, y = beside(s, s.draw())
    condition = made(f"{x.text} > 0", lambda v: v > 0, lambda v: v > 0, x)
    return made(f"where({condition.text}, {x.text}, {y.text})", lz.where, np.where, condition, x, y)


@rule
def cast(s: Session) -> Value:
    x = s.draw()
    to = s.pick(["bool", "int8", "int32", "int64", "float32", "float64", "uint8", "uint16", "uint64"])
    whole = np.dtype(to).kind in "iu"
    if x.dtype.kind == "f" and whole and (x.largest > 100 or not np.isfinite(x.plain).all()):
        raise Unsuitable  # a float beyond the type is not defined
    if np.dtype(to).kind == "u" and np.any(x.plain < 0):
        x = away_from_zero(x, 0.0)
    return made(f"{x.text}.astype({to})", lambda v: v.astype(to), lambda v: v.astype(to), x)


@rule
def polygamma(s: Session) -> Value:
    x, order = away_from_zero(s.draw(), 0.6), s.pick([0, 1, 2, 3])
    plain = _float_of(lambda v: scipy.special.polygamma(order, v))
    return made(f"polygamma({order}, {x.text})", lambda v: lz.polygamma(order, v), plain, x)


@rule
def powers(s: Session) -> Value:
    """By a constant: whole, a root, and integers by integers, which wrap around."""
    x, by = s.draw(types="iuf"), s.pick([0, 1, 2, 3, 0.5, -1.0, 2.0, -2.5])
    if isinstance(by, float):
        x = away_from_zero(x, 0.3, 4)
    return made(f"{x.text} ** {by}", lambda v: v**by, lambda v: v**by, x)


@rule
def clip(s: Session) -> Value:
    x = s.draw(types="iuf")
    low, high = s.pick([(0, None), (None, 3), (1, 5)])
    return made(f"clip({x.text}, {low}, {high})", lambda v: lz.clip(v, low, high), lambda v: np.clip(v, low, high), x)


@rule
def rounded(s: Session) -> Value:
    x, decimals = s.draw(types="f"), s.pick([0, 1, 2, -1])
    return made(f"round({x.text}, {decimals})", lambda v: lz.round(v, decimals), lambda v: np.round(v, decimals), x)


@rule
def isclose(s: Session) -> Value:
    x, y = beside(s, s.draw(types="f"), "f")
    return made(f"isclose({x.text}, {y.text})", lambda a, b: lz.isclose(a, b, 0.3, 0.1),
                lambda a, b: np.isclose(a, b, 0.3, 0.1), x, y)  # fmt: skip


@rule
def without_holes(s: Session) -> Value:
    """nan and infinities found and replaced."""
    x = s.holes()
    how = s.pick([
        (lambda v: lz.nan_to_num(v, nan=0.5, posinf=3.0), lambda v: np.nan_to_num(v, nan=0.5, posinf=3.0)),
        (lambda v: lz.where(lz.isfinite(v), v, 0), lambda v: np.where(np.isfinite(v), v, 0)),
        (lambda v: lz.fmax(v, -1), lambda v: np.fmax(v, v.dtype.type(-1))),
        (lambda v: lz.isnan(v) | lz.isinf(v), lambda v: np.isnan(v) | np.isinf(v)),
    ])  # fmt: skip
    return made("without holes", *how, x)


def _terms(x: Any, y: Any) -> tuple[Any, Any, Any]:
    return np.exp(x), np.exp(y), np.exp(x - y)


SHARES = {
    "log(e**x + e**y + e**(x - y))": (lambda a, b, c: lz.log(a + b + c), lambda a, b, c: np.log(a + b + c)),
    "e**x / (e**x + ...)": (lambda a, b, c: a / (a + b + c), lambda a, b, c: a / (a + b + c)),
    "1 - e**x / (e**x + ...)": (lambda a, b, c: 1 - a / (a + b + c), lambda a, b, c: (b + c) / (a + b + c)),
    "log(e**y / (e**x + ...))": (lambda a, b, c: lz.log(b / (a + b + c)), lambda a, b, c: -np.log1p((a + c) / b)),
}  # fmt: skip
"""Sums of three exponentials and shares of them, as they are written, and by NumPy so that nothing cancels."""


@rule
def shares(s: Session) -> Value:
    x, y = (tame(v, 5) for v in beside(s, s.draw(types="f"), "f"))
    name = s.pick(SHARES)
    ours, plain = SHARES[name]
    return made(f"{name} of {x.text}, {y.text}", lambda a, b: ours(*_terms(a, b)),
                _float_of(lambda a, b: plain(*_terms(a, b))), x, y)  # fmt: skip


blend = lz.elementwise(
    lambda x, y: x * y if x > y else x - y,
    derivative=lambda x, y: (lz.where(x > y, y, 1.0), lz.where(x > y, x, -1.0)),
)


@rule
def user_function(s: Session) -> Value:
    x, y = (tame(v, 9) for v in beside(s, s.draw()))
    dtype = np.result_type(_float_of(np.exp)(x.plain[..., None]), _float_of(np.exp)(y.plain[..., None]))
    return made(f"blend({x.text}, {y.text})", blend,
                lambda a, b: np.where(a > b, a * b, a - b).astype(dtype), x, y)  # fmt: skip
