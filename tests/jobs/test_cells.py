import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from maskquery.core.errors import FatalError
from maskquery.jobs import cache, cells
from maskquery.jobs.cells import Cells
from tests.support.builders import ROOT

NAME = cache.key("an image", {"points": 4})


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MASKQUERY_CACHE", str(tmp_path / "cells"))
    return tmp_path / "cells"


def test_what_is_written_is_read(root: Path) -> None:
    for payload in (b"", b"masks", os.urandom(100_000)):
        Cells("masks").write(NAME, payload)
        assert Cells("masks").read(NAME) == payload
    assert [path for path in root.rglob("*") if path.is_file()] == [cache.cell("masks", NAME)]


def test_what_is_not_there_is_none() -> None:
    Cells("masks").write(NAME, b"masks")
    assert Cells("embeddings").read(NAME) is None
    assert Cells("masks").read(cache.key("another")) is None


@pytest.mark.parametrize("payload", [b"", b"twenty bytes of mask"])
def test_a_flipped_bit_anywhere_and_a_torn_end_are_noticed(payload: bytes) -> None:
    cells_of_masks = Cells("masks")
    cells_of_masks.write(NAME, payload)
    path = cache.cell("masks", NAME)
    whole = path.read_bytes()
    damaged = [whole[:length] for length in range(len(whole))]
    damaged += [
        whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :]
        for place in range(len(whole))
        for bit in range(8)
    ]
    damaged.append(whole + b"\0")
    for data in damaged:
        path.write_bytes(data)
        assert cells_of_masks.read(NAME) is None
    assert cells_of_masks.damaged == len(damaged)
    cells_of_masks.write(NAME, payload)
    assert cells_of_masks.read(NAME) == payload


def test_a_cell_under_another_name_is_noticed() -> None:
    Cells("masks").write(NAME, b"masks")
    other = cache.cell("masks", cache.key("another"))
    other.parent.mkdir(parents=True, exist_ok=True)
    cache.cell("masks", NAME).rename(other)
    assert Cells("masks").read(cache.key("another")) is None


def test_use_makes_a_cell_young_again() -> None:
    Cells("masks").write(NAME, b"masks")
    path = cache.cell("masks", NAME)
    os.utime(path, (0, 0))
    Cells("masks").read(NAME)
    assert path.stat().st_mtime > time.time() - 60


def test_an_old_cell_of_another_user_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    Cells("masks").write(NAME, b"masks")
    os.utime(cache.cell("masks", NAME), (0, 0))
    monkeypatch.setattr(os, "utime", refuse)
    assert Cells("masks").read(NAME) == b"masks"


def test_a_cell_that_cannot_be_written_is_a_fatal_error_and_leaves_nothing(root: Path) -> None:
    """A disk that is full: no file may grow beyond a limit here."""
    code = f"""
import resource, sys
sys.path.insert(0, {str(ROOT)!r})
from maskquery.jobs.cells import Cells
from maskquery.core.errors import FatalError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    Cells("masks").write({NAME!r}, bytes(2000))
except FatalError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"cannot write into {root} (File too large): free some space" in done.stdout
    assert not [path for path in root.rglob("*") if path.is_file()]


def test_a_root_that_is_no_folder_is_a_fatal_error(root: Path) -> None:
    root.write_bytes(b"")
    with pytest.raises(FatalError, match="Not a directory"):
        Cells("masks").write(NAME, b"")
    with pytest.raises(FatalError, match="Not a directory"), Cells("masks").claim(NAME):
        pass


def test_many_that_write_one_cell_at_once_leave_a_whole_one() -> None:
    payloads = [bytes([number]) * 200_000 for number in range(8)]
    events = []

    def work(payload: bytes) -> None:
        for _ in range(20):
            Cells("masks").write(NAME, payload)
            events.append(Cells("masks").read(NAME))

    threads = [threading.Thread(target=work, args=[payload]) for payload in payloads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(events) == 160
    assert set(events) <= set(payloads)


def test_a_claim_holds_off_the_second(capfd: pytest.CaptureFixture[str]) -> None:
    """The second finds what the first computed, and says once that it waits."""
    order = []
    first_in, first_may_end = threading.Event(), threading.Event()

    def first() -> None:
        with Cells("masks").claim(NAME):
            first_in.set()
            first_may_end.wait()
            Cells("masks").write(NAME, b"masks")
            order.append("first")

    def second() -> None:
        mine = Cells("masks")
        for _ in range(2):
            with mine.claim(NAME):
                order.append(mine.read(NAME))

    one, two = threading.Thread(target=first), threading.Thread(target=second)
    one.start()
    first_in.wait()
    two.start()
    time.sleep(0.2)
    first_may_end.set()
    one.join()
    two.join()
    assert order == ["first", b"masks", b"masks"]
    assert capfd.readouterr().err == "waiting for another run that computes the same\n"


def test_an_output_is_made_by_one_at_a_time(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from maskquery.jobs import cells
with cells.exclusive_output(Path({str(tmp_path / "out")!r})):
    print("held", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with cells.exclusive_output(tmp_path / "another"):
            pass
        threading.Timer(0.3, other.kill).start()
        with cells.exclusive_output(tmp_path / "out"):
            assert other.wait() < 0
    assert f"waiting for another process that makes {tmp_path / 'out'}" in capfd.readouterr().err


def test_the_hash_of_an_output_is_that_of_dvc(tmp_path: Path) -> None:
    """Against the library that DVC itself uses."""
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db import HashFileDB
    from dvc_objects.fs import localfs

    folder = tmp_path / "a folder"
    (folder / "sub").mkdir(parents=True)
    for name in ("b", "a", "ä.zip", "sub/a", "sub.a", "-x"):
        (folder / name).write_bytes(name.encode() * 100)
    database = HashFileDB(localfs, str(tmp_path / "objects"))
    for path in (folder, folder / "a"):
        _, _, built = build(database, str(path), localfs, "md5", dry_run=True)
        assert built.hash_info.value == cells.output_hash(path)


def test_a_record_lists_the_cells_of_an_output(tmp_path: Path, root: Path) -> None:
    (tmp_path / "table").write_bytes(b"rows")
    cells.record(tmp_path / "table", "embeddings", ["ab12", "cd34"])
    [listed] = (root / "outputs").iterdir()
    assert listed.name == cells.output_hash(tmp_path / "table")
    assert listed.read_text() == "embeddings/ab12\nembeddings/cd34\n"
