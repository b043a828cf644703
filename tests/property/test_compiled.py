"""Compiled programs of random formulas: NumPy's values, the interpreter's, the same bits for any number of threads.

Compiling costs seconds, and more than in proportion to the formulas: forty in a program cost least for each. So the
rules are dealt to a few programs, which together have every rule, and all that a program is to show is shown of it.
"""

import random

import h5py
import numpy as np
import pytest
from grammar import RULES, random_data, session_on
from rules import program_of, run
from typed_values import compare

import lazyml as lz
from lazyml.errors import LazymlError

# Rows, columns, the types of X, Z, y, codes and holes, and those of the parameters w, v, b, W, S.
LEAVES = [
    (211, 3, ["float64", "float32", "int16", "uint8", "float64"], ["float64", "int8", "float32", "float64", "float32"]),
    (97, 1, ["float32", "int64", "bool", "int32", "float32"], ["float32", "float64", "int64", "bool", "float64"]),
    (53, 5, ["int8", "float64", "uint64", "uint64", "float16"], ["float64", "float32", "uint8", "int32", "int64"]),
    (31, 2, ["uint16", "float16", "float64", "int64", "float64"], ["float64", "float64", "bool", "float32", "float64"]),
]
SIZES = [{"page_bytes": 512, "block_rows": 24, "groups": 7}, {"page_bytes": 1800, "block_rows": 7, "groups": 3}]


def dealt(deck):
    names = list(RULES)
    random.Random(5).shuffle(names)
    return names[deck :: len(LEAVES)]


def bits(values):
    return [np.asarray(value).tobytes() for value in values]


def outcome(program, params, rows):
    """Values of a range of the rows; or the error, as of the smallest of no rows."""
    try:
        return run(program, params, rows=rows)
    except LazymlError as error:
        return type(error), str(error)


def alike(found, wanted, text):
    """Of a part of the rows nothing is known of rounding: to the digits that float32 leaves."""
    if isinstance(found, np.ndarray | np.generic) and found.dtype.kind == "f":
        finite = np.isfinite(wanted)
        size = np.max(np.abs(wanted[finite]), initial=1.0)
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4 * size, err_msg=text)
    else:
        np.testing.assert_array_equal(found, wanted, text)


@pytest.mark.parametrize("deck", range(len(LEAVES)))
def test_compiled_is_the_interpreter_is_numpy(deck, sizes):
    n, d, stored_types, param_types = LEAVES[deck]
    session = session_on(40 + deck, random_data(deck, n, d, stored_types), param_types)
    for name in dealt(deck):
        session.step(name)
    values = session.results()
    for amounts in SIZES:
        sizes(**amounts)
        programs = {(backend, threads): program_of(values, backend=backend, threads=threads)
                    for backend in ("numba", "numpy") for threads in (1, 2, 3)}  # fmt: skip
        found = {how: run(program, session.params) for how, program in programs.items()}
        for backend in ("numba", "numpy"):
            assert bits(found[backend, 1]) == bits(found[backend, 2]) == bits(found[backend, 3]), backend
            for value, result in zip(values, found[backend, 2], strict=True):
                compare(result, value, f"by {backend}, {amounts}:")
    for rows in (slice(0, 0), slice(5, 29), slice(n - 1, n)):
        compiled, plain = (outcome(programs[backend, 2], session.params, rows) for backend in ("numba", "numpy"))
        texts = [v.text for v in values] if len(plain) == len(values) else ["error", "message"]
        for result, wanted, text in zip(compiled, plain, texts, strict=True):
            alike(result, wanted, f"{rows} of {text}")


def turned(values):
    return values.astype(values.dtype.newbyteorder(">"))


def chunked(rows, columns=None):
    return lambda values: {"chunks": (rows, *([columns or values.shape[1]] if values.ndim == 2 else []))}


# How each dataset is stored: options of h5py's, and what becomes of its values.
LAYOUTS = {
    "contiguous": (lambda values: {}, lambda values: values),
    "chunks": (chunked(13), lambda values: values),
    "gzip and shuffle": (lambda v: {**chunked(50)(v), "compression": "gzip", "shuffle": True}, lambda values: values),
    "lzf and checksums": (lambda v: {**chunked(50)(v), "compression": "lzf", "fletcher32": True}, lambda v: v),
    "columns apart": (chunked(7, 1), lambda values: values),
    "columns apart, gzip": (lambda v: {**chunked(31, 2)(v), "compression": "gzip"}, lambda values: values),
    "big-endian": (chunked(17), turned),
    "float16": (lambda values: {}, lambda values: values.astype("f2") if values.dtype == np.float32 else values),
}


@pytest.fixture(scope="module")
def layouts(tmp_path_factory):
    """The same values, which float16 has too, in files of every layout."""
    path = tmp_path_factory.mktemp("layouts")
    stored = random_data(3, 211, 2, ["float32", "float64", "int16", "uint8", "float32"])
    stored = {name: values.astype("f2").astype(values.dtype) if values.dtype.kind == "f" else values
              for name, values in stored.items()}  # fmt: skip
    for at, (options, as_stored) in enumerate(LAYOUTS.values()):
        with h5py.File(path / f"{at}.h5", "w") as file:
            for name, values in stored.items():
                file.create_dataset(name, data=as_stored(values), **options(values))
    return path, stored


def one_pass(values):
    """What later passes keep of a pass depends on what reading costs, and so on the layout; one pass does not."""
    return [v for v in values if program_of([v], backend="numpy", pin=False).passes < 2]


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_every_layout_has_the_same_values(backend, layouts, sizes):
    path, stored = layouts
    sizes(page_bytes=2048, block_rows=24, groups=7)
    for at, layout in enumerate(LAYOUTS):
        sources = {name: lz.open(path / f"{at}.h5", name) for name in stored}
        session = session_on(77, stored, ["float64", "float32", "float64", "float32", "float64"], sources)
        session.grow(80 if backend == "numpy" else 30)
        values = session.results() if backend == "numpy" else one_pass(session.results())
        program = program_of(values, backend=backend, threads=2, pin=False)
        found = run(program, session.params)
        for value, result in zip(values, found, strict=True):
            compare(result, value, f"{layout}:")
        assert program.last_run.cache_hit == (at > 0 or backend == "numpy"), "one kernel for all layouts"
        # Of a range of rows of compressed chunks the plan knows the mean size of a chunk.
        assert program.last_run.bytes_read == pytest.approx(program.plan.bytes_to_read, rel=0.01)
