import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "selection.md").read_text()


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_the_examples_run(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/selection.md", "exec"), {})
