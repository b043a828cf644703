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
from numba.core.datamodel import models
from numba.core.errors import TypingError
from numba.extending import intrinsic as numba_intrinsic
from numba.extending import register_model

from lazyml_kernels.widths import VECTOR_BYTES

cgutils, types = cast(Any, numba_cgutils), cast(Any, numba_types)  # which have no type hints

LINE_BYTES = 64
"""Of the caches; where they are longer, some are asked for twice."""
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


def intrinsic(function: Callable[..., Any]) -> Any:
    """A word of this vocabulary. Numba's type hints want the typing context from callers, who must not pass it."""
    return cast(Any, numba_intrinsic)(prefer_literal=True)(function)


def _vector_at(context: Any, builder: Any, array: Any, view: Any, position: Any, vector: Any) -> Any:
    """The vector that starts at a position of a contiguous array, converted."""
    stored = ir.VectorType(context.get_data_type(array.dtype), vector.count)
    start = builder.bitcast(builder.gep(view.data, [position]), stored.as_pointer())
    return _converted(builder, builder.load(start, align=_bytes(array.dtype)), array.dtype, vector)


def _bytes(dtype: Any) -> int:
    return 1 if isinstance(dtype, types.Boolean) else int(dtype.bitwidth) // 8


def _converted(builder: Any, value: Any, given: Any, vector: Any) -> Any:
    """Lanes of any real type as those of the vector's, which is wide enough for them."""
    wanted = ir.VectorType(_llvm_type(vector.dtype), vector.count)
    signed = bool(getattr(given, "signed", False))
    if value.type == wanted:
        return value
    if isinstance(given, types.Float):
        return builder.fpext(value, wanted)
    if isinstance(vector.dtype, types.Float):
        return builder.sitofp(value, wanted) if signed else builder.uitofp(value, wanted)
    return builder.sext(value, wanted) if signed else builder.zext(value, wanted)


def _llvm_type(dtype: Any) -> Any:
    if isinstance(dtype, types.Integer):
        return ir.IntType(dtype.bitwidth)
    return ir.DoubleType() if dtype.bitwidth == 64 else ir.FloatType()


def _spread(builder: Any, value: Any, count: int) -> Any:
    nothing = ir.Constant(ir.VectorType(value.type, count), ir.Undefined)
    one = builder.insert_element(nothing, value, ir.Constant(I32, 0))
    return builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(I32, count), [0] * count))


@intrinsic
def lanes(typingctx: Any, like: Any) -> Any:
    """How many numbers a vector has."""
    count = Vector(like.dtype).count
    return types.intp(like), lambda context, builder, signature, args: context.get_constant(types.intp, count)


@intrinsic
def places(typingctx: Any, count: Any, size: Any, like: Any) -> Any:
    """Where the vectors start that hold `size` numbers; `count`, a constant, is the least number of them that can.

    The last ends with the last number, and may overlap with the one before it.
    """
    made, each = types.UniTuple(types.intp, count.literal_value), Vector(like.dtype).count

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        found = [ir.Constant(I64, each * k) for k in range(made.count - 1)]
        found.append(builder.sub(args[1], ir.Constant(I64, each)))
        return context.make_tuple(builder, made, found)

    return made(count, types.intp, like), generate


