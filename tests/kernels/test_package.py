"""What the package promises about itself: a digest of its sources, for the key of a cache on disk."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import lazyml_kernels

FOLDER = Path(lazyml_kernels.__file__).parent


def digest(folder):
    program = "import sys, lazyml_kernels as k; print(k.source_digest(), *({'numba', 'numpy'} & {*sys.modules}))"
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    value, *heavy = result.stdout.split()
    assert not heavy
    return value


def test_the_digest_changes_with_any_source_and_not_otherwise(tmp_path):
    copy = tmp_path / "lazyml_kernels"
    shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("__pycache__"))
    original = digest(tmp_path)
    assert original == lazyml_kernels.source_digest()
    seen = {original}
    for path in sorted(copy.glob("*.py")):
        content = path.read_text()
        path.write_text(content + "# changed\n")
        seen.add(digest(tmp_path))
        path.write_text(content)
    assert len(seen) == 1 + len(list(copy.glob("*.py")))
    assert digest(tmp_path) == original


def test_kernels_import_nothing_of_lazyml():
    allowed = {"__future__", "collections", "dataclasses", "functools", "hashlib", "math", "pathlib", "typing"}
    allowed |= {"numpy", "numba", "llvmlite", "lazyml_kernels"}
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= allowed, path.name
