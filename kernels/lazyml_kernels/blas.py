"""The library's matrix product on parts of arrays, which np.dot would first copy.

Numba compiles np.dot into a call of its function `numba_xxgemm`, which is SciPy's BLAS; so does this, but with the
distances between rows as they are. The arrays are C-contiguous, of one float type.
"""

from __future__ import annotations

from typing import Any, cast

from llvmlite import ir
from numba.core import cgutils as numba_cgutils
from numba.core import types as numba_types
from numba.core.errors import TypingError

from lazyml_kernels.bits import intrinsic

cgutils, types = cast(Any, numba_cgutils), cast(Any, numba_types)  # which have no type hints

BYTE, INDEX = ir.IntType(8), ir.IntType(64)
POINTER = BYTE.as_pointer()
PRODUCT = ir.FunctionType(
    ir.IntType(32),
    [BYTE, BYTE, BYTE, INDEX, INDEX, INDEX, POINTER, POINTER, INDEX, POINTER, INDEX, POINTER, POINTER, INDEX],
)


@intrinsic
def add_product(typingctx: Any, A: Any, a: Any, B: Any, b: Any, C: Any, c: Any, count: Any, keep: Any) -> Any:
    """C = keep * C + A' B for parts of arrays: `count` rows of A and B, p columns of A and q of B, p rows of C.

    a, b and c say where each part starts and how wide it is: (row, column, columns). keep is 1 or 0.
    """
    if not (A.dtype == B.dtype == C.dtype and A.dtype in (types.float32, types.float64)):
        raise TypingError(f"a library product needs one float type, not {A.dtype}, {B.dtype} and {C.dtype}")

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        real = context.get_value_type(A.dtype)

        def part(array: Any, kind: Any, place: Any) -> tuple[Any, Any, Any]:
            """Where a part starts, how many elements its rows are apart, and its columns."""
            view = context.make_array(kind)(context, builder, array)
            row, column, columns = cgutils.unpack_tuple(builder, place, 3)
            apart = cgutils.unpack_tuple(builder, view.shape, 2)[1]
            start = builder.gep(view.data, [builder.add(builder.mul(row, apart), column)])
            return builder.bitcast(start, POINTER), apart, columns

        def number(value: Any) -> Any:
            slot = cgutils.alloca_once(builder, real)
            builder.store(value, slot)
            return builder.bitcast(slot, POINTER)

        def letter(text: str) -> Any:
            return ir.Constant(BYTE, ord(text))

        left, apart_a, p = part(args[0], A, args[1])
        right, apart_b, q = part(args[2], B, args[3])
        out, apart_c, _ = part(args[4], C, args[5])
        product = cgutils.get_or_insert_function(builder.module, PRODUCT, "numba_xxgemm")
        # In the library's order, columns first, this is C' = keep C' + B' A.
        builder.call(
            product,
            [letter("d" if A.dtype == types.float64 else "s"), letter("n"), letter("t"), q, p, args[6],
             number(ir.Constant(real, 1.0)), right, apart_b, left, apart_a,
             number(builder.sitofp(args[7], real)), out, apart_c],
        )  # fmt: skip
        return context.get_dummy_value()

    place = types.UniTuple(types.int64, 3)
    return types.void(A, place, B, place, C, place, types.int64, types.int64), generate
