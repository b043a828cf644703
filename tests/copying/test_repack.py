"""Copies of files: the same values in better chunks, everything else as it was, or no copy at all."""

import io
import os
import sys
import threading
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest

import lazyml as lz
from lazyml import errors
from lazyml.copying import bands
from lazyml.sources.hdf5 import open_dataset


def descriptors():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture(autouse=True)
def nothing_left_behind(tmp_path):
    """Descriptors, threads and files beside the copy are counted around every test."""
    before, threads = descriptors(), threading.active_count()
    yield
    assert descriptors() <= before
    assert threading.active_count() <= threads
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


X = np.random.default_rng(2).integers(-99, 99, (5003, 7))


def write(path, dtype="f4", **options):
    with h5py.File(path, "w") as file:
        file.create_dataset("g/X", data=X.astype(dtype), **options)
    return path


def values(path, name="g/X"):
    with h5py.File(path) as file:
        return file[name][...], file[name].dtype, file[name].chunks


LAYOUTS = {
    "contiguous": {},
    "rows": {"chunks": (100, 7)},
    "columns": {"chunks": (5003, 1)},
    "both": {"chunks": (333, 3)},
    "gzip": {"chunks": (100, 7), "compression": "gzip", "shuffle": True},
    "gzip_columns": {"chunks": (5003, 1), "compression": "gzip", "shuffle": True},
    "gzip_both": {"chunks": (1000, 2), "compression": "gzip", "fletcher32": True},
    "lzf": {"chunks": (700, 7), "compression": "lzf"},
    "lzf_columns": {"chunks": (5003, 2), "compression": "lzf"},
    "tiny": {"chunks": (1, 7), "compression": "gzip"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["f4", ">f8", "f2", "i2"])
@pytest.mark.parametrize("options", [{}, {"compression": "gzip", "chunk_rows": 600}, {"compression": None}])
@pytest.mark.parametrize("memory", ["256 MiB", "tight"])
def test_values_types_and_chunks(tmp_path, layout, dtype, options, memory):
    source = write(tmp_path / "a.h5", dtype, **LAYOUTS[layout])
    if memory == "tight":  # so that tall chunks do not fit side by side
        with pytest.raises(errors.BudgetError) as caught:
            lz.repack(source, tmp_path / "b.h5", memory=1000, **options)
        memory = 5003 * 7 * 4 + 200_000 if "columns" not in layout else 5003 * 56 + 600 * 7 * 40
        assert "at least" in str(caught.value) and 'memory="' in str(caught.value)
        options = {"chunk_rows": 50} | options
    before = source.read_bytes()
    done = lz.repack(source, tmp_path / "b.h5", memory=memory, threads=2, **options)
    found, kind, chunks = values(tmp_path / "b.h5")
    np.testing.assert_array_equal(found, X.astype(dtype))
    assert kind == np.dtype(dtype).newbyteorder("=")
    assert chunks[1] == 7 and chunks[0] == options.get("chunk_rows", min(5003, chunks[0]))
    assert source.read_bytes() == before
    copy = open_dataset(tmp_path / "b.h5", "g/X")
    packed = options.get("compression", "keep") == "gzip" or (options == {} and "compression" in LAYOUTS[layout])
    assert copy.route.name == ("preadv + decode" if packed else "preadv") or options.keys() == {"chunk_rows"}
    assert done.datasets[0].name == "/g/X" and done.datasets[0].after_bytes == copy.stored_bytes
    assert copy.route.slow is None or "chunk_rows" in options


def test_each_tall_chunk_is_decoded_once(tmp_path, monkeypatch):
    from lazyml.sources.filters import Pipeline

    source = write(tmp_path / "a.h5", "f8", **LAYOUTS["gzip_columns"])
    decoded, decode = [], Pipeline.decode
    monkeypatch.setattr(Pipeline, "decode", lambda self, *a: decoded.append(self.chunk_bytes) or decode(self, *a))
    for memory in ("64 MiB", 250_000):
        decoded.clear()
        lz.repack(source, tmp_path / "b.h5", memory=memory, chunk_rows=50, compression=None, overwrite=True)
        assert decoded.count(5003 * 8) == 7


@pytest.mark.parametrize("layout", ["gzip_columns", "columns", "gzip", "contiguous"])
def test_it_stays_in_its_memory(tmp_path, layout):
    source = tmp_path / "a.h5"
    with h5py.File(source, "w") as file:
        file.create_dataset("X", data=np.random.default_rng(0).random((60_000, 32), "f4"),
                            **{k: (60_000, 1) if k == "chunks" and v[1] == 1 else (v[0], 32) if k == "chunks" else v
                               for k, v in LAYOUTS[layout].items()})  # fmt: skip
    lz.repack(source, tmp_path / "b.h5", compression="gzip")  # imports
    tracemalloc.start()
    try:
        lz.repack(source, tmp_path / "b.h5", compression="gzip", memory="5 MiB", overwrite=True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5 * 2**20 + 300_000


@pytest.mark.parametrize("level", [None, 1])
def test_zstd(tmp_path, level):
    source = write(tmp_path / "a.h5", chunks=(10, 7))
    lz.repack(source, tmp_path / "b.h5", compression="zstd", level=level)
    lz.repack(tmp_path / "b.h5", tmp_path / "c.h5")  # kept
    for name in ("b.h5", "c.h5"):
        copy = open_dataset(tmp_path / name, "g/X")
        assert "shuffle, zstd" in copy.route.detail and copy.route.name == "preadv + decode"
        np.testing.assert_array_equal(lz.compute(lz.open(tmp_path / name, "g/X")), X.astype("f4"))


def test_floats_are_cast_and_integers_are_not(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["X"], file["y"] = X.astype("f8") / 3, X[:, 0] > 0
        file["z"] = np.array([1.0, np.inf, np.nan, 1e300])
    with pytest.raises(errors.DtypeError, match="values too large for float32") as caught:
        lz.repack(tmp_path / "a.h5", tmp_path / "b.h5", dtype="float32")
    assert "1e+300" in str(caught.value) and "row 3" in str(caught.value)
    lz.repack(tmp_path / "a.h5", tmp_path / "b.h5", ["X", "y"], dtype="float32")
    with h5py.File(tmp_path / "b.h5") as file:
        assert sorted(file) == ["X", "y"] and file["X"].dtype == "f4" and file["y"].dtype == "?"
        np.testing.assert_array_equal(file["X"][:], (X / 3).astype("f4"))
        np.testing.assert_array_equal(file["y"][:], X[:, 0] > 0)


@pytest.fixture
def full(tmp_path):
    """A file of everything."""
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["far"] = np.arange(5.0)
    with h5py.File(tmp_path / "full.h5", "w") as file:
        data = file.create_dataset("g/X", data=X.astype("f4"), chunks=(5003, 1), maxshape=(None, 7), fillvalue=3)
        file["g/again"], file["soft"], file["g/up"] = data, h5py.SoftLink("/g/X"), file["/"]
        file["ext"], file["dangling"] = h5py.ExternalLink("other.h5", "/far"), h5py.SoftLink("/none")
        file["names"] = np.array(["a", "bä"], h5py.string_dtype())
        file["records"] = np.zeros(4, [("a", "f4"), ("b", "S3")])
        file["cube"], file["scalar"], file["nothing"] = np.ones((2, 3, 4)), 5.0, h5py.Empty("f4")
        file["empty"], file["type"] = np.zeros((0, 4)), np.dtype("i4")
        file["levels"] = np.zeros(4, h5py.enum_dtype({"low": 0, "high": 1}, "i1"))
        file["pointers"] = np.array([data.ref, file["cube"].ref], h5py.ref_dtype)
        file.create_virtual_dataset("virtual", _virtual())
        file["axis"] = np.arange(7.0)
        file["axis"].make_scale("columns")
        data.dims[1].attach_scale(file["axis"])
        file.attrs["title"], file["g"].attrs["when"] = "flights", np.arange(3)
        data.attrs["unit"], data.attrs["none"], data.attrs["texts"] = b"min", h5py.Empty("f8"), ["a", "b"]
        data.attrs["twin"] = file["cube"].ref
    return tmp_path / "full.h5"


def _virtual():
    layout = h5py.VirtualLayout((10,), "f8")
    for part in range(2):
        layout[5 * part : 5 * part + 5] = h5py.VirtualSource("other.h5", "far", (5,))
    return layout


def test_everything_else_is_as_it_was(full, tmp_path):
    done = lz.repack(full, tmp_path / "copy.h5")
    assert {"/names", "/records", "/cube", "/scalar", "/nothing", "/empty", "/pointers"} == set(done.copied)
    with h5py.File(tmp_path / "copy.h5") as file:
        data = file["g/X"]
        np.testing.assert_array_equal(data[:], X.astype("f4"))
        assert data.chunks[1] == 7 and data.maxshape == (None, 7) and data.fillvalue == 3
        assert file["g/again"] == data and file["g/up"] == file["/"]
        assert file.get("soft", getlink=True).path == "/g/X" and file.get("dangling", getlink=True).path == "/none"
        assert file.get("ext", getlink=True).filename == "other.h5"
        assert file["names"].asstr()[:].tolist() == ["a", "bä"] and file["records"].dtype.names == ("a", "b")
        assert file["cube"].shape == (2, 3, 4) and file["scalar"][()] == 5 and file["nothing"].shape is None
        assert file["empty"].shape == (0, 4) and isinstance(file["type"], h5py.Datatype)
        assert h5py.check_enum_dtype(file["levels"].dtype) == {"low": 0, "high": 1}
        assert not file["virtual"].is_virtual
        np.testing.assert_array_equal(file["virtual"][:], [*range(5), *range(5)])
        assert [file[ref].name for ref in file["pointers"]] == ["/g/X", "/cube"]
        assert data.dims[1][0] == file["axis"] and file["axis"].is_scale
        assert file.attrs["title"] == "flights" and file["g"].attrs["when"].tolist() == [0, 1, 2]
        assert data.attrs["unit"] == "min" and data.attrs["none"].shape is None
        assert data.attrs["texts"].tolist() == ["a", "b"] and file[data.attrs["twin"]] == file["cube"]
        assert file.attrs["title"].__class__ is str
    assert "/g/X: chunks 5003 x 1" in str(done) and "/names: copied as it is" in str(done)


def test_chosen_datasets(full, tmp_path):
    lz.repack(full, tmp_path / "copy.h5", ["soft", "ext", "g/X"])
    with h5py.File(tmp_path / "copy.h5") as file:
        assert sorted(file) == ["ext", "g", "soft"] and list(file["g"]) == ["X"]
        np.testing.assert_array_equal(file["ext"][:], np.arange(5.0))
        np.testing.assert_array_equal(file["soft"][:], X.astype("f4"))
        assert file["g"].attrs["when"].tolist() == [0, 1, 2] and file["g/X"].attrs["unit"] == "min"
    with pytest.raises(errors.DatasetNotFoundError):
        lz.repack(full, tmp_path / "copy.h5", "none", overwrite=True)


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_copy_that_is_not_the_same_is_not_made(tmp_path, monkeypatch):
    source = write(tmp_path / "a.h5", **LAYOUTS["columns"])
    real, calls = bands.filtered, []

    def wrong(part, storage):
        calls.append(1)
        return real(part + (len(calls) == 2), storage)

    monkeypatch.setattr(bands, "filtered", wrong)
    with pytest.raises(errors.CorruptFileError, match="rows 600 to 1200 are not what was read"):
        lz.repack(source, tmp_path / "b.h5", chunk_rows=600, threads=1)
    assert listing(tmp_path) == ["a.h5"]


def test_what_fails_leaves_nothing(tmp_path, monkeypatch):
    source = write(tmp_path / "a.h5", **LAYOUTS["gzip"])
    (tmp_path / "b.h5").write_text("precious")
    with pytest.raises(errors.OutputExistsError):
        lz.repack(source, tmp_path / "b.h5")
    for output in (source, tmp_path / "link.h5"):
        (tmp_path / "link.h5").unlink(missing_ok=True)
        (tmp_path / "link.h5").symlink_to(source)
        with pytest.raises(errors.OutputExistsError, match="a file that is read"):
            lz.repack(source, output, overwrite=True)
    (tmp_path / "link.h5").unlink()
    with pytest.raises(errors.SourceNotFoundError):
        lz.repack(tmp_path / "none.h5", tmp_path / "c.h5")
    with pytest.raises(errors.SourceNotFoundError):
        lz.repack(source, tmp_path / "none" / "c.h5")
    for wrong in ({"compression": "rar"}, {"level": 3}, {"compression": "gzip", "level": 10}, {"chunk_rows": 0},
                  {"dtype": "int8"}):  # fmt: skip
        with pytest.raises(errors.ParameterError):
            lz.repack(source, tmp_path / "c.h5", **wrong)
    real = bands.BandCopy._band

    def touch(self, first, page, report):
        os.utime(source, (1, 1))
        real(self, first, page, report)

    with monkeypatch.context() as patch:
        patch.setattr(bands.BandCopy, "_band", touch)
        with pytest.raises(errors.FileChangedError):
            lz.repack(source, tmp_path / "c.h5")

    def interrupt(self, first, page, report):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bands.BandCopy, "_band", interrupt)
        with pytest.raises(KeyboardInterrupt):
            lz.repack(source, tmp_path / "c.h5")
    with h5py.File(source) as file:
        at = file["g/X"].id.get_chunk_info(3).byte_offset
    with source.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * 9)
    for memory in ("64 MiB",):
        with pytest.raises(errors.CorruptFileError, match="chunk at row"):
            lz.repack(source, tmp_path / "c.h5", memory=memory)
    assert listing(tmp_path) == ["a.h5", "b.h5"] and (tmp_path / "b.h5").read_text() == "precious"


def test_parts_that_were_never_written(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, chunks in {"rows": (100, 7), "columns": (1000, 1)}.items():
            data = file.create_dataset(name, (1000, 7), "f4", chunks=chunks, fillvalue=2.5, compression="gzip")
            data[250:260, 2:4] = 7
    for memory in ("64 MiB", 60_000):
        lz.repack(tmp_path / "a.h5", tmp_path / "b.h5", memory=memory, chunk_rows=30, overwrite=True)
        with h5py.File(tmp_path / "a.h5") as before, h5py.File(tmp_path / "b.h5") as after:
            for name in before:
                np.testing.assert_array_equal(before[name][:], after[name][:])


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_bar_is_for_terminals(tmp_path, capsys, monkeypatch):
    source = write(tmp_path / "a.h5")
    lz.repack(source, tmp_path / "b.h5")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", Terminal())
    lz.repack(source, tmp_path / "c.h5")
    assert "/g/X" in sys.stderr.getvalue()
    monkeypatch.setattr("sys.stderr", Terminal())
    lz.repack(source, tmp_path / "d.h5", progress=False)
    assert sys.stderr.getvalue() == ""
