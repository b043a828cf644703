"""Names for the columns of a formula: those of datasets, as their attribute `columns`, through what picks and joins."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from lazyml.errors import LazymlError
from lazyml.models.grammar import syntax_tree
from lazyml.models.parser import parse_formula
from lazyml.models.references import DataReference


def column_names(text: str, references: Mapping[str, DataReference], opened: Mapping[str, Any]) -> list[str] | None:
    """A name for each column of a formula; None where no dataset in it has names.

    `features`, `features[:, 2:5]`, `features[:, [0, 3]]`, `age[:, None]` and `concatenate([...], axis=1)` of these are
    understood; the columns of other parts have the text of the part and a number.
    """
    found = _names(syntax_tree(" ".join(text.split())), references, opened)
    return [name for name, _ in found] if any(known for _, known in found) else None


Names = list[tuple[str, bool]]
"""Names of columns, and whether the data gave them."""


def _names(node: ast.expr, references: Mapping[str, DataReference], opened: Mapping[str, Any]) -> Names:
    match node:
        case ast.Name(name) if name in references and (given := _given(references[name])):
            if len(opened[name].shape) == 2 and len(given) == opened[name].shape[1]:
                return [(text, True) for text in given]
        case ast.Subscript(ast.Name(name), ast.Tuple([ast.Slice(None, None, None), ast.Constant(None)])):
            return [(name, True)]
        case ast.Subscript(inner, ast.Tuple([ast.Slice(None, None, None), chosen])):
            picked = _picked(_names(inner, references, opened), chosen)
            if picked is not None:
                return picked
        case ast.Call(ast.Name("concatenate"), [ast.List(parts) | ast.Tuple(parts), *_]):
            return [name for part in parts for name in _names(part, references, opened)]
        case _:
            pass
    part = ast.unparse(node)
    try:
        width = int(parse_formula(part, opened).shape[1])
    except (LazymlError, AttributeError, IndexError):
        return []
    return [(f"{part}[{j}]", False) for j in range(width)]


def _picked(names: Names, chosen: ast.expr) -> Names | None:
    """Those of a slice or a list of plain numbers."""
    try:
        if isinstance(chosen, ast.Slice):
            ends = (chosen.lower, chosen.upper, chosen.step)
            return names[slice(*(None if end is None else ast.literal_eval(end) for end in ends))]
        return [names[j] for j in ast.literal_eval(chosen)]
    except (ValueError, TypeError, IndexError):
        return None


def _given(reference: DataReference) -> list[str]:
    """The attribute `columns` of a dataset, where it is texts."""
    if not reference.path.is_file():  # a pattern of several
        return []
    import h5py

    with h5py.File(reference.path) as file:
        found = file[reference.dataset].attrs.get("columns", [])
    texts = [name.decode() if isinstance(name, bytes) else name for name in list(found)]
    return texts if all(isinstance(text, str) for text in texts) else []
