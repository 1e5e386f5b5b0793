"""A project in git and DVC."""

import re
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.support import environment
from tests.support.project import STAGES, Done, Project

COMMAND = "python -m tests.support.standin"
PIPELINE = {
    "stages": {
        "masks": {
            "cmd": f"{COMMAND} masks",
            "deps": ["data/images"],
            "params": ["images", "max_pixels", "on_error", "sam"],
            "outs": ["data/masks.zarr"],
            "metrics": [{"metrics/failures.json": {"cache": False}}],
        },
        "embeddings": {
            "cmd": f"{COMMAND} embeddings",
            "deps": ["data/images", "data/masks.zarr"],
            "params": ["images", "clip"],
            "outs": ["data/embeddings.parquet"],
        },
    }
}


class Repository(Project):
    """With an environment that knows nothing of the user's settings."""

    @classmethod
    def create(cls, folder: Path, images: int) -> "Repository":
        Project.create(folder, images)
        repository = cls(folder)
        (folder / "dvc.yaml").write_text(yaml.safe_dump(PIPELINE, sort_keys=False))
        (folder / ".gitignore").write_text(".cache/\n.*.tmp\n")
        (folder / ".dvcignore").write_text(".cache\n.*.tmp\n")
        (folder / "data/.gitignore").write_text("/masks.zarr\n/embeddings.parquet\n")
        repository.git("init", "--quiet", "--initial-branch=main")
        repository.git("config", "user.name", "Test")
        repository.git("config", "user.email", "test@example.org")
        repository.dvc("init", "--quiet")
        repository.dvc("config", "core.analytics", "false")
        repository.commit()
        return repository

    def environment(self, **more: str) -> dict[str, str]:
        return super().environment(**environment.versioned(self.folder), **more)

    def run(self, *command: str, **environment: str) -> Done:
        with self.start(*command, **environment) as process:
            out, err = process.communicate()
        return Done(process.returncode, out, err)

    def try_dvc(self, *arguments: str, **environment: str) -> Done:
        return self.run(sys.executable, "-m", "dvc", *arguments, **environment)

    def dvc(self, *arguments: str) -> str:
        done = self.try_dvc(*arguments)
        assert done.code == 0, done.out + done.err
        return done.out + done.err

    def git(self, *arguments: str) -> str:
        done = self.run("git", *arguments)
        assert done.code == 0, done.out + done.err
        return done.out

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "state")

    def set_param(self, key: str, value: Any) -> None:
        """Set a dotted key."""
        params = self.params()
        section = params
        *sections, last = key.split(".")
        for name in sections:
            section = section[name]
        section[last] = value
        self.set_params(params)

    def count(self, stage: str) -> int:
        """How many lines the log has of a stage."""
        return sum(line.startswith(f"{stage} ") for line in self.computed())

    def repro(self) -> list[int]:
        """`dvc repro`; how much each stage computed."""
        self.forget()
        self.dvc("repro")
        return [self.count(stage) for stage in STAGES]

    def cells(self) -> list[Path]:
        folders = [self.folder / ".cache" / stage for stage in STAGES]
        return [path for folder in folders for path in folder.rglob("*") if path.is_file()]

    def altered_objects(self) -> list[str]:
        """Objects in DVC's cache whose bytes are not those that they are named after."""
        from hashlib import md5

        found = []
        for path in (self.folder / ".dvc/cache/files/md5").rglob("*"):
            if path.is_file():
                name = path.parent.name + path.name
                if not re.fullmatch(rf"{md5(path.read_bytes()).hexdigest()}(\.dir)?", name):  # noqa: S324
                    found.append(name)
        return found
