"""The logistic loss and gradient as a user would write them over arrays in memory, with NumPy and with others.

loss = mean(log(1 + exp(z)) - y z) with z = X w + b; each gives (loss, d loss / d w, d loss / d b). Each reads X twice,
once for the scores and once for the gradient, unless its compiler finds a way not to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

Evaluation = Callable[[], tuple[float, Any, float]]


def numpy_loss(X: Any, y: Any, w: Any, b: float) -> tuple[float, Any, float]:
    """In the data's type, but for the total of the loss."""
    z = X @ w
    z += X.dtype.type(b)
    e = np.exp(-np.abs(z))  # never above 1
    softplus = np.log(1 + e) + np.maximum(z, 0)  # log1p would be exact near 0, and is four times slower
    loss = float(softplus.sum(dtype=np.float64)) - float(y @ z)
    r = np.where(z >= 0, X.dtype.type(1), e) / (1 + e) - y  # sigmoid(z) - y
    n = len(y)
    return loss / n, (r @ X) / n, float(r.sum(dtype=np.float64)) / n


def numpy_peer(X: Any, y: Any, w: Any, b: float, threads: int) -> Evaluation:
    """The library's threads are limited by the caller."""
    weights = w.astype(X.dtype)
    return lambda: numpy_loss(X, y, weights, b)


def numexpr_peer(X: Any, y: Any, w: Any, b: float, threads: int) -> Evaluation:
    """Products by NumPy's library, all between them in one go each by numexpr."""
    import numexpr

    numexpr.set_num_threads(threads)
    weights, n = w.astype(X.dtype), len(y)
    names = {"y": y, "b": X.dtype.type(b)}

    def evaluate() -> tuple[float, Any, float]:
        names["z"] = X @ weights
        loss = numexpr.evaluate("sum(log1p(exp(-abs(z + b))) + where(z + b > 0, z + b, 0) - y * (z + b))", names)
        r = numexpr.evaluate("1 / (1 + exp(-(z + b))) - y", names)
        return float(loss) / n, (r @ X) / n, float(r.sum(dtype=np.float64)) / n

    return evaluate


def torch_peer(X: Any, y: Any, w: Any, b: float, threads: int) -> Evaluation:
    """The gradient by hand, which takes less time than autograd."""
    import torch
    from torch.nn.functional import softplus

    torch.set_num_threads(threads)
    A, t, weights, n = torch.from_numpy(X), torch.from_numpy(y), torch.from_numpy(w.astype(X.dtype)), len(y)

    def evaluate() -> tuple[float, Any, float]:
        with torch.no_grad():
            z = A @ weights + b
            loss = float(softplus(z).sum(dtype=torch.float64)) - float(t @ z)
            r = torch.sigmoid(z) - t
            return loss / n, ((r @ A) / n).numpy(), float(r.sum(dtype=torch.float64)) / n

    return evaluate


def jax_peer(X: Any, y: Any, w: Any, b: float, threads: int) -> Evaluation:
    """`jit` of `value_and_grad`. Its threads are as many as the process has processors; they can not be set."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    A, t, weights = jnp.asarray(X), jnp.asarray(y), jnp.asarray(w.astype(X.dtype))
    bias = jnp.asarray(b, X.dtype)

    def loss(weights: Any, bias: Any, A: Any, t: Any) -> Any:
        z = A @ weights + bias
        return jnp.mean(jnp.logaddexp(z, 0) - t * z, dtype=jnp.float64)

    both = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))

    def evaluate() -> tuple[float, Any, float]:
        value, (gradient, slope) = both(weights, bias, A, t)
        return float(value), np.asarray(gradient), float(slope)

    return evaluate


PEERS: dict[str, Callable[[Any, Any, Any, float, int], Evaluation]] = {
    "NumPy": numpy_peer, "numexpr + BLAS": numexpr_peer, "PyTorch": torch_peer, "JAX": jax_peer,
}  # fmt: skip


def peers_of(
    X: Any, y: Any, w: Any, b: float, threads: int, notes: list[str], names: Iterable[str] = tuple(PEERS)
) -> dict[str, Evaluation]:
    """All of these that are installed; a note names each that is not."""
    found: dict[str, Evaluation] = {}
    for name in names:
        try:
            found[name] = PEERS[name](X, y, w, b, threads)
        except ImportError:
            notes.append(f"{name} is not installed and was left out: pip install 'lazyml[bench]'")
    return found
