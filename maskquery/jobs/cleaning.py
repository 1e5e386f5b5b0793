"""See what the cache of finished work holds, and remove what nothing needs: `make cache`, `make
cache-gc`.

A cell is needed if an output was assembled from it that dvc.lock names: in the workspace, or at the
tip of a branch, a tag or an experiment. Others may still be of use, to a run that was stopped or to
parameters that come back, and are kept for some days after their last use.
"""

import re
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from maskquery.core import locks, yaml_text
from maskquery.core.arguments import Parser, with_reason
from maskquery.core.errors import UserError
from maskquery.jobs import cache, cells

DAYS = 7.0
"""How long a cell is kept that nothing needs."""

DAY = 86400.0  # seconds

_REFS = ("refs/heads", "refs/remotes", "refs/tags", "refs/exps")
_CELL = re.compile(r"[0-9a-f]{62}")
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


@dataclass(frozen=True)
class Cell:
    """A cell's file.

    Attributes:
        name: its kind and key, "masks/0a1b...".
        path: the file.
        size: bytes.
        used: when it was last used, seconds since the epoch.
        needed: whether an output that dvc.lock names was assembled from it.
    """

    name: str
    path: Path
    size: int
    used: float
    needed: bool

    @property
    def kind(self) -> str:
        """Of which stage it is."""
        return self.name.partition("/")[0]


def find(needed: frozenset[str] = frozenset()) -> list[Cell]:
    """All cells; nothing else in the cache's folder is looked at."""
    found = []
    for path in cache.root().glob("*/[0-9a-f][0-9a-f]/*"):
        if _CELL.fullmatch(path.name):
            status, name = path.stat(), f"{path.parts[-3]}/{path.parts[-2]}{path.name}"
            found.append(Cell(name, path, status.st_size, status.st_mtime, name in needed))
    return found


def leftovers() -> list[Path]:
    """What runs that were killed left of cells that they wrote."""
    pattern = f"*/[0-9a-f][0-9a-f]/*{cells.TEMPORARY}"
    return [path for path in cache.root().glob(pattern) if _CELL.match(path.name)]


def needed(repository: Path) -> tuple[frozenset[str], frozenset[str]]:
    """The names of the cells that are needed, and of the lists that say so.

    Args:
        repository: the folder in which dvc.lock stands.
    """
    outputs = {output for text in lock_files(repository) for output in outputs_of(text)}
    lists, names = set(), set()
    for output in outputs:
        path = cache.root() / cells.OUTPUTS / output
        if path.is_file():
            lists.add(output)
            names |= set(path.read_text(encoding="utf-8").split())
    return frozenset(names), frozenset(lists)


def lock_files(repository: Path) -> Iterator[str]:
    """The contents of dvc.lock in the workspace and at every tip, equal ones once."""
    own = repository / "dvc.lock"
    texts = {own.read_text(encoding="utf-8")} if own.is_file() else set()
    prefix = _git(repository, "rev-parse", "--show-prefix")
    if prefix is not None:
        tips = _git(repository, "for-each-ref", "--format=%(objectname)", *_REFS) or ""
        for tip in {"HEAD", *tips.split()}:
            text = _git(repository, "show", f"{tip}:{prefix.strip()}dvc.lock")
            texts |= set() if text is None else {text}
    yield from texts


