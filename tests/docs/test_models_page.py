import re
from pathlib import Path

import pytest

from lazyml.models import linear

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text()


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_the_examples_run(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/models.md", "exec"), {})


def test_every_estimator_is_there():
    assert set(linear.__all__) <= set(re.findall(r"`(\w+)[(`]", PAGE))
