"""Give every value that passes hand on a function of its own, and put a leaf in its place everywhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from lazyml.expr import build
from lazyml.expr.node import Node, SourceKey, with_sources
from lazyml.plan.keep import Handed, row_order
from lazyml.plan.passes import make_pass
from lazyml.plan.plan import Pass, Value

KIND = "value"


def is_value(node: Node) -> bool:
    """Whether a leaf stands for a value that a pass makes."""
    return isinstance(node.arg, SourceKey) and node.arg.kind == KIND


def split(
    passes: Sequence[Pass], handed: Sequence[Handed], to_file: bool, loop_columns: int
) -> tuple[tuple[Pass, ...], tuple[Value, ...]]:
    """The same passes on leaves, with every value made anew wherever it is used, and the values.

    A value that is made from others uses those that were found before it: so each has one maker, whatever is kept.
    """
    if not handed:
        return tuple(passes), ()
    leaves: dict[Node, Node] = {}
    values: list[Value] = []
    for number, one in enumerate(handed, 1):
        (formula,) = rebuild([one.value], leaves)
        reason = f"makes {one.value.op}"
        maker = make_pass(one.made_in, int(one.value.shape[0]), [formula], reason, passes[one.made_in].once,
                          loop_columns)  # fmt: skip
        shape = tuple(int(size) for size in one.value.shape)
        leaf = build.source(SourceKey(KIND, "", f"kept_{number}", shape, one.value.dtype.name))
        is_result = one.value in passes[one.made_in].results and not to_file
        values.append(Value(leaf, one.value, maker, one.made_in, "again", one.made_in, "", is_result))
        leaves[one.value] = leaf
    by_leaf = {value.leaf: value for value in values}
    split_passes = []
    for a_pass in passes:
        targets = [*a_pass.totals, *a_pass.results]
        renewed = rebuild(targets, leaves)
        made = make_pass(a_pass.index, a_pass.rows, renewed, a_pass.reason, a_pass.once, loop_columns,
                         dict(zip(renewed, targets, strict=True)))  # fmt: skip
        uses = needed(made.sources, by_leaf)
        files = files_of(made.sources, uses, by_leaf)
        split_passes.append(replace(made, files=files, reads=files, uses=uses, makes=uses))
    return tuple(split_passes), tuple(values)


def rebuild(targets: Sequence[Node], leaves: Mapping[Node, Node]) -> list[Node]:
    """The targets with leaves in the place of values that they depend on; small values stay as they are."""
    new: dict[Node, Node] = {}
    for node in row_order(targets, leaves.keys()):
        new[node] = leaves[node] if node in leaves else with_sources(node, tuple(new.get(s, s) for s in node.src))
    return [new[node] for node in targets]


def needed(leaves: Iterable[Node], by_leaf: Mapping[Node, Value], given: Iterable[Node] = ()) -> tuple[Node, ...]:
    """Leaves of the values that must be made for some leaves, when others are given: each after those it is made of."""
    done = set(given)
    order = list(by_leaf)  # as they were found: each after those it is made of
    wanted = {leaf for leaf in leaves if leaf in by_leaf and leaf not in done}
    for leaf in reversed(order):
        if leaf in wanted:
            wanted.update(s for s in by_leaf[leaf].maker.sources if s in by_leaf and s not in done)
    return tuple(leaf for leaf in order if leaf in wanted)


def files_of(sources: Iterable[Node], made: Iterable[Node], by_leaf: Mapping[Node, Value]) -> tuple[Node, ...]:
    """The datasets and arrays that must be read for some sources, when some values are made."""
    found = dict.fromkeys(node for node in sources if node not in by_leaf)
    for leaf in made:
        found.update(dict.fromkeys(node for node in by_leaf[leaf].maker.sources if node not in by_leaf))
    return tuple(found)
