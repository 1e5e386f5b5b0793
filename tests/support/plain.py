"""The pipeline's files as any tool reads them: without this project's code."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import zarr

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]


def read_masks(folder: Path) -> dict[str, dict[int, Bools]]:
    """Every image's masks, (H, W) bool, by mask id, with nothing but zarr."""
    masks = {}
    for path in folder.glob("*.zip"):
        shard = zarr.open_group(zarr.storage.ZipStore(path, mode="r"), mode="r")
        for _, group in shard.groups():
            stack = np.unpackbits(group["masks"][:], axis=-1)[..., : group.attrs["width"]]
            assert stack.shape[1] == group.attrs["height"]
            ids = [int(mask_id) for mask_id in group["ids"][:]]
            masks[group.attrs["image"]] = dict(zip(ids, stack.astype(bool), strict=True))
    return masks


def read_embeddings(path: Path) -> dict[str, dict[int, Floats]]:
    """Every image's embeddings, (V, D) float32, by mask id; views in the order of the file."""
    table = pd.read_parquet(path)
    return {
        str(image): {
            int(mask_id): np.stack(list(rows["embedding"]))
            for mask_id, rows in own.groupby("mask_id", sort=False)
        }
        for image, own in table.groupby("image", sort=False, observed=True)
    }
