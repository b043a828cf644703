"""The summary of a fitted model as text, in the manner of statsmodels."""

from __future__ import annotations

from typing import Any

import numpy as np

WIDTH = 78


def summary_table(model: Any, inferred: Any, level: float) -> str:
    """Head and coefficients: one line a column, the intercept first."""
    letter = "t" if model.inexact else "z"
    names = getattr(model, "feature_names_in_", None)
    labels = [str(n) for n in names] if names is not None else [f"x{j}" for j in range(model.n_features_in_)]
    columns = [np.ravel(model.coef_), model.std_errors_, model.z_values_, model.p_values_, *model.conf_int(level).T]
    rows = list(zip(labels, *columns, strict=True))
    if model.fit_intercept:
        value, error = float(np.ravel(model.intercept_)[0]), model.intercept_std_error_
        z, width = value / error if error else np.nan, model.half_width(level) * error
        rows.insert(0, ("intercept", value, error, z, float(model.two_sided(z)), value - width, value + width))
    side = f"{100 * (1 - level) / 2:g}%", f"{100 * (1 + level) / 2:g}%"
    lines = [type(model).__name__.center(WIDTH).rstrip(), "=" * WIDTH, *_head(model, inferred), "-" * WIDTH]
    lines.append(f"{'':<16}{'coef':>12}{'std err':>10}{letter:>10}{f'P>|{letter}|':>8}{side[0]:>11}{side[1]:>11}")
    for label, coef, error, z, p, low, high in rows:
        lines.append(f"{label[:16]:<16}{coef:>12.4g}{error:>10.3g}{z:>10.3f}{p:>8.3f}{low:>11.4g}{high:>11.4g}")
    return "\n".join([*lines, "=" * WIDTH])


def _head(model: Any, inferred: Any) -> list[str]:
    family, link = model._family()
    known = not np.isnan(inferred.log_likelihood)
    pairs = [
        ("family", family.name), ("rows", f"{inferred.rows:g}"),
        ("link", link.name), ("residual df", f"{inferred.rows - inferred.rank:g}"),
        ("covariance", model.cov_type), ("dispersion", f"{inferred.dispersion:.5g}"),
        ("deviance", f"{inferred.deviance:.6g}"), ("null deviance", f"{inferred.null_deviance:.6g}"),
        ("log likelihood", f"{inferred.log_likelihood:.6g}" if known else "no closed form"),
        ("AIC", f"{model.aic_:.6g}" if known else "-"),
        ("passes", f"{model.n_passes_:.4g}"), ("BIC", f"{model.bic_:.6g}" if known else "-"),
    ]  # fmt: skip
    cells = [f"{name:<16}{value:>20}" for name, value in pairs]
    return [f"{left}      {right}" for left, right in zip(cells[::2], cells[1::2], strict=True)]
