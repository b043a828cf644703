"""The logistic loss and gradient as a user would write them over the same file with NumPy, PyTorch or Dask.

loss = mean(log(1 + exp(z)) - y z) with z = X w + b; the result is (loss, d loss / d w, d loss / d b).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Evaluation = Callable[[], tuple[float, Any, float]]


def numpy_over_h5py(path: Path, w: Any, b: float, block: int, dtype: str) -> Evaluation:
    """h5py slices into preallocated buffers, the data's type throughout, totals over blocks in float64."""
    import h5py

    def evaluate() -> tuple[float, Any, float]:
        with h5py.File(path) as file:
            X, y = file["X"], file["y"]
            n, d = X.shape
            size = min(block, n)
            rows, labels = np.empty((size, d), dtype), np.empty(size, dtype)
            scores, weights, bias = (np.empty(size, dtype) for _ in range(3)), w.astype(dtype), np.dtype(dtype).type(b)
            z_all, e_all, t_all = scores
            loss, gradient, slope = 0.0, np.zeros(d), 0.0
            for first in range(0, n, size):
                m = min(size, n - first)
                A, t, z, e, u = rows[:m], labels[:m], z_all[:m], e_all[:m], t_all[:m]
                X.read_direct(A, np.s_[first : first + m], np.s_[:m])
                y.read_direct(t, np.s_[first : first + m], np.s_[:m])
                np.matmul(A, weights, out=z)
                z += bias
                np.exp(np.negative(np.abs(z, out=e), out=e), out=e)  # exp(-|z|), never above 1
                np.add(e, 1, out=u)
                softplus = np.log(u)  # log1p would be exact near 0, and is four times slower
                softplus += np.maximum(z, 0)
                loss += float(softplus.sum(dtype=np.float64)) - float(t @ z)
                np.divide(np.where(z >= 0, np.dtype(dtype).type(1), e), u, out=u)  # sigmoid(z)
                u -= t
                gradient += u @ A
                slope += float(u.sum(dtype=np.float64))
            return loss / n, gradient / n, slope / n

    return evaluate


def torch_streaming(path: Path, w: Any, b: float, block: int, dtype: str, reader: str) -> Evaluation:
    """Blocks of h5py slices ("h5py") or of a memory map of the file ("memmap") as tensors, the gradient by hand."""
    import h5py
    import torch
    from torch.nn.functional import softplus

    weights = torch.from_numpy(w.astype(dtype))

    def add(A: Any, t: Any, totals: list[Any]) -> None:
        z = A @ weights + b
        totals[0] += float(softplus(z).sum(dtype=torch.float64)) - float(t @ z)
        r = torch.sigmoid(z) - t
        totals[1] += (r @ A).double()
        totals[2] += float(r.sum(dtype=torch.float64))

    def evaluate() -> tuple[float, Any, float]:
        with torch.no_grad(), h5py.File(path) as file:
            X, y = file["X"], file["y"]
            n, d = X.shape
            totals: list[Any] = [0.0, torch.zeros(d, dtype=torch.float64), 0.0]
            if reader == "memmap":  # copy-on-write, since tensors must be writable
                rows = np.memmap(path, dtype, "c", X.id.get_offset(), (n, d))
                labels = np.memmap(path, dtype, "c", y.id.get_offset(), (n,))
                for first in range(0, n, block):
                    span = slice(first, min(first + block, n))
                    add(torch.from_numpy(rows[span]), torch.from_numpy(labels[span]), totals)
            else:
                buffer, tags = np.empty((min(block, n), d), dtype), np.empty(min(block, n), dtype)
                for first in range(0, n, block):
                    m = min(block, n - first)
                    X.read_direct(buffer, np.s_[first : first + m], np.s_[:m])
                    y.read_direct(tags, np.s_[first : first + m], np.s_[:m])
                    add(torch.from_numpy(buffer[:m]), torch.from_numpy(tags[:m]), totals)
            return totals[0] / n, totals[1].numpy() / n, totals[2] / n

    return evaluate


def dask_over_h5py(path: Path, w: Any, b: float, block: int, dtype: str, threads: int) -> Evaluation:
    """Blocks of h5py slices as chunks of Dask arrays, all three results in one `dask.compute` on threads."""
    import dask
    import dask.array as da
    import h5py

    weights, bias = w.astype(dtype), np.dtype(dtype).type(b)

    def evaluate() -> tuple[float, Any, float]:
        with h5py.File(path) as file:
            X, y = da.from_array(file["X"], chunks=(block, -1)), da.from_array(file["y"], chunks=block)
            z = X @ weights + bias
            r = 1 / (1 + da.exp(-z)) - y
            loss = (da.logaddexp(z, np.dtype(dtype).type(0)) - y * z).sum(dtype=np.float64)
            with dask.config.set(scheduler="threads", num_workers=threads):
                total, gradient, slope = dask.compute(loss, r @ X, r.sum(dtype=np.float64))
            n = len(y)
            return float(total) / n, gradient / n, float(slope) / n

    return evaluate
