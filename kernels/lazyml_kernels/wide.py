"""Eight and sixteen bytes at a time from and to any place of a byte array, for decoders.

Both are one unaligned load or store of the processor. Neither checks bounds: the caller has.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba.core import types as numba_types

from lazyml_kernels.bits import intrinsic

types = cast(Any, numba_types)  # which has no type hints
BYTE, WORD, VECTOR = ir.IntType(8), ir.IntType(64), ir.VectorType(ir.IntType(8), 16)


def _is_bytes(array: Any) -> bool:
    return isinstance(array, types.Array) and array.dtype == types.uint8 and array.ndim == 1 and array.layout == "C"


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any, kind: Any) -> Any:
    start = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(start, [index]), kind.as_pointer())


@intrinsic
def load8(typing_context: Any, source: Any, start: Any) -> Any:
    """The eight bytes source[start : start + 8] as a little-endian uint64; source (bytes,) uint8, start int64."""
    if not _is_bytes(source):
        return None

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        index = context.cast(builder, args[1], signature.args[1], types.intp)
        word = builder.load(_address(context, builder, signature.args[0], args[0], index, WORD), align=1)
        return builder.bswap(word) if not np.little_endian else word

    return types.uint64(source, start), generate


@intrinsic
def copy16(typing_context: Any, out: Any, at: Any, source: Any, start: Any) -> Any:
    """out[at : at + 16] = source[start : start + 16]; loaded before any is stored, where the two overlap."""
    if not (_is_bytes(out) and _is_bytes(source)):
        return None

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        there = context.cast(builder, args[1], signature.args[1], types.intp)
        here = context.cast(builder, args[3], signature.args[3], types.intp)
        vector = builder.load(_address(context, builder, signature.args[2], args[2], here, VECTOR), align=1)
        builder.store(vector, _address(context, builder, signature.args[0], args[0], there, VECTOR), align=1)
        return context.get_dummy_value()

    return types.void(out, at, source, start), generate
