"""Pictures of fits, drawn with matplotlib, which is an extra: convergence, calibration, scores by penalty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lazyml.errors import UnsupportedError

INK, MUTED, ACCENT, SOFT = "#222222", "#8a8a8a", "#1f6f8b", "#c9dde3"


def pyplot() -> Any:
    """matplotlib's pyplot, drawing to files. Raises UnsupportedError where it is not installed."""
    try:
        import matplotlib
    except ImportError as error:
        raise UnsupportedError("plots are drawn with matplotlib", expected="the package matplotlib",
                               fix="pip install 'lazyml[demo]'") from error  # fmt: skip
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    return plt


def finish(plt: Any, figure: Any, axes: Sequence[Any], path: Any) -> None:
    """The same manner for all pictures, saved."""
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["left", "bottom"]].set_color(MUTED)
        axis.tick_params(colors=INK)
        axis.grid(color="#eeeeee")
        axis.set_axisbelow(True)
        axis.title.set_fontweight("bold")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def plot_convergence(history: Sequence[Any], path: Any) -> None:
    """How far the objective is above its last value, and the gradient, against passes over the data."""
    plt = pyplot()
    passes = [row.passes for row in history]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    last = history[-1].value
    gaps = [(row.passes, row.value - last) for row in history if row.value > last]
    if gaps:
        left.semilogy(*zip(*gaps, strict=True), color=ACCENT, linewidth=1.8, marker="o", markersize=3)
    left.set(xlabel="passes over the file", ylabel=f"objective above {last:.6f}", title="Objective")
    norms = [(p, row.gradient_norm) for p, row in zip(passes, history, strict=True) if row.gradient_norm > 0]
    if norms:
        right.semilogy(*zip(*norms, strict=True), color=ACCENT, linewidth=1.2, marker="o", markersize=3)
    right.set(xlabel="passes over the file", ylabel="largest gradient entry", title="Gradient")
    finish(plt, figure, (left, right), path)


def plot_selection(selection: Any, path: Any) -> None:
    """The scores of a `Selection` with their standard errors, and what was chosen."""
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(6.4, 4), layout="constrained")
    selection.plot(axis)
    finish(plt, figure, (axis,), path)


def plot_path(
    file: Any, strengths: np.ndarray, path: np.ndarray, names: Sequence[str], chosen: float, what: str
) -> None:
    """Coefficients (k, d) by the strength of the penalty (k,); the largest have names."""
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(7.2, 4.2), layout="constrained")
    largest = np.argsort(-np.abs(path).max(axis=0))[:_NAMED].tolist()
    for j in range(path.shape[1]):
        named = j in largest
        axis.plot(strengths, path[:, j], linewidth=1.5 if named else 0.7, color=None if named else SOFT,
                  label=names[j] if named else None, zorder=2 if named else 1)  # fmt: skip
    axis.axvline(chosen, linestyle=":", color=MUTED)
    if strengths.min() > 0:
        axis.set_xscale("log")
    axis.set(xlabel=what, ylabel="coefficient", title="Coefficients by penalty")
    axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    finish(plt, figure, (axis,), file)


_NAMED = 10


def plot_calibration(table: np.ndarray, path: Any) -> None:
    """Observed share against predicted probability with 95 % intervals, above how many rows there are in each bin.

    `table` is that of `lz.metrics.calibration_table`: share, mean probability and rows of each bin.
    """
    plt = pyplot()
    share, mean, rows = table[table[:, 2] > 0].T
    error = 1.96 * np.sqrt(share * (1 - share) / rows)
    top = min(1.0, float(max(mean.max(), (share + error).max())) * 1.1)
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(5.6, 6), layout="constrained", sharex=True, height_ratios=(3.2, 1)
    )
    upper.plot([0, top], [0, top], color=MUTED, linewidth=1, linestyle="--", label="perfectly calibrated")
    upper.errorbar(mean, share, error, color=ACCENT, marker="o", markersize=5, capsize=2, linewidth=1.5, label="model")
    upper.set(ylabel="observed share", ylim=(0, top), title=f"Calibration, {int(rows.sum()):,} rows of the fit")
    upper.legend(frameon=False, loc="upper left")
    centres = (np.arange(len(table)) + 0.5) / len(table)
    lower.bar(centres, table[:, 2], width=0.8 / len(table), color=SOFT)
    lower.set(xlabel="predicted probability", ylabel="rows", xlim=(0, top))
    finish(plt, figure, (upper, lower), path)
