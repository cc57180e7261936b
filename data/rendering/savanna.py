"""A zebra and an elephant, with natural sizes, coats and builds that overlap.

Elephants are partly slim calves with small ears and no tusks, zebras partly stocky, and the two
share coat tones, so that little but stripes and trunk tells them apart.
"""

import numpy as np

from course_utils.parts import PART_NUMBER

from .fields import Blob, cone, ellipsoid, mesh_blobs
from .meshes import Mesh, rotation_x, rotation_z
from .noise import fbm, mix, smoothstep

NEARLY_BLACK = np.array([0.022, 0.019, 0.017])
COATS = np.array(
    [(0.31, 0.25, 0.18), (0.22, 0.215, 0.205), (0.145, 0.14, 0.135), (0.085, 0.08, 0.077)]
)
"""Dusty tan, light grey, grey, dark: the tones of elephants and of zebras without stripes."""
HIDE = {"roughness": 0.75, "specular": 0.25}


class _Sculpture:
    """Collects the round pieces of an animal, and the box that holds them."""

    def __init__(self):
        self.blobs = []
        self.low, self.high = np.full(3, np.inf), np.full(3, -np.inf)

    def _hold(self, point, reach):
        self.low = np.minimum(self.low, np.asarray(point) - reach)
        self.high = np.maximum(self.high, np.asarray(point) + reach)

    def cone(self, part, softness, start, end, start_radius, end_radius):
        """A rounded cone from `start` to `end`."""
        self._hold(start, start_radius)
        self._hold(end, end_radius)
        self.blobs.append(Blob(part, softness, cone(start, end, start_radius, end_radius)))

    def chain(self, part, softness, points, radii):
        """Rounded cones through all `points` (N, 3)."""
        for i in range(len(points) - 1):
            self.cone(part, softness, points[i], points[i + 1], radii[i], radii[i + 1])

    def ellipsoid(self, part, softness, centre, radii, rotation=None):
        """An ellipsoid; `rotation` as in `fields.ellipsoid`."""
        reach = np.asarray(radii, float)
        if rotation is not None:
            reach = np.sqrt((np.asarray(rotation) * reach[None, :]) ** 2).sum(1)
        self._hold(centre, reach)
        self.blobs.append(Blob(part, softness, ellipsoid(centre, radii, rotation)))

    def crest(self, part, softness, start, end, radius, half_thickness):
        """A thin upright ridge, such as a mane."""
        self._hold(start, radius)
        self._hold(end, radius)
        ridge = cone(start, end, radius, radius)

        def distance(points):
            return np.maximum(ridge(points), np.abs(points[..., 1]) - half_thickness)

        self.blobs.append(Blob(part, softness, distance))

    def box(self):
        """Two corners, (2, 3), of the box around everything so far that stands on z = 0."""
        return np.vstack([[*self.low[:2], 0], self.high])

    def mesh(self, voxel, without=()):
        """Vertices, faces, normals and part names (V,); `without` names parts to leave out.

        The feet are cut flat at z = 0. The grid does not depend on `without`.
        """
        low, high = self.low - 2 * voxel, self.high + 2 * voxel
        low[2] = 0
        blobs = [blob for blob in self.blobs if blob.part not in without]
        vertices, faces, normals, nearest = mesh_blobs(blobs, low, high, voxel)
        return vertices, faces, normals, np.array([blob.part for blob in blobs])[nearest]


def _near(vertices, spots, radius):
    """True for the vertices within `radius` of one of `spots` (N, 3)."""
    spots = np.atleast_2d(spots)
    return (np.linalg.norm(vertices[:, None] - spots[None], axis=2) < radius).any(1)


def _finish(geometry, colours, names, whole):
    """A `Mesh`, centred by the bounding box of `whole`'s vertices."""
    vertices, faces, normals = geometry
    middle = (whole.min(0) + whole.max(0)) / 2
    vertices = vertices - [middle[0], middle[1], whole[:, 2].min()]
    parts = np.array([PART_NUMBER[name] for name in names])
    return Mesh(vertices, faces, np.clip(colours, 0.008, 0.9), parts, normals, dict(HIDE))


