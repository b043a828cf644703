"""Nodes as text: one line for an error message, and lines with references for a plan."""

from __future__ import annotations

from collections.abc import Mapping

from lazyml.expr.node import OPS, Node, SourceKey

_PRECEDENCE = {"add": 4, "subtract": 4, "multiply": 5, "divide": 5, "matmul": 5, "contract_rows": 5, "negative": 6,
               "power": 7, "less": 3, "less_equal": 3, "greater": 3, "greater_equal": 3, "equal": 3, "not_equal": 3,
               "logical_and": 2, "logical_or": 1, "logical_not": 6}  # fmt: skip
ATOM = 9


def formula(node: Node, names: Mapping[Node, str] | None = None, depth: int = 6) -> str:
    """The formula that a user would have written, cut below `depth` levels; `names` stand for nodes shown elsewhere.

    >>> from lazyml.expr import build as b
    >>> formula(b.multiply(b.add(b.param("a", (), "f8"), b.const(1.0)), b.param("c", (), "f8")))
    '(a + 1) * c'
    """
    return _show(node, names or {}, depth, top=True)[0]


def _show(node: Node, names: Mapping[Node, str], depth: int, top: bool = False) -> tuple[str, int]:
    if node in names and not top:
        return names[node], ATOM
    if OPS[node.op].kind == "leaf":
        return leaf_name(node), ATOM
    if depth == 0:
        return "...", ATOM
    precedence = _PRECEDENCE.get(node.op, ATOM)
    operands = []
    for position, source in enumerate(node.src):
        text, strength = _show(source, names, depth - 1)
        tighter = strength > precedence or (strength == precedence and position == 0)
        needs = precedence != ATOM or OPS[node.op].text.startswith("{0}")
        operands.append(text if tighter or not needs or strength == ATOM else f"({text})")
    if OPS[node.op].kind == "reduction" and len(node.arg) == node.src[0].ndim:  # over everything
        return f"{node.op}({operands[0]})", ATOM
    return OPS[node.op].text.format(*operands, arg=_argument(node)), precedence


def leaf_name(node: Node) -> str:
    if isinstance(node.arg, SourceKey):
        return node.arg.label
    if node.op == "const":
        value = node.arg.value
        return f"{value.item():.6g}" if value.ndim == 0 and value.dtype.kind == "f" else (
            str(value.item()) if value.ndim == 0 else f"<{'x'.join(map(str, value.shape))} values>")  # fmt: skip
    return "n" if node.op == "row_count" else str(node.arg)


def _argument(node: Node) -> str:
    if node.op == "index":
        return ", ".join(_entry(entry) for entry in node.arg)
    if node.op in ("sum", "logsumexp"):
        return str(node.arg[0]) if len(node.arg) == 1 else str(node.arg)
    return str(node.arg)


def _entry(entry: int | tuple[int, int, int] | None) -> str:
    if entry is None:
        return ":"
    if isinstance(entry, int):
        return str(entry)
    start, stop, step = entry
    return f"{start or ''}:{stop}" + (f":{step}" if step != 1 else "")
