"""ICC profiles: which of them say something else than sRGB, and their colours as sRGB."""

import functools
import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageCms

Conversion = Callable[[Image.Image], Image.Image]
"""Of a picture of one of the modes L, RGB, CMYK to RGB."""

_SAME = 2
"""A profile by which no colour of 8 bits moves farther than this is sRGB."""


def base_of(mode: str) -> str:
    """The mode in which a picture's ICC profile takes its pixels."""
    if mode in ("1", "L", "LA", "La") or mode.startswith("I;16"):
        return "L"
    return "CMYK" if mode == "CMYK" else "RGB"


def conversion_of(image: Image.Image) -> Conversion | None:
    """What makes sRGB of a picture's colours; None if they are sRGB, or nothing says otherwise.

    It takes pictures of the mode `base_of` says.
    """
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not profile or image.mode == "LAB":
        return None
    return _to_srgb(profile, base_of(image.mode))


@functools.lru_cache(maxsize=32)
def _to_srgb(profile: bytes, base: str) -> Conversion | None:
    """From an ICC profile's colours to sRGB; None if it is sRGB, damaged, or of other bands."""
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
    """By a table of all greys: what LittleCMS makes of them in haste is wrong by 10 levels."""
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
    """All greys, or colours from all over RGB."""
    if base == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3))