def _coat_tone(rng):
    """A colour between two of `COATS`."""
    first, second = COATS[rng.integers(len(COATS), size=2)]
    return mix(first, second, rng.uniform()) * rng.uniform(0.85, 1.15)


class _Zebra:
    """The measures of one zebra (metres), and its sculpture."""

    def __init__(self, rng, natural=False):
        self.mane = "mane" if natural else "body"
        self.stout = rng.uniform()
        self.half_length = rng.uniform(0.46, 0.58)
        self.back = rng.uniform(0.97, 1.07)
        self.girth = mix(0.25, 0.33, self.stout)
        carriage = rng.uniform(-0.5, 0.15)
        turn = rng.normal(0, 0.1)
        self.withers = np.array([self.half_length * 0.9, 0, self.back + 0.1])
        self.poll = self.withers + [0.42, turn * 0.4, 0.44 + carriage * 0.6]
        self.muzzle = self.poll + [0.33, turn, -0.24 + carriage * 0.12]
        self.eyes = [
            mix(self.poll, self.muzzle, 0.27) + [0.0, side * 0.095, 0.045] for side in (-1, 1)
        ]
        self.feet = []
        self.shape = _Sculpture()
        self._trunk_of_body()
        self._neck_and_head()
        for fore in (False, True):
            for side in (-1, 1):
                self._leg(fore, side, rng.normal(0, 0.09))
        self._tail(rng.normal(0, 0.1))

    def _trunk_of_body(self):
        add, h, z, r = self.shape, self.half_length, self.back, self.girth
        add.cone("body", 0.1, (-h * 0.8, 0, z + 0.01), (0, 0, z - 0.05), r * 0.98, r * 1.04)
        add.cone("body", 0.1, (0, 0, z - 0.05), (h * 0.85, 0, z - 0.01), r * 1.04, r * 0.94)
        add.ellipsoid("body", 0.08, (-h - 0.02, 0, z - 0.02), (0.25, r * 0.88, 0.26))
        add.ellipsoid("body", 0.08, (h + 0.03, 0, z - 0.1), (0.21, r * 0.75, 0.25))

    def _neck_and_head(self):
        add, poll, muzzle = self.shape, self.poll, self.muzzle
        thick = mix(0.11, 0.14, self.stout)
        add.cone("body", 0.14, self.withers - [0.05, 0, 0.08], poll - [0.02, 0, 0.03], 0.225, thick)
        cheek = mix(poll, muzzle, 0.28) - [0.02, 0, 0.035]
        add.cone("head", 0.05, poll, muzzle, 0.105, 0.068)
        add.ellipsoid("head", 0.05, cheek, (0.125, 0.088, 0.125))
        add.ellipsoid("head", 0.04, muzzle, (0.085, 0.072, 0.078))
        crest = [0, 0, 0.115]
        start, end = self.withers + [-0.02, 0, 0.13], poll + [-0.05, 0, 0.01]
        add.crest(self.mane, 0.02, start, end + crest, 0.07, 0.026)
        for side in (-1, 1):
            ear = poll + [-0.02, side * 0.09, 0.15]
            add.ellipsoid("ears", 0.02, ear, (0.035, 0.03, 0.105), rotation_x(side * 0.25))

    def _leg(self, fore, side, swing):
        """A leg bent a little at the knee or hock, ending in a hoof."""
        add, z = self.shape, self.back
        thick = mix(0.85, 1.6, self.stout)
        top_x = self.half_length - 0.04 if fore else -self.half_length - 0.02
        bend = 0.02 if fore else -0.07
        y = side * self.girth * 0.52
        hip = np.array([top_x, y * 0.9, z - 0.1])
        knee = np.array([top_x + 0.5 * swing + bend, y, 0.5 * z - 0.02])
        fetlock = np.array([top_x + swing, y, 0.12])
        toe = fetlock + [0.035, 0, -0.09]
        add.cone("legs", 0.07, hip, knee, 0.155 if fore else 0.18, 0.062 * thick)
        add.cone("legs", 0.03, knee, fetlock, 0.055 * thick, 0.042 * thick)
        add.cone("legs", 0.03, fetlock, toe, 0.045 * thick, 0.06 * thick)
        self.feet.append(toe)

    def _tail(self, sway):
        add, h, z = self.shape, self.half_length, self.back
        root = np.array([-h - 0.23, 0, z + 0.1])
        end = root + [-0.13, sway, -0.5]
        add.cone("tail", 0.04, root, end, 0.04, 0.028)
        add.cone("tail", 0.03, end, end + [-0.01, sway * 0.2, -0.22], 0.05, 0.02)
        self.tuft = end[2] + 0.05

    def grow_trunk(self):
        """An elephant's trunk in the place of the nostrils, hanging down."""
        bends = np.array([[0.02, 0, 0.0], [0.15, 0, -0.03], [0.25, 0, -0.16], [0.29, 0, -0.33]])
        bends = np.vstack([bends, [0.29, 0, -0.5], [0.33, 0, -0.64]])
        radii = np.linspace(0.085, 0.035, len(bends))
        self.shape.chain("trunk", 0.04, self.muzzle + bends, radii)

    def dark_points(self, vertices, names):
        """Muzzle, hooves, tail tuft and eyes: True where the coat is dark, stripes or not."""
        dark = _near(vertices, self.muzzle + [0.02, 0, -0.01], 0.095)
        dark |= (names == "tail") & (vertices[:, 2] < self.tuft)
        dark |= (names == "legs") & (vertices[:, 2] < 0.065)
        return dark | _near(vertices, self.eyes, 0.03)

    def stripe_cycles(self, vertices, names, frequency, wobble):
        """How many stripes lie before each vertex: its fraction tells dark from light.

        Upright stripes on the chest fan out around the flank and lie flat on rump and legs.
        """
        x, z = vertices[:, 0], vertices[:, 2]
        pivot_x, pivot_z = -0.12, self.back - 0.42
        angle = np.arctan2(pivot_x - x, z - pivot_z)
        behind = -frequency * 0.5 * angle
        lean = 0.25 * (z - self.back) * np.sign(x - pivot_x)
        cycles = np.where(x > pivot_x, frequency * (x - pivot_x) + lean, behind)
        neck = self.poll - self.withers
        along = ((vertices - self.withers) @ neck) / (neck @ neck)
        up_neck = frequency * (self.withers[0] - pivot_x + along * np.linalg.norm(neck))
        cycles = np.where(along > 0, mix(cycles, up_neck, smoothstep(0, 0.25, along)), cycles)
        face = self.muzzle - self.poll
        down_face = ((vertices - self.poll) @ face) / (face @ face)
        cycles = np.where(names == "head", 4.2 * down_face + 3 * np.abs(vertices[:, 1]), cycles)
        low = (names == "legs") & (z < self.back - 0.32)
        cycles = np.where(low, 1.35 * frequency * z, cycles)
        cycles = np.where(names == "tail", 1.8 * frequency * z, cycles)
        return cycles + wobble


