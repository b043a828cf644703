"""What can be wrong with a file, and what the error says of it."""

import os

import h5py
import numpy as np
import pytest
from source_scanning import numbers, scan_all

from lazyml.errors import (
    CorruptFileError,
    DatasetNotFoundError,
    DtypeError,
    FileChangedError,
    LazymlError,
    ShapeError,
    SourceError,
    SourceNotFoundError,
)
from lazyml.sources.hdf5 import open_dataset


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "flights.h5", "w") as file:
        file["features"] = numbers((50, 4))
        file["group/late"] = numbers((50,))
        file.create_dataset("packed", data=numbers((50, 4)), chunks=(8, 4), compression="gzip")
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((8, 4))
        plist.set_deflate(4)
        plist.set_filter(32000, h5py.h5z.FLAG_MANDATORY)  # lzf of what gzip left: no pipeline of ours has both
        space = h5py.h5s.create_simple((50, 4))
        h5py.Dataset(h5py.h5d.create(file.id, b"library", h5py.h5t.IEEE_F32LE, space, plist))[...] = numbers((50, 4))
        file["names"] = np.array(["a", "b"], h5py.string_dtype())
        file["fixed"] = np.array([b"a", b"b"])
        file["fields"] = np.zeros(3, [("a", "f4"), ("b", "i4")])
        file["references"] = np.array([file.ref], h5py.ref_dtype)
        file["ragged"] = np.array([np.arange(2), np.arange(3)], h5py.vlen_dtype("i4"))
        file["complex"] = np.zeros(3, "c8")
        file["wide"] = np.zeros(3, "longdouble")
        file["opaque"] = np.zeros(3, "V5")
        file["scalar"] = 1.0
        file["cube"] = np.zeros((2, 3, 4))
        file["nothing"] = h5py.Empty("f4")
        file["type"] = np.dtype("f4")
    return tmp_path / "flights.h5"


def message(kind, path, name):
    with pytest.raises(LazymlError) as caught:
        open_dataset(path, name)
    assert type(caught.value) is kind
    return str(caught.value)


@pytest.mark.parametrize("name", ["names", "fixed", "fields", "references", "ragged", "complex", "wide", "opaque"])
def test_what_is_not_a_number(path, name):
    text = message(DtypeError, path, name)
    assert f"{name} is not numeric" in text and "float32 or float64" in text


def test_strings_are_called_strings(path):
    assert "found     strings" in message(DtypeError, path, "names")


@pytest.mark.parametrize(("name", "found"), [("scalar", "()"), ("cube", "(2, 3, 4)"), ("nothing", "empty dataspace")])
def test_what_is_not_a_matrix(path, name, found):
    assert found in message(ShapeError, path, name)


def test_no_such_file(tmp_path, path):
    text = message(SourceNotFoundError, tmp_path / "fligths.h5", "x")
    assert "fligths.h5 does not exist" in text and "flights.h5" in text.split("fix")[1]
    assert "there is no folder" in message(SourceNotFoundError, tmp_path / "no" / "a.h5", "x")
    assert message(SourceNotFoundError, path / "below.h5", "x")


def test_no_such_dataset(path):
    text = message(DatasetNotFoundError, path, "feature")
    assert "no dataset 'feature'" in text and "did you mean 'features'?" in text
    assert "group/late" in text.split("expected")[1].split("found")[0]
    assert "did you mean 'group/late'?" in message(DatasetNotFoundError, path, "group/latte")
    assert "/features is not a group" in message(DatasetNotFoundError, path, "features/x")
    assert "the root group" in message(DatasetNotFoundError, path, "")
    assert "is not a group" in message(DatasetNotFoundError, path, "type")
    with pytest.raises(KeyError):
        open_dataset(path, "feature")


def test_a_group_is_no_dataset(path):
    text = message(DatasetNotFoundError, path, "group")
    assert "found     a group" in text and "did you mean 'group/late'?" in text


def test_names_may_have_slashes_around(path):
    assert open_dataset(path, "/group//late").key.shape == (50,)


def test_a_file_without_datasets(tmp_path):
    h5py.File(tmp_path / "a.h5", "w").close()
    assert "holds no dataset at all" in message(DatasetNotFoundError, tmp_path / "a.h5", "x")


