"""A dvc.lock that DVC cannot read, because DVC was killed while it wrote it."""

import time
from pathlib import Path

from maskquery.core import files, git, yaml_text
from maskquery.core.errors import RERUN, UserError

LOCK = Path("dvc.lock")


def expect_lock_file(path: Path = LOCK) -> None:
    """Refuse a dvc.lock that DVC cannot read.

    Raises:
        UserError: it is no whole YAML file with stages.
    """
    if path.is_file() and not _is_whole(path.read_bytes()):
        raise UserError(
            f"{path} is damaged, as after a kill while DVC wrote it",
            "run `maskquery check --mend`, or `git checkout dvc.lock`, then `dvc repro`",
        )


def _is_whole(data: bytes) -> bool:
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    try:
        COMPILED_LOCKFILE_SCHEMA(yaml_text.parse(data.decode(), LOCK.name))
    except (UserError, UnicodeDecodeError, Invalid):
        return False
    return True


def mend_lock_file(path: Path = LOCK) -> str:
    """Replace a damaged dvc.lock by the last commit's; what was done, "" if it is whole.

    The damaged file is kept beside it. What ran since the commit comes from DVC's run cache.

    Raises:
        UserError: the last commit has none, or git cannot tell.
    """
    if not path.is_file() or _is_whole(path.read_bytes()):
        return ""
    text = git.read("HEAD", path) if git.holds(Path()) else None
    if text is None:
        raise UserError(
            f"{path} is damaged, and no commit has a whole one", f"remove it and {RERUN}"
        )
    aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
    files.write_file(aside, path.read_bytes())
    files.write_file(path, text.encode())
    return f"{path} was damaged, and is that of the last commit again; the damaged one is {aside}"