@intrinsic
def spread(typingctx: Any, number: Any, like: Any) -> Any:
    """A number in every lane."""
    vector = Vector(like.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _spread(builder, context.cast(builder, args[0], number, vector.dtype), vector.count)

    return vector(number, like), generate


def _row(context: Any, builder: Any, array: Any, view: Any, first: Any, columns: Any, vector: Any) -> list[Any]:
    """The vectors from each of some columns on, after position `first`."""
    return [_vector_at(context, builder, array, view, builder.add(first, column), vector) for column in columns]


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
    return types.UniTuple(Vector(like.dtype), len(columns))


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
            builder.store(vector, place, align=_bytes(array.dtype))
        return context.get_dummy_value()

    return types.void(array, _indices(vectors), vectors), generate


@intrinsic
def zeros(typingctx: Any, count: Any, like: Any) -> Any:
    """`count`, a constant, vectors of +0."""
    made = types.UniTuple(Vector(like.dtype), count.literal_value)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.make_tuple(builder, made, [ir.Constant(context.get_value_type(made.dtype), None)] * made.count)

    return made(count, like), generate


def _add(builder: Any, dtype: Any, x: Any, y: Any) -> Any:
    return (builder.fadd if isinstance(dtype, types.Float) else builder.add)(x, y)


def _subtract(builder: Any, dtype: Any, x: Any, y: Any) -> Any:
    return (builder.fsub if isinstance(dtype, types.Float) else builder.sub)(x, y)


def _add_product(builder: Any, dtype: Any, total: Any, x: Any, y: Any) -> Any:
    """total + x y: with the flag `contract` of floats rounded once, where the processor can."""
    return _add(builder, dtype, total, (builder.fmul if isinstance(dtype, types.Float) else builder.mul)(x, y))


@intrinsic
def add(typingctx: Any, x: Any, y: Any) -> Any:
    """The sums of the vectors of two tuples, one by one."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pairs = zip(*(cgutils.unpack_tuple(builder, value) for value in args), strict=True)
        return context.make_tuple(builder, x, [_add(builder, x.dtype.dtype, *pair) for pair in pairs])

    return x(x, x), generate


@intrinsic
def fold(typingctx: Any, vectors: Any, columns: Any) -> Any:
    """The sum of the rows that stand in a tuple one after the other."""
    made = types.UniTuple(vectors.dtype, len(columns))

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        found = cgutils.unpack_tuple(builder, args[0])
        while len(found) > made.count:
            half = len(found) // 2
            found = [_add(builder, vectors.dtype.dtype, *pair) for pair in zip(found[:half], found[half:], strict=True)]
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
            found = [_subtract(builder, vector.dtype, *pair) for pair in zip(found, centre, strict=True)]
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
            factor = _spread(builder, context.cast(builder, factor, r.dtype, vector.dtype), vector.count)
            for j in range(wide):
                place = k * wide + j
                found[place] = _add_product(builder, vector.dtype, found[place], x[j], factor)
        return context.make_tuple(builder, sums, found)

    return sums(sums, A, types.intp, _indices(columns), m, r, types.intp), generate


def _pairs_summed(builder: Any, dtype: Any, vectors: list[Any], low: list[int], high: list[int]) -> list[Any]:
    """Of each two vectors, seen as one: the lanes `low` plus the lanes `high`."""
    kind = ir.VectorType(I32, len(low))
    pairs = zip(vectors[::2], vectors[1::2], strict=True)
    return [_add(builder, dtype, *(builder.shuffle_vector(a, b, ir.Constant(kind, places)) for places in (low, high)))
            for a, b in pairs]  # fmt: skip


def _halves_summed(builder: Any, dtype: Any, vector: Any, count: int) -> Any:
    """A vector of half as many lanes."""
    kind = ir.VectorType(I32, count // 2)
    halves = (ir.Constant(kind, list(range(first, first + count // 2))) for first in (0, count // 2))
    return _add(builder, dtype, *(builder.shuffle_vector(vector, vector, half) for half in halves))


def _new_lanes(builder: Any, before: Any, last: Any, count: int) -> Callable[[Any], Any]:
    """A function of the last vector of a row: it with +0 for the columns that the one before it has too.

    To clear weights instead is not enough: 0 times inf is nan.
    """
    lane = ir.Constant(ir.VectorType(I32, count), list(range(count)))
    shared = builder.add(builder.sub(before, last), ir.Constant(I64, count))
    new = builder.icmp_signed(">=", lane, _spread(builder, builder.trunc(shared, I32), count))
    return lambda vector: builder.select(new, vector, ir.Constant(vector.type, None))


@intrinsic
def dots(typingctx: Any, A: Any, row: Any, columns: Any, m: Any, w: Any) -> Any:
    """sum_j (A[row + k, j] - m[j]) w[j] for k < 8, a vector in a tuple; w a row, and m one or None."""
    vector, rows = _row_type(A, columns, w.dtype).dtype, 8
    made = types.UniTuple(Vector(vector.dtype, rows), 1)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        factors, starts = cgutils.unpack_tuple(builder, args[4]), cgutils.unpack_tuple(builder, args[2])
        operands = (*args[:3], None if isinstance(m, types.NoneType) else args[3])
        clear = _new_lanes(builder, starts[-2], starts[-1], vector.count) if len(starts) > 1 else None
        found = []
        for x in _rows(context, builder, A, operands, rows, vector):
            if clear is not None:
                x[-1] = clear(x[-1])
            sums = ir.Constant(context.get_value_type(vector), None)
            for part, factor in zip(x, factors, strict=True):
                sums = _add_product(builder, vector.dtype, sums, part, factor)
            found.append(sums)
        return context.make_tuple(builder, made, [_totals(builder, vector, found)])

    return made(A, types.intp, _indices(columns), m, w), generate


def _totals(builder: Any, vector: Any, sums: list[Any]) -> Any:
    """A vector with the total of the lanes of each of some vectors.

    Halves of vectors are summed until a vector has as many lanes as there are vectors. Then pairs of vectors are,
    within sections, so that each section holds sums of several, in order; and then the sections.
    """
    dtype, rows, count = vector.dtype, len(sums), vector.count
    while count > rows:
        sums = [_halves_summed(builder, dtype, part, count) for part in sums]
        count //= 2
    section = SECTION_BYTES * 8 // dtype.bitwidth
    starts = range(0, count, section)
    even = [base + s + k for s in starts for base in (0, count) for k in range(0, section, 2)]
    while len(sums) > count // section:
        sums = _pairs_summed(builder, dtype, sums, even, [place + 1 for place in even])
    low = [base + s + k for base in (0, count) for s in starts[::2] for k in range(section)]
    while len(sums) > 1:
        sums = _pairs_summed(builder, dtype, sums, low, [place + section for place in low])
    return sums[0]


@intrinsic
def ask_for(typingctx: Any, A: Any, row: Any, columns: Any, like: Any) -> Any:
    """Have a row brought nearer, of as many vectors as there are columns where they start; it need not exist.

    One that starts inside a cache line ends in one that belongs to the next row too.
    """
    _must_be_contiguous(A)
    lines = -(-len(columns) * Vector(like.dtype).count * _bytes(A.dtype) // LINE_BYTES)

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
    vector = Vector(A.dtype)

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
            found.append(_vector_at(context, builder, A, view, builder.add(place, args[2]), vector))
        for k, line in enumerate(_transposed(builder, found)):
            q = builder.add(args[2], ir.Constant(I64, k))
            with builder.if_then(builder.icmp_signed("<", q, columns)):
                start = builder.gep(made.data, [builder.add(builder.mul(q, width), args[1])])
                builder.store(line, builder.bitcast(start, line.type.as_pointer()), align=_bytes(out.dtype))
        return context.get_dummy_value()

    return types.void(A, types.intp, types.intp, out), generate


def _transposed(builder: Any, lines: list[Any]) -> list[Any]:
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
