"""A corpus of hostile and odd files: `python tests/sources/odd_files.py FOLDER` writes it.

Each case says what must come of it: the values, or an error of a class with certain words in it. `odd_runs.py` tries
them.
"""

import os
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

ROWS, COLUMNS, HEIGHT = 60, 4, 10
DATA = np.random.default_rng(8).integers(0, 100, (ROWS, COLUMNS)).astype("f4")
SIZE = HEIGHT * COLUMNS * 4
CHUNK_ERROR = ("m: chunk at row 20, column 0", f"{SIZE} bytes", "offset")


@dataclass
class Case:
    """`make(path)` writes the file, whose dataset `m` is asked for. `values` is what it holds, or `error` a class of
    lazyml.errors and words of the message, beside the file's name. `event(path)` happens after the dataset is opened,
    or amid a pass when `during`; `memory` is the budget."""

    make: Callable[[Path], None]
    values: Any = None
    error: tuple[str, ...] = ()
    event: Callable[[Path], None] | None = None
    during: bool = False
    memory: str = "64 MiB"
    names_file: bool = True


def plain(path, data=DATA, **options):
    with h5py.File(path, "w") as file:
        file.create_dataset("m", data=data, **options)


def packed(path, **options):
    plain(path, chunks=(HEIGHT, COLUMNS), compression="gzip", **options)


def written(path, **what):
    with h5py.File(path, "w") as file:
        for name, value in what.items():
            file[name] = value


def in_chunks(path, third, mask=0, **options):
    """Chunks of gzip, of which the third is as given."""
    with h5py.File(path, "w") as file:
        data = file.create_dataset("m", DATA.shape, "f4", chunks=(HEIGHT, COLUMNS), compression="gzip", **options)
        for row in range(0, ROWS, HEIGHT):
            stored = zlib.compress(DATA[row : row + HEIGHT].tobytes())
            data.id.write_direct_chunk((row, 0), third if row == 20 else stored, mask if row == 20 else 0)


def damaged(path, at, text=b"\xff" * 12, number=2, **options):
    """Bytes of a chunk overwritten."""
    plain(path, chunks=(HEIGHT, COLUMNS), **options)
    with h5py.File(path) as file:
        offset = file["m"].id.get_chunk_info(number).byte_offset
    overwrite(path, offset + at, text)


def overwrite(path, offset, text):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(text)


def cut(path, keep):
    packed(path)
    os.truncate(path, int(path.stat().st_size * keep))


def past_the_end(path):
    """Truncated, with a header that tells the shorter length."""
    plain(path, chunks=(HEIGHT, COLUMNS))
    whole, size = path.read_bytes(), path.stat().st_size - 200
    data = bytearray(whole[:size])
    place = data.index(len(whole).to_bytes(8, "little"))
    data[place : place + 8] = size.to_bytes(8, "little")
    path.write_bytes(data)


def claims(path, shape, chunk):
    """A small file that says it holds very much."""
    with h5py.File(path, "w") as file:
        data = file.create_dataset("m", shape, "f8", chunks=chunk, compression="gzip")
        data.id.write_direct_chunk((0, 0), zlib.compress(bytes(1000)))


def unknown_filter(path):
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((HEIGHT, COLUMNS))
    plist.set_filter(32_099, h5py.h5z.FLAG_OPTIONAL, (1,))
    with h5py.File(path, "w") as file:
        space = h5py.h5s.create_simple(DATA.shape)
        data = h5py.h5d.create(file.id, b"m", h5py.h5t.IEEE_F32LE, space, plist)
        for row in range(0, ROWS, HEIGHT):
            data.write_direct_chunk((row, 0), b"whatever it is", 0)


def external(path, name):
    DATA.tofile(path.with_suffix(".bin"))
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "m", shape=DATA.shape, dtype="f4", external=[(name or path.with_suffix(".bin").name, 0, 960)]
        )


def virtual(path, other=None):
    with h5py.File(path.with_suffix(".part.h5"), "w") as file:
        file["x"] = DATA
    layout = h5py.VirtualLayout(DATA.shape, "f4")
    layout[:] = h5py.VirtualSource(other or path.with_suffix(".part.h5").name, "x", DATA.shape)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("m", layout)


