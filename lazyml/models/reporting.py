"""What a fit tells: tables for the terminal, and a folder with a Markdown report, pictures and everything as JSON."""

from __future__ import annotations

import ast
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import lazyml as lz
from lazyml.errors import InferenceError, OutputExistsError, SourceError, UnsupportedError
from lazyml.models import plots
from lazyml.models.applying import metrics_of, over, used_params
from lazyml.models.build import BuiltModel, at
from lazyml.models.fitted import replace_file
from lazyml.models.fitting import Training, strict_json
from lazyml.models.grammar import syntax_tree
from lazyml.models.linear.summary import coefficient_rows
from lazyml.models.parser import parse_formula
from lazyml.models.selecting import name_of_score

REPORT, DETAILS = "report.md", "fit.json"
FILES = (REPORT, DETAILS, "convergence.png", "calibration.png", "scores.png", "coefficients.png")
"""What a report's folder may hold: nothing else in it is ever touched."""
_BINS = 10


@dataclass(frozen=True)
class TableOf:
    """A table in words."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Report:
    """Everything that is said of a fit."""

    title: str
    facts: Sequence[tuple[str, str]]
    tables: Sequence[TableOf] = ()
    pictures: Mapping[str, Callable[[Any], None]] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


def facts_of(training: Training) -> list[tuple[str, str]]:
    """How the fit went."""
    result = training.result
    seconds = result.history[-1].seconds if result.history else float("nan")
    return [
        ("loss" if np.isfinite(result.gradient_norm) else "best score", f"{result.value:.8g}"),
        *([("gradient", f"{result.gradient_norm:.2e} at most")] if np.isfinite(result.gradient_norm) else []),
        ("iterations", str(result.n_iter)),
        ("passes", f"{result.passes:.4g}"),
        ("solver", result.reason),
        *_of_selection(training.selection),
        *([("seconds", f"{seconds:.2f}")] if np.isfinite(seconds) else []),
        ("outcome", result.message),
    ]


def _of_selection(selection: Any) -> list[tuple[str, str]]:
    """What a selection took, beside the fit of what it chose."""
    if selection is None:
        return []
    tried = f"{len(selection.table)} candidates x {len(selection.table[0].scores)} folds"
    how = selection.note.partition(";")[0]
    return [("selection", f"{tried}, {selection.n_passes:.4g} passes" + f"; {how}" * bool(how))]


def coefficients_of(estimator: Any) -> TableOf:
    """Coefficients by column, the intercept first; with errors, p values and intervals where there are some."""
    coef, intercept = np.atleast_2d(estimator.coef_), np.ravel(estimator.intercept_)
    names = getattr(estimator, "feature_names_in_", None)
    columns = [f"x{j}" for j in range(coef.shape[1])] if names is None else [str(name) for name in names]
    try:
        blocks = coefficient_rows(estimator, _LEVEL)
    except (AttributeError, InferenceError):  # models that have no such thing, and fits that have none
        if estimator.fit_intercept:
            coef, columns = np.column_stack([intercept, coef]), ["intercept", *columns]
        header = ["coef"] if len(coef) == 1 else [str(label) for label in estimator.classes_]
        rows = [[name, *(f"{w:.6g}" for w in of)] for name, of in zip(columns, coef.T, strict=True)]
        return TableOf("coefficients" + " by class" * (len(coef) > 1), ["", *header], rows)
    letter = "t" if estimator.inexact else "z"
    lines = []
    for name_of_class, block in blocks:
        of = f"{name_of_class}: " if len(blocks) > 1 else ""
        lines += [
            [of + name, f"{w:.6g}", f"{e:.3g}", f"{z:.2f}", f"{p:.3g}", f"{low:.4g}", f"{high:.4g}"]
            for name, w, e, z, p, low, high in block
        ]
    return TableOf("coefficients", ["", "coef", "std err", letter, f"P>|{letter}|", "2.5%", "97.5%"], lines)


_LEVEL = 0.95


def scores_of(training: Training) -> TableOf:
    """The settings of a selection, and how well they did where they were held out."""
    selection = training.selection
    score = name_of_score(training.built.definition, selection)
    names = list(selection.table[0].settings)
    rows = []
    for number, row in enumerate(selection.table):
        chosen = "<- chosen" if number == selection.best_index else ""
        scores = [f"{row.mean:.6g}", f"{row.std_error:.2g}", f"{row.passes:.4g}"]
        note = chosen if row.converged else f"{chosen} not converged".strip()
        rows.append([*(f"{value:.6g}" if isinstance(value, float) else str(value) for value in row.settings.values()),
                     *scores, note])  # fmt: skip
    title = f"selection by {score}, {len(selection.table[0].scores)} folds, {selection.n_passes:.4g} passes"
    return TableOf(title, [*names, score, "std error", "passes", ""], rows)


def measured(training: Training, **resources: Any) -> tuple[dict[str, float], np.ndarray | None]:
    """The metrics on the data of the fit and, of classifiers, the table of calibration: all in the same passes."""
    fitted = training.fitted
    definition = training.built.definition
    built = over(definition, fitted)
    values = metrics_of(built)
    values.pop("loss", None)
    wanted = {name: value for name, value in values.items() if hasattr(value, "shape")}
    table = _calibration(built, training.estimator)
    if table is not None:
        wanted["calibration table"] = table
    params = used_params(built, fitted)
    found = at(definition, "metrics", "", lambda: lz.compute(wanted, params=params, **resources)) if wanted else {}
    calibration = found.pop("calibration table", None)
    return {name: float(found.get(name, value)) for name, value in values.items()}, calibration


def _calibration(built: BuiltModel, estimator: Any) -> Any:
    """The calibration of probabilities of two classes; None where there are none."""
    if estimator is not None:
        classes = list(getattr(estimator, "classes_", []))
        if "probability" not in built.formulas or len(classes) != 2:
            return None
        truth, weights = built.inputs["y"] == classes[1], built.inputs.get("sample_weight")
        given = truth.astype("int8"), built.formulas["probability"]
        return lz.metrics.calibration_table(*given, n_bins=_BINS, sample_weight=weights)
    for text in built.definition.metrics.values():
        call = syntax_tree(" ".join(text.split()))
        name = getattr(getattr(call, "func", None), "id", "")
        if isinstance(call, ast.Call) and name in ("log_loss", "brier_score_loss") and len(call.args) == 2:
            truth, probability = (parse_formula(ast.unparse(arg), built.names) for arg in call.args)
            if len(probability.shape) == 1 and not call.keywords:
                return lz.metrics.calibration_table(truth, probability, n_bins=_BINS)
    return None


def report_of(training: Training, title: str, tables: Sequence[TableOf] = (), **resources: Any) -> Report:
    """The whole report: what one more pass over the data tells is in it."""
    metrics, calibration = measured(training, **resources)
    if metrics:
        rows = [[name, f"{value:.8g}"] for name, value in metrics.items()]
        tables = [*tables, TableOf("on the data of the fit", ["metric", "value"], rows)]
    pictures: dict[str, Callable[[Any], None]] = {}
    history = training.result.history
    if len(history) > 1:
        pictures["convergence.png"] = lambda file: plots.plot_convergence(history, file)
    if calibration is not None:
        pictures["calibration.png"] = lambda file: plots.plot_calibration(calibration, file)
    if (path := _path_of(training.estimator)) is not None:
        pictures["coefficients.png"] = lambda file: plots.plot_path(file, *path)
    if training.selection is not None:
        pictures["scores.png"] = lambda file: plots.plot_selection(training.selection, file)
    details = {**training.fitted.details, "metrics": metrics}
    return Report(title, facts_of(training), tables, pictures, details)


def _path_of(estimator: Any) -> tuple[Any, ...] | None:
    """Penalties (k,), coefficients (k, d), names, the penalty that was chosen, and what it is called; None where an
    estimator has no path. Of several l1_ratio it is that of the best."""
    path = getattr(estimator, "coef_path_", None)
    if path is None:
        return None
    names = getattr(estimator, "feature_names_in_", [f"x{j}" for j in range(estimator.n_features_in_)])
    if hasattr(estimator, "Cs_"):  # (folds, ratios, Cs, outputs, d)
        if path.shape[3] > 1:
            return None
        ratio = estimator.l1_ratios_.tolist().index(estimator.l1_ratio_)
        return (
            estimator.Cs_,
            path.mean(axis=0)[ratio, :, 0],
            names,
            estimator.C_,
            "C (means over folds)",
        )
    alphas = estimator.alphas_
    if path.ndim == 3:
        ratio = np.ravel(estimator.l1_ratio).tolist().index(estimator.l1_ratio_)
        path, alphas = path[ratio], alphas[ratio]
    return alphas, path.T, names, estimator.alpha_, "alpha"


def check_report(folder: Path, force: bool) -> None:
    """Raise where a report's files may not be written, before any work is done."""
    taken = [name for name in FILES if (folder / name).exists()]
    if taken and not force:
        raise OutputExistsError("the report exists already", found=str(folder / taken[0]),
                                fix="choose another --report, --no-report, or use --force")  # fmt: skip
    if not folder.parent.is_dir() or (folder.exists() and not folder.is_dir()):
        raise SourceError("the report cannot be written", expected="a folder", found=str(folder))


