"""Report what does not fit before DVC hashes anything and before SAM runs.

    maskquery check             # prints what is wrong, and changes nothing
    maskquery check --mend      # also repairs a dvc.lock that a kill cut off; `make repro` does so

Only names and headers are read. DVC opens every file below the images and the ground truth, and
waits for ever where one is a pipe; a label map that is missing is otherwise reported only after
all masks are made.
"""

from collections.abc import Sequence

from maskquery.checking.lock_file import mend_lock_file
from maskquery.checking.project import problems
from maskquery.core import console, params
from maskquery.core.arguments import Parser
from maskquery.core.errors import UserError


def main(arguments: Sequence[str]) -> str:
    """Check; the closing line."""
    parser = Parser("check", __doc__)
    parser.add_argument("--mend", action="store_true", help="repair a damaged dvc.lock")
    chosen = parser.parse_args(arguments)
    if not params.PARAMS_FILE.is_file():
        raise UserError("there is no params.yaml here", "go to the project's folder")
    if chosen.mend and (line := mend_lock_file()):
        console.log(line)
    lines = list(problems())
    for line in lines[:-1]:
        console.log(f"error: {line}")
    if lines:
        raise UserError(lines[-1])
    return "check: params, images and ground truth fit"
