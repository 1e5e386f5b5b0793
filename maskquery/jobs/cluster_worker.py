"""What runs on the workers of a Ray cluster: a block of images in, a row for each of them out.

Ray Data makes one `Worker` in each actor of its pool and streams every row to the driver as soon as
it is there. An image is read and decoded where it is computed; its pixels go nowhere.
"""

import logging
import os
import pickle
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from maskquery.core.errors import FatalError
from maskquery.core.threads import in_order
from maskquery.images import sources
from maskquery.jobs import per_image
from maskquery.models import device

LOG = logging.getLogger("maskquery.jobs.cluster")

BEGUN, DONE, FAILED, FATAL = "begun", "done", "failed", "fatal"

SCHEMA = pa.schema(
    {
        "what": pa.string(),  # one of the four above
        "image": pa.string(),  # null: a row about the whole block
        "node": pa.string(),
        "reason": pa.string(),  # why it failed
        "parts": pa.list_(pa.string()),  # of a block that was begun: its images
        "names": pa.list_(pa.string()),  # the parts' cells
        "payloads": pa.list_(pa.large_binary()),  # null where there is a cell already
    }
)
"""A row of what workers answer."""

Make = Callable[[Mapping[str, sources.File]], per_image.Work[Any]]
"""Makes the work of a stage, given the paths of the images, which are filled in block by block."""


class Worker:
    """A model and what is done with it, in one actor.

    Args:
        make: the stage's work.
        known: reference to the names of the cells there are, sorted, as bytes.
        folder: the driver's working directory, to which paths are relative.
        kind: of the cells, for the log.
        threads: in which images are read ahead.
    """

    def __init__(self, make: Make, known: Any, folder: str, kind: str, threads: int) -> None:
        import ray

        logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
        LOG.setLevel(logging.INFO)
        self._make, self._folder, self._kind, self._threads = make, folder, kind, threads
        self._known: npt.NDArray[np.bytes_] = ray.get(known)
        self._node = f"{socket.gethostname()}/{ray.get_runtime_context().get_node_id()[:8]}"
        self._paths: dict[str, sources.File] = {}
        self._work = per_image.Once(self._start)

    def __call__(self, block: pa.Table) -> Iterator[pa.Table]:
        """A row for each image of the block, in its order, after one that says it is begun.

        Args:
            block: the columns "image" and "file", a pickled `sources.File`, or None if the image
                has none.

        Returns:
            Tables of one row, as `SCHEMA` says.
        """
        images = block["image"].to_pylist()
        yield self._row(BEGUN, None, parts=images)
        # Pickled by the driver, as everything else that Ray sends to its workers.
        files = (pickle.loads(data) for data in block["file"].to_pylist())  # noqa: S301
        pairs = zip(images, files, strict=True)
        self._paths.update((image, file) for image, file in pairs if file is not None)
        try:
            yield from self._rows(images, self._work())
        except FatalError as error:
            yield self._row(FATAL, None, reason=str(error))
        except Exception as error:
            # Ray Data is told to go on without a block that fails, and would hide this.
            yield self._row(FATAL, None, reason=f"node {self._node}: {per_image.reason(error)}")
        finally:
            self._paths.clear()

    def _start(self) -> per_image.Work[Any]:
        try:
            os.chdir(self._folder)
        except OSError as error:
            raise FatalError(
                f"node {self._node} has no folder {self._folder} ({error.strerror}): every node of "
                "the cluster must see the project and its images under the same path"
            ) from None
        return self._make(self._paths)

    def _rows(self, images: Sequence[str], work: per_image.Work[Any]) -> Iterator[pa.Table]:
        def ahead(image: str) -> tuple[Mapping[str, str], list[str], Any]:
            need = work.look(image)
            missing = [part for part, name in need.cells.items() if not self._has(name)]
            return need.cells, missing, need.load(missing) if missing else None

        for image, future in in_order(ahead, images, self._threads):
            start = time.monotonic()
            try:
                names, missing, inputs = future.result()
                computed = work.compute(inputs, missing) if missing else {}
            except FatalError:
                raise
            except Exception as error:
                reason = per_image.reason(error)
                self._log(image, f"failed: {reason}")
                if device.has_lost_device(error):  # as would all others in this process
                    LOG.error("this process ends: %s", reason)
                    os._exit(1)
                yield self._row(FAILED, image, reason=reason)
                continue
            self._log(image, f"{time.monotonic() - start:.3f} s" if missing else "has its cells")
            payloads = [computed.get(part) for part in names]
            yield self._row(
                DONE, image, parts=list(names), names=list(names.values()), payloads=payloads
            )

    def _has(self, name: str) -> bool:
        place = int(np.searchsorted(self._known, name.encode()))
        return place < len(self._known) and self._known[place] == name.encode()

    def _log(self, image: str, message: str) -> None:
        LOG.info("%s: node %s, image %r: %s", self._kind, self._node, image, message)

    def _row(self, what: str, image: str | None, **more: Any) -> pa.Table:
        row = dict.fromkeys(SCHEMA.names) | {"what": what, "image": image, "node": self._node}
        return pa.Table.from_pylist([row | more], schema=SCHEMA)
