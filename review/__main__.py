"""Compare the workspace with a revision:  python -m review BASE [--out FOLDER]

Writes a Markdown comment and panels. Exit code 1, with the reasons in one line, if results are out
of date or a figure of `review.tolerance` dropped too far.
"""

import argparse
from pathlib import Path

from retrieval import cli
from review import comment

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m review", description=__doc__)
    parser.add_argument("base", help="branch, tag or commit to compare with")
    parser.add_argument("--out", type=Path, default=Path(".cache/review"))
    arguments = parser.parse_args()
    cli.run_stage(lambda: comment.main(arguments.base, arguments.out))
