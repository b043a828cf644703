"""Vectors of a fixed number of lanes in LLVM's terms: Numba's type for them, loads, sums and exchanges of lanes.

What `vectors` is written with. All functions but the types are for code generation: they add instructions by a builder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba.core import types as numba_types
from numba.core.datamodel import models
from numba.extending import register_model

from lazyml_kernels.widths import VECTOR_BYTES

types = cast(Any, numba_types)  # which has no type hints

SECTION_BYTES = 16
"""Within sections of so many bytes lanes are exchanged for less."""
I32, I64 = ir.IntType(32), ir.IntType(64)


class Vector(numba_types.Type):
    """Numba's type of a vector: the type of a lane, and how many there are."""

    def __init__(self, dtype: Any, count: int = 0) -> None:
        self.dtype, self.count = dtype, count or VECTOR_BYTES * 8 // dtype.bitwidth
        super().__init__(name=f"Vector({dtype} x {self.count})")


@register_model(Vector)
class VectorModel(models.PrimitiveModel):
    """A vector is LLVM's own."""

    def __init__(self, manager: Any, vector: Any) -> None:
        lane = manager.lookup(vector.dtype).get_value_type()
        super().__init__(manager, vector, ir.VectorType(lane, vector.count))  # type: ignore[no-untyped-call]


def vector_at(context: Any, builder: Any, array: Any, view: Any, position: Any, vector: Any) -> Any:
    """The vector that starts at a position of a contiguous array, converted."""
    stored = ir.VectorType(context.get_data_type(array.dtype), vector.count)
    start = builder.bitcast(builder.gep(view.data, [position]), stored.as_pointer())
    return converted(builder, builder.load(start, align=bytes_of(array.dtype)), array.dtype, vector)


def bytes_of(dtype: Any) -> int:
    return 1 if isinstance(dtype, types.Boolean) else int(dtype.bitwidth) // 8


def converted(builder: Any, value: Any, given: Any, vector: Any) -> Any:
    """Lanes of any real type as those of the vector's, which is wide enough for them."""
    wanted = ir.VectorType(llvm_type(vector.dtype), vector.count)
    signed = bool(getattr(given, "signed", False))
    if value.type == wanted:
        return value
    if isinstance(given, types.Float):
        return builder.fpext(value, wanted)
    if isinstance(vector.dtype, types.Float):
        return builder.sitofp(value, wanted) if signed else builder.uitofp(value, wanted)
    return builder.sext(value, wanted) if signed else builder.zext(value, wanted)


def llvm_type(dtype: Any) -> Any:
    if isinstance(dtype, types.Integer):
        return ir.IntType(dtype.bitwidth)
    return ir.DoubleType() if dtype.bitwidth == 64 else ir.FloatType()


def spread(builder: Any, value: Any, count: int) -> Any:
    nothing = ir.Constant(ir.VectorType(value.type, count), ir.Undefined)
    one = builder.insert_element(nothing, value, ir.Constant(I32, 0))
    return builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(I32, count), [0] * count))


def add(builder: Any, dtype: Any, x: Any, y: Any) -> Any:
    return (builder.fadd if isinstance(dtype, types.Float) else builder.add)(x, y)


def subtract(builder: Any, dtype: Any, x: Any, y: Any) -> Any:
    return (builder.fsub if isinstance(dtype, types.Float) else builder.sub)(x, y)


def add_product(builder: Any, dtype: Any, total: Any, x: Any, y: Any) -> Any:
    """total + x y: with the flag `contract` of floats rounded once, where the processor can."""
    return add(builder, dtype, total, (builder.fmul if isinstance(dtype, types.Float) else builder.mul)(x, y))


def pairs_summed(builder: Any, dtype: Any, vectors: list[Any], low: list[int], high: list[int]) -> list[Any]:
    """Of each two vectors, seen as one: the lanes `low` plus the lanes `high`."""
    kind = ir.VectorType(I32, len(low))
    pairs = zip(vectors[::2], vectors[1::2], strict=True)
    return [add(builder, dtype, *(builder.shuffle_vector(a, b, ir.Constant(kind, places)) for places in (low, high)))
            for a, b in pairs]  # fmt: skip


def halves_summed(builder: Any, dtype: Any, vector: Any, count: int) -> Any:
    """A vector of half as many lanes."""
    kind = ir.VectorType(I32, count // 2)
    halves = (ir.Constant(kind, list(range(first, first + count // 2))) for first in (0, count // 2))
    return add(builder, dtype, *(builder.shuffle_vector(vector, vector, half) for half in halves))


def new_lanes(builder: Any, before: Any, last: Any, count: int) -> Callable[[Any], Any]:
    """A function of the last vector of a row: it with +0 for the columns that the one before it has too.

    To clear weights instead is not enough: 0 times inf is nan.
    """
    lane = ir.Constant(ir.VectorType(I32, count), list(range(count)))
    shared = builder.add(builder.sub(before, last), ir.Constant(I64, count))
    new = builder.icmp_signed(">=", lane, spread(builder, builder.trunc(shared, I32), count))
    return lambda vector: builder.select(new, vector, ir.Constant(vector.type, None))


def totals(builder: Any, vector: Any, sums: list[Any]) -> Any:
    """A vector with the total of the lanes of each of some vectors.

    Halves of vectors are summed until a vector has as many lanes as there are vectors. Then pairs of vectors are,
    within sections, so that each section holds sums of several, in order; and then the sections.
    """
    dtype, rows, count = vector.dtype, len(sums), vector.count
    while count > rows:
        sums = [halves_summed(builder, dtype, part, count) for part in sums]
        count //= 2
    section = SECTION_BYTES * 8 // dtype.bitwidth
    starts = range(0, count, section)
    even = [base + s + k for s in starts for base in (0, count) for k in range(0, section, 2)]
    while len(sums) > count // section:
        sums = pairs_summed(builder, dtype, sums, even, [place + 1 for place in even])
    low = [base + s + k for base in (0, count) for s in starts[::2] for k in range(section)]
    while len(sums) > 1:
        sums = pairs_summed(builder, dtype, sums, low, [place + section for place in low])
    return sums[0]


def transposed(builder: Any, lines: list[Any]) -> list[Any]:
    """A square of lanes turned: blocks off the diagonal change places, then those inside each block."""
    count = len(lines)
    kind = ir.VectorType(I32, count)
    size = count // 2
    while size:
        low = [k if not k & size else count + k - size for k in range(count)]
        high = [k + size if not k & size else count + k for k in range(count)]
        for k in (k for k in range(count) if not k & size):
            pair = lines[k], lines[k + size]
            lines[k], lines[k + size] = (builder.shuffle_vector(*pair, ir.Constant(kind, x)) for x in (low, high))
        size //= 2
    return lines
