"""Compare the workspace with a revision.

    maskquery review main

Writes a Markdown comment and panels. Exit code 1, with the reasons in one line, if results are out
of date or a figure of `review.tolerance` dropped too far.
"""

from collections.abc import Sequence
from pathlib import Path

from maskquery.core.arguments import Parser
from maskquery.review import comment


def main(arguments: Sequence[str]) -> str:
    """Write the comment; the closing line."""
    parser = Parser("review", __doc__)
    parser.add_argument("base", help="branch, tag or commit to compare with")
    parser.add_argument("--out", type=Path, default=Path(".cache/review"), help="(%(default)s)")
    chosen = parser.parse_args(arguments)
    return comment.main(chosen.base, chosen.out)
