"""An epoch of minibatches over a file: ours, scikit-learn's SGDClassifier, and PyTorch's Adam with the same shuffle.

    python -m benchmarks.minibatch --rows 1000000 --batch 256 --json

The objective is that of benchmarks.fit. Every contestant begins each epoch at the parameters where its last one ended,
on one file in the page cache. PyTorch shuffles in the same two levels: pages of a memory map in random order, some of
them in a buffer, its rows by torch.randperm. scikit-learn takes a step for each row, in order and with the
array in memory (partial_fit shuffles each piece that it is given, here all rows). What shuffling alone takes, and how a
step divides, is among the checks; the gap that each reached after its epochs is in the notes, since an epoch of one is
not worth an epoch of another. Exits with 1 when ours did not bring the objective within 5 % of its minimum.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.data import logistic_file
from benchmarks.fit import L2, Solution, loss_of
from benchmarks.harness import SETTLED, Contestant, Report, interleave, processors

GAP = 0.05
RATE = 1e-3  # of Adam
PAGE, PAGES = 4_096, 32  # of PyTorch's shuffle: half a MiB, and 16
Epoch = Callable[[], Any]
Peer = tuple[Epoch, Callable[[], Solution]]


def ours(path: Path, solver: Any, options: argparse.Namespace) -> tuple[Epoch, Callable[[], Solution], Any]:
    """Epochs one after the other, where they ended, and the objective."""
    from lazyml.config import memory_budget
    from lazyml.solvers.minimize import objective_for, trained_parameters
    from lazyml.solvers.programs import Programs

    loss = loss_of(path, "float64")
    programs = Programs(loss.node, [p.node for p in trained_parameters(loss).values()],
                        memory=memory_budget(options.memory) // 2, threads=options.threads)  # fmt: skip
    programs.expect_many_passes()
    objective = objective_for(solver, programs)
    state = solver.init(objective, objective.flatten({p.arg: [0.0] * p.shape[0] if p.shape else 0.0
                                                      for p in programs.parameters}))  # fmt: skip

    def epoch() -> None:
        nonlocal state
        state = solver.step(objective, state)

    def reached() -> Solution:
        params = objective.unflatten(state.x)
        return Solution(params["w"], float(params["b"]))

    return epoch, reached, objective


def sklearn_epochs(X: Any, y: Any) -> Peer | None:
    """SGDClassifier.partial_fit on the array."""
    try:
        from sklearn.linear_model import SGDClassifier
    except ImportError:
        return None
    model = SGDClassifier(loss="log_loss", alpha=L2, random_state=0)

    def epoch() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.partial_fit(X, y, classes=[0, 1])

    return epoch, lambda: Solution(model.coef_[0].astype(float), float(model.intercept_[0]))


def torch_epochs(path: Path, batch: int, dtype: str) -> Peer | None:
    """torch.optim.Adam, fused, on minibatches of shuffled buffers of a memory map. On one thread: with two, an epoch of
    so small minibatches took eight times as long."""
    try:
        import torch
    except ImportError:
        return None
    import h5py
    import numpy as np

    torch.set_num_threads(1)
    with h5py.File(path) as file:
        (n, d), at, labels_at = file["X"].shape, file["X"].id.get_offset(), file["y"].id.get_offset()
    rows = np.memmap(path, dtype, "c", at, (n, d))
    labels = np.memmap(path, dtype, "c", labels_at, (n,))
    layer = torch.nn.Linear(d, 1)
    torch.nn.init.zeros_(layer.weight), torch.nn.init.zeros_(layer.bias)
    solver = torch.optim.Adam(layer.parameters(), lr=RATE, fused=True)
    loss = torch.nn.BCEWithLogitsLoss()

    def epoch() -> None:
        pages = torch.randperm(-(-n // PAGE)).tolist()
        for first in range(0, len(pages), PAGES):
            spans = [slice(page * PAGE, min((page + 1) * PAGE, n)) for page in pages[first : first + PAGES]]
            X = torch.from_numpy(np.concatenate([rows[span] for span in spans]))
            y = torch.from_numpy(np.concatenate([labels[span] for span in spans]))
            order = torch.randperm(len(X))
            X, y = X[order], y[order]
            for low in range(0, len(X), batch):
                solver.zero_grad()
                found = loss(layer(X[low : low + batch])[:, 0], y[low : low + batch])
                (found + 0.5 * L2 * (layer.weight**2).sum()).backward()
                solver.step()

    def reached() -> Solution:
        return Solution(layer.weight.detach()[0].double().numpy(), float(layer.bias.detach()[0]))

    return epoch, reached


def shares(objective: Any, options: argparse.Namespace, report: Report) -> None:
    """What reading and shuffling take alone, and what of a step is the gradient's call and what its tile function."""
    import numpy as np

    layout, x = objective.batches.layout(), np.zeros(objective.size)
    count, call = 0, 0.0

    def walk(work: bool) -> float:
        nonlocal count, call
        begin, count, call = time.perf_counter(), 0, 0.0
        with objective.epoch(layout, options.batch, 0, 1) as batches:
            for batch in batches:
                count += 1
                if work:
                    since = time.perf_counter()
                    batch(x)
                    call += time.perf_counter() - since
        return time.perf_counter() - begin

    report.checks["shuffling alone, s"] = min(walk(False) for _ in range(2))
    walk(True)
    report.checks["minibatches"] = count
    report.checks["value and gradient of a minibatch, us"] = call / count * 1e6
    at = objective.unflatten(x)
    program = objective.batches._on_buffer.first_order  # the same call, with statistics
    timed = [program(rows=slice(0, options.batch), **at) and program.last_run for _ in range(20)]
    tile = [sum(stage.seconds for stage in run.stages if stage.name == "compute") for run in timed]
    report.checks["of which the tile function, us"] = float(np.median(tile)) * 1e6


