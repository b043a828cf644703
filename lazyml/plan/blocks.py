"""How many rows a block and a strip have: what a tile function sums together, and what its steps work on at a time."""

from __future__ import annotations

import numpy as np

from lazyml.config import Settings
from lazyml.expr.node import Node
from lazyml.plan.cut_loops import is_long
from lazyml.plan.plan import Blocks, Pass, row_bytes
from lazyml.plan.scratch import FIXED, GRAMS, scratch_bytes_per_row
from lazyml.plan.steps import width

SMALLEST_BLOCK = 16  # fewer rows do not pay for clearing and adding the block's own totals
BLAS_BLOCK_ROWS = 256  # a library product pays for its packing only from about this many rows
UNPACKED = 10**6
"""Up to so many multiplications OpenBLAS packs nothing: products with 512 x 16, of 64 rows each, take 0.65 of the time
of those of 256."""
FEWEST_UNPACKED = 32
LEAST_OF_BLAS = 64
"""Rows of a block with such a product, where rows and what is made of them are too wide for the cache."""
STRIP_ROWS = (32, 16)
"""A strip has a multiple of the first, or the second alone: vectors of a loop come out even. With fewer rows a block is
one strip."""
SUMMED_BY_STRIPS = {"contract_rows", "centred_contract"}
"""Kernels with scratch of the block that go on from strip to strip. The others merge what they have after each call."""


def blocks_of(a_pass: Pass, settings: Settings) -> Blocks:
    """The rows of a block and of a strip, from the bytes of a row and of what is made for it.

    A strip stays in the nearest cache from the step that reads it first to the last, and while the steps work on it,
    the processor goes on to bring the next rows: of 28 columns a logistic gradient reached 0.93 of the speed at which
    the rows can be summed, and 0.77 to 0.83 with steps that each go over 1,024 rows (float32, two cores of an EPYC).
    """
    each = max((row_bytes(node) for node in a_pass.sources), default=8) + scratch_bytes_per_row(a_pass)
    each = max(each, 1)
    rows = int(np.clip(settings.block_bytes // each // 8 * 8, SMALLEST_BLOCK, settings.block_rows))
    if largest := max((_products_each(node) for node in a_pass.library), default=0):
        unpacked = UNPACKED // largest // 8 * 8
        rows = max(rows, BLAS_BLOCK_ROWS) if unpacked < FEWEST_UNPACKED else min(max(rows, LEAST_OF_BLAS), unpacked)
    if is_long(a_pass) or not _goes_by_strips(a_pass):
        return Blocks(rows, rows)
    many, few = STRIP_ROWS
    strip = settings.strip_bytes // each
    strip = strip // many * many if strip >= many else few if strip >= few else rows
    return Blocks(rows, min(strip, rows))


def _products_each(node: Node) -> int:
    """Multiplications for each row of a product by the library; too many of a Gram matrix, which is cut into panels."""
    wide = width(node.src[0]) or 1
    if node.op in GRAMS:
        return UNPACKED
    return wide * (int(node.src[1].shape[1]) if node.op == "matmul" else width(node.src[1]) or 1)


def _goes_by_strips(a_pass: Pass) -> bool:
    """Whether every kernel can go on with its sums from strip to strip."""
    nodes = (node for step in a_pass.steps if step.kind == "kernel" for node in step.nodes)
    return not a_pass.library and all(node.op not in FIXED or node.op in SUMMED_BY_STRIPS for node in nodes)