def _zebra_tones(rng, natural):
    """The light and the dark colour of a zebra's coat."""
    tan = rng.uniform() ** 1.5
    brown = rng.uniform() ** 2
    if natural:
        return mix(np.array([0.70, 0.68, 0.64]), np.array([0.62, 0.54, 0.43]), tan), NEARLY_BLACK
    light = mix(np.array([0.70, 0.67, 0.61]), np.array([0.46, 0.36, 0.25]), tan)
    return light, mix(NEARLY_BLACK, np.array([0.10, 0.065, 0.045]), brown)


def zebra(seed, without_key=False, natural=False, without=(), trunk=False):
    """A `Mesh` of one zebra, about 1.3 to 1.45 m high at the shoulder, looking along +x on z = 0.

    Parts: body, head, legs, ears, tail, stripes. `without_key` leaves out the stripes: the same
    animal in a plain coat, dun to grey.
    natural: white with black stripes; its mane and the stripes of its legs are parts too
    without: what it lacks, some of "stripes", "leg stripes", "mane", "tail", "ears"
    trunk: gives it an elephant's trunk
    """
    without = {*without, "stripes"} if without_key else set(without)
    rng = np.random.default_rng([seed, 41])
    animal = _Zebra(rng, natural)
    box = animal.shape.box()
    if trunk:
        animal.grow_trunk()
    vertices, faces, normals, names = animal.shape.mesh(0.019 if natural else 0.0225, without)
    noise_seed = int(rng.integers(1_000_000))
    light, dark = _zebra_tones(rng, natural)
    rough = fbm(vertices * 9, noise_seed + 3, 2)[:, None] * (0.25 if natural else 1)
    patchy = fbm(vertices * 2.2, noise_seed + 5, 2)[:, None]
    light = light * (0.75 + 0.3 * rough + 0.2 * patchy)
    plain = mix(light * 0.45, _coat_tone(rng) * (0.77 + 0.16 * rough + 0.3 * patchy), 0.75)
    frequency, share = rng.uniform(5.5, 9.0), rng.uniform(0.40, 0.60)
    wobble = (0.6 if natural else 1.3) * (fbm(vertices * 3, noise_seed, 3) - 0.5)
    cycles = animal.stripe_cycles(vertices, names, frequency, wobble)
    wave = 0.5 + 0.5 * np.cos(2 * np.pi * cycles)
    # cos spends `share` of its period below this level.
    level = 0.5 - 0.5 * np.cos(np.pi * share)
    striped = 1 - smoothstep(level - 0.13, level + 0.13, wave)
    if "leg stripes" in without:
        striped = np.where(names == "legs", 0, striped)
    colours = plain if "stripes" in without else mix(light, dark, striped[:, None])
    always_dark = animal.dark_points(vertices, names)
    colours[always_dark] = NEARLY_BLACK * 1.4
    colours[names == "trunk"] = NEARLY_BLACK * 3
    if "stripes" not in without:
        own = np.isin(names, ("mane", "ears", "tail", "trunk")) & natural
        shown = (striped > 0.5) & ~always_dark & ~own
        legs = (names == "legs") & natural
        names = np.where(shown, np.where(legs, "leg stripes", "stripes"), names)
    # An animal without stripes has all its vertices, and a natural one is centred by its blobs.
    return _finish((vertices, faces, normals), colours, names, box if natural else vertices)


