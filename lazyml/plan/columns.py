"""Which columns of each source the formulas use, so that the others need not be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lazyml.expr import build
from lazyml.expr.node import Node, apply, topological, transform, with_sources
from lazyml.sources.protocol import Source


def used_columns(outputs: Sequence[Node]) -> dict[Node, tuple[int, ...]]:
    """The columns, ascending, of each source of which not all are used.

    >>> from lazyml.expr.node import SourceKey
    >>> X = build.source(SourceKey("memory", "0", "X", (5, 40), "float64"))
    >>> ten = apply("index", X, arg=(None, (10, 12, 1)))
    >>> used = used_columns([build.reduce("sum", ten, [0]), apply("index", X, arg=(None, 3))])
    >>> used[X]
    (3, 10, 11)
    """
    used: dict[Node, set[int]] = {}
    for node in topological(outputs):
        for source in node.src:
            if source.op == "source" and source.ndim == 2:
                used.setdefault(source, set()).update(_columns(node, source))
    for node in outputs:
        if node.op == "source" and node.ndim == 2:
            used.setdefault(node, set()).update(range(node.shape[1]))
    return {source: tuple(sorted(columns)) for source, columns in used.items() if len(columns) < source.shape[1]}


def _columns(node: Node, source: Node) -> Sequence[int]:
    """The columns of a source that one operation on it uses."""
    everything = range(source.shape[1])
    if node.op == "index":
        entry = node.arg[1]
        return everything if entry is None else [entry] if isinstance(entry, int) else everything[slice(*entry)]
    if node.op == "columns" and node.src[1].op == "const" and node.src[1] is not source:
        numbers = node.src[1].arg.value
        inside = numbers.size and -len(everything) <= numbers.min() and numbers.max() < len(everything)
        return [everything[number] for number in numbers.tolist()] if inside else everything
    return everything


def narrow(outputs: Sequence[Node], sources: Mapping[Node, Source]) -> tuple[list[Node], dict[Node, Source]]:
    """The same formulas on sources that have the used columns only, where a source gains by that."""
    parts: dict[Node, Node] = {}
    found = dict(sources)
    for node, columns in used_columns(outputs).items():
        part = sources[node].columns(columns) if columns else None
        if part is not None:
            key = replace(part.key, identity=part.identity, alias=node.arg.alias, holder=part)
            parts[node] = build.source(key)
            del found[node]
            found[parts[node]] = part
    if not parts:
        return list(outputs), found

    def on_part(node: Node, src: tuple[Node, ...]) -> Node:
        if node.src and node.src[0] in parts:
            return _moved(node, parts[node.src[0]])
        return with_sources(node, src)

    return transform(outputs, on_part), found


def _moved(node: Node, part: Node) -> Node:
    """A choice of columns of a source as one of those that the part has."""
    columns = part.arg.columns
    place = {number: at for at, number in enumerate(columns)}
    if node.op == "index":
        entry = node.arg[1]
        if isinstance(entry, int):
            return apply("index", part, arg=(None, place[entry]))
        places = [place[number] for number in range(*entry)]
    else:
        size = node.src[0].shape[1]
        places = [place[number % size] for number in node.src[1].arg.value.tolist()]
    if not places:
        return apply("index", part, arg=(None, (0, 0, 1)))
    if places == list(range(len(columns))):
        return part
    step = places[1] - places[0] if len(places) > 1 else 1
    if step > 0 and places == list(range(places[0], places[-1] + 1, step)):
        return apply("index", part, arg=(None, (places[0], places[-1] + 1, step)))
    return apply("columns", part, build.const(np.array(places, np.int64)))