def _git(repository: Path, *arguments: str) -> str | None:
    """What git prints; None where it refuses: no repository, no such file."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=repository, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def outputs_of(lock_file: str) -> Iterator[str]:
    """The hashes of all outputs that a dvc.lock names; none, if it is not one."""
    try:
        for stage in yaml_text.parse(lock_file, "dvc.lock")["stages"].values():
            for output in stage.get("outs", ()):
                if re.fullmatch(r"[0-9a-f]{32}(\.dir)?", output.get("md5", "")):
                    yield output["md5"]
    except (UserError, AttributeError, KeyError, TypeError):
        return


def to_remove(found: Iterable[Cell], days: float, size: int | None) -> list[Cell]:
    """Which cells to remove: those not needed nor used for `days`, then what exceeds `size` bytes.

    Of the latter those that are not needed go first, and among them those used longest ago.
    """
    oldest = time.time() - days * DAY
    order = sorted(found, key=lambda cell: (cell.needed, cell.used))
    removed = [cell for cell in order if not cell.needed and cell.used < oldest]
    kept = [cell for cell in order if cell.needed or cell.used >= oldest]
    total = sum(cell.size for cell in kept)
    for cell in kept:
        if size is None or total <= size:
            break
        removed.append(cell)
        total -= cell.size
    return removed


def clean(repository: Path, days: float, size: int | None, *, dry: bool) -> str:
    """Remove cells, old lists and leftovers; the closing line.

    Raises:
        UserError: a stage runs.
    """
    with locks.alone(cache.root() / cells.IN_USE) as held:
        if not held:
            raise UserError("a stage that uses the cache is running: clean when it is done")
        names, lists = needed(repository)
        found = find(names)
        removed = to_remove(found, days, size)
        oldest = time.time() - days * DAY
        listed = (cache.root() / cells.OUTPUTS).glob("*")
        old = [p for p in listed if p.name not in lists and p.stat().st_mtime < oldest]
        if not dry:
            for path in [*(cell.path for cell in removed), *old, *leftovers()]:
                path.unlink(missing_ok=True)
    kept = sum(cell.size for cell in found) - sum(cell.size for cell in removed)
    verb = "would be removed" if dry else "removed"
    return (
        f"{verb}: {len(removed):,} cells, {_shown(sum(cell.size for cell in removed))}; "
        f"kept: {len(found) - len(removed):,} cells, {_shown(kept)}"
    )


def report(repository: Path) -> str:
    """A table of the cells by kind."""
    found = find(needed(repository)[0])
    lines = [f"{cache.root()}: {_counted(found)}"]
    for kind in sorted({cell.kind for cell in found}):
        own = [cell for cell in found if cell.kind == kind]
        lines.append(
            f"  {kind}: {_counted(own)}; needed by dvc.lock in the workspace, branches, tags and "
            f"experiments: {_counted([cell for cell in own if cell.needed])}"
        )
    return "\n".join(lines)


def _counted(found: Sequence[Cell]) -> str:
    return f"{len(found):,} cells, {_shown(sum(cell.size for cell in found))}"


def _shown(size: float) -> str:
    units = ["kB", "MB", "GB", "TB"]
    if size < 1000:
        return f"{size:.0f} bytes"
    size /= 1000
    while size >= 1000 and len(units) > 1:
        size /= 1000
        del units[0]
    return f"{size:.1f} {units[0]}"


def size_of(text: str) -> int:
    """Bytes: "500MB", "20 GB", "1e9".

    Raises:
        ValueError: it is not a size.
    """
    match = re.fullmatch(
        r"\s*([0-9]+(?:\.[0-9]*)?(?:e[0-9]+)?)\s*([kmgt]?)b?\s*", text, re.IGNORECASE
    )
    if not match:
        raise ValueError(f"{text!r} is not a size such as 20GB")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def days_of(text: str) -> float:
    """A number of days: "7", "0.5".

    Raises:
        ValueError: it is not one.
    """
    if not re.fullmatch(r"[0-9]+(\.[0-9]*)?", text):
        raise ValueError(f"{text!r} is not a number of days such as 7")
    return float(text)


def main(arguments: Sequence[str]) -> str:
    """Print what there is, or clean."""
    parser = Parser("cache", __doc__)
    parser.add_argument("action", choices=["list", "gc"], nargs="?", default="list")
    parser.add_argument(
        "--days", type=with_reason(days_of), default=DAYS, help="keep what was used since"
    )
    parser.add_argument(
        "--size", type=with_reason(size_of), help="bytes to keep at most, such as 20GB"
    )
    parser.add_argument("--dry-run", action="store_true", help="remove nothing")
    chosen = parser.parse_args(arguments)
    if chosen.action == "list":
        return report(Path.cwd())
    return clean(Path.cwd(), chosen.days, chosen.size, dry=chosen.dry_run)
