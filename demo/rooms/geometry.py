"""Triangle meshes of the few shapes that all furniture is composed of.

Lengths are metres, x points right, y forward and z up. Every shape carries smooth normals,
texture coordinates in metres (u along the grain) and a number per triangle that says which
triangles form one continuous surface.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Point = Sequence[float] | NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Mesh:
    """Triangles.

    `corners` and `normals` are (T, 3, 3) float32, `coords` (T, 3, 2) float32 texture coordinates
    in metres, `faces` (T,) int32 the number of the continuous surface within this mesh.
    """

    corners: Floats
    normals: Floats
    coords: Floats
    faces: Ints


def join(meshes: Sequence[Mesh]) -> Mesh:
    """One mesh of all the triangles; surfaces stay apart."""
    faces, offset = [], 0
    for mesh in meshes:
        faces.append(mesh.faces + np.int32(offset))
        offset += int(mesh.faces[-1]) + 1
    return Mesh(
        np.concatenate([m.corners for m in meshes]),
        np.concatenate([m.normals for m in meshes]),
        np.concatenate([m.coords for m in meshes]),
        np.concatenate(faces),
    )


def transformed(mesh: Mesh, rotation: ArrayLike, offset: ArrayLike) -> Mesh:
    """The mesh turned by a (3, 3) rotation, then shifted by `offset` (3,)."""
    turn = np.asarray(rotation, np.float32).T
    shift = np.asarray(offset, np.float32)
    return Mesh(mesh.corners @ turn + shift, mesh.normals @ turn, mesh.coords, mesh.faces)


def yaw(angle: float) -> Floats:
    """(3, 3) rotation about z by `angle` radians, counter-clockwise seen from above."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float32)


def pitch(angle: float) -> Floats:
    """(3, 3) rotation about x by `angle` radians; +y turns towards +z."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]], np.float32)


def roll(angle: float) -> Floats:
    """(3, 3) rotation about y by `angle` radians; +z turns towards +x."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]], np.float32)


def _unit_box() -> tuple[Floats, Floats, NDArray[np.intp]]:
    corners, normals, axes = [], [], []
    for axis in range(3):
        i, j = (k for k in range(3) if k != axis)
        for sign in (-0.5, 0.5):
            quad = np.zeros((4, 3), np.float32)
            quad[:, axis] = sign
            quad[:, i] = (-0.5, 0.5, 0.5, -0.5)
            quad[:, j] = (-0.5, -0.5, 0.5, 0.5)
            corners += [quad[[0, 1, 2]], quad[[0, 2, 3]]]
            normal = np.zeros(3, np.float32)
            normal[axis] = 2 * sign
            normals += [np.tile(normal, (3, 1))] * 2
            axes += [(i, j)] * 2
    return np.stack(corners), np.stack(normals), np.array(axes, np.intp)


_BOX_CORNERS, _BOX_NORMALS, _BOX_AXES = _unit_box()
_BOX_FACES = np.repeat(np.arange(6, dtype=np.int32), 2)


def box(size: Point, centre: Point = (0.0, 0.0, 0.0)) -> Mesh:
    """A box of full extents `size`; u runs along the longer edge of each side."""
    extent = np.asarray(size, np.float32)
    local = _BOX_CORNERS * extent
    axes = _BOX_AXES
    swap = extent[axes[:, 1]] > extent[axes[:, 0]]
    order = np.where(swap[:, None], axes[:, ::-1], axes)
    coords = np.take_along_axis(local, np.repeat(order[:, None, :], 3, axis=1), axis=2)
    return Mesh(local + np.asarray(centre, np.float32), _BOX_NORMALS, coords, _BOX_FACES)


