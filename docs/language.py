"""Writes the tables of docs/language.md, from the operator table, the public functions and their docstrings.

    python -m docs.language

The prose of the page is written by hand, and so are the data of its examples. A table stands between the marks
`<!-- table: name -->` and `<!-- end -->`; what is between them is replaced. Every example is run.
"""

from __future__ import annotations

import html
import inspect
import re
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import lazyml as lz
from docs.example_cells import Examples, code
from lazyml import array
from lazyml.expr.node import OPS, Doc
from lazyml.expr.ops.special import SCIPY
from lazyml.functions import LANGUAGE

PAGE = Path(__file__).with_suffix(".md")
COMMAND = "python -m docs.language"

FAMILIES: dict[str, str] = {
    "arithmetic": "add subtract multiply divide floor_divide remainder power negative absolute sign square reciprocal "
                  "fmod divmod float_power copysign",
    "exponentials": "exp expm1 exp2 log log1p log2 log10 sqrt cbrt logaddexp sigmoid softplus logcosh log1mexp "
                    "sigmoid_slope sigmoid_difference",
    "trigonometry": "sin cos tan arcsin arccos arctan arctan2 hypot sinh cosh tanh arcsinh arccosh arctanh deg2rad "
                    "rad2deg",
    "rounding": "floor ceil trunc rint round",
    "comparison": "less less_equal greater greater_equal equal not_equal isclose allclose isin isnan isinf isfinite "
                  "signbit where maximum minimum fmax fmin clip heaviside nan_to_num "
                  "box",
    "logic": "logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor invert left_shift "
             "right_shift",
    "special": "erf erfc gammaln digamma polygamma xlogy xlog1py",
    "reductions": "sum mean var std min max argmin argmax any all count_nonzero prod ptp average logsumexp softmax "
                  "log_softmax norm nansum nanmean nanvar nanstd nanmin nanmax nanprod",
    "choosing": "",
    "groups": "take take_along_axis one_hot segment_sum bincount searchsorted digitize top_k row_index",
    "statistics": "histogram quantile percentile median nanquantile nanmedian",
    "random": "random_uniform random_normal random_bernoulli random_integers random_poisson fold",
    "linear": "einsum outer solve inv cholesky det slogdet trace diagonal diag",
    "shapes": "concatenate stack column_stack hstack transpose reshape squeeze expand_dims broadcast_to full_like "
              "zeros_like ones_like astype",
    "calculus": "grad value_and_grad jvp hvp",
    "own": "",
    "running": "open from_array param params compile compute store minimize select inspect repack to_names to_tree",
}  # fmt: skip
"""The tables and the functions that come first in each, in this order."""

MODULES = {
    "elementwise": "arithmetic", "special": "special", "reductions": "reductions", "exponentials": "reductions",
    "indexed": "groups",
    "statistics": "statistics", "comparing": "comparison",
    "random": "random", "linalg": "linear", "calculus": "calculus", "user_function": "own",
    "shapes": "shapes", "run": "running", "parameters": "running", "minimize": "running", "select": "running",
    "inspect": "running", "repack": "running",
}  # fmt: skip
"""The table of a function that no table names: that of the module it is written in."""

WRITTEN: dict[str, list[tuple[str, str | Doc, str]]] = {
    "choosing": [
        ("X[:, 1:3]", "index", "(n, d) gives (n, 2); with a number in place of the slice (n,)"),
        ("X[:, [2, 0]]", "columns", "(n, d) gives (n, 2)"),
        ("X[1:3]", Doc("a range of rows: only these are read", "g in these rows, 0 elsewhere", "X[1:3]"),
         "(n, d) gives (2, d), (n,) gives (2,): row-aligned with each other"),
        ("X[1]", Doc("one row, as a small Array", "g in this row, 0 elsewhere", "X[1]"),
         "(n, d) gives (d,), (n,) gives a number"),
        ("X[y > 0]", "choose_rows", "(n, d) gives (m, d), (n,) gives (m,), m known when it is run"),
        ("X[lz.row_index(X), c]", "pick", "X (n, d) and c (n,) give (n,)"),
    ],
    "linear": [("X @ w", "matmul", "(n, d) and (d,) give (n,), (n, d) and (d, k) give (n, k), X.T @ X gives (d, d)")],
    "shapes": [("y[:, None]", "expand", "(n,) gives (n, 1)")],
}  # fmt: skip
"""Operators that have no function: how they are written, their row of the table, and their shapes."""

