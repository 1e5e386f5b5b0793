"""A FiftyOne dataset directory: copies of the images in data/, COCO JSON in labels.json.

That is the layout of `fiftyone.types.COCODetectionDataset`; objects have masks, and may overlap
(https://docs.voxel51.com/user_guide/import_datasets.html#cocodetectiondataset):

    fiftyone.Dataset.from_dir(DIR, dataset_type=fiftyone.types.COCODetectionDataset,
                              label_types="segmentations")
"""

import dataclasses
from pathlib import Path

from maskquery.formats import coco
from maskquery.formats.copies import copy_images
from maskquery.formats.objects import Dataset


def write(folder: Path, dataset: Dataset) -> str:
    """Write data/ and labels.json; nothing more to say."""
    images = copy_images(dataset.images, folder / "data")
    coco.write_file(folder / "labels.json", dataclasses.replace(dataset, images=images))
    return ""
