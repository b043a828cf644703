"""Vectors of a fixed number of lanes as values in kernels: what a loop must keep in vector registers, said outright.

LLVM vectorises a plain loop over columns, but for a matrix of 28 it spends more on what is left over after the whole
vectors, and on summing each row's lanes, than on the products. Here what is left over is the last whole vector of the
row, of which some lanes are cleared, and the lanes of several rows are summed together.

A vector's lanes are of the type of the sums, given as `like`, an array; what is loaded is converted to it. Vectors come
in tuples; a row is a tuple of them, given by the columns where they start. Nothing is checked: an index must be inside,
and arrays must be C-contiguous. Each word stands for many instructions, since Numba takes longer for a
call than LLVM for what it comes to.

>>> import numpy as np
>>> from lazyml_kernels import jit
>>> @jit.sum_kernel
... def sums_of_rows(A, weights, sums):
...     columns = places(2, A.shape[1], sums)
...     found = add_rows(load(sums, columns, sums), A, 0, columns, None, weights, 0)
...     store(sums, columns, found)
>>> sums = np.ones(11)
>>> sums_of_rows(np.arange(22.0).reshape(2, 11), np.array([10.0, 100.0]), sums)
>>> sums.tolist()
[1.0, 11.0, 21.0, 31.0, 41.0, 51.0, 61.0, 71.0, 81.0, 91.0, 101.0]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

from llvmlite import ir
from numba.core import cgutils as numba_cgutils
from numba.core import types as numba_types
from numba.core.errors import TypingError
from numba.extending import intrinsic as numba_intrinsic

from lazyml_kernels import simd
from lazyml_kernels.simd import I32, I64

cgutils, types = cast(Any, numba_cgutils), cast(Any, numba_types)  # which have no type hints

LINE_BYTES = 64
"""Of the caches; where they are longer, some are asked for twice."""


def intrinsic(function: Callable[..., Any]) -> Any:
    """A word of this vocabulary. Numba's type hints want the typing context from callers, who must not pass it."""
    return cast(Any, numba_intrinsic)(prefer_literal=True)(function)


@intrinsic
def lanes(typingctx: Any, like: Any) -> Any:
    """How many numbers a vector has."""
    count = simd.Vector(like.dtype).count
    return types.intp(like), lambda context, builder, signature, args: context.get_constant(types.intp, count)


@intrinsic
def places(typingctx: Any, count: Any, size: Any, like: Any) -> Any:
    """Where the vectors start that hold `size` numbers; `count`, a constant, is the least number of them that can.

    The last ends with the last number, and may overlap with the one before it.
    """
    made, each = types.UniTuple(types.intp, count.literal_value), simd.Vector(like.dtype).count

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        found = [ir.Constant(I64, each * k) for k in range(made.count - 1)]
        found.append(builder.sub(args[1], ir.Constant(I64, each)))
        return context.make_tuple(builder, made, found)

    return made(count, types.intp, like), generate


