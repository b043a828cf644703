"""The suite of properties takes minutes: it runs when it is asked for, LAZYML_LONG_TESTS=1 pytest tests/property."""

import os

if os.environ.get("LAZYML_LONG_TESTS", "") in ("", "0"):
    collect_ignore_glob = ["*.py"]
