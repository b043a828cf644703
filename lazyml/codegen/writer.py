"""Text of a function: indentation, and names that are unique, readable and never a Python or kernel word."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator
from contextlib import contextmanager

KERNEL_MODULES = (
    "bits",
    "columnwise",
    "dense",
    "divide",
    "error_function",
    "gram",
    "indexed",
    "lines",
    "jit",
    "narrow",
    "powers",
    "random",
    "reduce",
    "scalar",
    "special",
    "terms",
    "whole",
)
"""Modules of lazyml_kernels that generated code may call."""

RESERVED = {
    *("rows", "block", "strip", "start", "faults", "low", "high", "first", "last", "m", "i", "j"),
    *KERNEL_MODULES,
    *("math", "np", "bool", "abs", "range", "min", "user_functions"),
    *("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
}


class Names:
    """Gives each thing one name: the wish itself, or with a number when it is taken.

    >>> names = Names()
    >>> names.new("w"), names.new("w"), names.new("late (0/1)"), names.new("lambda")
    ('w', 'w_2', 'late_0_1', 'lambda_2')
    """

    def __init__(self) -> None:
        self.taken = set(RESERVED)
        self._numbers: dict[str, int] = {}

    def new(self, wish: str) -> str:
        base = re.sub(r"\W+", "_", wish).strip("_") or "x"
        base = f"x{base}" if base[0].isdigit() else base
        name, number = base, self._numbers.get(base, 1)  # from where it stopped, for graphs of many equal operations
        while name in self.taken or keyword.iskeyword(name):
            number += 1
            name = f"{base}_{number}"
        self.taken.add(name)
        self._numbers[base] = number
        return name


class Writer:
    """Lines of Python at the current indentation."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.depth = 0

    def line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    @contextmanager
    def indented(self, header: str) -> Iterator[None]:
        self.line(header)
        self.depth += 1
        yield
        self.depth -= 1
