"""Reads sources as the executor does: workers take groups of pages in order, each works through its group in order."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np

from lazyml.sources.dtypes import row_bytes, row_shape


def scan_all(source, page_rows, threads=1, group=3, first=0, last=None, keep=None):
    """All rows first .. last by pages, and the bytes that were read; `keep` gets the scan before it closes."""
    last = source.key.shape[0] if last is None else last
    result = np.empty(row_shape(source.key.shape, last - first), source.key.dtype)
    starts = iter(range(first, last, page_rows * group))
    lock = threading.Lock()
    scan = source.scan(page_rows, threads, first, last)
    size = max(1, page_rows * row_bytes(source.key.shape, source.key.dtype))

    def work(worker):
        frame = np.full(size, 0xA5, np.uint8) if source.needs_frame else None
        while True:
            with lock:
                start = next(starts, None)
            if start is None:
                return
            for begin in range(start, min(start + page_rows * group, last), page_rows):
                rows = min(page_rows, last - begin)
                page = scan.load(begin, rows, frame, worker)
                assert page.dtype == source.key.dtype and page.dtype.isnative
                assert page.flags.c_contiguous and page.flags.writeable
                result[begin - first : begin - first + rows] = page

    failed = True
    try:
        with ThreadPoolExecutor(threads) as pool:
            for future in [pool.submit(work, worker) for worker in range(threads)]:
                future.result()
        failed = False
        if keep is not None:
            keep.append(scan)
    finally:
        scan.close(failed)
    return result, scan.bytes_read


def library_values(path, name):
    """What h5py reads, in the type of a tile."""
    with h5py.File(path, "r") as file:
        values = file[name][...]
    dtype = (
        np.dtype("f4") if values.dtype.itemsize == 2 and values.dtype.kind == "f" else values.dtype.newbyteorder("=")
    )
    return values.astype(dtype)


def numbers(shape, dtype="f4", seed=0):
    """Values that are exact in any of the types and differ from row to row."""
    drawn = np.random.default_rng(seed).integers(0, 100, shape)
    return (drawn > 50) if np.dtype(dtype).kind == "b" else drawn.astype(dtype)


def open_descriptors():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