def never_written(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("m", DATA.shape, "f4", chunks=(HEIGHT, COLUMNS), compression="gzip", fillvalue=3)


def replace(path):
    text = path.read_bytes()
    path.rename(path.with_suffix(".old"))
    path.write_bytes(text)


def later(path):
    os.utime(path, (1, 1))


def shorter(path):
    os.truncate(path, path.stat().st_size - 300)


def locked_away(path):
    """Neither file nor folder may be read, whoever asks: a superuser becomes nobody first."""
    path.chmod(0)
    if os.geteuid() == 0:
        os.seteuid(65_534)


CASES = {
    "plain": Case(plain, DATA),
    "one_row": Case(lambda p: plain(p, DATA[:1]), DATA[:1]),
    "one_row_packed": Case(lambda p: plain(p, DATA[:1], chunks=(1, 4), compression="gzip"), DATA[:1]),
    "zero_rows": Case(lambda p: plain(p, DATA[:0]), DATA[:0]),
    "zero_rows_packed": Case(lambda p: plain(p, DATA[:0], chunks=(10, 4), maxshape=(None, 4), compression="gzip"),
                             DATA[:0]),
    "zero_columns": Case(lambda p: plain(p, DATA[:, :0]), DATA[:, :0]),
    "never_written": Case(never_written, np.full_like(DATA, 3)),
    "user_block": Case(lambda p: (h5py.File(p, "w", userblock_size=512).create_dataset("m", data=DATA).file.close()),
                       DATA),
    "high_mask_bits": Case(lambda p: in_chunks(p, zlib.compress(DATA[20:30].tobytes()), 0xFFFFFF00), DATA),
    "filter_skipped": Case(lambda p: in_chunks(p, DATA[20:30].tobytes(), 1), DATA),
    "external_inside": Case(lambda p: external(p, None), DATA),
    "virtual_inside": Case(virtual, DATA),
    # damage
    "cut_in_half": Case(lambda p: cut(p, 0.5), error=("CorruptFileError", "is damaged", "truncated")),
    "cut_in_the_header": Case(lambda p: cut(p, 0.01), error=("CorruptFileError", "is damaged")),
    "past_the_end": Case(past_the_end, error=("CorruptFileError", "is truncated", "m, chunk at row 50, column 0",
                                              "160 bytes at offset", "a file of")),
    "corrupt_chunk": Case(lambda p: damaged(p, 0, compression="gzip"), error=("CorruptFileError", *CHUNK_ERROR)),
    "corrupt_checksum": Case(lambda p: damaged(p, 9, b"\x77", fletcher32=True),
                             error=("CorruptFileError", "m: chunk at row 20", "checksum", "offset")),
    "corrupt_lzf": Case(lambda p: damaged(p, 0, b"\xff" * 40, compression="lzf"),
                        error=("CorruptFileError", "m: chunk at row 20", "does not decode", "offset")),
    "short_chunk": Case(lambda p: in_chunks(p, zlib.compress(bytes(SIZE - 1))),
                        error=("CorruptFileError", *CHUNK_ERROR, f"{SIZE - 1} bytes")),
    "bomb": Case(lambda p: in_chunks(p, zlib.compress(bytes(300_000_000), 9)),
                 error=("CorruptFileError", *CHUNK_ERROR, "more bytes than that")),
    "wrong_mask": Case(lambda p: in_chunks(p, zlib.compress(DATA[20:30].tobytes()), 1),
                       error=("CorruptFileError", *CHUNK_ERROR)),
    "unknown_filter": Case(unknown_filter, error=("CorruptFileError", "m: rows", "install the filter")),
    "not_hdf5": Case(lambda p: p.write_bytes(bytes(5000)), error=("SourceError", "is not an HDF5 file")),
    "empty_file": Case(lambda p: p.touch(), error=("SourceError", "an empty file")),
    "directory": Case(lambda p: p.mkdir(), error=("SourceError", "a directory")),
    "dangling": Case(lambda p: p.symlink_to("nowhere"), error=("SourceNotFoundError", "does not exist")),
    # more than there is room for
    "huge_chunk": Case(lambda p: claims(p, (1 << 20, 64), (1 << 19, 64)),
                       error=("BudgetError", "decoded chunk 524288 x 64"), names_file=False),
    "claims_terabytes": Case(lambda p: claims(p, (1 << 30, 1 << 10), (1 << 17, 1 << 10)),
                             error=("BudgetError", "decoded chunk 131072 x 1024"), names_file=False),
    # data elsewhere
    "external_outside": Case(lambda p: external(p, "/etc/passwd"), error=("SourceError", "leads outside")),
    "virtual_outside": Case(lambda p: virtual(p, "/etc/passwd"), error=("SourceError", "leads outside")),
    "link_outside": Case(lambda p: written(p, m=h5py.ExternalLink("/etc/passwd", "/m")),
                         error=("SourceError", "leads outside")),
    "link_in_circles": Case(lambda p: written(p, m=h5py.SoftLink("/m")), error=("SourceError", "in circles")),
    # what is no matrix of numbers
    "compound": Case(lambda p: plain(p, np.zeros(3, [("a", "f4")])), error=("DtypeError", "m is not numeric")),
    "strings": Case(lambda p: written(p, m=["a", "b"]), error=("DtypeError", "m is not numeric", "strings")),
    "complex": Case(lambda p: plain(p, DATA * 1j), error=("DtypeError", "m is not numeric")),
    "scalar": Case(lambda p: written(p, m=1.0), error=("ShapeError", "m is neither a vector nor a matrix")),
    "cube": Case(lambda p: written(p, m=np.zeros((2, 3, 4))), error=("ShapeError", "m is neither", "(2, 3, 4)")),
    "nothing": Case(lambda p: written(p, m=h5py.Empty("f4")), error=("ShapeError", "m is neither", "empty")),
    "group": Case(lambda p: written(p, **{"m/x": DATA}), error=("DatasetNotFoundError", "a group")),
    "no_datasets": Case(lambda p: h5py.File(p, "w").close(), error=("DatasetNotFoundError", "no dataset at all")),
    # under our feet
    "deleted": Case(packed, error=("SourceNotFoundError", "does not exist"), event=Path.unlink),
    "replaced": Case(packed, error=("FileChangedError", "another file"), event=replace),
    "shortened": Case(packed, error=("FileChangedError", "size"), event=shorter),
    "touched": Case(plain, error=("FileChangedError", "modified"), event=later),
    "deleted_amid_a_pass": Case(packed, error=("SourceNotFoundError", "not exist"), event=Path.unlink, during=True),
    "changed_amid_a_pass": Case(packed, error=("FileChangedError", "modified"), event=later, during=True),
    "cut_amid_a_pass": Case(packed, error=("FileChangedError", "size"),
                            event=lambda p: os.truncate(p, 100), during=True),
    "locked_away": Case(plain, error=("SourceError", "cannot be read", "permission"), event=locked_away),
}  # fmt: skip


def main(folder):
    for name, case in CASES.items():
        case.make(Path(folder) / f"{name}.h5")
    print(f"wrote {len(CASES)} files to {folder}; events (deleted, changed ...) are for who reads them")


if __name__ == "__main__":
    main(sys.argv[1])
