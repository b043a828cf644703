"""The scripts that `python -m benchmarks` runs, each a process of its own, and what they found, as files."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Script:
    """One script with its arguments for the quick set and for the full one."""

    name: str
    module: str
    quick: str
    full: str

    def command(self, full: bool) -> str:
        """As a user types it."""
        return f"python -m benchmarks.{self.module} {self.full if full else self.quick}".strip()


SCRIPTS = {script.name: script for script in (
    Script("in-memory", "in_memory", "--share 0.25 --repeats 7", "--repeats 9"),
    Script("models", "models", "--share 0.1 --repeats 5", "--repeats 9"),
    Script("file", "gradient", "--rows 2000000 --repeats 7", "--rows 10000000 --repeats 9"),
    Script("cold", "gradient", "--cold --rows 4000000 --repeats 3 --pause 1",
           "--cold --rows 20000000 --repeats 5 --pause 5"),
    Script("layouts", "staging", "--layouts --rows 200000 --small-rows 10000 --repeats 5",
           "--layouts --rows 4000000 --repeats 7"),
    Script("passes", "staging", "--warm --passes --large-rows 3000000 --repeats 5 --pause 0.5",
           "--warm --passes --large-rows 20000000 --repeats 7 --pause 3"),
    Script("memory", "memory", "--megabytes 400 --memory '64 MiB' --iterations 10",
           "--megabytes 1200 --memory '256 MiB'"),
    Script("fit", "fit", "--rows 1000000", "--rows 10000000"),
    Script("fit-mixed", "fit", "--rows 300000 --condition 100", "--rows 10000000 --condition 100"),
    Script("squares", "squares", "--rows 1000000", "--rows 10000000"),
    Script("select", "select", "--rows 300000 --repeats 2", "--rows 10000000 --peers --repeats 2"),
    Script("minibatch", "minibatch", "--rows 200000", "--rows 1000000 --repeats 5"),
    Script("rows", "rows", "--powers 4 5 6 7 --repeats 3", ""),
    Script("overhead", "overhead", "", "--rows 819200 --repeats 21"),
    Script("startup", "startup", "--repeats 3", "--repeats 9"),
    Script("planning", "planning", "--sizes 1000 10000 --compile 50 500 --repeats 2",
           "--sizes 1000 10000 100000 --compile 50 200 500 1000 --repeats 5"),
)}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """What one script found. `reports` are as `Report.as_json` gives them, without the times of single repeats."""

    name: str
    command: str
    seconds: float
    exit_code: int
    reports: tuple[dict[str, Any], ...]

    @property
    def failures(self) -> list[str]:
        """Of its checks, and of the script itself."""
        wrong = [failure for report in self.reports for failure in report["failures"]]
        ended = self.exit_code != 0 and not wrong
        return [*wrong, *([f"it ended with {self.exit_code}"] if ended else [])]


def run(script: Script, full: bool) -> Found:
    """In a process of its own. What it prints but for its last line goes on to the terminal."""
    command, begin = script.command(full), time.perf_counter()
    print(f"$ {command}", flush=True)
    words = [sys.executable, *shlex.split(command)[1:], "--json"]
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    *table, last = done.stdout.splitlines() or [""]
    try:
        reports = tuple(reports_of(json.loads(last)))
    except json.JSONDecodeError:
        table, reports = [*table, last], ()
    print(*table, sep="\n", flush=True)
    return Found(script.name, command, time.perf_counter() - begin, done.returncode, reports)


def reports_of(printed: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The reports in what a script printed: itself, or those of its sections."""
    if "seconds" in printed:
        yield _light(printed)
        return
    for section in printed.values():
        if isinstance(section, list):
            yield from map(_light, section)


def _light(report: dict[str, Any]) -> dict[str, Any]:
    seconds = {name: {key: value for key, value in timing.items() if key != "all"}
               for name, timing in report["seconds"].items()}  # fmt: skip
    return {**{key: value for key, value in report.items() if key != "ratios"}, "seconds": seconds}


def save(found: Found, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{found.name}.json").write_text(json.dumps(asdict(found), indent=1) + "\n")


def load(folder: Path) -> dict[str, Found]:
    """What is in the folder, in the order of the scripts."""
    texts = {name: folder / f"{name}.json" for name in SCRIPTS}
    return from_json({name: json.loads(path.read_text()) for name, path in texts.items() if path.exists()})


def from_json(found: dict[str, dict[str, Any]]) -> dict[str, Found]:
    return {name: Found(**{**one, "reports": tuple(one["reports"])}) for name, one in found.items()}
