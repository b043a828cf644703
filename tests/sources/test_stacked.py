"""Datasets of many files as one: against NumPy's concatenate, page by page, and as formulas, plans and pickles."""

import gc
import os
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
from source_scanning import numbers, open_descriptors, scan_all

import lazyml as lz
from lazyml.errors import (
    CorruptFileError,
    DatasetNotFoundError,
    FileChangedError,
    OutputExistsError,
    ParameterError,
    ShapeError,
    SourceNotFoundError,
)
from lazyml.sources.opening import open_source
from lazyml.sources.protocol import Given

LAYOUTS = [{}, {"chunks": (10, 4)}, {"chunks": (16, 3)}, {"chunks": (9, 4), "compression": "gzip", "shuffle": True},
           {"chunks": (40, 2), "compression": "gzip"}, {"chunks": (8, 4), "compression": "lzf"}]  # fmt: skip
ROWS = [37, 103, 0, 1, 64, 50]


def write(folder, parts, options=None, name="X"):
    """One file a part; their paths."""
    paths = []
    for number, part in enumerate(parts):
        paths.append(folder / f"part-{number}.h5")
        chosen = dict((options or [{}])[number % len(options or [{}])])
        if part.shape[0] < chosen.get("chunks", (0,))[0]:
            chosen["maxshape"] = (None,) * part.ndim
        with h5py.File(paths[-1], "w") as file:
            file.create_dataset(name, data=part, **chosen)
    return [str(path) for path in paths]


@pytest.fixture
def mixed(tmp_path):
    """Six files, each of another layout and length, one of them without rows."""
    parts = [numbers((rows, 4), seed=number) for number, rows in enumerate(ROWS)]
    return write(tmp_path, parts, LAYOUTS), np.concatenate(parts)


@pytest.mark.parametrize("page_rows", [1, 7, 10, 38, 300])
@pytest.mark.parametrize("threads", [1, 3])
def test_pages_are_those_of_concatenate(mixed, page_rows, threads):
    paths, whole = mixed
    source = open_source(paths, "X")
    keep, before = [], open_descriptors()
    for group in (1, 4):
        values, count = scan_all(source, page_rows, threads, group, keep=keep)
        np.testing.assert_array_equal(values, whole)
        assert count == source.stored_bytes == sum(part.stored_bytes for part in source.parts)
        assert open_descriptors() == before
    stated = sum(item.bytes for item in source.memory(page_rows, threads))
    assert all(0 < scan.held_bytes <= stated for scan in keep)


@pytest.mark.parametrize(("first", "last"), [(0, 5), (30, 41), (36, 37), (38, 255), (141, 142), (254, 255), (40, 40)])
def test_ranges_of_rows(mixed, first, last):
    paths, whole = mixed
    source = open_source(paths, "X")
    for page_rows in (6, 40):
        values, _ = scan_all(source, page_rows, 2, first=first, last=last)
        np.testing.assert_array_equal(values, whole[first:last])


TYPES = ["?", "i1", "u1", ">i2", "u4", "i8", "u8", "f2", "f4", ">f8"]


@pytest.mark.parametrize("one", TYPES)
@pytest.mark.parametrize("other", TYPES)
def test_types_promote_as_in_numpy(tmp_path, one, other):
    parts = [numbers((20, 4), one), numbers((11, 4), other, seed=1), numbers((0, 4), one)]
    source = open_source(write(tmp_path, parts, [{}, {"chunks": (7, 4), "compression": "gzip"}]), "X")
    expected = np.concatenate(parts)
    wide = np.dtype("f4") if expected.dtype == "f2" else expected.dtype.newbyteorder("=")
    values, _ = scan_all(source, 7, 2)
    assert source.key.dtype == values.dtype.name == wide.name
    np.testing.assert_array_equal(values, expected)


def test_vectors_and_a_file_twice(tmp_path):
    first, second = write(tmp_path, [numbers(9), numbers(14, seed=1)])
    values, _ = scan_all(open_source([first, second, first, first], "X"), 4, 2)
    np.testing.assert_array_equal(values, np.concatenate([numbers(9), numbers(14, seed=1), numbers(9), numbers(9)]))


def test_files_of_nothing(tmp_path):
    paths = write(tmp_path, [numbers((0, 4)), numbers((0, 4))])
    X = lz.open(paths, "X")
    assert X.shape == (0, 4)
    np.testing.assert_array_equal(lz.compute(lz.sum(X, axis=0)), np.zeros(4))
    with pytest.raises(ParameterError, match="no files to stack"):
        lz.open([], "X")
    for odd in ([3], None, [["a.h5"]], "a\0.h5", ["a\0.h5"]):
        with pytest.raises(ParameterError, match="a list of paths"):
            lz.open(odd, "X")


