"""All families of rules, and what runs programs of the formulas that they make."""

import warnings

import numpy as np
import rules_elementwise as rules_elementwise
import rules_layout as rules_layout
import rules_linalg as rules_linalg
import rules_reductions as rules_reductions

import lazyml as lz


def program_of(values, **options):
    return lz.compile([v.lazy for v in values], **options)


def run(program, params, **options):
    """The values of a program's outputs; what is nan or infinite on the way is no warning, as it is none in NumPy."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return program(**{name: params[name] for name in program.parameters}, **options)
