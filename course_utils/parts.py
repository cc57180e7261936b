"""What the pictures show: the look-alike pairs, and the parts that masks tell apart by number."""

# This module imports nothing, so that rendering and loading can share it.

PAIRS = (
    ("basketball", "volleyball"),
    ("pineapple", "custard_apple"),
    ("submarine", "grey_whale"),
    ("zebra", "elephant"),
    ("dog", "cat"),
)
"""The look-alikes: the two classes of a pair stand in the same scenes."""

WEATHERS = ("sunny", "overcast")
"""Those of the tank yard: each of its scenes is there in both."""

PARTS = (
    "background",
    "hull", "turret", "gun", "tracks",
    "body", "head", "legs", "ears", "muzzle", "tail",
    "trunk", "tusks", "stripes", "seams", "crown", "stem", "sail", "rudder", "fluke", "flippers",
    "sky",
    "mane", "leg stripes", "masts", "planes",
)  # fmt: skip
"""Names by number: the value of a mask's pixel is an index into this tuple."""

PART_NUMBER = {name: number for number, name in enumerate(PARTS)}

KEY_PART = {
    "basketball": "seams",
    "volleyball": "seams",
    "pineapple": "crown",
    "submarine": "sail",
    "grey_whale": "fluke",
    "zebra": "stripes",
    "elephant": "trunk",
}
"""The part that test pictures of these classes also come without (the counterfactual renders)."""

PORTRAIT_PARTS = {
    "basketball": {
        "seams": ("seams",),
        "pebbles": ("body",),
        "colours": ("body",),
        "roundness": ("body", "seams"),
    },
    "volleyball": {"seams": ("seams",), "colours": ("body",), "roundness": ("body", "seams")},
    "pineapple": {"crown": ("crown",), "pattern": ("body",), "tips": ("body",)},
    "custard_apple": {"stem": ("stem",), "pattern": ("body",), "grooves": ("body",)},
    "submarine": {
        "sail": ("sail", "masts", "planes"),
        "masts": ("masts",),
        "planes": ("planes",),
        "rudder": ("rudder",),
    },
    "grey_whale": {"fluke": ("fluke",), "knuckles": ("body",), "barnacles": ("body", "fluke")},
    "zebra": {
        "stripes": ("stripes", "leg stripes"),
        "leg stripes": ("leg stripes",),
        "mane": ("mane",),
        "tail": ("tail",),
        "ears": ("ears",),
    },
    "elephant": {"trunk": ("trunk",), "tusks": ("tusks",), "ears": ("ears",), "tail": ("tail",)},
}
"""What the portraits' objects also come without, and the parts of the mask where each is.

Some are properties of a surface rather than parts with a place of their own: their mask is the
whole surface that has them. A sail takes along what it carries.
"""
