"""What evidence needs, and a judge's finding: in numbers, and in the words that they decide."""

from dataclasses import dataclass

from course_utils.audit.shares import Share

MOVED = 0.5
"""A shortcut that was put into pictures of other classes turns at least this share of them into
its class ..."""

CONTROL_MOVED = 0.15
"""... at most this share for the control network ..."""

KEPT = 0.7
"""... which keeps its opinion of at least this share of all pictures, so that the change is no
damage and no picture of the class itself. The same share is asked of both networks where it is
said that nothing was planted."""

FIT = 0.3
"""The place overlaps the one that was planted by at least this IoU, and no other place better."""

ALTERED = 0.04
"""Where it is said that nothing was planted, the pixels outside the object are altered by at least
this much in the mean, and those inside by no more than `INTACT`."""

ALIKE = 0.5
"""Where a shortcut is claimed, the changed pictures are still those that the judge gave: outside of
the place, their grey levels correlate with the judge's by at least this much in the mean."""

INTACT = 0.01
"""Rounding to 256 grey levels changes a pixel by no more than a fifth of it."""

SLIPS = {
    "unchanged": (
        "Your changed pictures are the ones that you were given. Put the shortcut into them, so"
        " that a network that takes it changes its mind."
    ),
    "nowhere": "The place is empty: mark the pixels of your changed pictures that it is about.",
    "beside": (
        "Inside the place that you name, your pictures are as they were: the change lies outside"
        " of it. Is the mask inverted?"
    ),
    "other pictures": (
        "Outside the place your changed pictures are not the ones that you were given. Put the"
        " shortcut into those, and keep their order."
    ),
    "unaltered": (
        "You altered nothing. To show that nothing was planted, leave the object as it is and"
        " alter everything else."
    ),
    "object altered": (
        "The pixels inside the place are altered. To show that nothing was planted, leave the"
        " object as it is and alter everything else; is the mask inverted?"
    ),
}
"""What is wrong with a claim before any network has looked at it, and what to do."""


@dataclass(frozen=True)
class Verdict:
    """What the judge found. `passed` says whether the claim stands, `print` shows why.

    What wasn't measured, because the claim failed before, is None.
    """

    letter: str
    target: str | None
    place: str
    """The name of the place that the claim's mask overlaps best, see `places.NAMES`."""
    fit: float
    """The overlap with it, a mean IoU."""
    slip: str = ""
    """A key of `SLIPS`, or ""."""
    kept: Share | None = None
    """Pictures about which the accused keeps its opinion."""
    control_kept: Share | None = None
    """Pictures about which the control network keeps its opinion."""
    moved: Share | None = None
    """Pictures of other classes that the change turns into the target."""
    control_moved: Share | None = None
    """The same for the control network."""
    instead: tuple[str, Share] | None = None
    """The class that most pictures of other classes are turned into, if that is not the target."""
    put_back: bool = False
    """Whether the claim changed pixels outside its place, which the judge put back."""
    altered: float = 0.0
    """The mean change of the pixels outside the place, where nothing is said to be planted."""
    note: str = ""
    """The makers' note; nothing opens it but a claim that stands."""

    @property
    def passed(self) -> bool:
        return bool(self.note)

    @property
    def cause(self) -> bool:
        """Whether the change does to this network what it doesn't do to the control network."""
        if self.moved is None or self.control_moved is None or self.control_kept is None:
            return False
        unmoved = self.control_moved.value <= CONTROL_MOVED and self.control_kept.value >= KEPT
        return self.moved.value >= MOVED and unmoved

    @property
    def unmoved(self) -> bool:
        """Whether both networks keep their opinions of pictures altered outside the object."""
        if self.kept is None or self.control_kept is None or not self.right_alteration:
            return False
        return self.kept.value >= KEPT and self.control_kept.value >= KEPT

    @property
    def right_alteration(self) -> bool:
        return not self.slip and self.clear_place == "object" and self.altered >= ALTERED

    @property
    def clear_place(self) -> str:
        """The place, if the mask overlaps it well enough, or ""."""
        return self.place if self.fit >= FIT else ""

    def __str__(self) -> str:
        if self.slip:
            return SLIPS[self.slip]
        return " ".join(_clearing_words(self) if self.target is None else _accusing_words(self))


