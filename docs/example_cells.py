"""Runs the examples of docs/language.md, and shows their values and the passes they took."""

from __future__ import annotations

import doctest
import html
import re
from collections.abc import Callable
from typing import Any

import numpy as np

import lazyml as lz
from lazyml.functions import LANGUAGE

DIGITS = 8


class _Counting:
    """lazyml, with an eye on the number of passes."""

    def __init__(self) -> None:
        self.passes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(lz, name)

    def compile(self, *args: Any, **options: Any) -> Any:
        program = lz.compile(*args, **options)
        self.passes = max(self.passes, program.passes)
        return program

    def compute(self, *outputs: Any, params: Any = None, **options: Any) -> Any:
        chosen = outputs[0] if len(outputs) == 1 else list(outputs)
        return self.compile(chosen, **options)(**(params or {}))


class Examples:
    """Examples over the data that the page begins with."""

    def __init__(self, page: str) -> None:
        self.data: dict[str, Any] = {}
        exec(first_block(page), self.data)

    def of_call(self, text: str) -> str:
        """A call of functions of the language, or a formula, and its value."""
        counting = _Counting()
        space = {**self.data, **LANGUAGE, "nan": np.nan, "inf": np.inf, "elementwise": lz.elementwise}
        value = eval(text, space)
        value = counting.compute(value) if isinstance(value, lz.Array) else value
        names = sorted((*LANGUAGE, "elementwise"), key=len, reverse=True)
        shown = re.sub(rf"(?<![\w.])({'|'.join(names)})\(", r"lz.\1(", text)
        return _cell([(re.sub(r"(?<![\w.])(nan|inf)\b", r"np.\1", shown), value)], counting.passes)

    def of_docstring(self, function: Callable[..., Any], names: list[str]) -> str:
        """The example of a docstring, and its values."""
        counting = _Counting()
        space = {**getattr(function, "__globals__", {}), "np": np, "lz": counting}
        lines: list[tuple[str, Any]] = []
        for example in doctest.DocTestParser().get_examples(function.__doc__ or ""):
            source = example.source.strip()
            if source == "import lazyml as lz":
                continue
            bare = re.sub(rf"(?<![\w.])({'|'.join(names)})\(", r"lz.\1(", source)
            if example.want:
                lines.append((bare, eval(source, space)))
            else:
                exec(source, space)
                lines.append((bare, None))
        return _cell(lines, counting.passes)


def first_block(page: str) -> str:
    """The data of the examples: the first block of code of the page."""
    block = re.search(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    if block is None:
        raise ValueError("the page has no block of code that makes the data of its examples")
    return "\n".join(line[4:] for line in block[1].splitlines() if line.startswith((">>> ", "... ")))


def _cell(lines: list[tuple[str, Any]], passes: int) -> str:
    shown = []
    for source, value in lines:
        source = re.sub(r"^(?:float|int|bool)\((.*)\)$", r"\1", " ".join(source.split()))
        shown.append(code(source) if value is None else f"{code(source)} → {code(show(value))}")
    return "<br>".join(shown) + (f" in {passes} passes" if passes > 1 else "")


def show(value: Any) -> str:
    """A value on one line, to as many digits as do not depend on the machine.

    >>> show((np.float64(0.1) + 0.2, np.array([[1.0, 2.5], [3.0, 4.0]]), np.True_))
    '(0.3, [[1.0, 2.5], [3.0, 4.0]], True)'
    """
    if isinstance(value, tuple):
        inside = ", ".join(map(show, value))
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    if isinstance(value, np.ndarray) and value.ndim:
        return "[" + ", ".join(map(show, value)) + "]"
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, float | np.floating):
        text = f"{float(value):.{DIGITS}g}"
        return text if re.search(r"[.en]", text) else f"{text}.0"
    return str(value) if isinstance(value, np.generic) else repr(value)


def code(text: str) -> str:
    """Code for a cell. A | in backticks would end the cell, or keep its backslash, depending on who reads it."""
    return f"<code>{html.escape(text, quote=False)}</code>".replace("|", "&#124;") if "|" in text else f"`{text}`"
