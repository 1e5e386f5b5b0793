"""ICC profiles: which of them differ from sRGB, and the conversion of their colours to sRGB."""

import functools
import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageCms

Conversion = Callable[[Image.Image], Image.Image]
"""Takes an image of mode L, RGB or CMYK, and returns it as RGB."""

_SAME = 2
"""A profile is taken for sRGB if it moves no colour by more than this many levels of 256."""


def base_of(mode: str) -> str:
    """The mode of the pixels that the ICC profile of an image is about."""
    if mode in ("1", "L", "LA", "La") or mode.startswith("I;16"):
        return "L"
    return "CMYK" if mode == "CMYK" else "RGB"


def conversion_of(image: Image.Image) -> Conversion | None:
    """The conversion of an image's colours to sRGB; None if they are sRGB, or have no profile.

    It takes images of the mode that `base_of` returns.
    """
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not profile or image.mode == "LAB":
        return None
    return _to_srgb(profile, base_of(image.mode))


@functools.lru_cache(maxsize=32)
def _to_srgb(profile: bytes, base: str) -> Conversion | None:
    """The conversion from a profile to sRGB; None if it is sRGB, damaged, or of other bands."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = str(source.profile.xcolor_space).strip()
        if space != {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}[base]:
            return None
        convert = _grey_to_srgb(source) if base == "L" else _colours_to_srgb(source, base)
        if base == "CMYK":
            return convert
        probe = _probe(base)
        converted = np.asarray(convert(probe), np.int16)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    difference = np.abs(converted - np.asarray(probe.convert("RGB"), np.int16)).max()
    return convert if difference > _SAME else None


def _colours_to_srgb(profile: ImageCms.ImageCmsProfile, base: str) -> Conversion:
    transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), base, "RGB")
    return functools.partial(_apply, transform)


def _grey_to_srgb(profile: ImageCms.ImageCmsProfile) -> Conversion:
    """A table of all greys: LittleCMS's optimised transform is wrong by up to 10 levels."""
    srgb, exact = ImageCms.createProfile("sRGB"), ImageCms.Flags.NOOPTIMIZE
    transform = ImageCms.buildTransform(profile, srgb, "L", "RGB", flags=exact)
    table = np.asarray(_apply(transform, _probe("L")))[0, :, 0].tolist()
    return lambda picture: picture.point(table).convert("RGB")


def _apply(transform: ImageCms.ImageCmsTransform, picture: Image.Image) -> Image.Image:
    try:
        converted = ImageCms.applyTransform(picture, transform)
    except ImageCms.PyCMSError as error:
        raise ValueError(f"its ICC profile does not fit: {error}") from None
    assert converted is not None  # noqa: S101 - it is None only where it is done in place
    return converted


def _probe(base: str) -> Image.Image:
    """An image of all greys, or of a grid of 9 x 9 x 9 colours."""
    if base == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3))
