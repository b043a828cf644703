"""Metrics as formulas: functions of lazy Arrays that give lazy Arrays.

Any number of them share one pass with each other, with a loss, with gradients and with predictions. Names, order and
meaning of arguments are those of `sklearn.metrics` where it has the function; tables (confusion, histograms of scores)
are totals, and what is made of them is small. The exceptions to one pass say so.

>>> import lazyml as lz
>>> y, p = lz.from_array([0, 0, 1, 1]), lz.from_array([0.1, 0.4, 0.35, 0.8])
>>> program = lz.compile([lz.metrics.log_loss(y, p), lz.metrics.roc_auc(y, p), lz.mean(p)])
>>> program.passes
1
>>> [round(float(value), 4) for value in program()]
[0.4723, 0.75, 0.4125]
"""

from lazyml.metrics.classification import accuracy_score, confusion_matrix, f1_score, precision_score, recall_score
from lazyml.metrics.deviance import (
    mean_binomial_deviance,
    mean_gamma_deviance,
    mean_gaussian_deviance,
    mean_inverse_gaussian_deviance,
    mean_poisson_deviance,
    mean_tweedie_deviance,
)
from lazyml.metrics.probabilities import brier_score_loss, calibration_table, expected_calibration_error, log_loss
from lazyml.metrics.ranking import (
    average_precision_bound,
    average_precision_score,
    pr_auc,
    pr_auc_bound,
    roc_auc,
    roc_auc_bound,
    roc_auc_score,
)
from lazyml.metrics.regression import mean_absolute_error, mean_squared_error, r2_score, root_mean_squared_error

__all__ = [
    "accuracy_score",
    "average_precision_bound",
    "average_precision_score",
    "brier_score_loss",
    "calibration_table",
    "confusion_matrix",
    "expected_calibration_error",
    "f1_score",
    "log_loss",
    "mean_absolute_error",
    "mean_binomial_deviance",
    "mean_gamma_deviance",
    "mean_gaussian_deviance",
    "mean_inverse_gaussian_deviance",
    "mean_poisson_deviance",
    "mean_squared_error",
    "mean_tweedie_deviance",
    "pr_auc",
    "pr_auc_bound",
    "precision_score",
    "r2_score",
    "recall_score",
    "roc_auc",
    "roc_auc_bound",
    "roc_auc_score",
    "root_mean_squared_error",
]
