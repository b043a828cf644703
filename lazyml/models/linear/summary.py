"""The summary of a fitted model as text, in the manner of statsmodels."""

from __future__ import annotations

from typing import Any

import numpy as np

WIDTH = 78


def summary_table(model: Any, inferred: Any, level: float) -> str:
    """Head and coefficients: one line a column, the intercept first; of more than two classes one after the other."""
    letter = "t" if model.inexact else "z"
    side = f"{100 * (1 - level) / 2:g}%", f"{100 * (1 + level) / 2:g}%"
    lines = [type(model).__name__.center(WIDTH).rstrip(), "=" * WIDTH, *_head(model, inferred), "-" * WIDTH]
    lines.append(f"{'':<16}{'coef':>12}{'std err':>10}{letter:>10}{f'P>|{letter}|':>8}{side[0]:>11}{side[1]:>11}")
    parts = coefficient_rows(model, level)
    for name, rows in parts:
        lines += [name] if len(parts) > 1 else []
        lines += [f"{label[:16]:<16}{coef:>12.4g}{error:>10.3g}{z:>10.3f}{p:>8.3f}{low:>11.4g}{high:>11.4g}"
                  for label, coef, error, z, p, low, high in rows]  # fmt: skip
    return "\n".join([*lines, "=" * WIDTH])


def coefficient_rows(model: Any, level: float) -> list[tuple[str, list[tuple[Any, ...]]]]:
    """For each class where there are more than two, else once: its name, and label, coefficient, error, z, p and
    interval of the intercept and of each column."""
    names = getattr(model, "feature_names_in_", None)
    labels = [str(n) for n in names] if names is not None else [f"x{j}" for j in range(model.n_features_in_)]
    statistics = (model.std_errors_, model.z_values_, model.p_values_)
    errors, z_values, p_values = (np.atleast_2d(values) for values in statistics)
    classes = getattr(model, "classes_", [""])
    intercepts, their_errors = np.ravel(model.intercept_), np.ravel(model.intercept_std_error_)
    limits = model.conf_int(level).reshape(*errors.shape, 2)
    found = []
    for k, coef in enumerate(np.atleast_2d(model.coef_)):
        rows = list(zip(labels, coef, errors[k], z_values[k], p_values[k], *limits[k].T, strict=True))
        if model.fit_intercept:
            value, error = float(intercepts[k]), float(their_errors[k])
            z, width = value / error if error else np.nan, model.half_width(level) * error
            rows.insert(0, ("intercept", value, error, z, float(model.two_sided(z)), value - width, value + width))
        found.append((f"class {classes[k]}", rows))
    return found


def _head(model: Any, inferred: Any) -> list[str]:
    several = len(getattr(model, "classes_", ())) > 2
    family, link = ("multinomial", "logit") if several else (part.name for part in model._family())
    known = not np.isnan(inferred.log_likelihood)
    pairs = [
        ("family", family), ("rows", f"{inferred.rows:g}"),
        ("link", link), ("residual df", f"{inferred.rows - inferred.rank:g}"),
        ("covariance", model.cov_type), ("dispersion", f"{inferred.dispersion:.5g}"),
        ("deviance", f"{inferred.deviance:.6g}"), ("null deviance", f"{inferred.null_deviance:.6g}"),
        ("log likelihood", f"{inferred.log_likelihood:.6g}" if known else "no closed form"),
        ("AIC", f"{model.aic_:.6g}" if known else "-"),
        ("passes", f"{model.n_passes_:.4g}"), ("BIC", f"{model.bic_:.6g}" if known else "-"),
    ]  # fmt: skip
    cells = [f"{name:<16}{value:>20}" for name, value in pairs]
    return [f"{left}      {right}" for left, right in zip(cells[::2], cells[1::2], strict=True)]
