"""All benchmarks, and the page that says what they found.

    python -m benchmarks                          the quick set, a few minutes on two cores
    python -m benchmarks --full --write-docs      the full set, and docs/performance.md from it
    python -m benchmarks --only in-memory file    some of them; the page has the others as they were found before

Results, tables and plots are written to a folder (`--results`): a JSON file a script, `performance.md` and its images.
Exits with 1 when a check of any script failed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import page, plots, suite

DOCS = suite.ROOT / "docs"


def write(results: dict[str, suite.Found], folder: Path) -> None:
    """The page, its plots, and the results that it was made from."""
    folder.mkdir(parents=True, exist_ok=True)
    plots.draw(results, folder / "images")
    (folder / "performance.json").write_text(page.as_json(results))
    (folder / "performance.md").write_text(page.text(results))
    print(f"{folder / 'performance.md'}: {len(results)} of {len(suite.SCRIPTS)} scripts")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="small data and few repeats (the default)")
    size.add_argument("--full", action="store_true", help="the sizes that figures are published for")
    parser.add_argument("--only", nargs="*", choices=list(suite.SCRIPTS), default=list(suite.SCRIPTS),
                        help="these; none, to write the page of what was found before")  # fmt: skip
    parser.add_argument("--results", type=Path, default=Path("benchmark-results"), help="the folder")
    parser.add_argument("--write-docs", action="store_true", help="docs/performance.md and its plots, too")
    options = parser.parse_args(arguments)
    for name in options.only:
        suite.save(suite.run(suite.SCRIPTS[name], options.full), options.results)
    results = suite.load(options.results)
    write(results, options.results)
    if options.write_docs:
        write(results, DOCS)
    failures = [f"{found.name}: {failure}" for found in results.values() for failure in found.failures]
    print(*(f"FAILED {failure}" for failure in failures), sep="\n", end="\n" if failures else "")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