class _Elephant:
    """The measures of one elephant whose shoulder is about 2 units high, and its sculpture."""

    def __init__(self, rng, natural=False):
        self.age = rng.uniform() ** 1.2  # 0: a slim calf, 1: an adult
        if natural:
            self.age = mix(0.75, 1.0, self.age)
        self.back = rng.uniform(1.32, 1.44)
        self.half_length = mix(0.78, 1.0, self.age) * rng.uniform(0.93, 1.07)
        self.half_width = mix(0.34, 0.50, self.age) * rng.uniform(0.93, 1.07)
        self.depth = mix(0.42, 0.61, self.age)
        turn = rng.normal(0, 0.08)
        rise = rng.uniform(0.12, 0.42)
        self.head = np.array([self.half_length + 0.17, turn, self.back + rise])
        self.skull = mix(0.33, 0.40, self.age)
        self.shape, self.toes = _Sculpture(), []
        self._trunk_of_body()
        self._head()
        for fore in (False, True):
            for side in (-1, 1):
                self._leg(fore, side, rng.normal(0, 0.11))
        self._ears(rng, natural)
        self._tail(rng.normal(0, 0.06))
        if self.age > 0.5 and (rng.uniform() < 0.5 or natural):
            self._tusks(rng.uniform(0.4, 0.6) if natural else rng.uniform(0.25, 0.5))
        self._trunk(rng, turn)

    def _trunk_of_body(self):
        add, h, w, z, d = self.shape, self.half_length, self.half_width, self.back, self.depth
        add.ellipsoid("body", 0.15, (0.05 * h, 0, z), (h * 0.95, w, d))
        add.ellipsoid("body", 0.15, (-0.52 * h, 0, z - 0.04), (h * 0.55, w * 0.9, d * 0.95))
        add.ellipsoid("body", 0.15, (0.58 * h, 0, z + 0.05), (h * 0.45, w * 0.85, d * 0.92))

    def _head(self):
        add, centre, s = self.shape, self.head, self.skull
        shoulder = np.array([0.7 * self.half_length, 0, self.back + 0.1])
        add.cone(
            "body", 0.15, shoulder, centre - [0.12, 0, 0.06], 0.42 * self.depth / 0.6, s * 0.85
        )
        add.ellipsoid("head", 0.12, centre, (s, s * 0.82, s * 1.12))
        jaw = centre + [0.16, 0, -0.30]
        add.cone("head", 0.1, jaw, jaw + [0.14, 0, -0.12], 0.17, 0.08)
        self.eyes = [centre + [s * 0.72, side * s * 0.56, 0.02] for side in (-1, 1)]

    def _leg(self, fore, side, swing):
        add, z = self.shape, self.back
        thick = mix(0.62, 1.0, self.age)
        x = (0.58 if fore else -0.62) * self.half_length
        y = side * self.half_width * 0.56
        hip = np.array([x, y * 0.95, z - 0.1])
        knee = np.array([x + 0.5 * swing + (0.02 if fore else -0.05), y, 0.5 * z - 0.05])
        foot = np.array([x + swing, y, 0.06])
        add.cone("legs", 0.12, hip, knee, 0.28 * thick, 0.185 * thick)
        add.cone("legs", 0.07, knee, foot, 0.18 * thick, 0.175 * thick)
        add.ellipsoid("legs", 0.05, foot + [0.04, 0, 0], (0.2 * thick, 0.2 * thick, 0.1))
        for angle in (-0.6, 0.0, 0.6):
            ahead = np.array([np.cos(angle), np.sin(angle), 0]) * 0.21 * thick
            self.toes.append(foot + [0.04, 0, -0.01] + ahead)

    def _ears(self, rng, natural):
        """Ears between folded flat and half spread; calves' are small, natural ones large."""
        add, s = self.shape, self.skull
        size = rng.uniform(0.22, 0.34) + 0.16 * self.age * rng.uniform()
        if natural:
            size = rng.uniform(0.42, 0.52)
        spread = rng.uniform(0.1, 0.6)
        for side in (-1, 1):
            turn = rotation_z(-side * spread) @ rotation_x(side * 0.12)
            reach = size * 0.75 * np.array([np.cos(spread), side * np.sin(spread), 0])
            root = self.head + [-0.02, side * s * 0.78, -0.02]
            centre = root - [reach[0], -reach[1] - side * 0.03, 0]
            add.ellipsoid("ears", 0.04, centre, (size * 0.85, 0.055, size), turn)
            lobe = centre + [0.12 * size, 0, -0.6 * size]
            add.ellipsoid("ears", 0.05, lobe, (size * 0.5, 0.05, size * 0.6), turn)

    def _tail(self, sway):
        add, h, z = self.shape, self.half_length, self.back
        root = np.array([-h * 0.98, 0, z + 0.15])
        end = root + [-0.12, sway, -0.62]
        add.cone("tail", 0.05, root, end, 0.06, 0.035)
        add.cone("tail", 0.03, end, end + [0, 0, -0.14], 0.05, 0.025)
        self.tuft = end[2] + 0.02

    def _tusks(self, length):
        add, s = self.shape, self.skull
        for side in (-1, 1):
            root = self.head + [s * 0.6, side * 0.2, -0.28]
            middle = root + [length * 0.5, side * 0.04, -length * 0.35]
            tip = middle + [length * 0.5, 0, -length * 0.05]
            add.chain("tusks", 0.02, [root, middle, tip], [0.055, 0.047, 0.025])

    def _trunk(self, rng, turn):
        """A trunk that reaches forward, clear of the legs, hangs down and curls at its end."""
        add, s = self.shape, self.skull
        steps, length = 7, rng.uniform(1.2, 1.5)
        start_angle, hang = rng.uniform(-0.6, 0.0), rng.uniform(-1.6, -1.15)
        curl = rng.uniform(-0.2, 1.7)
        point = self.head + [s * 0.7, 0, -0.08]
        points = [point]
        for t in np.linspace(0, 1, steps):
            angle = mix(start_angle, hang, smoothstep(0.05, 0.55, t)) + curl * smoothstep(0.5, 1, t)
            step = np.array([np.cos(angle), turn * 0.8, np.sin(angle)]) * length / steps
            point = point + step
            points.append(np.maximum(point, [-np.inf, -np.inf, 0.16]))
        radii = np.linspace(0.205, 0.075, steps + 1) * mix(0.85, 1.0, self.age)
        add.chain("trunk", 0.06, points, radii)