UNDER_ANOTHER_NAME = {"cast": "astype", "broadcast": "broadcast_to", "user_function": "elementwise"}


@dataclass
class Row:
    """One line of a table: what the page says of a function or operator."""

    written: list[str]
    meaning: str
    derivative: str = ""
    shapes: str = ""
    passes: str = ""
    example: str = ""
    also: list[str] = field(default_factory=list)


def public_functions() -> dict[Callable[..., Any], list[str]]:
    """Every public function, with all its names."""
    found: dict[Callable[..., Any], list[str]] = {}
    for name in sorted(vars(lz)):
        value = getattr(lz, name)
        if callable(value) and not name.startswith("_") and not isinstance(value, type | types.ModuleType):
            found.setdefault(value, []).append(name)
    return found


def family(function: Callable[..., Any], names: Iterable[str]) -> str:
    """The table that a function is in."""
    for table, members in FAMILIES.items():
        if set(names) & set(members.split()):
            return table
    return MODULES[function.__module__.rpartition(".")[2]]


def in_order(table: str, members: dict[Callable[..., Any], list[str]]) -> list[tuple[Callable[..., Any], list[str]]]:
    """The functions of a table: those that it names, in its order, then the others, as they are written."""
    first = FAMILIES[table].split()
    public = [*LANGUAGE, *(name for names in members.values() for name in names)]

    def place(item: tuple[Callable[..., Any], list[str]]) -> tuple[int, int]:
        named = [first.index(name) for name in item[1] if name in first]
        return (min(named) if named else len(first)), min(public.index(name) for name in item[1])

    return sorted(members.items(), key=place)


# --- what is said of a function -------------------------------------------------------------------------------------


def paragraphs(function: Callable[..., Any]) -> Iterator[str]:
    text = (inspect.getdoc(function) or "").partition(">>>")[0]
    return (" ".join(part.split()) for part in text.split("\n\n") if part.strip())


def labelled(function: Callable[..., Any], label: str) -> str:
    """The paragraph "label: ..." of a docstring, without the label and the full stop."""
    found = [re.sub(rf"^{label}s?: ", "", part) for part in paragraphs(function) if re.match(rf"{label}s?: ", part)]
    return sentence(found[0]) if found else ""


def sentence(text: str) -> str:
    """Words for a cell of a table: no full stop at the end, no capital at the beginning but of a formula."""
    text = re.sub(r"(?<!\.)\.$", "", text).removesuffix(", element by element")
    first = text.partition(" ")[0]
    plain = first == "A" or (len(first) > 1 and first[1:].islower() and first not in ("True", "False", "None"))
    return text[0].lower() + text[1:] if plain else text


def signature(name: str, function: Callable[..., Any]) -> str:
    """A call with all its arguments and their defaults."""
    found = inspect.signature(function)
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in found.parameters.values()]
    shown = str(found.replace(parameters=bare, return_annotation=inspect.Signature.empty))
    return f"lz.{name}{shown}".replace(", /", "")


def symbol(name: str) -> list[str]:
    """An operator as Python writes it, such as x + y."""
    op = OPS.get(name)
    if op is None or op.kind not in ("elementwise", "layout") or op.text.startswith(f"{name}("):
        return []
    return [op.text.format(*op.doc.operands)]


def other_names(function: Callable[..., Any], names: list[str]) -> list[str]:
    """NumPy's, SciPy's and the Array's own names."""
    found = [f"np.{ufunc.__name__}" for ufunc, op in array._UFUNCS.items() if LANGUAGE.get(op) is function]
    for theirs, ours in array.ARRAY_FUNCTIONS.items():
        if inspect.unwrap(ours) is function:
            package = "np.linalg" if getattr(np, theirs.__name__, None) is not theirs else "np"
            found.append(f"{package}.{theirs.__name__}")
    scipy = [f"scipy.special.{name}" for name, ops in SCIPY.items() if len(ops) == 1 and ops[0] in names]
    for name in names:
        if isinstance(getattr(np, name, None), np.ufunc) and name in array.METHODS:
            found.append(f"np.{name}")
    methods = [f"x.{name}" for name in names if callable(getattr(array.Array, name, None))]
    return [*dict.fromkeys(found), *([] if found else scipy), *methods]


