"""Nothing is written outside the workspace and the cache."""

import os
import sys
from pathlib import Path

from maskquery.formats import pack
from tests.support.project import STAGES, Project

WATCHED = """
import os, sys
from pathlib import Path

seen = set()
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {"os.mkdir": 1, "os.rename": 2, "os.remove": 1, "os.rmdir": 1, "os.link": 2,
           "os.symlink": 2, "os.truncate": 1, "os.chmod": 1, "os.chown": 1, "os.utime": 1}

def hook(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)) and arguments[2] & WRITES:
        seen.add(os.path.abspath(os.fsdecode(arguments[0])))
    for path in arguments[: CHANGES.get(event, 0)]:
        if isinstance(path, (str, bytes)):
            seen.add(os.path.abspath(os.fsdecode(path)))

sys.addaudithook(hook)
from tests.support import standin
from maskquery.core import console
from stages import embeddings, masks

standin.install()
try:
    console.run({"masks": masks, "embeddings": embeddings}[sys.argv[1]].main)
finally:
    print("\\0".join(sorted(seen)))
"""


def test_nothing_is_written_outside(tmp_path: Path) -> None:
    """By what Python opens, makes, moves and removes, and by what is there afterwards."""
    project = Project.create(tmp_path / "project", 3)
    for name in ("-x; touch y", "a%2F..%2Fb", "..\\\\c", "new\nline"):
        project.put(name, len(name))
    (tmp_path / "more").mkdir()
    pack.run(project.folder / "data/images", tmp_path / "more/packed")
    (project.folder / "data/images").rename(tmp_path / "more/loose")
    (tmp_path / "more/packed").rename(project.folder / "data/images")
    places = {name: tmp_path / name for name in ("home", "temporary")}
    for path in places.values():
        path.mkdir()
    environment = {"HOME": str(places["home"]), "TMPDIR": str(places["temporary"])}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    before = snapshot(project.folder / "data/images")
    for stage in STAGES:
        with project.start(sys.executable, "-c", WATCHED, stage, **environment) as process:
            out, err = process.communicate()
        assert process.returncode == 0, err
        written = {path for path in out.splitlines()[-1].split("\0") if path}
        written -= {os.devnull, str(project.log)}
        assert len(written) > 7
        assert {path for path in written if not Path(path).is_relative_to(project.folder)} == set()
    assert snapshot(project.folder / "data/images") == before
    assert not any(any(path.iterdir()) for path in places.values())
    assert {path.name for path in project.folder.iterdir()} == {
        ".cache", "data", "metrics", "params.yaml"
    }  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {
        "home", "more", "project", "project.log", "temporary"
    }  # fmt: skip


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
