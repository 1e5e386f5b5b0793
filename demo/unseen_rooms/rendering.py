"""A room through Mitsuba 3: its picture by path tracing, and the piece behind every pixel.

The variant of Mitsuba must have been set before, to one that Dr.Jit compiles.
"""

import itertools
from typing import Any

import drjit as dr
import mitsuba as mi
import numpy as np
import numpy.typing as npt
from pyoidn import denoise

from demo.unseen_rooms import materials
from demo.unseen_rooms.furniture import Piece
from demo.unseen_rooms.layout import Placed, Room
from demo.unseen_rooms.materials import Array, Material, Rng
from demo.unseen_rooms.shapes import box, corners

WIDTH, HEIGHT = 512, 384
PASS = 8  # samples a pixel in one call, for memory
BOUNCES = 6
FINER = 3  # the label of a pixel is that of the middle one of 3x3: within a sixth of its centre


def pieces(room: Room) -> list[Placed]:
    """All that stands in the room, and what it is built of."""
    return room.placed + list(_building(room))


def _building(room: Room) -> list[Placed]:
    rng, (w, d, h) = room.rng, room.size
    still, found = np.eye(4), []
    wall, accent = materials.plaster(rng), materials.plaster(rng)
    white = materials.plain(materials.colour(rng, (0, 0.04), (0.88, 0.97)))
    skirting = white if rng.random() < 0.6 else materials.wood(rng)
    below = Piece("floor", [(materials.floor(rng), box(w + 1, d + 1, 0.1, w / 2, d / 2, -0.1))])
    above = Piece("ceiling", [(white, box(w + 1, d + 1, 0.1, w / 2, d / 2, h))])
    for piece in (below, above):
        found.append(Placed(piece, still, piece.bounds()))
    different = int(rng.integers(8))  # one wall in half of the rooms
    for side in range(4):
        length, piece = room.wall_length(side), Piece("wall")
        stuff = accent if side == different else wall
        for u0, u1, z0, z1 in _around_holes(room.holes.get(side, []), length, h):
            piece.add(stuff, box(u1 - u0, 0.2, z1 - z0, (u0 + u1) / 2, 0.1, z0))
            if z0 == 0:
                piece.add(skirting, box(u1 - u0, 0.012, 0.07, (u0 + u1) / 2, -0.006))
        matrix = room.wall_pose(side, 0)
        found.append(Placed(piece, matrix, piece.moved(matrix).bounds()))
    return found


def _around_holes(
    holes: list[tuple[float, float, float, float]], length: float, height: float
) -> list[tuple[float, float, float, float]]:
    """The rest of the wall as rectangles (from, to, bottom, top)."""
    rest, at = [], -0.2
    for u0, u1, z0, z1 in sorted(holes):
        rest += [(at, u0, 0.0, height), (u0, u1, z1, height)]
        rest += [(u0, u1, 0.0, z0)] if z0 > 0 else []
        at = u1
    return [*rest, (at, length + 0.2, 0.0, height)]


