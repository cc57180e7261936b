"""Everything that asks Mitsuba for pixels: pictures, part masks and depth."""

import mitsuba as mi
import numpy as np

from course_utils.parts import PARTS

SUBPIXELS = 4
"""Masks look at SUBPIXELS x SUBPIXELS points of every pixel, unless told otherwise."""


def surface(material=None):
    """A surface coloured by its vertices: matt, or `principled` with the given arguments."""
    colour = {"type": "mesh_attribute", "name": "vertex_color"}
    if not material:
        one_side = {"type": "diffuse", "reflectance": colour}
    else:
        one_side = {"type": "principled", "base_color": colour, **material}
    return mi.load_dict({"type": "twosided", "bsdf": one_side})


def leaf_surface():
    """A thin surface that lets light through, for leaves and grass."""
    colour = {"type": "mesh_attribute", "name": "vertex_color"}
    return mi.load_dict(
        {"type": "principledthin", "base_color": colour, "diff_trans": 0.9, "roughness": 0.65}
    )


def _shape(vertices, faces, bsdf=None, emitter=None, normals=None, uv=None):
    """A Mitsuba mesh from arrays."""
    properties = mi.Properties()
    if bsdf is not None:
        properties["mesh_bsdf"] = bsdf
    if emitter is not None:
        properties["mesh_emitter"] = emitter
    shape = mi.Mesh(
        "mesh",
        len(vertices),
        len(faces),
        has_vertex_normals=normals is not None,
        has_vertex_texcoords=uv is not None,
        props=properties,
    )
    parameters = mi.traverse(shape)
    parameters["vertex_positions"] = np.ascontiguousarray(vertices, np.float32).ravel()
    parameters["faces"] = np.ascontiguousarray(faces, np.uint32).ravel()
    if normals is not None:
        parameters["vertex_normals"] = np.ascontiguousarray(normals, np.float32).ravel()
    if uv is not None:
        parameters["vertex_texcoords"] = np.ascontiguousarray(uv, np.float32).ravel()
    parameters.update()
    return shape


def textured_shape(vertices, faces, uv, texture):
    """A matt Mitsuba mesh painted with `texture` (H, W, 3), which repeats with period 1 in `uv`."""
    bitmap = {"type": "bitmap", "bitmap": mi.Bitmap(texture.astype(np.float32)), "raw": True}
    bsdf = mi.load_dict({"type": "twosided", "bsdf": {"type": "diffuse", "reflectance": bitmap}})
    return _shape(vertices, faces, bsdf, uv=uv)


def plain_shape(vertices, faces, bsdf, normals=None):
    """A Mitsuba mesh with a surface of its own (a dictionary), such as water."""
    return _shape(vertices, faces, mi.load_dict(bsdf), normals=normals)


def visible_shape(mesh, bsdf=None):
    """A `Mesh` as the picture shows it. Meshes without normals get flat, evenly coloured faces."""
    bsdf = bsdf or surface(mesh.material)
    if mesh.normals is not None:
        vertices, faces, colours = mesh.vertices, mesh.faces, mesh.colours
    else:
        vertices = mesh.vertices[mesh.faces].reshape(-1, 3)
        faces = np.arange(len(vertices)).reshape(-1, 3)
        colours = mesh.colours[mesh.faces].mean(1).repeat(3, axis=0)
    shape = _shape(vertices, faces, bsdf, normals=mesh.normals)
    shape.add_attribute("vertex_color", 3, np.ascontiguousarray(colours, np.float32).ravel())
    return shape


