"""What the rewrites did: kept only where somebody asks, and by a call of its own, so that nothing global changes."""

from __future__ import annotations

from dataclasses import dataclass

from lazyml.expr.node import Node


@dataclass(frozen=True)
class Firing:
    """One change by a rule: the node on its new sources before it, what it became, and the user's node behind it."""

    rewrite: str
    before: Node
    after: Node
    given: Node


class Trace:
    """The firings of a run of the rewrites, in order. `note` is handed to each rewrite (see `node.transform`)."""

    def __init__(self) -> None:
        self.firings: list[Firing] = []
        self.rewrite = ""
        self._given: dict[Node, Node] = {}

    def note(self, node: Node, plain: Node, made: Node) -> None:
        """A rewrite put `made` for `node`: a firing when that is more than the node on its new sources."""
        given = self._given.get(node, node)
        self._given.setdefault(made, given)
        if made is not plain:
            self.firings.append(Firing(self.rewrite, plain, made, given))
