"""Pack a folder of images, or of label maps, into few files, which DVC handles faster than many.

    maskquery pack data/mine --out data/packed

Then name data/packed in params.yaml. Image ids, results and the cache of finished work stay as
they are. A file stands in the zip archive that the first byte of the sha256 of its id names,
stored as it is: of at most 256 archives, one changed image changes one. Run it again after a
change: archives whose contents are the same are left alone. The archives' bytes depend on the
    files alone.
"""

import os
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from maskquery.core import console
from maskquery.core.arguments import Parser
from maskquery.core.errors import UserError
from maskquery.formats import folders
from maskquery.images import archives, image_files, names, sources
from maskquery.images.sources import File
from maskquery.masks import mask_store


def run(source: Path, out: Path) -> str:
    """Make `out` a folder of archives that hold what `source` does; the closing line.

    Args:
        source: as `images` in params.yaml: a folder, a listing of a bucket, other archives.
        out: brought up to date if it was made so.

    Raises:
        UserError: a file cannot be packed, two have one name, or `out` holds something else, other
            packed files among them.
    """
    output = folders.Output(out, "maskquery pack", source)
    output.expect_replaceable()
    expect_same_source(out, source)
    shards = shards_of(source)
    with output.adding({"source": from_there(source, out)}) as additions:
        outdated = additions.hashes.keys() - shards.keys()
        for name in outdated:
            additions.remove(name)
        written = sum(
            write(additions, name, members)
            for name, members in console.progress(
                sorted(shards.items()), len(shards), "pack", "archive"
            )
        )
    count = sum(map(len, shards.values()))
    return (
        f"pack: {count} files in {len(shards)} archives in {out}, "
        f"{written} of them written, {len(outdated)} removed"
    )


def expect_same_source(out: Path, source: Path) -> None:
    """Refuse a folder of archives of other files, which may be nowhere else by now.

    Raises:
        UserError: naming both sources.
    """
    packed = folders.read_mark(out).get("source")
    if isinstance(packed, str) and packed != from_there(source, out):
        raise UserError(
            f"{out} holds what {(out / packed).resolve()} held, and would lose it to {source}",
            "give another folder, or pack a folder that holds all",
        )


def from_there(source: Path, out: Path) -> str:
    """The path to `source` from `out`, the same wherever the project stands."""
    return os.path.relpath(source.resolve(), out.resolve())


def shards_of(source: Path) -> dict[str, dict[str, File]]:
    """The files of each archive, by their names in it."""
    shards: dict[str, dict[str, File]] = defaultdict(dict)
    for name, file in sources.by_name(source).items():
        if name == folders.MARK:
            continue
        names.expect_text(name, source)
        shards[f"{mask_store.shard_of(names.image_id(name))}.zip"][name] = file
    if not shards:
        raise UserError(f"{source} holds no files")
    return shards


def write(additions: folders.Additions, name: str, members: dict[str, File]) -> bool:
    """Write an archive, one file in memory at a time; False if it was there already."""
    path = additions.output.folder / name
    if path.is_file() and _holds(path, members):
        return False
    with additions.replacing_file(name) as temporary:
        _fill(temporary, members.items())
    return True


def _holds(path: Path, members: dict[str, File]) -> bool:
    try:
        there = {member.name: member for member in archives.members(path)}
        return list(there) == sorted(members) and all(
            there[name].read_bytes() == image_files.read_bytes(file)
            for name, file in members.items()
        )
    except UserError:
        return False


def _fill(path: Path, members: Iterable[tuple[str, File]]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, file in sorted(members):
            entry = zipfile.ZipInfo(name)  # dated 1980, whenever this runs
            entry.create_system = 3  # as on Unix
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, image_files.read_bytes(file))


def main(arguments: Sequence[str]) -> str:
    """Pack a folder."""
    parser = Parser("pack", __doc__)
    parser.add_argument("source", metavar="FOLDER", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder of archives to make")
    chosen = parser.parse_args(arguments)
    return run(chosen.source, chosen.out)