def compare(path: Path, options: argparse.Namespace, report: Report) -> None:
    import h5py

    import lazyml as lz
    from lazyml.solvers import Adam, Sgd

    exact = lz.minimize(loss_of(path, "float64"), solver="newton", tolerance=1e-10, threads=options.threads)
    objective = lz.compile(loss_of(path, "float64"), threads=options.threads)
    with h5py.File(path) as file:
        X, y = file["X"][:], file["y"][:]
    adam = ours(path, Adam(batch_size=options.batch, learning_rate=RATE), options)
    sgd = ours(path, Sgd(batch_size=options.batch), options)
    peers = {
        "scikit-learn SGDClassifier, in memory": sklearn_epochs(X, y),
        "PyTorch Adam, streaming": torch_epochs(path, options.batch, options.dtype),
    }
    report.notes += [f"{name} is not installed and was left out" for name, peer in peers.items() if peer is None]
    runs: dict[str, Peer] = {"lazyml Adam": adam[:2], "lazyml SGD": sgd[:2]}
    runs |= {name: peer for name, peer in peers.items() if peer is not None}
    report.ours = ("lazyml Adam", "lazyml SGD")
    report.timings = interleave([Contestant(name, epoch) for name, (epoch, _) in runs.items()], options.repeats,
                                rest=SETTLED)  # fmt: skip
    shares(adam[2], options, report)
    for name, (_, reached) in runs.items():
        found = reached()
        gap = float(objective(w=found.w, b=found.b)) / exact.value - 1
        report.notes.append(f"{name}: a gap of {gap:.1e} after {options.repeats + 1} epochs")
        if name.startswith("lazyml"):
            report.check(f"{name}: gap", gap, gap < GAP, f"below {GAP:g}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.minibatch", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=28)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="of the file")
    parser.add_argument("--threads", type=int, default=min(2, processors()))
    parser.add_argument("--memory", default="512 MiB", help="budget of ours")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the file is kept and found again; temporary if not given")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args(arguments)
    facts = {"rows": options.rows, "columns": options.columns, "dtype": options.dtype, "batch": options.batch,
             "threads": options.threads, "memory": options.memory, "repeats": options.repeats,
             "page_cache": "warm"}  # fmt: skip
    report = Report("minibatch", facts)
    with tempfile.TemporaryDirectory(prefix="lazyml-benchmark-") as temporary:
        path = logistic_file(options.folder or Path(temporary), options.rows, options.columns, options.dtype)
        compare(path, options, report)
    return report.finish(options.json)


if __name__ == "__main__":
    raise SystemExit(main())
