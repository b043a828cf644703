"""Where the keys of a TOML file stand: tomllib does not keep it."""

from __future__ import annotations

import re
from collections.abc import Mapping

_HEADER = re.compile(r"\s*\[\s*([^\]\[]+?)\s*\]\s*(#.*)?$")
_ENTRY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_TEXT = re.compile(r"""\"\"\".*?\"\"\"|'''.*?'''|"(?:\\.|[^"\\])*"|'[^']*'|#[^\n]*""", re.DOTALL)
_INNER = re.compile(r"(?<=[{,])\s*([\w-]+)\s*=")


def key_lines(text: str) -> dict[tuple[str, ...], int]:
    """The line of each section and key, by the path of keys.

    >>> key_lines('[data]\\nx = "a.h5:x"\\n[params.w]\\nshape = [2]')
    {('data',): 1, ('data', 'x'): 2, ('params',): 3, ('params', 'w'): 3, ('params', 'w', 'shape'): 4}
    """
    lines: dict[tuple[str, ...], int] = {}
    section: tuple[str, ...] = ()
    last = 0  # of a value that goes on over several lines
    starts = text.splitlines(keepends=True)
    offset = 0
    for number, line in enumerate(starts, 1):
        at, offset = offset, offset + len(line)
        if number <= last:
            continue
        if header := _HEADER.match(line):
            section = _keys(header[1])
            _remember(lines, section, number)
        elif entry := _ENTRY.match(line):
            path = (*section, *_keys(entry[1]))
            _remember(lines, path, number)
            value = _value(text[at + entry.end() :])
            for inner in _INNER.finditer(_TEXT.sub("", value)):
                _remember(lines, (*path, inner[1]), number)
            last = number + value.count("\n")
    return lines


def line_of(lines: Mapping[tuple[str, ...], int], path: tuple[str, ...]) -> int | None:
    """The line of a key, or of the nearest that it is in."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path)


def _remember(lines: dict[tuple[str, ...], int], path: tuple[str, ...], number: int) -> None:
    for end in range(1, len(path) + 1):
        lines.setdefault(path[:end], number)


def _keys(dotted: str) -> tuple[str, ...]:
    return tuple(key.strip("\"'") for key in re.findall(r"""[\w-]+|"[^"]*"|'[^']*'""", dotted))


def _value(text: str) -> str:
    """The value that a text begins with, as far as its brackets and quotes go."""
    depth, at = 0, 0
    while at < len(text):
        if quoted := _TEXT.match(text, at):
            at = quoted.end()
            continue
        depth += (text[at] in "[{") - (text[at] in "]}")
        if text[at] == "\n" and depth <= 0:
            break
        at += 1
    return text[:at]
