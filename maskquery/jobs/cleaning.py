"""See what the cache of finished work holds, and remove what nothing needs: `make cache`, `make
cache-gc`.

A cell is needed if an output was assembled from it that dvc.lock names: in the workspace, or at the
tip of a branch, a tag or an experiment, of this project or of another one that has used the same
cache. Others may still be of use, to a run that was stopped or to parameters that come back, and
are kept for some days after their last use.
"""

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from maskquery.core import git, locks, yaml_text
from maskquery.core.arguments import Parser, with_reason
from maskquery.core.errors import UserError
from maskquery.jobs import cache, cells

DAYS = 7.0
"""How long a cell is kept that nothing needs."""

DAY = 86400.0  # seconds

LISTED = ("masks", "embeddings")
"""The kinds of cells that outputs are assembled from."""

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
    all_cells = []
    for path in cache.root().glob("*/[0-9a-f][0-9a-f]/*"):
        if _CELL.fullmatch(path.name):
            status, name = path.stat(), f"{path.parts[-3]}/{path.parts[-2]}{path.name}"
            all_cells.append(Cell(name, path, status.st_size, status.st_mtime, name in needed))
    return all_cells


def leftovers() -> list[Path]:
    """What runs that were killed left of cells that they wrote."""
    pattern = f"*/[0-9a-f][0-9a-f]/*{cells.TEMPORARY}"
    return [path for path in cache.root().glob(pattern) if _CELL.match(path.name)]


def needed(repository: Path) -> tuple[frozenset[str], frozenset[str]]:
    """The names of the cells that are needed, and of the lists that say so.

    Args:
        repository: the folder in which dvc.lock stands.

    Raises:
        UserError: git refuses to say, or another project that has used the cache is not there.
    """
    texts = {text for folder in projects(repository) for text in lock_files(folder)}
    outputs = {output for text in texts for output in outputs_of(text)}
    lists, names = set(), set()
    for output in outputs:
        path = cache.root() / cells.OUTPUTS / output
        if path.is_file():
            lists.add(output)
            names |= set(path.read_text(encoding="utf-8").split())
    return frozenset(names), frozenset(lists)


def projects(repository: Path) -> set[Path]:
    """The project here, and all others that have used the cache.

    Raises:
        UserError: one is not there, so that nobody knows what it needs.
    """
    folders = {repository.absolute()}
    for note in (cache.root() / cells.PROJECTS).glob("*"):
        folder = Path(note.read_text(encoding="utf-8").rstrip("\n"))
        if not folder.is_dir():
            raise UserError(
                f"{cache.root()} is also used by {folder}, which is not there",
                f"clean where it is, or remove {note} if it is gone for good",
            )
        folders.add(folder)
    return folders


def lock_files(repository: Path) -> Iterator[str]:
    """The contents of dvc.lock in the workspace and at every tip, equal ones once.

    Raises:
        UserError: git is missing, or refuses to look.
    """
    lock_file = repository / "dvc.lock"
    texts = {lock_file.read_text(encoding="utf-8")} if lock_file.is_file() else set()
    if git.holds(repository):
        head = git.run("rev-parse", "--revs-only", "HEAD", folder=repository)
        tips = git.run("for-each-ref", "--format=%(objectname)", *_REFS, folder=repository)
        for tip in {*head.split(), *tips.split()}:
            text = git.read(tip, Path("dvc.lock"), repository)
            texts |= set() if text is None else {text}
    yield from texts


def outputs_of(lock_file: str) -> Iterator[str]:
    """The hashes of all outputs that a dvc.lock names; none, if it is not one."""
    try:
        for stage in yaml_text.parse(lock_file, "dvc.lock")["stages"].values():
            for output in stage.get("outs", ()):
                if re.fullmatch(r"[0-9a-f]{32}(\.dir)?", output.get("md5", "")):
                    yield output["md5"]
    except (UserError, AttributeError, KeyError, TypeError):
        return


def to_remove(all_cells: Iterable[Cell], days: float, size: int | None) -> list[Cell]:
    """Which cells to remove: those not needed nor used for `days`, then what exceeds `size` bytes.

    Of the latter those that are not needed go first, and among them those used longest ago.
    """
    oldest = time.time() - days * DAY
    order = sorted(all_cells, key=lambda cell: (cell.needed, cell.used))
    outdated = [cell for cell in order if not cell.needed and cell.used < oldest]
    remaining = [cell for cell in order if cell.needed or cell.used >= oldest]
    total = sum(cell.size for cell in remaining)
    for cell in remaining:
        if size is None or total <= size:
            break
        outdated.append(cell)
        total -= cell.size
    return outdated


def clean(repository: Path, days: float, size: int | None, *, dry: bool) -> str:
    """Remove cells, old lists and leftovers; the closing line.

    Raises:
        UserError: a stage runs.
    """
    with locks.alone(cache.root() / cells.IN_USE) as is_alone:
        if not is_alone:
            raise UserError("a stage that uses the cache is running: clean when it is done")
        names, lists = needed(repository)
        all_cells = find(names)
        outdated = to_remove(all_cells, days, size)
        oldest = time.time() - days * DAY
        listed = (cache.root() / cells.OUTPUTS).glob("*")
        old = [p for p in listed if p.name not in lists and p.stat().st_mtime < oldest]
        if not dry:
            for path in [*(cell.path for cell in outdated), *old, *leftovers()]:
                path.unlink(missing_ok=True)
    size_left = sum(cell.size for cell in all_cells) - sum(cell.size for cell in outdated)
    verb = "would be removed" if dry else "removed"
    return (
        f"{verb}: {len(outdated):,} cells, {_size_text(sum(cell.size for cell in outdated))}; "
        f"kept: {len(all_cells) - len(outdated):,} cells, {_size_text(size_left)}"
    )


def report(repository: Path) -> str:
    """A table of the cells by kind."""
    all_cells = find(needed(repository)[0])
    lines = [f"{cache.root()}: {_count(all_cells)}"]
    for kind in sorted({cell.kind for cell in all_cells}):
        of_kind = [cell for cell in all_cells if cell.kind == kind]
        needed_ones = [cell for cell in of_kind if cell.needed]
        which = (
            "needed by dvc.lock in the workspace, branches, tags and experiments: "
            f"{_count(needed_ones)}"
        )
        if kind not in LISTED:
            which = "made again in a moment, and kept while they are used"
        lines.append(f"  {kind}: {_count(of_kind)}; {which}")
    return "\n".join(lines)


def _count(some: Sequence[Cell]) -> str:
    return f"{len(some):,} cells, {_size_text(sum(cell.size for cell in some))}"


def _size_text(size: float) -> str:
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