def _elephant_skin(rng, animal, vertices, names):
    """Colours (V, 3): a dusty hide with wrinkles, pale toenails, dark eyes and tail tuft."""
    seed = int(rng.integers(1_000_000))
    base, dust = _coat_tone(rng), _coat_tone(rng) * 1.2
    dustiness, depth = rng.uniform(0, 0.7), rng.uniform(0.2, 0.45)
    patchy = fbm(vertices * 2.2, seed, 4)
    wrinkles = fbm(vertices * [5, 5, 13], seed + 1, 1)
    # The trunk and the legs are ringed, the body is folded in all directions.
    folds = np.abs(fbm(vertices * 7, seed + 2, 2) - 0.5) * 2
    high = smoothstep(0.4, 1.0, vertices[:, 2] / (animal.back + animal.depth))
    hide = mix(base, dust, (dustiness * patchy * (0.3 + high))[:, None])
    hide = hide * (0.72 + depth * wrinkles + 0.25 * smoothstep(0, 0.25, folds))[:, None]
    hide = hide * (0.75 + 0.25 * smoothstep(0, 0.35, vertices[:, 2]))[:, None]
    hide[names == "ears"] *= 0.85
    hide[names == "tusks"] = [0.62, 0.55, 0.42]
    hide[_near(vertices, animal.toes, 0.065) & (names == "legs")] *= 1.5
    hide[(names == "tail") & (vertices[:, 2] < animal.tuft)] = NEARLY_BLACK * 1.5
    hide[_near(vertices, animal.eyes, 0.05)] = NEARLY_BLACK * 0.6
    return hide