def test_wildcards_are_sorted_by_the_numbers_in_names(tmp_path, monkeypatch):
    for number in (10, 9, 2):
        with h5py.File(tmp_path / f"part-{number}.h5", "w") as file:
            file["x"] = np.full(3, float(number))
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(lz.compute(lz.open("part-*.h5", "x")), [2, 2, 2, 9, 9, 9, 10, 10, 10])
    np.testing.assert_array_equal(lz.compute(lz.open(["part-1?.h5", tmp_path / "part-2.h5"], "x")), [10] * 3 + [2] * 3)
    assert lz.open("part-1*.h5", "x") is not None
    with pytest.raises(SourceNotFoundError, match="no file is called"):
        lz.open("none-*.h5", "x")
    (tmp_path / "part-2.h5").rename("odd[name]*.h5")
    np.testing.assert_array_equal(lz.compute(lz.open("odd[name]*.h5", "x")), [2, 2, 2])


def test_files_that_do_not_fit_are_named(tmp_path):
    wide, narrow = write(tmp_path, [numbers((5, 4)), numbers((5, 3))])
    with pytest.raises(ShapeError) as caught:
        lz.open([wide, narrow], "X")
    text = str(caught.value)
    assert f"{narrow}: X has other columns than in {wide}" in text and "(rows, 4)" in text and "(rows, 3)" in text
    with h5py.File(narrow, "w") as file:
        file["X"] = numbers(5)
    with pytest.raises(ShapeError, match="has other axes"):
        lz.open([wide, narrow], "X")
    with h5py.File(narrow, "w") as file:
        file["Y"] = numbers(5)
    with pytest.raises(DatasetNotFoundError, match=r"part-1.h5 has no dataset 'X'"):
        lz.open([wide, narrow], "X")
    with pytest.raises(SourceNotFoundError, match=r"part-9.h5"):
        lz.open([wide, tmp_path / "part-9.h5"], "X")


def test_a_file_that_changes_before_or_during_a_pass(mixed):
    paths, _ = mixed
    source = open_source(paths, "X")
    scan, frame = source.scan(10, 1, 0, 255), np.empty(160, np.uint8)
    scan.load(0, 10, frame, 0)
    os.utime(paths[4], (1, 1))
    with pytest.raises(FileChangedError, match=r"part-4.h5 changed"):
        scan.close()
    with pytest.raises(FileChangedError, match=r"part-4.h5 changed"):
        source.scan(10, 1, 0, 255)
    Path(paths[4]).unlink()
    with pytest.raises(SourceNotFoundError, match=r"part-4.h5"):
        source.state()


def test_damage_in_one_file_is_named_and_nothing_stays_open(mixed):
    paths, _ = mixed
    with h5py.File(paths[3]) as file:
        offset = file["X"].id.get_chunk_info(0).byte_offset
    with Path(paths[3]).open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * 8)
    before = open_descriptors()
    with pytest.raises(CorruptFileError, match=r"part-3.h5: /X: chunk at row 0, column 0 does not decode"):
        scan_all(open_source(paths, "X"), 20, 2)
    assert open_descriptors() == before


def test_few_files_are_open_at_once(tmp_path, monkeypatch):
    parts = [numbers((8, 4), seed=number) for number in range(200)]
    source = open_source(write(tmp_path, parts, [{}, {"chunks": (8, 4), "compression": "gzip"}]), "X")
    most, start, opened = 0, open_descriptors(), os.open

    def counted(*arguments, **options):
        nonlocal most
        descriptor = opened(*arguments, **options)
        most = max(most, open_descriptors() - start)
        return descriptor

    monkeypatch.setattr("os.open", counted)
    scan = source.scan(20, 1, 0, 1600)
    for first in range(0, 1600, 20):
        scan.prefetch(first, 1600 - first)
        scan.load(first, 20, np.empty(320, np.uint8), 0)
    scan.close()
    assert 2 <= most <= 20


@pytest.fixture
def big(tmp_path):
    """Files large enough for compiled kernels and several pages."""
    rng = np.random.default_rng(5)
    parts = [rng.normal(size=(rows, 8)).astype("f4") for rows in (9_000, 20_011, 500, 13_000)]
    options = [{"chunks": (1000, 8), "compression": "gzip", "shuffle": True}, {}, {"chunks": (100, 3)}]
    return write(tmp_path, parts, options), np.concatenate(parts)