def boxes(sizes: NDArray[np.floating], centres: NDArray[np.floating]) -> Mesh:
    """Many boxes at once: (N, 3) full extents and (N, 3) centres."""
    local = _BOX_CORNERS[None] * sizes.astype(np.float32)[:, None, None, :]
    count = len(sizes)
    axes = np.broadcast_to(_BOX_AXES[None, :, None, :], (count, 12, 3, 2))
    coords = np.take_along_axis(local, axes, axis=3)
    corners = local + centres.astype(np.float32)[:, None, None, :]
    faces = np.arange(6 * count, dtype=np.int32).repeat(2)
    normals = np.tile(_BOX_NORMALS, (count, 1, 1))
    return Mesh(corners.reshape(-1, 3, 3), normals, coords.reshape(-1, 3, 2), faces)


def quads(points: NDArray[np.floating]) -> Mesh:
    """Flat quadrilaterals (Q, 4, 3), each its own surface; u runs from corner 0 to corner 1."""
    p = points.astype(np.float32)
    edge, side = p[:, 1] - p[:, 0], p[:, 3] - p[:, 0]
    other = p[:, 2] - p[:, 0]
    normal = (cross(edge, other) + cross(other, side)).astype(np.float32)
    normal /= lengths(normal)[:, None] + np.float32(1e-12)
    length, width = lengths(edge), lengths(side)
    coords = np.zeros((len(p), 4, 2), np.float32)
    coords[:, 1:3, 0] = length[:, None]
    coords[:, 2:4, 1] = width[:, None]
    order = [0, 1, 2, 0, 2, 3]
    return Mesh(
        p[:, order].reshape(-1, 3, 3),
        np.broadcast_to(normal[:, None], (len(p), 6, 3)).reshape(-1, 3, 3),
        coords[:, order].reshape(-1, 3, 2),
        np.arange(len(p), dtype=np.int32).repeat(2),
    )


_PRISM_QUADS = np.array(
    [[0, 4, 5, 1], [1, 5, 6, 2], [2, 6, 7, 3], [3, 7, 4, 0], [0, 1, 2, 3], [4, 7, 6, 5]]
)


def prism(low: Point, high: Point, size_low: Point, size_high: Point | None = None) -> Mesh:
    """A four-sided post with level ends: centre and (x, y) size of the lower and upper end."""
    signs = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    ends = []
    for centre, size in ((low, size_low), (high, size_low if size_high is None else size_high)):
        end = np.tile(np.asarray(centre, float), (4, 1))
        end[:, :2] += signs * np.asarray(size, float)
        ends.append(end)
    return quads(np.concatenate(ends)[_PRISM_QUADS])


def beam(start: Point, end: Point, width: float, height: float) -> Mesh:
    """A rectangular bar between two points; `height` is measured as near to z as can be."""
    a, b = np.asarray(start, float), np.asarray(end, float)
    axis = b - a
    length = float(np.linalg.norm(axis))
    axis /= length
    up = np.array([0.0, 0.0, 1.0]) if abs(axis[2]) < 0.95 else np.array([0.0, 1.0, 0.0])
    side = np.cross(up, axis)
    side /= np.linalg.norm(side)
    rotation = np.stack([axis, side, np.cross(axis, side)], axis=1)
    return transformed(box((length, width, height)), rotation, (a + b) / 2)


def cross(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.floating]:
    """Cross product of the last axis; numpy's own takes longer than everything around it."""
    out = np.empty(a.shape)
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        out[..., k] = a[..., i] * b[..., j] - a[..., j] * b[..., i]
    return out


def lengths(a: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.sqrt(np.einsum("...c,...c->...", a, a))


def pane(width: float, height: float, centre: Point = (0, 0, 0)) -> Mesh:
    """An upright rectangle that faces +y; u runs along x and v along z, from its middle."""
    x, z = width / 2, height / 2
    corners = np.array([[[x, 0, -z], [-x, 0, -z], [-x, 0, z], [x, 0, z]]])
    flat = quads(corners)
    coords = np.stack([-flat.corners[..., 0], flat.corners[..., 2]], axis=2)
    return Mesh(flat.corners + np.asarray(centre, np.float32), flat.normals, coords, flat.faces)
