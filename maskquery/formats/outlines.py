"""Masks as polygons through the centres of their outermost pixels, exactly.

`cv2.fillPoly`, which fills a polygon's inside by the even-odd rule and draws its edge, gives the
same pixels back: all of them, holes too. A program that fills by area instead loses half a pixel
along the edge.
"""

import cv2
import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Points = list[tuple[int, int]]


def outlines(mask: Bools) -> list[npt.NDArray[np.int32]]:
    """One polygon for each connected part (corners connect) of an (H, W) bool mask.

    Returns:
        (P, 2) int32 each, x, y of pixels, P >= 1, not closed. A part of one pixel is one point.
    """
    contours, hierarchy = cv2.findContours(
        mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
    )
    if hierarchy is None:
        return []
    points: list[Points] = [[(x, y) for x, y in c[:, 0].tolist()] for c in contours]
    parents = hierarchy[0, :, 3].tolist()
    polygons = []
    for number, outer in enumerate(points):
        if parents[number] < 0:
            holes = [hole for hole, of in zip(points, parents, strict=True) if of == number]
            polygons.append(_corners(_join(mask, outer, holes)))
    return polygons


def _join(mask: Bools, outer: Points, holes: list[Points]) -> Points:
    """One line around a part and, over bridges, around its holes.

    From the top of a hole's edge a bridge goes straight up inside the part, to where the part ends.
    There runs the outer edge, or that of a hole which begins higher and so is joined already.
    """
    line = list(outer)
    for hole in sorted(holes, key=lambda points: min(y for _, y in points)):
        top = min(range(len(hole)), key=lambda index: hole[index][1])
        x, y = hole[top]
        while y and mask[y - 1, x]:
            y -= 1
        at = line.index((x, y))
        line[at:at] = [(x, y), *hole[top:], *hole[:top], hole[top]]
    return line


def _corners(line: Points) -> npt.NDArray[np.int32]:
    """Without the points between which the direction does not change; steps go in 8 directions."""
    points = np.array(line, np.int32)
    points = points[np.any(points != np.roll(points, 1, axis=0), axis=1)]
    if not len(points):  # a single pixel
        return np.array(line[:1], np.int32)
    to = np.sign(np.roll(points, -1, axis=0) - points)
    turns = np.any(to != np.roll(to, 1, axis=0), axis=1)
    corners: npt.NDArray[np.int32] = points[turns]
    return corners