def part_shape(mesh):
    """A `Mesh` whose every face shines with the number of its part, for `part_mask`.

    Area lights shine to one side only, so each face is doubled, a millimetre off to either side.
    """
    corners = mesh.vertices[mesh.faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
    flat, offset = corners.reshape(-1, 3), 7e-4 * normal.repeat(3, axis=0)
    front = np.arange(len(flat)).reshape(-1, 3)
    number = mesh.parts[mesh.faces[:, 0]].repeat(3).astype(np.float32)
    glow = np.stack([number, np.ones_like(number), np.zeros_like(number)], 1)
    radiance = {"type": "mesh_attribute", "name": "vertex_part"}
    shape = _shape(
        np.vstack([flat + offset, flat - offset]),
        np.vstack([front, front[:, ::-1] + len(flat)]),
        surface_black(),
        mi.load_dict({"type": "area", "radiance": radiance}),
    )
    shape.add_attribute("vertex_part", 3, np.ascontiguousarray(np.vstack([glow, glow])).ravel())
    return shape


def surface_black():
    """A surface that reflects nothing."""
    return mi.load_dict({"type": "diffuse", "reflectance": {"type": "rgb", "value": 0.0}})


def _scene(shapes, emitters, sensor, integrator):
    """Loads a scene. An instance's shape group must be a child of the scene too."""
    scene = {"type": "scene", "integrator": integrator, "sensor": sensor}
    groups = {}
    for number, emitter in enumerate(emitters):
        scene[f"emitter{number}"] = emitter
    for number, shape in enumerate(shapes):
        scene[f"shape{number:04d}"] = shape
        if isinstance(shape, dict) and shape.get("type") == "instance":
            groups[id(shape["shapegroup"])] = shape["shapegroup"]
    for number, group in enumerate(groups.values()):
        scene[f"group{number:03d}"] = group
    return mi.load_dict(scene)


def radiance(shapes, emitters, sensor, seed, depth=4):
    """The light that reaches each pixel, (H, W, 3) linear RGB; paths have at most `depth` legs."""
    scene = _scene(shapes, emitters, sensor, {"type": "path", "max_depth": depth})
    return np.array(mi.render(scene, seed=int(seed)))[..., :3]


class TiledView:
    """A scene whose picture is rendered tile by tile, each with random numbers of its own.

    Two scenes that show the same in a tile, seen by the same camera with the same seed, have the
    same pixels there, bit for bit; so only the tiles that differ need to be rendered again.
    """

    def __init__(self, shapes, emitters, sensor, seed, tile=32, depth=4):
        self.sensor, self.seed, self.tile = sensor, int(seed), tile
        self.rows = sensor["film"]["height"] // tile
        self.columns = sensor["film"]["width"] // tile
        self.scene = _scene(shapes, emitters, sensor, {"type": "path", "max_depth": depth})

    def render(self, row, column):
        """The light that reaches the pixels of a tile, (tile, tile, 3) linear RGB."""
        film = dict(self.sensor["film"])
        film.update(crop_width=self.tile, crop_height=self.tile)
        film.update(crop_offset_x=column * self.tile, crop_offset_y=row * self.tile)
        number = row * self.columns + column
        seed = self.seed * self.rows * self.columns + number
        window = mi.load_dict({**self.sensor, "film": film})
        return np.array(mi.render(self.scene, sensor=window, seed=seed % 2**32))[..., :3]

    def preview(self):
        """The whole picture with one path a pixel, (H, W, 3): it shows which tiles differ."""
        sensor = {**self.sensor, "sampler": {"type": "independent", "sample_count": 1}}
        image = mi.render(self.scene, sensor=mi.load_dict(sensor), seed=self.seed % 2**32)
        return np.array(image)[..., :3]


def distance(shapes, sensor, seed):
    """Mean distance to what each pixel shows, (H, W) metres; 0 where a ray meets nothing."""
    sensor = {**sensor, "sampler": {"type": "multijitter", "sample_count": 4}}
    scene = _scene(shapes, [], sensor, {"type": "depth"})
    return np.array(mi.render(scene, seed=int(seed)))[..., 0]


def _subpixels(sensor, points):
    """The same camera with one ray for each of `points` x `points` places in a pixel."""
    film = dict(sensor["film"])
    film.update(width=film["width"] * points, height=film["height"] * points)
    return {**sensor, "film": film, "sampler": {"type": "independent", "sample_count": 1}}


def _blocks(image, points):
    """An image of subpixels (H, W) as (h, points, w, points)."""
    height, width = image.shape
    return image.reshape(height // points, points, width // points, points)


def sky_mask(shapes, sensor, seed):
    """Where at least half a pixel shows nothing but sky, (H, W) bool."""
    scene = _scene(shapes, [], _subpixels(sensor, SUBPIXELS), {"type": "depth"})
    image = np.array(mi.render(scene, seed=int(seed)))[..., 0]
    return _blocks(image == 0, SUBPIXELS).mean((1, 3)) >= 0.5


def part_coverage(shapes, mesh, sensor, seed, points=SUBPIXELS):
    """How much of each pixel shows each part of `mesh`, (len(PARTS), H, W) in [0, 1]; part 0 is 0.

    The mesh shines in the dark and `shapes` hide it. Each subpixel sees one ray, so its light
    is exactly one part's number and partly covered pixels come out right too, to one in
    `points` x `points`.
    """
    lights = [*shapes, part_shape(mesh)]
    scene = _scene(lights, [], _subpixels(sensor, points), {"type": "path", "max_depth": 1})
    image = np.array(mi.render(scene, seed=int(seed)))
    number = np.where(image[..., 1] > 0.5, np.rint(image[..., 0]), 0).astype(int)
    blocks = _blocks(number, points)
    coverage = np.stack([(blocks == part).mean((1, 3)) for part in range(len(PARTS))])
    coverage[0] = 0
    return coverage


def part_mask(coverage, favour=None):
    """The part each pixel mostly shows, (H, W) uint8; 0 where less than half the pixel is covered.

    A thin part (a seam) named by its number in `favour` wins from a third of the covered area.
    """
    total = coverage.sum(0)
    mask = coverage.argmax(0)
    if favour is not None:
        mask = np.where(coverage[favour] >= total / 3, favour, mask)
    return np.where(total >= 0.5, mask, 0).astype(np.uint8)