def row_of(function: Callable[..., Any], names: list[str], examples: Examples) -> Row:
    named = [name for name in names if name in " ".join(FAMILIES.values()).split()]
    main = named[0] if named else function.__name__
    op = OPS.get(main)
    plain = labelled(function, "Example")
    meaning = op.doc.meaning if plain and op else sentence(next(paragraphs(function)))
    written = [*symbol(main), signature(main, function)]
    also = [f"lz.{name}" for name in names if name != main] + other_names(function, names)
    shown = examples.of_call(plain) if plain else examples.of_docstring(function, names)
    return Row(written, meaning, labelled(function, "Derivative"), labelled(function, "Shapes"),
               labelled(function, "Passes"), shown, also)  # fmt: skip


def rows_of(table: str, examples: Examples) -> list[Row]:
    """All lines of a table."""
    rows = [Row([written], doc.meaning, doc.derivative, shapes, example=examples.of_call(doc.example))
            for written, op, shapes in WRITTEN.get(table, ())
            for doc in [OPS[op].doc if isinstance(op, str) else op]]  # fmt: skip
    members = {f: names for f, names in public_functions().items() if family(f, names) == table}
    return rows + [row_of(function, names, examples) for function, names in in_order(table, members)]


def internal() -> dict[str, str]:
    """Operators that functions of other names, derivatives and rewrites make, and what makes them."""
    written = {op for lines in WRITTEN.values() for _, op, _ in lines}
    shown = {name for name in OPS if name in LANGUAGE or name in written or name in UNDER_ANOTHER_NAME}
    return {name: OPS[name].doc.example for name in OPS if name not in shown}


# --- Markdown -------------------------------------------------------------------------------------------------------


def words(text: str) -> str:
    """Text for a cell: formulas in it are to be seen as they are, on GitHub and by MkDocs."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([*_\[\]])", r"\\\1", html.escape(part, quote=False)) for part in parts[::2]]
    return "`".join(parts).replace("|", "&#124;")


def table(header: list[str], lines: Iterable[list[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def family_table(name: str, examples: Examples) -> str:
    rows = rows_of(name, examples)
    columns = ["shapes", "derivative", "example"]
    used = [column for column in columns if any(getattr(row, column) for row in rows) and name != "running"]
    lines = []
    for row in rows:
        also = f"<br>also {', '.join(map(code, row.also))}" if row.also else ""
        passes = f"<br>Passes: {words(row.passes)}" if row.passes else ""
        cells = [words(getattr(row, c)) if c != "example" else row.example for c in used]
        lines.append(["<br>".join(map(code, row.written)) + also, words(row.meaning) + passes, *cells])
    return table(["written", "meaning", *used], lines)


def internal_table() -> str:
    lines = ([code(name), words(OPS[name].doc.meaning), words(OPS[name].doc.derivative), words(example)]
             for name, example in internal().items())  # fmt: skip
    return table(["operator", "meaning", "derivative", "comes from"], lines)


def regenerated(page: str) -> str:
    """The page with all its tables made anew."""
    examples = Examples(page)
    made = {**{name: lambda name=name: family_table(name, examples) for name in FAMILIES}, "internal": internal_table}

    def put(match: re.Match[str]) -> str:
        return f"<!-- table: {match[1]} -->\n\n{made.pop(match[1])()}\n\n<!-- end -->"

    found = re.sub(r"<!-- table: (\w+) -->.*?<!-- end -->", put, page, flags=re.DOTALL)
    if made:
        raise ValueError(
            f"{PAGE.name} has no place for the tables {', '.join(made)}: <!-- table: name --> <!-- end -->"
        )
    return found


def main() -> None:
    PAGE.write_text(regenerated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PAGE}: {len(public_functions())} functions, {len(OPS)} operators")


if __name__ == "__main__":
    main()
