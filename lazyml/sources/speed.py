"""What speed a dataset can be expected to be read at: an estimate, from what was measured of each route."""

from __future__ import annotations

from collections.abc import Sequence

from lazyml.sources.protocol import Route

# Times the speed of h5py, which slices on one thread, on two threads of ours. Measured on two cores with data in memory
# (`benchmarks.staging`, h5py 3.16, HDF5 2.0); another machine has other ratios, and no disk is faster than it is.
MEASURED = {"gzip": 5.5, "lzf": 3.8, "zstd": 2.0, "blosc": 1.5, "lz4": 1.1}
RAW = 1.8
NOTE = "speed: an estimate in memory on two threads, from ratios measured on one machine; at most that of the disk"


def speed_of(route: Route, filters: Sequence[str]) -> str:
    """In a few words, beside h5py.

    >>> speed_of(Route("preadv + decode", ""), ["shuffle", "gzip"]), speed_of(Route("h5py", "", "lzf"), ["lzf"])
    ('about 5.5 x h5py', 'that of h5py')
    """
    if route.name == "h5py":
        return "that of h5py"
    if route.slow:
        return "much lower than repacked"
    if route.name == "preadv":
        return f"about {RAW:g} x h5py"
    known = [MEASURED[name] for name in filters if name in MEASURED]
    return f"about {min(known):g} x h5py" if known else "not measured"