@intrinsic
def spread(typingctx: Any, number: Any, like: Any) -> Any:
    """A number in every lane."""
    vector = simd.Vector(like.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return simd.spread(builder, context.cast(builder, args[0], number, vector.dtype), vector.count)

    return vector(number, like), generate


def _row(context: Any, builder: Any, array: Any, view: Any, first: Any, columns: Any, vector: Any) -> list[Any]:
    """The vectors from each of some columns on, after position `first`."""
    return [simd.vector_at(context, builder, array, view, builder.add(first, column), vector) for column in columns]


@intrinsic
def load(typingctx: Any, x: Any, columns: Any, like: Any) -> Any:
    """The numbers of a one-dimensional array as a row; None of None."""
    if isinstance(x, (types.NoneType, types.Omitted)):
        return types.none(x, columns, like), lambda context, builder, signature, args: context.get_dummy_value()
    made = _row_type(x, columns, like)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        view, starts = context.make_array(x)(context, builder, args[0]), cgutils.unpack_tuple(builder, args[1])
        return context.make_tuple(
            builder, made, _row(context, builder, x, view, ir.Constant(I64, 0), starts, made.dtype)
        )

    return made(x, _indices(columns), like), generate


def _must_be_contiguous(array: Any) -> None:
    if array.layout != "C":
        raise TypingError(f"vectors are parts of C-contiguous arrays, not of {array}")


def _row_type(array: Any, columns: Any, like: Any) -> Any:
    _must_be_contiguous(array)
    return types.UniTuple(simd.Vector(like.dtype), len(columns))


def _indices(columns: Any) -> Any:
    return types.UniTuple(types.intp, len(columns))


@intrinsic
def store(typingctx: Any, array: Any, places: Any, vectors: Any) -> Any:
    """Put vectors into a one-dimensional array of their type, from each of a tuple of places on."""
    _must_be_contiguous(array)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        view = context.make_array(array)(context, builder, args[0])
        for start, vector in zip(*(cgutils.unpack_tuple(builder, value) for value in args[1:]), strict=True):
            place = builder.bitcast(builder.gep(view.data, [start]), vector.type.as_pointer())
            builder.store(vector, place, align=simd.bytes_of(array.dtype))
        return context.get_dummy_value()

    return types.void(array, _indices(vectors), vectors), generate


@intrinsic
def zeros(typingctx: Any, count: Any, like: Any) -> Any:
    """`count`, a constant, vectors of +0."""
    made = types.UniTuple(simd.Vector(like.dtype), count.literal_value)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.make_tuple(builder, made, [ir.Constant(context.get_value_type(made.dtype), None)] * made.count)

    return made(count, like), generate


@intrinsic
def add(typingctx: Any, x: Any, y: Any) -> Any:
    """The sums of the vectors of two tuples, one by one."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pairs = zip(*(cgutils.unpack_tuple(builder, value) for value in args), strict=True)
        return context.make_tuple(builder, x, [simd.add(builder, x.dtype.dtype, *pair) for pair in pairs])

    return x(x, x), generate


@intrinsic
def fold(typingctx: Any, vectors: Any, columns: Any) -> Any:
    """The sum of the rows that stand in a tuple one after the other."""
    made = types.UniTuple(vectors.dtype, len(columns))

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        found = cgutils.unpack_tuple(builder, args[0])
        while len(found) > made.count:
            half = len(found) // 2
            found = [
                simd.add(builder, vectors.dtype.dtype, *pair) for pair in zip(found[:half], found[half:], strict=True)
            ]
        return context.make_tuple(builder, made, found)

    return made(vectors, columns), generate


def _in_order(builder: Any) -> None:
    """What is loaded later stays later, by an empty instruction of which LLVM can not know what it does.

    LLVM would load the first vectors of eight rows, then the second ones: eight streams, of which memory brought rows
    of 400 bytes at half the speed of one.
    """
    builder.asm(ir.FunctionType(ir.VoidType(), []), "", "~{memory}", [], True)


def _rows(context: Any, builder: Any, A: Any, operands: Any, count: int, vector: Any) -> Iterator[list[Any]]:
    """Of a matrix `count` rows from a row on, less m where there is one; operands: matrix, row, columns, m or None."""
    array, row, columns, m = operands
    view, starts = context.make_array(A)(context, builder, array), cgutils.unpack_tuple(builder, columns)
    width = cgutils.unpack_tuple(builder, view.shape, 2)[1]
    first = builder.mul(row, width)
    for _ in range(count):
        found = _row(context, builder, A, view, first, starts, vector)
        if m is not None:
            centre = cgutils.unpack_tuple(builder, m)
            found = [simd.subtract(builder, vector.dtype, *pair) for pair in zip(found, centre, strict=True)]
        yield found
        _in_order(builder)
        first = builder.add(first, width)


@intrinsic
def add_rows(typingctx: Any, sums: Any, A: Any, row: Any, columns: Any, m: Any, r: Any, first: Any) -> Any:
    """sums + (A[row] - m) r[first], of as many rows of A, one after the other, as `sums` has; m a row, or None."""
    vector, wide = _row_type(A, columns, sums.dtype).dtype, len(columns)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        found = cgutils.unpack_tuple(builder, args[0])
        operands = (*args[1:4], None if isinstance(m, types.NoneType) else args[4])
        factors = context.make_array(r)(context, builder, args[5])
        for k, x in enumerate(_rows(context, builder, A, operands, len(found) // wide, vector)):
            index = builder.add(args[6], ir.Constant(I64, k))
            factor = builder.load(cgutils.get_item_pointer(context, builder, r, factors, [index]))
            factor = simd.spread(builder, context.cast(builder, factor, r.dtype, vector.dtype), vector.count)
            for j in range(wide):
                place = k * wide + j
                found[place] = simd.add_product(builder, vector.dtype, found[place], x[j], factor)
        return context.make_tuple(builder, sums, found)

    return sums(sums, A, types.intp, _indices(columns), m, r, types.intp), generate


@intrinsic
def dots(typingctx: Any, A: Any, row: Any, columns: Any, m: Any, w: Any) -> Any:
    """sum_j (A[row + k, j] - m[j]) w[j] for k < 8, a vector in a tuple; w a row, and m one or None."""
    vector, rows = _row_type(A, columns, w.dtype).dtype, 8
    made = types.UniTuple(simd.Vector(vector.dtype, rows), 1)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        factors, starts = cgutils.unpack_tuple(builder, args[4]), cgutils.unpack_tuple(builder, args[2])
        operands = (*args[:3], None if isinstance(m, types.NoneType) else args[3])
        clear = simd.new_lanes(builder, starts[-2], starts[-1], vector.count) if len(starts) > 1 else None
        found = []
        for x in _rows(context, builder, A, operands, rows, vector):
            if clear is not None:
                x[-1] = clear(x[-1])
            sums = ir.Constant(context.get_value_type(vector), None)
            for part, factor in zip(x, factors, strict=True):
                sums = simd.add_product(builder, vector.dtype, sums, part, factor)
            found.append(sums)
        return context.make_tuple(builder, made, [simd.totals(builder, vector, found)])

    return made(A, types.intp, _indices(columns), m, w), generate


@intrinsic
def ask_for(typingctx: Any, A: Any, row: Any, columns: Any, like: Any) -> Any:
    """Have a row brought nearer, of as many vectors as there are columns where they start; it need not exist.

    One that starts inside a cache line ends in one that belongs to the next row too.
    """
    _must_be_contiguous(A)
    lines = -(-len(columns) * simd.Vector(like.dtype).count * simd.bytes_of(A.dtype) // LINE_BYTES)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        view = context.make_array(A)(context, builder, args[0])
        first = builder.mul(args[1], cgutils.unpack_tuple(builder, view.shape, 2)[1])
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, I32, I32, I32])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        reading, second_level, data = (ir.Constant(I32, k) for k in (0, 2, 1))
        start = builder.bitcast(builder.gep(view.data, [first]), byte)
        for line in range(lines):
            place = builder.gep(start, [ir.Constant(I64, line * LINE_BYTES)])
            builder.call(prefetch, [place, reading, second_level, data])
        return context.get_dummy_value()

    return types.void(A, types.intp, _indices(columns), like), generate


@intrinsic
def turn(typingctx: Any, A: Any, row: Any, column: Any, out: Any) -> Any:
    """out[column + q, row + r] = A[row + r, column + q] for a square of as many rows and columns as a vector has lanes.

    Columns beyond those of A, which are lines of `out`, are left out; they are read, so that A must go on for as long.
    """
    _must_be_contiguous(A)
    _must_be_contiguous(out)
    vector = simd.Vector(A.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        view, made = (
            context.make_array(A)(context, builder, args[0]),
            context.make_array(out)(context, builder, args[3]),
        )
        columns = cgutils.unpack_tuple(builder, view.shape, 2)[1]
        width = cgutils.unpack_tuple(builder, made.shape, 2)[1]
        found = []
        for k in range(vector.count):
            place = builder.mul(builder.add(args[1], ir.Constant(I64, k)), columns)
            found.append(simd.vector_at(context, builder, A, view, builder.add(place, args[2]), vector))
        for k, line in enumerate(simd.transposed(builder, found)):
            q = builder.add(args[2], ir.Constant(I64, k))
            with builder.if_then(builder.icmp_signed("<", q, columns)):
                start = builder.gep(made.data, [builder.add(builder.mul(q, width), args[1])])
                builder.store(line, builder.bitcast(start, line.type.as_pointer()), align=simd.bytes_of(out.dtype))
        return context.get_dummy_value()

    return types.void(A, types.intp, types.intp, out), generate