def test_formulas_over_files_are_the_same_bits_for_any_threads(big, sizes):
    sizes(page_bytes=1 << 15, groups=16)
    paths, whole = big
    X, w = lz.open(paths, "X"), lz.param("w", 8)
    outputs = [lz.sum(X, axis=0), X.T @ X, lz.mean(lz.softplus(X @ w)), lz.sum(X[5000:25_000] @ w)]
    found = []
    for threads in (1, 2, 3):
        program = lz.compile(outputs, threads=threads)
        found.append(program(w=np.ones(8)))
        assert program.last_run.peak_bytes <= program.peak_bytes
        assert (program.last_run.bytes_read > 0) == (threads == 1)  # later ones find the rows in memory
    for values in found[1:]:
        assert all(np.array_equal(one, other) for one, other in zip(found[0], values, strict=True))
    np.testing.assert_allclose(found[0][0], whole.sum(0, dtype="f8"), rtol=1e-4)
    np.testing.assert_allclose(found[0][3], (whole[5000:25_000] @ np.ones(8)).sum(dtype="f8"), rtol=1e-4)


def test_ranges_lists_and_stores(big, tmp_path):
    paths, whole = big
    X = lz.open(paths, "X")
    np.testing.assert_array_equal(lz.compute(X[8_990:9_010]), whole[8_990:9_010])
    np.testing.assert_array_equal(lz.compute(lz.compile(X)(rows=slice(28_900, 29_600))[0]), whole[28_900])
    lz.store(X * 2, tmp_path / "out.h5", "twice")
    with h5py.File(tmp_path / "out.h5") as file:
        np.testing.assert_array_equal(file["twice"][:], whole * 2)
    for path in paths:
        with pytest.raises(OutputExistsError, match="a file that is read"):
            lz.store(X * 2, path, "twice", overwrite=True)


def test_the_plan_names_the_files(big):
    paths, _ = big
    program = lz.compile(lz.sum(lz.open(paths, "X")))
    text = program.explain()
    assert (
        "4 files: part-0.h5 (9,000 rows, chunks 1000 x 8, shuffle, gzip), part-1.h5 (20,011 rows, contiguous)" in text
    )
    assert "and 1 more" in text and "preadv + decode" in text
    assert "chunk tables of 4 files" in text
    assert f"slow: {paths[0]} (and 2 other files): chunks of 32000 bytes" in text


def test_pickles_open_all_files_again(big):
    paths, _ = big
    program = lz.compile(lz.sum(lz.open(paths, "X")))
    text, fingerprint = pickle.dumps(program), program.fingerprints
    again = pickle.loads(text)
    assert again.fingerprints == fingerprint
    assert again() == program()
    assert lz.compile(lz.sum(lz.open(paths[::-1], "X"))).fingerprints != fingerprint
    assert lz.compile(lz.sum(lz.open(paths, "X"))).fingerprints == fingerprint
    del program, again  # whatever holds the opened files
    gc.collect()
    os.utime(paths[2], (1, 1))
    with pytest.raises(FileChangedError, match=r"part-2.h5 changed after X was opened"):
        pickle.loads(text)()
    os.truncate(paths[1], 100)
    with pytest.raises(FileChangedError, match=r"part-1.h5 changed after X was opened"):
        pickle.loads(text)()


def test_equal_stacks_are_one_source(mixed):
    paths, _ = mixed
    assert lz.open(paths, "X").node is lz.open(paths, "X").node
    assert lz.open(paths, "X").node is not lz.open(paths[:-1], "X").node
    assert lz.open(paths[:1], "X").node is lz.open(paths[0], "X").node


@pytest.mark.parametrize("page_rows", [7, 40])
def test_pages_that_are_there_already_are_not_waited_for(mixed, page_rows):
    paths, whole = mixed
    source, before = open_source(paths, "X"), open_descriptors()
    pages = -(-(255 - 3) // page_rows)
    present = np.arange(pages) % 3 != 1
    scan = source.scan(page_rows, 1, 3, 255, Given(present))
    for page in np.flatnonzero(~present):
        first = 3 + int(page) * page_rows
        rows = min(page_rows, 255 - first)
        values = scan.load(first, rows, np.empty(page_rows * 16, np.uint8), 0)
        np.testing.assert_array_equal(values, whole[first : first + rows])
    assert open_descriptors() == before  # each file was closed after the last of its rows that was wanted
    scan.close()


def test_rows_of_many_files_stay_in_memory_from_pass_to_pass(big, sizes):
    sizes(page_bytes=1 << 15)
    paths, whole = big
    program = lz.compile(lz.sum(lz.tanh(lz.open(paths, "X") @ lz.param("w", 8))), memory="64 MiB")
    first = program(w=np.ones(8))
    assert program.last_run.bytes_read > 0
    assert program(w=np.ones(8)) == first and program.last_run.bytes_read == 0
    np.testing.assert_allclose(first, np.tanh(whole @ np.ones(8)).sum(), rtol=1e-3)
