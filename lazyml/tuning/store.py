"""The file with the answer of `lazyml tune`: written aside and renamed into place, and removed."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from lazyml import sizes
from lazyml.config import format_bytes
from lazyml.errors import SourceError
from lazyml.models.fitted import replace_file
from lazyml.sizes import Sizes


def check_folder() -> Path:
    """The folder for the answer, made where it is not there. Called before the work starts."""
    folder = sizes.tuned_file().parent
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise SourceError("the answer can not be kept", found=f"{folder}: {error.strerror}",
                          fix="name another folder in LAZYML_CACHE_DIR") from error  # fmt: skip


def keep(found: Sizes) -> None:
    """Make these the sizes of this machine, for every program that is planned from now on."""
    path = check_folder() / sizes.tuned_file().name
    replace_file(path, sizes.encode(found, time.strftime("%Y-%m-%d %H:%M")))
    sizes.forget()


def remove() -> bool:
    """Remove the answer; whether there was one."""
    path = sizes.tuned_file()
    there = path.exists()
    path.unlink(missing_ok=True)
    sizes.forget()
    return there


def facts() -> list[tuple[str, str]]:
    """The sizes in force by name, where they come from, and what is wrong with the file where something is."""
    found, about = sizes.in_force(), sizes.machine()
    known = ", ".join(f"{name} {format_bytes(size)}" for name, size in about.items() if name.endswith("cache") and size)
    origin = {
        "tuned": f"measured by lazyml tune, {found.measured}: {sizes.tuned_file()}",
        "caches": f"the sizes of caches: {known}",
        "defaults": "what is usual, since the system does not tell the sizes of its caches",
    }
    wrong = (("ignored", found.ignored), ("damaged", found.damage))
    return [
        ("pages", format_bytes(found.sizes.page_bytes)),
        ("blocks", format_bytes(found.sizes.block_bytes)),
        ("strips", format_bytes(found.sizes.strip_bytes)),
        ("loops", f"for products of up to {found.sizes.loop_columns} columns"),
        ("from", origin[found.origin]),
        *((name, f"{sizes.tuned_file()}: {why}") for name, why in wrong if why),
    ]
