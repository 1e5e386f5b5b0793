"""All triangles of a room in flat arrays, and rays through them with Embree."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from demo.rooms.geometry import Floats
from demo.rooms.item import Item
from demo.rooms.materials import Material
from demo.rooms.structure import Light


@dataclass(frozen=True, slots=True)
class Scene:
    """T triangles of K objects.

    `corners` and `normals` (T, 3, 3) float32 as in `geometry.Mesh`; `shape` (18, T) what
    interpolation over a triangle needs: normal and texture coordinates at corner 0, what is
    added to them towards corner 1 and corner 2, and the true normal; `owner` (T,) the object's
    index, `material` (T,) the index into `materials`, `patch` (T,) the number of the surface.
    """

    corners: Floats
    normals: Floats
    shape: Floats
    owner: NDArray[np.int32]
    material: NDArray[np.int32]
    patch: NDArray[np.int32]
    materials: list[Material]
    items: list[Item]
    lights: list[Light]
    embree: Any
    geometry: Any


def assemble(items: list[Item], lights: list[Light]) -> Scene:
    """The scene of these placed objects, ready for rays."""
    meshes = [m for item in items for m in item.meshes]
    coats = [m for item in items for m in item.materials]
    unique = {id(m): m for m in coats}
    index = {key: i for i, key in enumerate(unique)}
    counts = np.array([len(m.faces) for m in meshes])
    surfaces = np.array([int(m.faces[-1]) + 1 for m in meshes])
    starts = np.concatenate([[0], np.cumsum(surfaces)[:-1]])
    owners = np.repeat(np.arange(len(items)), [len(item.meshes) for item in items])
    corners = np.concatenate([m.corners for m in meshes]).astype(np.float32)
    normals = np.concatenate([m.normals for m in meshes]).astype(np.float32)
    coords = np.concatenate([m.coords for m in meshes]).astype(np.float32)
    embree = EmbreeScene()
    return Scene(
        corners,
        normals,
        _shape(corners, normals, coords),
        np.repeat(owners, counts).astype(np.int32),
        np.repeat([index[id(m)] for m in coats], counts).astype(np.int32),
        (np.concatenate([m.faces for m in meshes]) + np.repeat(starts, counts)).astype(np.int32),
        list(unique.values()),
        items,
        lights,
        embree,
        TriangleMesh(embree, corners),
    )


def _shape(corners: Floats, normals: Floats, coords: Floats) -> Floats:
    at = np.concatenate([normals, coords], axis=2)
    edge, side = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    flat = np.cross(edge, side)
    flat /= np.sqrt(np.einsum("tc,tc->t", flat, flat))[:, None] + np.float32(1e-12)
    rows = [at[:, 0], at[:, 1] - at[:, 0], at[:, 2] - at[:, 0], flat]
    return np.ascontiguousarray(np.concatenate(rows, axis=1).T)


def hits(scene: Scene, origins: Floats, directions: Floats) -> dict[str, NDArray[Any]]:
    """First hits of N rays (3, N): `primID` (-1 for none), `tfar`, `u`, `v`, as Embree has them."""
    found: dict[str, NDArray[Any]] = scene.embree.run(origins.T, directions.T, output=True)
    return found


def first(scene: Scene, origins: Floats, directions: Floats) -> NDArray[np.int32]:
    """(N,) index of the first triangle that each ray (3, N) hits, or -1."""
    found: NDArray[np.int32] = scene.embree.run(origins.T, directions.T)
    return found


def blocked(scene: Scene, origins: Floats, directions: Floats, reach: Floats) -> NDArray[np.bool_]:
    """(N,) whether rays (3, N) hit anything nearer than `reach` (N,) times their direction."""
    found = scene.embree.run(origins.T, directions.T, dists=reach, query="OCCLUDED")
    hidden: NDArray[np.bool_] = found != -1
    return hidden
