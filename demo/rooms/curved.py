"""Smooth shapes: surfaces over grids, bars, pipes, cushions and turned bodies."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from demo.rooms.geometry import Mesh, Point, cross, join, lengths, quads, transformed


@lru_cache(maxsize=64)
def _grid_triangles(rows: int, columns: int) -> NDArray[np.intp]:
    """(T, 3) corner indices of a grid of points, row-major."""
    i, j = np.mgrid[: rows - 1, : columns - 1]
    a = (i * columns + j).ravel()
    b, c, d = a + 1, a + columns + 1, a + columns
    return np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


def _differences(points: NDArray[np.floating], axis: int, wrap: bool) -> NDArray[np.floating]:
    """Central differences along axis 0 or 1, one-sided at open ends."""
    p = points if axis == 0 else points.swapaxes(0, 1)
    d = np.empty_like(p)
    np.subtract(p[2:], p[:-2], out=d[1:-1])
    if wrap:
        d[0] = d[-1] = p[1] - p[-2]
    else:
        d[0], d[-1] = p[1] - p[0], p[-1] - p[-2]
    return d if axis == 0 else d.swapaxes(0, 1)


def surface(points: NDArray[np.floating], wrap: bool = False) -> Mesh:
    """A smooth surface through a grid (N, M, 3); with `wrap` the last column equals the first."""
    rows, columns, _ = points.shape
    du, dv = _differences(points, 0, False), _differences(points, 1, wrap)
    normal = cross(du, dv)
    size = lengths(normal)
    poles = size < 1e-9
    if poles.any():
        normal[poles] = points[poles] - points.mean(axis=(0, 1))
        size[poles] = lengths(normal[poles])
    normal /= size[..., None] + 1e-12
    coords = np.zeros((rows, columns, 2))
    coords[1:, :, 0] = lengths(points[1:] - points[:-1]).mean(1).cumsum()[:, None]
    coords[:, 1:, 1] = lengths(points[:, 1:] - points[:, :-1]).max(0).cumsum()[None]
    index = _grid_triangles(rows, columns)
    return Mesh(
        points.reshape(-1, 3).astype(np.float32)[index],
        normal.reshape(-1, 3).astype(np.float32)[index],
        coords.reshape(-1, 2).astype(np.float32)[index],
        np.zeros(len(index), np.int32),
    )


def shell(points: NDArray[np.floating], thickness: float) -> Mesh:
    """A bent sheet: the grid (N, M, 3), its offset along the normals, and the rims between."""
    normal = cross(_differences(points, 0, False), _differences(points, 1, False))
    normal /= lengths(normal)[..., None] + 1e-12
    back = points + normal * thickness
    rims = []
    for a, b in (
        (points[0], back[0]),
        (points[-1], back[-1]),
        (points[:, 0], back[:, 0]),
        (points[:, -1], back[:, -1]),
    ):
        rims.append(quads(np.stack([a[:-1], a[1:], b[1:], b[:-1]], axis=1)))
    return join([surface(points), surface(back), *rims])


@lru_cache(maxsize=16)
def _ring(sides: int) -> NDArray[np.float64]:
    angle = np.arange(sides + 1) * (2 * np.pi / sides)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def rod(start: Point, end: Point, radius: float, end_radius: float | None = None) -> Mesh:
    """A round bar or cone between two points, closed at both ends."""
    a, b = np.asarray(start, float), np.asarray(end, float)
    last = radius if end_radius is None else end_radius
    axis = (b - a) / np.linalg.norm(b - a)
    helper = np.array([1.0, 0.0, 0.0]) if abs(axis[0]) < 0.9 else np.array([0.0, 1.0, 0.0])
    side = np.cross(axis, helper)
    side /= np.linalg.norm(side)
    ring = _ring(10 if max(radius, last) < 0.08 else 24) @ np.stack([side, np.cross(axis, side)])
    low, high = a + ring * radius, b + ring * last
    caps = [
        surface(np.stack([np.broadcast_to(centre, rim.shape), rim]), wrap=True)
        for centre, rim in ((a, low), (b, high))
    ]
    flat = [
        Mesh(c.corners, np.broadcast_to(n, c.normals.shape).astype(np.float32), c.coords, c.faces)
        for c, n in zip(caps, (-axis, axis), strict=True)
    ]
    return join([surface(np.stack([low, high]), wrap=True), *flat])


def tube(path: Sequence[Point] | NDArray[np.floating], radius: float, sides: int = 8) -> Mesh:
    """A round pipe along points (N, 3) of a path that lies nearly in one plane."""
    points = np.asarray(path, float)
    tangent = _differences(points, 0, False)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    helper = np.eye(3)[np.abs(tangent).sum(0).argmin()]
    side = np.cross(tangent, helper)
    side /= np.linalg.norm(side, axis=1, keepdims=True) + 1e-12
    other = np.cross(tangent, side)
    ring = _ring(sides)
    rings = points[:, None] + radius * (
        ring[None, :, :1] * side[:, None] + ring[None, :, 1:] * other[:, None]
    )
    return surface(rings, wrap=True)


def rounded(points: Sequence[Point], reach: float, steps: int = 4) -> NDArray[np.float64]:
    """A polyline (N, 3) with its inner corners rounded off over `reach` metres."""
    p = np.asarray(points, float)
    out = [p[:1]]
    t = np.linspace(0, 1, steps + 1)[:, None]
    for before, corner, after in zip(p[:-2], p[1:-1], p[2:], strict=True):
        a = corner + (before - corner) * min(0.5, reach / float(np.linalg.norm(before - corner)))
        b = corner + (after - corner) * min(0.5, reach / float(np.linalg.norm(after - corner)))
        out.append((1 - t) ** 2 * a + 2 * t * (1 - t) * corner + t**2 * b)
    out.append(p[-1:])
    return np.concatenate(out)


@lru_cache(maxsize=16)
def _sphere(rows: int, columns: int) -> NDArray[np.float64]:
    polar = np.linspace(0, np.pi, rows)[:, None]
    ring = _ring(columns)
    level = np.broadcast_to(np.cos(polar), (rows, columns + 1))
    return np.stack([np.sin(polar) * ring[:, 0], np.sin(polar) * ring[:, 1], level], axis=2)


def cushion(size: Point, centre: Point = (0.0, 0.0, 0.0), roundness: float = 0.4) -> Mesh:
    """A padded block of full extents `size`: `roundness` 1 is an ellipsoid, 0.2 nearly a box."""
    unit = _sphere(13, 20)
    horizontal = np.sqrt(unit[..., 0] ** 2 + unit[..., 1] ** 2)
    safe = np.maximum(horizontal, 1e-9)
    xy = unit[..., :2] / safe[..., None]
    xy = np.sign(xy) * np.abs(xy) ** roundness
    level = np.sign(unit[..., 2]) * np.abs(unit[..., 2]) ** roundness
    spread = horizontal**roundness
    points = np.concatenate([xy * spread[..., None], level[..., None]], axis=2)
    half = np.asarray(size, float) / 2
    mesh = surface(points * half, wrap=True)
    return transformed(_boxed(mesh), np.eye(3), centre)


def _boxed(mesh: Mesh) -> Mesh:
    """The mesh with texture coordinates as on a box: from the side that each triangle faces."""
    axis = np.abs(mesh.normals.sum(axis=1)).argmax(axis=1)
    others = np.array([[1, 2], [0, 2], [0, 1]])[axis]
    coords = np.take_along_axis(mesh.corners, others[:, None, :].repeat(3, axis=1), axis=2)
    return Mesh(mesh.corners, mesh.normals, coords, mesh.faces)


def ellipsoid(radii: Point, centre: Point, rows: int = 9, columns: int = 14) -> Mesh:
    """An ellipsoid with semi-axes `radii`."""
    points = _sphere(rows, columns) * np.asarray(radii, float) + np.asarray(centre, float)
    return surface(points, wrap=True)


def disc(radius: float, height: float, thickness: float) -> Mesh:
    """A round plate whose top is at z = `height`; its grain runs straight, along x."""
    ring = _ring(32) * radius
    plates = []
    for z in (height, height - thickness):
        flat = np.zeros((2, len(ring), 3))
        flat[:, :, 2] = z
        flat[1, :, :2] = ring
        plate = surface(flat, wrap=True)
        up = np.zeros_like(plate.normals)
        up[..., 2] = 1.0
        coords = np.ascontiguousarray(plate.corners[..., :2])
        plates.append(Mesh(plate.corners, up, coords, plate.faces))
    rim = np.zeros((2, len(ring), 3))
    rim[:, :, :2] = ring
    rim[:, :, 2] = ((height,), (height - thickness,))
    return join([*plates, surface(rim, wrap=True)])


def lathe(profile: Sequence[tuple[float, float]], centre: Point = (0, 0, 0)) -> Mesh:
    """A turned body about z: (radius, height) pairs from the bottom up."""
    outline = np.asarray(profile, float)
    ring = _ring(20)
    flat = outline[:, :1, None] * ring[None]
    level = np.broadcast_to(outline[:, 1:, None], (*flat.shape[:2], 1))
    return surface(np.concatenate([flat, level], axis=2) + np.asarray(centre, float), wrap=True)
