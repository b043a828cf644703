"""The rewrites as text: what each changed, and the formulas as they stand after one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lazyml.expr.infer import show_shape
from lazyml.expr.node import Node
from lazyml.expr.rewrites import NAMES, optimise
from lazyml.expr.rewrites.trace import Firing, Trace
from lazyml.expr.show import formula

LineOf = Callable[[Node], str | None]


def explain_rewrites(outputs: Sequence[Node], line_of: LineOf | None = None) -> str:
    """Every firing, by rewrite: the formula before and after, and the user's line where it is known."""
    trace = Trace()
    optimise(outputs, trace=trace)
    fired = [name for name in NAMES if any(firing.rewrite == name for firing in trace.firings)]
    if not fired:
        return "no rewrite applies"
    lines = []
    for name in fired:
        firings = [firing for firing in trace.firings if firing.rewrite == name]
        lines.append(f"{name}: {len(firings)} {'change' if len(firings) == 1 else 'changes'}")
        for firing in firings:
            lines += _firing(firing, line_of)
    return "\n".join(lines)


def _firing(firing: Firing, line_of: LineOf | None) -> list[str]:
    where = line_of(firing.given) if line_of else None
    lines = [f"  {formula(firing.before)}", f"    -> {formula(firing.after)}"]
    return [*lines, f"    at {where}"] if where else lines


def explain_stage(outputs: Sequence[Node], stage: str) -> str:
    """The formulas of the outputs after the rewrite called `stage`."""
    lines = [f"after {stage}"]
    for index, node in enumerate(optimise(outputs, until=stage)):
        lines.append(f"  [{index}] {show_shape(node.shape)} {node.dtype} = {formula(node, depth=12)}")
    return "\n".join(lines)
