"""The plots of docs/performance.md: small files, one a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.suite import Found

Results = Mapping[str, Found]
OURS, OTHERS, CEILING = "#1b6ca8", "#b9c2cb", "#5b6670"
WIDTH, DPI = 8.0, 90


def draw(results: Results, folder: Path) -> list[Path]:
    """All plots whose scripts have run; gives their files."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, (plot, height) in PLOTS.items():
        if name not in results or not results[name].reports:
            continue
        figure, axes = pyplot.subplots(figsize=(WIDTH, height(results[name])), layout="constrained")
        plot(results[name], axes)
        axes.spines[["top", "right"]].set_visible(False)
        paths.append(folder / f"performance-{name}.png")
        figure.savefig(paths[-1], dpi=DPI, metadata={"Software": None})
        pyplot.close(figure)
    return paths


def in_memory(found: Found, axes: Any) -> None:
    """Shares of a plain read: a group of bars a shape, a bar a contestant."""
    who = [name for name in found.reports[0]["seconds"] if name != "memory read"]
    colours = [OURS, *(str(0.55 + 0.08 * at) for at in range(len(who) - 1))]
    for at, (name, colour) in enumerate(zip(who, colours, strict=True)):
        shares = [report["seconds"]["memory read"]["median"] / report["seconds"][name]["median"]
                  if name in report["seconds"] else 0.0 for report in found.reports]  # fmt: skip
        places = [group + (at - len(who) / 2 + 0.5) * 0.8 / len(who) for group in range(len(shares))]
        axes.bar(places, shares, 0.8 / len(who), label=name, color=colour)
    labels = [f"{r['rows']:,} x {r['columns']}\n{r['dtype']}" for r in found.reports]
    axes.set_xticks(range(len(labels)), labels, fontsize=8)
    axes.set_ylabel("share of a plain read")
    axes.legend(frameon=False, fontsize=8, ncols=len(who), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    axes.axhline(1, color=CEILING, linewidth=0.8)


def file(found: Found, axes: Any) -> None:
    """Rates, a bar a contestant."""
    report = found.reports[0]
    names = list(report["seconds"])[::-1]
    rates = [report["bytes"] / report["seconds"][name]["median"] / 1e9 for name in names]
    colours = [OURS if name.startswith("lazyml") else CEILING if " read" in name else OTHERS for name in names]
    axes.barh(names, rates, color=colours)
    axes.set_xlabel("GB/s")


def rows(found: Found, axes: Any) -> None:
    """The time of a row, a line a contestant, over the number of rows."""
    (report,) = found.reports
    for name, label, colour in (("lazyml", "lazyml", OURS), ("read", "plain read", CEILING)):
        times = {int(key.split()[0].replace(",", "")): timing["median"]
                 for key, timing in report["seconds"].items() if key.endswith(f", {name}")}  # fmt: skip
        axes.loglog(list(times), [took / count * 1e9 for count, took in times.items()], "o-", label=label, color=colour)
    axes.set_xlabel("rows")
    axes.set_ylabel("ns a row")
    axes.legend(frameon=False, fontsize=8)


def layouts(found: Found, axes: Any) -> None:
    """Speed on two threads over that of h5py."""
    key = "times h5py: ours, 2 threads"
    pairs = [(r["layout"], r["checks"][key]) for r in found.reports if key in r["checks"]][::-1]
    axes.barh([name for name, _ in pairs], [value for _, value in pairs], color=OURS)
    axes.axvline(1, color=CEILING, linewidth=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("times the speed of h5py, two threads")
    axes.tick_params(axis="y", labelsize=7)


PLOTS: dict[str, tuple[Callable[[Found, Any], None], Callable[[Found], float]]] = {
    "in-memory": (in_memory, lambda found: 3.2),
    "file": (file, lambda found: 3.2),
    "rows": (rows, lambda found: 3.2),
    "layouts": (layouts, lambda found: 0.8 + 0.22 * len(found.reports)),
}
