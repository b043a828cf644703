"""NumPy oracles with known answers, and scipy's solver on the same oracle."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, rosen, rosen_der

from lazyml.solvers import Objective

Function = Callable[[np.ndarray], tuple[float, np.ndarray]]


@dataclass(frozen=True)
class Problem:
    function: Function
    start: np.ndarray

    def objective(self, **options) -> Objective:
        def evaluate(params):
            value, gradient = self.function(params["x"])
            return value, {"x": gradient}

        return Objective(evaluate, {"x": self.start.shape}, **options)

    def scipy(self, gradient_norm: float):
        """scipy's L-BFGS-B to the same gradient."""
        options = {"gtol": gradient_norm, "ftol": 0, "maxcor": 10, "maxiter": 5000, "maxfun": 50_000}
        return minimize(self.function, self.start, jac=True, method="L-BFGS-B", options=options)


def quadratic(condition: float, size: int = 50, offset: float = 0.0) -> Problem:
    """offset + x'Dx / 2: minimum at 0."""
    D = np.logspace(0, np.log10(condition), size)
    start = np.random.default_rng(0).standard_normal(size)
    return Problem(lambda x: (offset + 0.5 * float(x @ (D * x)), D * x), start)


def rosenbrock(size: int) -> Problem:
    return Problem(lambda x: (float(rosen(x)), rosen_der(x)), np.tile([-1.2, 1.0], size // 2))


def logistic(X: np.ndarray, y: np.ndarray, l2: float) -> Problem:
    """mean(softplus(z) - y z) + l2/2 |w|^2 with z = X w + b and x = (w, b)."""
    n, d = X.shape

    def function(x):
        z = X @ x[:d] + x[d]
        small = np.exp(-np.abs(z))
        p = np.where(z >= 0, 1.0, small) / (1 + small)
        value = np.mean(np.logaddexp(0, z) - y * z) + 0.5 * l2 * (x[:d] @ x[:d])
        return float(value), np.append(X.T @ (p - y) / n + l2 * x[:d], np.mean(p - y))

    return Problem(function, np.zeros(d + 1))


def gaussian_classes(n: int = 2000, d: int = 28, condition: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    X = rng.standard_normal((n, d))
    y = (X @ rng.standard_normal(d) * 0.3 + rng.standard_normal(n) > 0).astype(float)
    if condition > 1:
        rotation = np.linalg.qr(rng.standard_normal((d, d)))[0]
        X = X * np.logspace(0, -np.log10(condition), d) @ rotation
    return X, y


def poisson(n: int = 3000, d: int = 10) -> Problem:
    rng = np.random.default_rng(2)
    X = rng.standard_normal((n, d))
    y = rng.poisson(np.exp(X @ (rng.standard_normal(d) * 0.3) + 1)).astype(float)

    def function(x):
        mu = np.exp(X @ x)
        return float(np.mean(mu - y * (X @ x))), X.T @ (mu - y) / n

    return Problem(function, np.zeros(d))
