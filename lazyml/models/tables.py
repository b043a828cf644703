"""Results as a table: drawn on a terminal, plain aligned text when the output goes to a file or another program."""

from __future__ import annotations

from collections.abc import Sequence

Rows = Sequence[Sequence[str]]


def plain_table(header: Sequence[str], rows: Rows) -> str:
    """Columns of text, the first to the left and the others to the right.

    >>> print(plain_table(["metric", "value"], [["loss", "0.5"], ["accuracy", "0.75"]]))
    metric    value
    loss        0.5
    accuracy   0.75
    """
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [
        "  ".join([first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))])
        for first, *rest in [header, *rows]
    ]
    return "\n".join(line.rstrip() for line in lines)


def print_table(title: str, header: Sequence[str], rows: Rows) -> None:
    """Print a titled table in the manner that suits where it goes."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        print(title, plain_table(header, rows), sep="\n")
        return
    console.print(title, style="bold", markup=False, highlight=False)
    table = Table()
    for index, name in enumerate(header):
        table.add_column(name, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def print_facts(title: str, facts: Sequence[tuple[str, str]]) -> None:
    """Print named values one below the other; long values stay readable, and can be searched and copied."""
    from rich.console import Console

    width = max(len(name) for name, _ in facts)
    console = Console()
    console.print(title, style="bold", markup=False, highlight=False)
    for name, value in facts:
        console.print(f"  {name:<{width}}  {value}", markup=False, highlight=False, soft_wrap=True)
