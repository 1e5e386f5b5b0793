"""Solids in metres, z up; `x, y, z` is the middle of the bottom unless said otherwise."""

import itertools
from collections.abc import Sequence

import numpy as np
import trimesh

from demo.unseen_rooms.materials import Array

Point = Sequence[float]
CREASE = 0.75  # cosine of the angle between faces above which an edge is smooth


def box(w: float, d: float, h: float, x: float = 0, y: float = 0, z: float = 0) -> trimesh.Trimesh:
    mesh = trimesh.creation.box((w, d, h))
    mesh.apply_translation((x, y, z + h / 2))
    return mesh


def soft(
    w: float, d: float, h: float, x: float = 0, y: float = 0, z: float = 0, power: float = 0.35
) -> trimesh.Trimesh:
    """A cushion: a box with round edges, rounder with a larger `power` (1 is an ellipsoid)."""
    mesh = trimesh.creation.icosphere(3)
    v = mesh.vertices
    mesh.vertices = np.sign(v) * np.abs(v) ** power
    mesh.vertices *= np.array([w, d, h]) / np.ptp(mesh.vertices, axis=0)
    mesh.apply_translation((x, y, z + h / 2))
    return mesh


def lathe(
    profile: Sequence[tuple[float, float]], x: float = 0, y: float = 0, z: float = 0
) -> trimesh.Trimesh:
    """The outline (radius, height) turned about the upright axis."""
    mesh = trimesh.creation.revolve(np.array(profile), sections=24)
    if mesh.volume < 0:  # the outline went down
        mesh.invert()
    mesh.apply_translation((x, y, z))
    return mesh


def rod(a: Point, b: Point, radius: float, end: float | None = None) -> trimesh.Trimesh:
    """From `a` to `b`, tapered to the radius `end`."""
    start, axis = np.array(a, float), np.array(b, float) - np.array(a, float)
    length = float(np.linalg.norm(axis))
    mesh = trimesh.creation.revolve(
        [(0, 0), (radius, 0), (radius if end is None else end, length), (0, length)], sections=10
    )
    mesh.apply_transform(trimesh.geometry.align_vectors([0, 0, 1], axis / length))
    mesh.apply_translation(start)
    return mesh


def tube(points: Sequence[Point], radius: float) -> trimesh.Trimesh:
    """Bent, along the points."""
    parts = [rod(a, b, radius) for a, b in itertools.pairwise(points)]
    for point in points[1:-1]:
        parts.append(trimesh.creation.icosphere(1, radius))
        parts[-1].apply_translation(point)
    return joined(parts)


def sheet(grid: Array) -> trimesh.Trimesh:
    """A surface without thickness through points (N, M, 3)."""
    n, m = grid.shape[:2]
    at = np.arange(n * m).reshape(n, m)
    a, b, c, e = at[:-1, :-1], at[1:, :-1], at[1:, 1:], at[:-1, 1:]
    faces = np.concatenate([np.stack(f, axis=-1).reshape(-1, 3) for f in ((a, b, c), (a, c, e))])
    return trimesh.Trimesh(grid.reshape(-1, 3), faces, process=False)


def joined(parts: Sequence[trimesh.Trimesh]) -> trimesh.Trimesh:
    return trimesh.util.concatenate(list(parts))


def corners(mesh: trimesh.Trimesh, metres: float) -> tuple[Array, Array, Array]:
    """Every face's corners for a renderer: positions (3F, 3), normals (3F, 3), texture (3F, 2).

    Normals are smooth across edges that are not sharp. The texture lies flat on each side, its
    first axis along the longer one, and repeats every `metres`, or (0) covers the whole side.
    """
    near = mesh.vertex_faces[mesh.faces]  # (F, 3, degree), padded with -1
    normals, areas = mesh.face_normals, mesh.area_faces
    smooth = np.einsum("fkdc,fc->fkd", normals[near], normals) > CREASE
    weights = areas[near] * smooth * (near >= 0)
    corner_normals = np.einsum("fkd,fkdc->fkc", weights, normals[near])
    length = np.linalg.norm(corner_normals, axis=-1, keepdims=True)
    corner_normals = np.where(length > 0, corner_normals / np.maximum(length, 1e-12), 0)
    corner_normals[length[..., 0] == 0] = (0, 0, 1)
    order = np.argsort(-mesh.extents, kind="stable")
    facing = np.argmax(np.abs(normals), axis=1)
    axes = np.array([[axis for axis in order if axis != side] for side in range(3)])[facing]
    if metres:
        scaled = mesh.triangles / metres
    else:
        axes = np.sort(axes, axis=1)  # upright: pictures, screens, what a window shows
        scaled = (mesh.triangles - mesh.bounds[0]) / np.maximum(mesh.extents, 1e-6)
    uv = np.take_along_axis(scaled, np.broadcast_to(axes[:, None], (*scaled.shape[:2], 2)), axis=2)
    return mesh.triangles.reshape(-1, 3), corner_normals.reshape(-1, 3), uv.reshape(-1, 2)