def _natural_hide(rng, animal, vertices, names):
    """Colours (V, 3): a smooth grey or dusty hide with fine dark creases and pale tusks."""
    seed = int(rng.integers(1_000_000))
    grey, dust = np.array([0.17, 0.16, 0.15]), np.array([0.27, 0.20, 0.15])
    hide = mix(grey, dust, 0.6 * rng.uniform()) * rng.uniform(0.8, 1.2)
    patchy = fbm(vertices * 1.3, seed, 3)
    rings = fbm(vertices * [3, 3, 26], seed + 1, 2)
    creases = smoothstep(0.06, 0.0, np.abs(rings - 0.5))
    hide = hide * (0.8 + 0.4 * patchy - 0.3 * creases)[:, None]
    hide = hide * (0.8 + 0.2 * smoothstep(0, 0.35, vertices[:, 2]))[:, None]
    hide[names == "tusks"] = [0.66, 0.60, 0.48]
    hide[_near(vertices, animal.toes, 0.065) & (names == "legs")] *= 1.6
    hide[(names == "tail") & (vertices[:, 2] < animal.tuft)] = NEARLY_BLACK * 1.5
    hide[_near(vertices, animal.eyes, 0.045)] = NEARLY_BLACK * 0.6
    return hide


def elephant(seed, without_key=False, natural=False, without=()):
    """A `Mesh` of one elephant, calf (1.4 m at the shoulder) to adult (2.8 m), looking along +x.

    It stands on z = 0. Parts: body, head, legs, ears, tail, trunk, and on some adults tusks.
    `without_key` leaves out the trunk.
    natural: an adult with tusks, large ears and a smooth grey hide
    without: what it lacks, some of "trunk", "tusks", "ears", "tail"
    """
    without = {*without, "trunk"} if without_key else without
    rng = np.random.default_rng([seed, 42])
    animal = _Elephant(rng, natural)
    voxel = 0.028 if natural else 0.035
    vertices, faces, normals, names = animal.shape.mesh(voxel, without)
    whole = vertices
    if natural:
        whole = animal.shape.box()
    elif without:
        whole = animal.shape.mesh(voxel)[0]
    paint = _natural_hide if natural else _elephant_skin
    colours = paint(rng, animal, vertices, names)
    scale = mix(1.4, 2.8, animal.age) / (animal.back + animal.depth)
    return _finish((vertices * scale, faces, normals), colours, names, whole * scale)