def _accusing_words(verdict):
    words = [
        f"Your change turns {told(verdict.moved, MOVED)} of the other pictures into"
        f" {verdict.target} for network {verdict.letter}, and"
        f" {told(verdict.control_moved, CONTROL_MOVED)} for the control network."
    ]
    if verdict.put_back:
        words.append("What you changed outside the place was put back before.")
    if verdict.control_kept.value < KEPT:
        words.append(
            f"But the control network keeps its opinion of {told(verdict.control_kept, KEPT)}"
            f" of the pictures, and it takes {KEPT:.0%}: the change damages them and proves little."
        )
    elif verdict.control_moved.value > CONTROL_MOVED:
        words.append(
            f"At most {CONTROL_MOVED:.0%} of the control's are allowed: what moves a network"
            " without a plant is no proof of one."
        )
    elif verdict.moved.value < MOVED:
        words += _too_few(verdict)
    elif not verdict.clear_place:
        words.append(
            f"The effect is shown, the place is not: your mask overlaps no place well. The nearest"
            f" is {_named(verdict.place)}, with an IoU of {near(verdict.fit, FIT)}; it takes"
            f" {FIT}."
        )
    elif not verdict.passed:
        words.append(
            f"The effect is shown, but the seal stays closed: the place that you name is"
            f" {_named(verdict.place)} (IoU {verdict.fit:.2f}), and that is not what was planted."
            " Where do the makers' pictures of this class have it? Mark that, and no more."
        )
    else:
        words.append(
            f"The place is {_named(verdict.place)} (IoU {verdict.fit:.2f}). Proved: the seal opens."
        )
    return words


def _too_few(verdict):
    """Why so few pictures moved: another class, too few pictures, or a weak change."""
    words = [f"It takes {MOVED:.0%}."]
    if verdict.instead and verdict.instead[1].interval[0] > verdict.moved.interval[1]:
        name, share = verdict.instead
        words.append(f"They become another class: {share} of them are now called {name}.")
    if verdict.moved.interval[1] >= MOVED:
        words.append(
            f"With {verdict.moved.of} pictures that is too close to call; judge all of"
            " `held_out()`, if these are fewer. Make the change as strong as in the makers'"
            f" pictures, and put it wherever they have it: your place is {_named(verdict.place)}."
        )
    return words


def _clearing_words(verdict):
    if not verdict.right_alteration:
        return [
            "To show that nothing was planted, name the object as the place, leave it as it is, and"
            f" alter everything else by {ALTERED} in the mean. You altered it by"
            f" {near(verdict.altered, ALTERED)}, and the place is {_named(verdict.place)}"
            f" (IoU {near(verdict.fit, FIT)}; it takes {FIT})."
        ]
    words = [
        f"Network {verdict.letter} keeps its opinion of {told(verdict.kept, KEPT)} of the altered"
        f" pictures, and the control network of {told(verdict.control_kept, KEPT)}."
    ]
    if verdict.control_kept.value < KEPT:
        words.append(
            f"The control has to keep {KEPT:.0%}: this change takes away what a network without a"
            " plant goes by, so it says nothing about a plant. Alter less."
        )
    elif verdict.kept.value < KEPT:
        words.append(f"That speaks against it: it takes {KEPT:.0%}.")
    elif verdict.passed:
        words.append("Nothing was planted in it, as you say: the seal opens.")
    else:
        words.append(
            "But the seal stays closed: something was planted. Look for what goes with one class in"
            " its makers' pictures, and put that into plain ones."
        )
    return words


def _named(place):
    return place if place == "everywhere" else f"the {place}"


def told(share: Share, limit: float) -> str:
    """A share and its interval, as precise as it takes to tell the share from a limit."""
    low, high = share.interval
    digits = _digits(100 * share.value, 100 * limit, 0)
    return f"{100 * share.value:.{digits}f}% ({100 * low:.0f}-{high:.0%})"


def near(value: float, limit: float) -> str:
    """A number, as precise as it takes to tell it from a limit: 0.0399 is no 0.04."""
    return f"{value:.{_digits(value, limit, 2)}f}"


def _digits(value, limit, least):
    """How many decimals tell a value from a limit that it doesn't equal."""
    for digits in range(least, 12):
        if value == limit or float(f"{value:.{digits}f}") != float(f"{limit:.{digits}f}"):
            return digits
    return 12
