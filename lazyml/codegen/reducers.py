"""How a reduction goes on inside a loop: its state, and what one more value does to it.

One rule serves three uses: along a row the state is a local of that row; of one number over rows it is a local of the
block, which is then added to the total; of one number a column it is the total itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Reducer:
    """`start`, `step` and `float_step` have slots: {T} the value's type, {least} and {most} its extremes, {v} a value
    and {at} its place; {a} is the state's value, {p} the place that it was found at, {b} a local of the step's own, and
    {none} says that nothing was found yet, where that may be.
    """

    start: str
    step: tuple[str, ...]
    float_step: tuple[str, ...] = ()
    has_place: bool = False

    def steps(self, dtype: np.dtype[Any]) -> tuple[str, ...]:
        return self.float_step if self.float_step and dtype.kind == "f" else self.step


def _place_of(better: str) -> tuple[str, ...]:
    """Keep the first of the best."""
    return f"{{b}} = {better}{{none}}", "{a} = {v} if {b} else {a}", "{p} = {at} if {b} else {p}"


NONE_YET = " | ({p} < 0)"

# A sum and a product are vectorised since reduce.add and reduce.multiply leave their order free, which the formulas
# inside them are not.
# llvm.minimum and llvm.maximum keep a nan, as NumPy does, and a reduction by them is vectorised. A place is that of the
# first nan, if there is one: neither `v >= a` nor `v < a` is true of a nan.
REDUCERS: dict[str, Reducer] = {
    "sum": Reducer("{T}(0)", ("{a} = reduce.add({a}, {v})",)),
    "contract_rows": Reducer("{T}(0)", ("{a} = reduce.add({a}, {v})",)),
    "prod": Reducer("{T}(1)", ("{a} = reduce.multiply({a}, {v})",)),
    "min": Reducer("{most}", ("{a} = {v} if {v} < {a} else {a}",), ("{a} = bits.minimum({a}, {v})",)),
    "max": Reducer("{least}", ("{a} = {v} if {v} > {a} else {a}",), ("{a} = bits.maximum({a}, {v})",)),
    "argmin": Reducer("{most}", _place_of("({v} < {a})"), _place_of("((not ({v} >= {a})) & ({a} == {a}))"), True),
    "argmax": Reducer("{least}", _place_of("({v} > {a})"), _place_of("((not ({v} <= {a})) & ({a} == {a}))"), True),
}


def extremes(dtype: np.dtype[Any]) -> tuple[str, str]:
    """The least and the most value of a type, as generated text."""
    if dtype.kind == "b":
        return "False", "True"
    if dtype.kind == "f":
        return f"{dtype.name}(-np.inf)", f"{dtype.name}(np.inf)"
    info = np.iinfo(dtype)
    return f"{dtype.name}({info.min})", f"{dtype.name}({info.max})"