class Scene:
    """The room in Mitsuba; `labels` are those of its pieces by number, and of nothing by -1."""

    def __init__(self, room: Room) -> None:
        self.rng, everything = room.rng, pieces(room)
        self.labels = [placed.piece.label for placed in everything] + ["nothing"]
        self.spread = float(room.rng.uniform(58, 74))  # degrees, across
        content: dict[str, Any] = {"type": "scene"}
        for number, placed in enumerate(everything):
            grouped: dict[int, list[tuple[Material, Any]]] = {}
            for stuff, mesh in placed.piece.parts:
                grouped.setdefault(id(stuff), []).append((stuff, mesh))
            for index, group in enumerate(grouped.values()):
                name = f"piece_{number}_{index}"
                content[name] = self._mesh(name, group, placed.matrix)
        for index, (start, end) in enumerate(room.suns):
            content[f"sun_{index}"] = self._sun(room.rng, start, end)
        self.scene = mi.load_dict(content, optimize=False)
        shapes = self.scene.shapes()
        numbers = [int(shape.id().split("_")[1]) for shape in shapes]
        # Indices go over all scenes still in memory: which shape has which is asked, not counted.
        indices = [int(dr.reinterpret_array(mi.UInt32, mi.ShapePtr(shape))[0]) for shape in shapes]
        self.owner = np.full(max(indices) + 1, -1)  # by the renderer's index; 0 is nothing
        self.owner[indices] = numbers

    def _mesh(self, name: str, group: list[tuple[Material, Any]], matrix: Array) -> Any:
        stuff = group[0][0]
        found = [corners(mesh, stuff.metres) for _, mesh in group]
        points, normals, uv = (np.concatenate([each[k] for each in found]) for k in range(3))
        points, normals = points @ matrix[:3, :3].T + matrix[:3, 3], normals @ matrix[:3, :3].T
        props = mi.Properties()
        props["surface"] = mi.load_dict(self._surface(stuff))
        if stuff.finish == "light":
            props["emitter"] = mi.load_dict({"type": "area", "radiance": self._texture(stuff)})
        mesh = mi.Mesh(
            name, len(points), len(points) // 3, props=props,
            has_vertex_normals=True, has_vertex_texcoords=True,
        )  # fmt: skip
        values = mi.traverse(mesh)
        values["vertex_positions"] = points.ravel().astype(np.float32)
        values["vertex_normals"] = normals.ravel().astype(np.float32)
        values["vertex_texcoords"] = uv.ravel().astype(np.float32)
        values["faces"] = np.arange(len(points), dtype=np.uint32)
        values.update()
        return mesh

    def _texture(self, stuff: Material) -> dict[str, Any]:
        pixels = mi.Bitmap(stuff.texture.astype(np.float32))
        return {"type": "bitmap", "bitmap": pixels, "raw": True}

    def _surface(self, stuff: Material) -> dict[str, Any]:
        texture = self._texture(stuff)
        if stuff.finish == "light":
            return {"type": "diffuse", "reflectance": {"type": "rgb", "value": 0.3}}
        if stuff.finish == "matt":
            inner: dict[str, Any] = {"type": "diffuse", "reflectance": texture}
        elif stuff.finish == "metal":
            inner = {"type": "roughconductor", "alpha": 0.2, "specular_reflectance": texture}
        else:
            alpha = 0.25 if stuff.finish == "satin" else 0.08
            inner = {"type": "roughplastic", "alpha": alpha, "diffuse_reflectance": texture}
        return {"type": "twosided", "inner": inner}

    def _sun(self, rng: Rng, start: Array, end: Array) -> dict[str, Any]:
        """What falls through a window: its panes, as a projector just inside of it shows them."""
        panes = np.zeros((256, 256, 3), np.float32)
        edges = np.linspace(8, 248, int(rng.integers(2, 4)) + 1).astype(int)
        for left, right in itertools.pairwise(edges):
            panes[10:246, left + 5 : right - 5] = (1.0, 0.9, 0.72)
        to_world = mi.ScalarTransform4f().look_at(
            origin=start.tolist(), target=end.tolist(), up=[0, 0, 1]
        )
        bitmap = {"type": "bitmap", "bitmap": mi.Bitmap(panes), "raw": True}
        scale = float(rng.uniform(12, 25))
        return {
            "type": "projector", "irradiance": bitmap, "scale": scale, "fov": 38.0,
            "to_world": to_world,
        }  # fmt: skip

    def _sensor(self, eye: Array, target: Array, width: int, height: int) -> Any:
        to_world = mi.ScalarTransform4f().look_at(
            origin=eye.tolist(), target=target.tolist(), up=[0, 0, 1]
        )
        film = {
            "type": "hdrfilm", "width": width, "height": height, "component_format": "float32",
            "rfilter": {"type": "box"},
        }  # fmt: skip
        return mi.load_dict(
            {
                "type": "perspective", "fov": self.spread, "fov_axis": "x", "near_clip": 0.05,
                "to_world": to_world, "film": film, "sampler": {"type": "independent"},
            }
        )  # fmt: skip

    def owners(self, eye: Array, target: Array, shrink: int = 1) -> npt.NDArray[np.int64]:
        """(HEIGHT / shrink, WIDTH / shrink): the number of the piece at every pixel, else -1."""
        width, height = WIDTH // shrink * FINER, HEIGHT // shrink * FINER
        integrator = mi.load_dict({"type": "aov", "aovs": "shape:shape_index"})
        sensor = self._sensor(eye, target, width, height)
        drawn = np.array(mi.render(self.scene, sensor=sensor, integrator=integrator, spp=1))
        index = drawn[FINER // 2 :: FINER, FINER // 2 :: FINER, -1].round().astype(np.int64)
        return np.asarray(self.owner[index])

    def picture(self, eye: Array, target: Array, samples: int) -> npt.NDArray[np.uint8]:
        """(HEIGHT, WIDTH, 3)."""
        sensor = self._sensor(eye, target, WIDTH, HEIGHT)
        path = {"type": "path", "max_depth": BOUNCES, "rr_depth": 4}
        aovs = "albedo:albedo,normal:sh_normal"
        integrator = mi.load_dict({"type": "aov", "aovs": aovs, "path": path})
        passes = [
            np.array(mi.render(self.scene, None, sensor, integrator, seed=seed, spp=PASS))
            for seed in range(samples // PASS)
        ]
        drawn = np.stack(passes).mean(axis=0)
        noisy = np.ascontiguousarray(drawn[..., :3])
        albedo, normal = (
            np.ascontiguousarray(part) for part in (drawn[..., -6:-3], drawn[..., -3:])
        )
        return developed(denoise(noisy, albedo, normal, hdr=True), self.rng)


def developed(radiance: Array, rng: Rng) -> npt.NDArray[np.uint8]:
    """As a camera's automatic exposure shows it: the middle grey at 0.45, highlights rolled off."""
    luminance = radiance @ (0.2126, 0.7152, 0.0722)
    exposure = 0.24 / np.median(luminance)
    linear = 1 - np.exp(-radiance * exposure)
    srgb = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    noisy = srgb + rng.normal(0, 0.006, srgb.shape)  # the sensor's
    return np.asarray((np.clip(noisy, 0, 1) * 255).round(), np.uint8)
