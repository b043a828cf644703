"""Imports go down the list of layers only."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Lowest first; the modules of one line may import those of lines above it, and their own kind.
LAYERS = [
    ("lazyml_kernels",),
    ("lazyml.errors",),
    ("lazyml.forks",),
    ("lazyml.trees",),
    ("lazyml.config",),
    ("lazyml.machine",),
    ("lazyml.sizes",),
    ("lazyml.kernel_cache",),
    ("lazyml.frozen_function",),
    ("lazyml.user_functions",),
    ("lazyml.expr",),
    ("lazyml.sources",),
    ("lazyml.plan",),
    ("lazyml.codegen", "lazyml.runtime"),  # siblings: neither imports the other
    ("lazyml.copying",),
    ("lazyml.planned", "lazyml.manners"),
    ("lazyml.slices",),
    ("lazyml.engine",),
    ("lazyml.origins",),
    ("lazyml.array",),
    ("lazyml.functions",),
    ("lazyml.metrics",),
    ("lazyml.solvers",),
    ("lazyml.selection",),
    ("lazyml.models",),
    ("lazyml.tuning",),
    ("lazyml.demo",),
    ("lazyml.cli", "lazyml.notebook"),
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
OURS = ("lazyml", "lazyml_kernels")
FACE = "lazyml"  # lazyml/__init__.py: what users import; models, the command line and the demo are users


def layer(module):
    """The layer that a module belongs to, by its longest known prefix."""
    parts = module.split(".")
    for end in range(len(parts), 0, -1):
        name = ".".join(parts[:end])
        if name in LEVEL:
            return name
    return FACE if parts[0] == FACE else None


def imports(text, module):
    """Every module that a source text imports, `from package import submodule` resolved to the submodule."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES or full in LEVEL else node.module


def module_files():
    files = {}
    for folder, package in ((ROOT / "lazyml", "lazyml"), (ROOT / "kernels/lazyml_kernels", "lazyml_kernels")):
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join([package, *(part for part in parts if part != "__init__")])
            files[name] = path
    return files


MODULES = module_files()


def upward(text, module):
    """The imports of a module that go up, or sideways between siblings."""
    own = layer(module)
    found = []
    for imported in imports(text, module):
        if imported.split(".")[0] not in OURS or module == FACE:
            continue
        other = layer(imported)
        if other == FACE:
            if LEVEL[own] < LEVEL["lazyml.models"]:
                found.append(imported)
        elif other != own and LEVEL[other] >= LEVEL[own]:
            found.append(imported)
    return found


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_down(module):
    assert layer(module) is not None, f"{module} is in no layer: add it to LAYERS"
    assert upward(MODULES[module].read_text(), module) == []


def outside(module):
    return strangers(MODULES[module].read_text(), module)


def strangers(text, module):
    names = {name.split(".")[0] for name in imports(text, module)}
    return names - set(sys.stdlib_module_names) - set(OURS)


def without_functions(text):
    """A source text as it runs when it is imported: what its functions import, they import late."""

    class Emptied(ast.NodeTransformer):
        def visit_FunctionDef(self, node):
            node.body = [ast.Pass()]
            return node

    return ast.unparse(Emptied().visit(ast.parse(text)))


@pytest.mark.parametrize("module", [name for name in sorted(MODULES) if name.startswith("lazyml_kernels")])
def test_kernels_know_only_arrays_and_the_compiler(module):
    assert outside(module) <= {"numpy", "numba", "llvmlite"}
    assert not any(name.split(".")[0] == "lazyml" for name in imports(MODULES[module].read_text(), module))


@pytest.mark.parametrize("module", [name for name in sorted(MODULES) if layer(name) in ("lazyml.expr", "lazyml.plan")])
def test_formulas_and_plans_know_no_files_and_no_compiler(module):
    assert outside(module) <= ({"numpy", "scipy"} if layer(module) == "lazyml.expr" else {"numpy"})
    assert strangers(without_functions(MODULES[module].read_text()), module) <= {"numpy"}, "SciPy is imported late"


def test_late_imports_are_told_from_early_ones():
    late = "import numpy\ndef f():\n    def g():\n        import scipy.special\n"
    assert strangers(late, "x") == {"numpy", "scipy"} and strangers(without_functions(late), "x") == {"numpy"}
    assert "scipy" in strangers(without_functions("if True:\n    from scipy import special"), "x")


@pytest.mark.parametrize(
    ("module", "text", "caught"),
    [
        ("lazyml.expr.grad", "from lazyml.plan.levels import levels", ["lazyml.plan.levels"]),
        ("lazyml.expr.grad", "from lazyml.plan import levels", ["lazyml.plan.levels"]),
        ("lazyml.plan.tiles", "def f():\n    import lazyml.engine", ["lazyml.engine"]),
        ("lazyml.codegen.lower", "from lazyml.runtime import pool", ["lazyml.runtime.pool"]),
        ("lazyml.runtime.pool", "from lazyml.codegen import lower", ["lazyml.codegen.lower"]),
        ("lazyml.solvers.base", "import lazyml as lz", ["lazyml"]),
        ("lazyml.models.build", "import lazyml as lz", []),
        ("lazyml.engine", "from lazyml.codegen import lower\nfrom lazyml.runtime import pool", []),
    ],
)
def test_the_test_catches(module, text, caught):
    assert upward(text, module) == caught
