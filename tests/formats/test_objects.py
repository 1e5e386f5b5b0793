import numpy as np
import pytest

from maskquery.core.errors import UserError
from maskquery.formats import objects
from stages import predictions
from tests.formats.conftest import CLASSES, NAMES, Pipeline
from tests.support.builders import NEUTRAL, random_stack, write_masks


def test_classes_are_the_planes_of_the_predictions(pipeline: Pipeline) -> None:
    found = objects.read(pipeline.files, "classes")
    assert (found.classes, found.count) == (CLASSES, len(NAMES))
    images = {each.image: each for each in found.images}
    assert list(images) == sorted(NAMES)
    for image, planes in pipeline.planes().items():
        shown = [name for name, plane in planes.items() if plane.any()]
        assert [own.name for own in images[image].objects] == shown
        for name, plane in planes.items():
            np.testing.assert_array_equal(images[image].union(name), plane)
    assert {image for image in images if not images[image].objects} == {"bare", "low"}


def test_an_image_knows_its_file(pipeline: Pipeline) -> None:
    for each in objects.read(pipeline.files, "classes").images:
        name, shape = NAMES[each.image]
        assert each.name == name
        assert each.path == pipeline.files.images / name
        assert (each.height, each.width) == shape[1:]


@pytest.mark.parametrize("threshold", [-1, 0.1, 0.6])
def test_masks_are_those_above_the_threshold_best_first(
    pipeline: Pipeline, threshold: float
) -> None:
    pipeline.choose(threshold)
    expected = pipeline.chosen()
    for each in objects.read(pipeline.files, "masks").images:
        for number, name in enumerate(CLASSES):
            own = [found for found in each.objects if found.name == name]
            ids = [found.mask_id for found in own]
            assert set(ids) == expected[each.image][name].keys()
            scores = [found.score for found in own]
            assert scores == sorted(scores, reverse=True)
            rows = [pipeline.made[each.image].ids.tolist().index(mask_id) for mask_id in ids]
            assert scores == pipeline.similarity[each.image][rows, number].tolist()
            for mask_id, mask in zip(ids, each.masks(name), strict=True):
                np.testing.assert_array_equal(mask, expected[each.image][name][mask_id])


@pytest.mark.parametrize("what", ["classes", "masks"])
def test_boxes_and_areas_are_those_of_the_pixels(pipeline: Pipeline, what: objects.What) -> None:
    for each in objects.read(pipeline.files, what).images:
        for own in each.objects:
            pixels = np.unpackbits(own.mask, axis=-1)[:, : each.width]
            rows, columns = np.nonzero(pixels)
            box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert (own.area, own.box) == (len(rows), box)


def test_a_class_without_objects_has_no_masks(pipeline: Pipeline) -> None:
    images = {each.image: each for each in objects.read(pipeline.files, "masks").images}
    assert images["plain"].masks("sofa").shape == (0, 21, 30)
    assert not images["bare"].union("sofa").any()


def test_of_a_mask_there_are_the_pixels_that_are_the_class_s(pipeline: Pipeline) -> None:
    whole = {each.image: each for each in objects.read(pipeline.files, "masks").images}
    settings = NEUTRAL.model_copy(update={"exclusive": "pixels"})
    inputs = (pipeline.files.masks, pipeline.scores, pipeline.files.masks.with_name("none.json"))
    chosen = predictions.Params(threshold=pipeline.threshold, selection=settings)
    predictions.run(*inputs, pipeline.files.predictions, chosen)
    planes, less = pipeline.planes(), 0
    for each in objects.read(pipeline.files, "masks").images:
        for name in CLASSES:
            np.testing.assert_array_equal(each.union(name), planes[each.image][name])
        assert all(found.area > 0 for found in each.objects)
        areas = [sum(found.area for found in own.objects) for own in (each, whole[each.image])]
        less += areas[0] < areas[1]
    assert less > 0


def test_masks_of_another_run_are_refused(pipeline: Pipeline) -> None:
    rng = np.random.default_rng(9)
    stacks = {image: random_stack(rng, *shape) for image, (_, shape) in NAMES.items()}
    write_masks(pipeline.files.masks, stacks)
    with pytest.raises(UserError, match="is not of the masks in"):
        list(objects.read(pipeline.files, "masks").images)


def test_a_store_whose_names_are_no_images_is_refused(pipeline: Pipeline) -> None:
    # No path is made from a name in the store: only files found among the images are used.
    (pipeline.files.images / "low.webp").rename(pipeline.files.images.parent / "low.webp")
    with pytest.raises(UserError, match="has no image 'low'"):
        list(objects.read(pipeline.files, "classes").images)
