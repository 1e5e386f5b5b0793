"""The outcome of a run: how many images were computed, and which failed for what reason."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from maskquery.core import files
from maskquery.core.errors import InterruptedWork, UserError
from maskquery.images import names

OnError = Literal["fail", "skip"]


class ImagesFailedError(UserError):
    """Images failed, and failures are not to be skipped.

    Attributes:
        failures: the reason of each, by image; at least one.
        done: how many images did not fail.
    """

    def __init__(self, failures: Mapping[str, str], done: int, where: str = "") -> None:
        image, why = min(failures.items())
        super().__init__(
            f"{len(failures)} of {len(failures) + done} images failed{where}; "
            f"the others are done and kept. The first is {names.shorten(image)!r}: {why}"
        )
        self.failures, self.done = failures, done


@dataclass
class RunStats:
    """The outcome of a run, filled by the executor.

    Attributes:
        requested: how many images there are.
        computed: images of which at least one part was computed.
        total: images that were computed or came from the cache.
        failures: the reason of each failure, by image.
        cell_keys: of the cells that the results are from.
    """

    requested: int
    computed: int = 0
    total: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    cell_keys: list[str] = field(default_factory=list)

    def count(self, *, computed: bool) -> None:
        """Count an image that did not fail.

        Args:
            computed: whether a part of it was computed.
        """
        self.total += 1
        self.computed += computed

    def summary(self) -> str:
        """A part of a stage's closing line."""
        kept = self.total - self.computed
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return f"{self.computed} images computed, {kept} from the cache{failed}"

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Add to a Ctrl-C how many images are done."""
        try:
            yield
        except KeyboardInterrupt:
            done = f"{self.total} of {self.requested} images are done and kept"
            raise InterruptedWork(done, "`dvc repro` goes on there") from None

    def write_failures(self, path: Path) -> None:
        """Write failures.json: the number of failures, and the reason of each."""
        content = {"failed": len(self.failures), "images": dict(sorted(self.failures.items()))}
        files.write_json(path, content)

    def expect_success(self, on_error: OnError, where: str) -> None:
        """Raise an error if images failed, unless they are to be skipped.

        Args:
            on_error: "skip" accepts failures if at least one image did not fail.
            where: " (see FILE)", for the message.

        Raises:
            ImagesFailedError: with the number of failures and the first of them.
        """
        if not self.failures or (on_error == "skip" and self.total):
            return
        raise ImagesFailedError(self.failures, self.total, where)
