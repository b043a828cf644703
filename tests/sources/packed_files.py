"""Files whose chunks are packed by filters that the HDF5 library was built without: it only stores what is ready."""

import h5py
import numpy as np

LZ4_BLOCK = 1 << 30  # what the filter's author takes unless told otherwise


def shuffled(block):
    return np.frombuffer(block.tobytes(), np.uint8).reshape(-1, block.dtype.itemsize).T.tobytes()


def lz4_blocks(text, block=LZ4_BLOCK):
    """What HDF5's LZ4 filter writes."""
    from numcodecs import lz4

    block = min(block, len(text))
    packed = [len(text).to_bytes(8, "big"), block.to_bytes(4, "big")]
    for begin in range(0, len(text), block):
        part = text[begin : begin + block]
        content = bytes(lz4.compress(part))[4:]  # the library's own header is the decoded size
        content = part if len(content) >= len(part) else content
        packed += [len(content).to_bytes(4, "big"), content]
    return b"".join(packed)


def blosc_buffer(text, name=b"lz4", shuffle=1, itemsize=4):
    from numcodecs import blosc

    return bytes(blosc.compress(np.frombuffer(text, f"V{itemsize}"), name, 5, shuffle))


def zstd_frame(text):
    from numcodecs import zstd

    return bytes(zstd.compress(text, 3))


def library_filter(text, **options):
    """What a filter of the library writes, and the chunk's mask."""
    data = np.frombuffer(text, np.uint8)
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("x", data=data, chunks=data.shape, **options)
        return dataset.id.read_direct_chunk((0,))[::-1]


LZF, BLOSC, LZ4, ZSTD = 32000, 32001, 32004, 32015
PACK = {LZ4: lz4_blocks, BLOSC: blosc_buffer, ZSTD: zstd_frame}
VALUES = {LZ4: (0,), BLOSC: (2, 2, 4, 1120, 5, 1, 1), ZSTD: (3,)}


def write_packed(path, values, chunk, code, shuffle=False, checked=False, pack=None, name="m", mode="w", masks=()):
    """A dataset `name` packed by the filter `code`; chunks whose number is in `masks` skip that filter."""
    from lazyml.sources.bytewise import fletcher32

    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk(chunk)
    if shuffle:
        plist.set_shuffle()
    plist.set_filter(code, h5py.h5z.FLAG_OPTIONAL, VALUES[code])
    if checked:
        plist.set_fletcher32()
    pack = pack or PACK[code]
    space, kind = h5py.h5s.create_simple(values.shape), h5py.h5t.py_create(values.dtype)
    with h5py.File(path, mode) as file:
        data = h5py.h5d.create(file.id, name.encode(), kind, space, plist)
        starts = [range(0, size, step) for size, step in zip(values.shape, chunk, strict=True)]
        corners = np.stack(np.meshgrid(*starts, indexing="ij"), -1).reshape(-1, values.ndim)
        for number, corner in enumerate(corners.tolist()):
            part = values[tuple(slice(at, at + step) for at, step in zip(corner, chunk, strict=True))]
            block = np.zeros(chunk, values.dtype)
            block[tuple(slice(size) for size in part.shape)] = part
            text = shuffled(block) if shuffle else block.tobytes()
            skipped = number in masks
            stored = text if skipped else pack(text)
            if checked:
                stored += fletcher32(np.frombuffer(stored, np.uint8)).to_bytes(4, "little")
            data.write_direct_chunk(tuple(corner), stored, skipped << int(shuffle))
    return path
