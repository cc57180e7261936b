"""3 x 3 convolutions by fewer multiplications, for layers with many channels.

Four outputs of a 3 x 3 convolution, 2 x 2 side by side, see 4 x 4 inputs. Computed one by one they
take 36 products for each pair of channels; 16 do, if sums of inputs are multiplied by sums of
weights. For 4 x 4 outputs at once, 36 products do instead of 144. The sums are cheap if there are
many channels, since each is used for all channels of the other side.

Winograd, "Arithmetic Complexity of Computations", 1980; Lavin and Gray, "Fast Algorithms for
Convolutional Neural Networks", CVPR 2016. The products are values of two polynomials at a few
points, as in Toom's and Cook's way of multiplying them. Nothing is approximated; which points are
taken decides how much is lost by rounding.
"""

import functools

import torch
from torch import Tensor, nn
from torch.nn import functional

POINTS = {
    2: (0, 1, -1),
    3: (0, 0.75, -0.75, 1.5),
    4: (0, 0.75, -0.75, 1.5, -1.5),
}
"""Outputs along an axis that are computed at once -> points, besides infinity.

With these, float32 loses about as much as in a direct convolution. With the usual 0, 1, -1, 2, -2
the worst value loses four times as much.
"""

SUMMING = 100
"""As many products take as long as one value of one channel in a tile, which is a sum of inputs or
becomes part of a sum: between what was measured with AVX2 (80) and twice that, for processors that
multiply twice as fast."""

INPUTS = 4 * 2**20
"""So many inputs, as they lie in tiles, at a time: what is computed with them takes three times
this memory."""


def best_tile(layer: nn.Module, x: Tensor, padding: tuple[int, int] = (0, 0)) -> int | None:
    """The side of the output tiles with which x (N, C, H, W) is convolved fastest.

    padding: rows and columns that x is going to get at each border; the convolution's own is
             not looked at
    None if torch's own way is faster, or if this way doesn't do, as for any other layer.
    """
    if not isinstance(layer, nn.Conv2d) or x.device.type != "cpu" or x.dim() != 4:
        return None
    shaped = layer.kernel_size == (3, 3) and layer.stride == (1, 1) and layer.dilation == (1, 1)
    precise = x.dtype == layer.weight.dtype and x.dtype in (torch.float32, torch.float64)
    if not (shaped and layer.groups == 1 and precise):
        return None
    height = x.shape[2] + 2 * padding[0] - 2
    width = x.shape[3] + 2 * padding[1] - 2
    pairs = layer.in_channels * layer.out_channels
    costs: dict[int | None, int] = {None: 9 * height * width * pairs}
    for side in POINTS:
        values = -(-height // side) * -(-width // side) * (side + 2) ** 2
        costs[side] = values * (pairs + SUMMING * (layer.in_channels + layer.out_channels))
    return min(costs, key=costs.__getitem__)


class Filters:
    """The weights (O, C, 3, 3) of a convolution, made ready for output tiles of one size.

    side: how many outputs along an axis are computed at once, one of `POINTS`
    """

    def __init__(self, conv: nn.Conv2d, side: int):
        self.side = side
        weight = conv.weight.detach()
        self.of_inputs, of_weights, self.of_outputs = _sums(side, weight.dtype)
        pairs = weight.permute(2, 3, 1, 0).reshape(9, -1)
        self.sums = (of_weights @ pairs).view(-1, conv.in_channels, conv.out_channels)
        self.bias = None if conv.bias is None else conv.bias.detach()

    def convolve(self, x: Tensor) -> Tensor:
        """The convolution of maps (N, C, H, W), without padding -> (N, O, H - 2, W - 2)."""
        step = self.side
        high, wide = x.shape[2] - 2, x.shape[3] - 2
        rows, columns = -(-high // step), -(-wide // step)
        missing = rows * step - high, columns * step - wide
        maps = functional.pad(x.permute(0, 2, 3, 1), (0, 0, 0, missing[1], 0, missing[0]))
        tiles = maps.unfold(1, step + 2, step).unfold(2, step + 2, step)
        outputs = x.new_empty(len(x), rows, step, columns, step, self.sums.shape[2])
        together = max(1, INPUTS // tiles[0].numel())
        for some, onto in zip(tiles.split(together), outputs.split(together)):
            onto.copy_(self._outputs(some).permute(2, 3, 0, 4, 1, 5))
        whole = outputs.view(len(x), rows * step, columns * step, -1)[:, :high, :wide]
        if self.bias is not None:
            whole += self.bias
        return whole.permute(0, 3, 1, 2)

    def _outputs(self, tiles):
        """Tiles of inputs (N, rows, columns, C, n, n) -> of outputs (m, m, N, rows, columns, O)."""
        count, rows, columns, channels = tiles.shape[:4]
        inputs = tiles.permute(4, 5, 0, 1, 2, 3).reshape(len(self.of_inputs), -1)
        values = (self.of_inputs @ inputs).view(len(inputs), -1, channels)
        products = torch.bmm(values, self.sums).view(len(inputs), -1)
        outputs = self.of_outputs @ products
        return outputs.view(self.side, self.side, count, rows, columns, -1)


@functools.cache
def _sums(side, dtype):
    """The matrices that turn flattened inputs and weights into sums, and products into outputs.

    With n = side + 2 points: (n * n, n * n), (n * n, 9) and (side * side, n * n).
    """
    points = POINTS[side]
    values_of = [_values(points, length) for length in (side + 2, 3, side)]
    one_axis = torch.linalg.inv(values_of[0]).T, values_of[1], values_of[2].T
    return [torch.kron(matrix, matrix).to(dtype) for matrix in one_axis]


def _values(points, length):
    """The matrix that takes a polynomial's coefficients to its values at points and infinity."""
    powers = torch.tensor(points, dtype=torch.float64)[:, None] ** torch.arange(length)
    infinity = torch.zeros(1, length, dtype=torch.float64)
    infinity[0, -1] = 1
    return torch.cat([powers, infinity])