def write_report(report: Report, folder: Path) -> str | None:
    """Write it, each file aside and renamed, the text last. Gives a line that says what was left out, if anything."""
    folder.mkdir(exist_ok=True)
    drawn, note = [], None
    for name, draw in report.pictures.items():
        file = io.BytesIO()
        try:
            draw(file)
        except UnsupportedError as error:
            note = f"no pictures: {error.what}; {error.details['fix']}"
            break
        replace_file(folder / name, file.getvalue())
        drawn.append(name)
    for stale in set(FILES[2:]) - set(drawn):
        (folder / stale).unlink(missing_ok=True)
    replace_file(folder / DETAILS, strict_json(report.details).encode())
    replace_file(folder / REPORT, _markdown(report, drawn).encode())
    return note


def _markdown(report: Report, drawn: Sequence[str]) -> str:
    parts = [f"# {report.title}", _table(["", ""], report.facts)]
    for table in report.tables:
        parts += [f"## {table.title.capitalize()}", _table(table.header, table.rows)]
    parts += [f"## {Path(name).stem.capitalize()}\n\n![{Path(name).stem}]({name})" for name in drawn]
    definition = report.details.get("definition", {})
    formulas = [
        (f"[{section}] {key}", _value(value))
        for section, entries in definition.items()
        if isinstance(entries, Mapping)
        for key, value in entries.items()
    ]
    data = [(name, about["reference"], " x ".join(map(str, about["shape"])), about["dtype"], about["fingerprint"])
            for name, about in report.details.get("data", {}).items()]  # fmt: skip
    parts += ["## The model", _table(["", ""], formulas), "## Its data"]
    parts += [_table(["name", "dataset", "shape", "type", "fingerprint"], data), f"Everything: [{DETAILS}]({DETAILS})."]
    return "\n\n".join(parts) + "\n"


def _value(value: Any) -> str:
    return f"`{value}`" if isinstance(value, str | float) else f"`{json.dumps(value)}`"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    first, *cells = [[str(cell).replace("|", "\\|") for cell in row] for row in (header, *rows)]
    right = ["---", *["---:"] * (len(header) - 1)] if len(header) > 2 else ["---"] * len(header)
    return "\n".join(f"| {' | '.join(line)} |" for line in (first, right, *cells))
