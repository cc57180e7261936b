"""A share of pictures, with the interval that so few pictures leave open."""

import math
from dataclasses import dataclass

from torch import Tensor

WIDTH = 1.96
"""Standard deviations on either side that hold 95 % of a normal distribution."""


@dataclass(frozen=True)
class Share:
    """So many of so many pictures: `Share(9, 12)` prints as "75% (47-91%)"."""

    hits: int
    of: int

    @classmethod
    def count(cls, flags: Tensor) -> "Share":
        """The share of a bool tensor's elements that are true."""
        return cls(int(flags.sum()), flags.numel())

    @property
    def value(self) -> float:
        """In [0, 1]; 0 where there are no pictures."""
        return self.hits / self.of if self.of else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end of the 95 % interval (Wilson's score interval); it never leaves
        [0, 1], and stays wide for 0 of few pictures. (0, 1) where there are none."""
        if not self.of:
            return 0.0, 1.0
        shrink = 1 + WIDTH**2 / self.of
        centre = self.value + WIDTH**2 / (2 * self.of)
        spread = self.value * (1 - self.value) / self.of + (WIDTH / (2 * self.of)) ** 2
        half = WIDTH * math.sqrt(spread)
        return max(0.0, (centre - half) / shrink), min(1.0, (centre + half) / shrink)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.0%} ({100 * low:.0f}-{high:.0%})"
