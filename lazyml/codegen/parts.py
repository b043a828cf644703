"""Cut the body of a long tile function into functions that it calls, strip by strip.

The compiler's time grows faster than the size of a function. A call costs nothing that can be measured beside the work
on a block, so each part is a function of its own in the same file, and takes what it names.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Mapping, Sequence

from lazyml.codegen.writer import Names
from lazyml.plan import cut_loops


def into_parts(
    groups: Sequence[range], texts: Sequence[Sequence[str]], known: Collection[str], packed: Mapping[str, str],
    names: Names,
) -> tuple[list[str], list[str]]:  # fmt: skip
    """The lines of steps, in order, as (lines of the body, lines of the functions that it calls).

    `groups` says which of the `texts`, the lines of each step, a function holds. `known` is what the body has in reach:
    the arguments of the tile function and what it sets before the steps. `packed` names lines of such arguments.
    """
    calls: list[str] = []
    functions: list[str] = []
    for group in groups:
        lines = [unpacked(line.removeprefix(" " * 8), packed) for index in group for line in texts[index]]
        name, used = names.new("part"), ", ".join(_used(lines, known))
        functions += ["@jit.part", *_wrapped(f"def {name}({used}):", ""), *lines, "", ""]
        calls += _wrapped(f"{name}({used})", " " * 12)
    return calls, functions


def unpacked(line: str, packed: Mapping[str, str]) -> str:
    """The line with what stands for packed names in their place.

    >>> unpacked("    row_2[i] = row_1[i] + reduce.last(row_1, m)", {"row_1": "rows[0", "row_2": "rows[1"})
    '    rows[1, i] = rows[0, i] + reduce.last(rows[0], m)'
    """
    return re.sub(r"[^\W\d]\w*(\[?)", lambda found: _reference(found[0], found[1], packed), line)


def _reference(text: str, bracket: str, packed: Mapping[str, str]) -> str:
    line = packed.get(text.removesuffix("["))
    return text if line is None else f"{line}, " if bracket else f"{line}]"


def grouped(sizes: Sequence[int]) -> list[range]:
    """Neighbouring steps, together as long as a function may be."""
    groups: list[range] = []
    start = total = 0
    for index, size in enumerate(sizes):
        if total and total + size > cut_loops.MOST_NODES:
            groups.append(range(start, index))
            start, total = index, 0
        total += size
    return [*groups, range(start, len(sizes))]


def _used(lines: Sequence[str], known: Collection[str]) -> list[str]:
    """The known names that the lines speak of, comments aside, in order."""
    words = (word for line in lines for word in re.findall(r"[^\W\d]\w*", line.partition("#")[0]))
    return list(dict.fromkeys(word for word in words if word in known))


def _wrapped(line: str, indentation: str) -> list[str]:
    return textwrap.wrap(line, 116, initial_indent=indentation, subsequent_indent=f"{indentation}        ")