def test_not_hdf5(tmp_path):
    assert "a directory" in message(SourceError, tmp_path, "x")
    (tmp_path / "a.csv").write_text("a,b\n1,2\n" * 1000)
    assert "is not an HDF5 file" in message(SourceError, tmp_path / "a.csv", "x")
    (tmp_path / "empty.h5").touch()
    assert "an empty file" in message(SourceError, tmp_path / "empty.h5", "x")
    os.mkfifo(tmp_path / "pipe")
    assert "a device, pipe or socket" in message(SourceError, tmp_path / "pipe", "x")


def test_no_permission(path, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    text = message(SourceError, path, "features")
    assert "permission to read" in text and "chmod u+r" in text
    monkeypatch.undo()
    source = open_dataset(path, "features")
    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(SourceError, match="cannot be read"):
        source.scan(10, 1, 0, 50)


@pytest.mark.parametrize("size", [8, 20, 90, 600, 2000])
def test_a_truncated_file_is_corrupt(path, size):
    os.truncate(path, size)
    assert "is damaged" in message(CorruptFileError, path, "features")


def test_data_past_the_end_of_the_file(tmp_path):
    """HDF5 itself opens such a file when its header tells the shorter length."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["m"] = numbers((500, 4))
        file.create_dataset("k", data=numbers((500, 4)), chunks=(100, 4))
    size = path.stat().st_size - 4096
    data = bytearray(path.read_bytes()[:size])
    place = data.index(path.stat().st_size.to_bytes(8, "little"))  # end-of-file address in the superblock
    data[place : place + 8] = size.to_bytes(8, "little")
    path.write_bytes(data)
    text = message(CorruptFileError, path, "k")
    assert "chunk at row 400, column 0" in text and f"a file of {size} bytes" in text and "1600 bytes at offset" in text


@pytest.mark.parametrize("name", ["features", "packed"])
def test_truncation_during_a_scan(path, name):
    source = open_dataset(path, name)
    scan = source.scan(8, 1, 0, 50)
    frame = np.empty(128, np.uint8)
    place = int(source.table.offset.argmin())
    os.truncate(path, int(source.table.offset[place]) + 3)
    with pytest.raises(CorruptFileError) as caught:
        scan.load(place * 8, 8, frame, 0)
    scan.close(failed=True)
    what = "the contiguous data" if name == "features" else f"chunk at row {place * 8}, column 0"
    assert f"/{name}: {what} is cut short" in str(caught.value)
    assert f"at offset {source.table.offset[place]}" in str(caught.value)
    assert "3 bytes before the end" in str(caught.value)


def change(path):
    with path.open("r+b") as file:
        file.seek(0, 2)
        file.write(b"x")


def replace(path):
    path.rename(path.with_suffix(".old"))
    path.write_bytes(path.with_suffix(".old").read_bytes())


@pytest.mark.parametrize("name", ["features", "packed", "library"])
@pytest.mark.parametrize(
    ("event", "found"), [(change, "bytes"), (replace, "another file"), (lambda p: os.utime(p, (1, 1)), "modified")]
)
def test_a_changed_file(path, name, event, found):
    source = open_dataset(path, name)
    scan, failed = source.scan(25, 1, 0, 50), source.scan(25, 1, 0, 50)
    scan.load(0, 25, np.empty(400, np.uint8), 0)
    event(path)
    with pytest.raises(FileChangedError, match=found):
        scan.close()
    scan.close()
    failed.close(failed=True)
    with pytest.raises(FileChangedError, match="changed after it was opened"):
        source.scan(25, 1, 0, 50)
    assert open_dataset(path, name).key == source.key


@pytest.mark.parametrize("name", ["features", "packed", "library"])
def test_a_deleted_file(path, name):
    source = open_dataset(path, name)
    scan = source.scan(25, 1, 0, 50)
    path.unlink()
    with pytest.raises(SourceNotFoundError):
        scan.close()
    with pytest.raises(SourceNotFoundError):
        source.scan(25, 1, 0, 50)


def test_a_file_open_for_writing(path):
    with h5py.File(path, "r+"):
        assert "open for writing" in message(SourceError, path, "features")


def test_damage_that_only_the_library_sees(path):
    source = open_dataset(path, "library")
    with h5py.File(path, "r") as file:
        offset = file["library"].id.get_chunk_info(3).byte_offset
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * 40)
    source = open_dataset(path, "library")
    with pytest.raises(CorruptFileError, match="rows 20 to 30 cannot be read"):
        scan_all(source, 10)
