import re
from pathlib import Path

import pytest

from lazyml.solvers import SOLVERS

PAGE = (Path(__file__).parents[2] / "docs" / "solvers.md").read_text()


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_the_examples_run(code):
    exec(compile(code, "docs/solvers.md", "exec"), {})


def test_every_solver_is_explained():
    explained = set(re.findall(r'"([a-z-]+)"', " ".join(re.findall(r"^### .*$", PAGE, re.MULTILINE))))
    assert explained == set(SOLVERS) - {"auto"}
