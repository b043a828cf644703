"""Random well-typed formulas over the whole language, drawn rule by rule.

A rule is a way of writing an operation: it draws operands of the kinds that it takes from what the session has made so
far, and gives a new `Value`. Rules stand in families (`rules_*.py`) and enter `RULES` by the decorator. `Session.grow`
deals rules from a shuffled deck, so that as many steps as there are rules use every one of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from typed_values import DTYPES, Unsuitable, Value, floating, leaf, made

import lazyml as lz

RULES: dict[str, Callable[[Session], Value]] = {}
WITH_FORMS = (
    "contraction",
    "small_contraction",
    "centred_product",
    "difference_of_logsumexps",
    "shares",
    "softmax",
    "total_of_chosen_rows",
    "diagonals",
    "fmod",
    "top_k",
)
"""Rules that write operators of which each has a form of its own, or that seldom find operands."""
ATTEMPTS = 40


def rule(function: Callable[[Session], Value]) -> Callable[[Session], Value]:
    assert function.__name__ not in RULES
    RULES[function.__name__] = function
    return function


class Session:
    """What has been made from some leaves, and the source of chance."""

    def __init__(self, seed: int, leaves: Iterable[Value], params: dict[str, Any]) -> None:
        self.random = random.Random(seed)
        self.numbers = np.random.default_rng(seed)
        self.leaves, self.params = list(leaves), params
        self.values: list[Value] = []

    def grow(self, steps: int, names: Iterable[str] = RULES) -> list[Value]:
        """Values by so many rules of those named; each can be an operand of the next."""
        deck: list[str] = []
        for _ in range(steps):
            if not deck:
                deck = list(names)
                self.random.shuffle(deck)
            self.step(deck.pop())
        return self.values

    def step(self, name: str) -> Value | None:
        """One more value by a rule, whatever operands it takes to find one that fits; None when there are none."""
        for _ in range(ATTEMPTS):
            try:
                value = RULES[name](self)
            except Unsuitable:
                continue
            self.values.append(value)
            return value
        return None

    def rule_by_rule(self) -> list[str]:
        """Every rule, those that have several forms some times; the names of those that found operands."""
        names = [name for name in RULES for _ in range(4 if name in WITH_FORMS else 1)]
        return [name for name in names if self.step(name) is not None]

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def pick(self, items: Iterable[Any]) -> Any:
        return self.random.choice(list(items))

    def draw(self, kinds: str = "", types: str = "biuf", suits: Callable[[Value], bool] = lambda v: True) -> Value:
        """A value of one of the kinds, whose dtype is of one of the types: rather one that was made than a leaf.

        Small ones are finite: a factor that is not, taken out of a sum over rows, makes nan of it where NumPy may not.
        """
        wanted = kinds.split() or ("number", "line", "table", "rows", "matrix", "flipped")

        def fits(v: Value) -> bool:
            return v.kind in wanted and v.dtype.kind in types and suits(v)

        made_before = [v for v in self.values if fits(v) and (v.rows is not None or np.isfinite(v.plain).all())]
        if made_before and self.chance(0.6):
            return self.pick(made_before)
        fitting = [v for v in self.leaves if fits(v) and v.text != "holes"]
        if not fitting and types == "f":
            to = self.pick(["float32", "float64"])
            x = self.draw(kinds, "biu", lambda v: v.text != "holes")
            fitting = [v for v in [made(f"{x.text}.astype({to})", lambda v: v.astype(to), lambda v: v.astype(to), x)]
                       if fits(v)]  # fmt: skip
        if not fitting:
            raise Unsuitable
        return self.pick(fitting)

    def codes(self, beside: Value) -> Value:
        """Codes of groups, a number a row, for the rows of a value."""

        def codes(v: Value) -> bool:
            return v.rows == beside.rows and bool(np.all((v.plain >= 0) & (v.plain < GROUPS)))

        return self.draw("rows", "iu", codes)

    def holes(self) -> Value:
        """Values of which some are nan or infinite: a matrix, or a column or line of it."""
        (x,) = (v for v in self.leaves if v.text == "holes")
        return x

    def axis(self, x: Value) -> int | None:
        return self.pick([None, *range(x.plain.ndim)])

    def results(self) -> list[Value]:
        """What a program may give: all but rows that a condition chose."""
        return [v for v in self.values if not v.chosen]


def tame(x: Value, limit: float) -> Value:
    """x, or its hyperbolic tangent times the limit where it is larger."""
    if x.dtype.kind == "f" and x.largest <= limit:
        return x
    limit = np.float32(limit)
    return made(f"{limit:g} * tanh({x.text})", lambda v: lz.tanh(v) * limit, lambda v: np.tanh(floating(v)) * limit, x)


def away_from_zero(x: Value, distance: float, limit: float = 8.0) -> Value:
    """|x| + distance, tamed."""
    x, distance = tame(x, limit), np.float32(distance)
    return made(f"(|{x.text}| + {distance:g})", lambda v: abs(v) + distance, lambda v: np.abs(v) + distance, x)


def shape_of_data(session_random: random.Random) -> tuple[int, int]:
    return session_random.choice([0, 1, 2, 7, 53, 97, 211]), session_random.choice([0, 1, 1, 2, 3, 5])


GROUPS = 4


def random_values(numbers: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return numbers.normal(size=shape).astype(dtype)
    if dtype.kind == "b":
        return numbers.random(shape) < 0.5
    return numbers.integers(0 if dtype.kind == "u" else -9, 10, shape).astype(dtype)


def random_data(seed: int, n: int, d: int, dtypes: Iterable[Any]) -> dict[str, np.ndarray]:
    """Stored data: X (n, d), Z (n, 3), y (n,), codes (n,) of GROUPS groups, holes (n, d) with nan and inf."""
    numbers = np.random.default_rng(seed)
    types = iter(dtypes)
    stored = {
        name: random_values(numbers, shape, next(types))
        for name, shape in {"X": (n, d), "Z": (n, 3), "y": (n,)}.items()
    }
    stored["codes"] = numbers.integers(0, GROUPS, n).astype(next(types))
    holes = random_values(numbers, (n, d), next(types))
    holes[numbers.random((n, d)) < 0.2], holes[numbers.random((n, d)) < 0.03] = np.nan, np.inf
    stored["holes"] = holes
    return stored


def session_on(seed: int, stored: dict[str, np.ndarray], param_types: Iterable[Any],
               sources: dict[str, lz.Array] | None = None) -> Session:  # fmt: skip
    """A session whose leaves are stored data, streamed, and parameters."""
    sources = sources or {name: lz.from_array(values, name) for name, values in stored.items()}
    d = stored["X"].shape[1]
    numbers, types = np.random.default_rng(seed + 1), iter(param_types)
    shapes = {"w": (d,), "v": (3,), "b": (), "W": (d, 3), "S": (3, 3)}
    params = {name: np.asarray(random_values(numbers, shape, next(types))) for name, shape in shapes.items()}
    leaves = [leaf(sources[name], values, name) for name, values in stored.items()]
    leaves += [leaf(lz.param(name, value.shape, value.dtype), value, name) for name, value in params.items()]
    return Session(seed, leaves, params)


def random_session(seed: int, types: tuple[Any, ...] = DTYPES) -> Session:
    """Leaves of random shapes and dtypes."""
    chance = random.Random(seed)
    n, d = shape_of_data(chance)
    floats, whole = [t for t in types if t.startswith("f")], ["uint8", "int16", "int32", "int64", "uint64"]
    dtypes = [*(chance.choice(types) for _ in range(3)), chance.choice(whole), chance.choice(floats)]
    return session_on(seed, random_data(seed, n, d, dtypes), [chance.choice(types) for _ in range(5)])
