"""Measure, print tables, and keep the figures in benchmarks/results/.

    python -m benchmarks                        # everything: most of an hour on two cores
    python -m benchmarks masks embeddings       # only these

Seconds are medians. Both sides of a ratio are measured in turn, in one process, on one machine.
"""

import argparse
import subprocess
import sys
from importlib import import_module

from benchmarks import measuring

NAMES = (
    "masks",
    "masks_published",
    "mobile",
    "encoder",
    "embeddings",
    "memory",
    "agreement",
    "pipeline",
    "mask_store",
    "scale",
    "cluster",
    "explorer",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    names = parser.parse_args().names or NAMES
    if unknown := set(names) - set(NAMES):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    if len(names) > 1:  # each in a process of its own, as they leave memory and threads behind
        for name in names:
            subprocess.run([sys.executable, "-m", "benchmarks", name], check=True)
        return
    name = names[0]
    print(f"{name} ...", flush=True)
    rows = []
    for row in import_module(f"benchmarks.{name}").measure():
        print(f"  {row.work}: {row.result}", flush=True)
        rows.append(row)
    measuring.save(name, rows)
    print(measuring.table(rows))


if __name__ == "__main__":
    main()
