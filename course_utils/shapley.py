"""Shapley values: what each part of a picture adds to the score, averaged over all orders.

    segments = superpixels(picture, 40)                            # (H, W): who owns which pixel
    game = partial(coalition_scores, classifier, x, target, baseline, segments)
    values = exact(game, players)                                  # all 2 ** players coalitions
    values, errors = permutation_sampling(game, players)
    values = kernel_shap(game, players, samples=512)
    heatmap = spread(values, segments)                             # (H, W)

A *game* is any function of coalitions (N, players) bool, True for who is in, that returns what each
is worth, (N,). It is asked AT_ONCE coalitions at a time, so memory does not grow with their number.
Values come as float64, (players,). A game that returns NaN or infinity raises ValueError, and so
does one whose numbers are so large that differences of them overflow. A warning tells if they
differ by no more than rounding errors.

Shapley, "A Value for n-Person Games", 1953.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from skimage.segmentation import slic
from torch import Tensor, nn
from tqdm.auto import tqdm

from course_utils._arguments import check_finite, check_picture, check_tensor, checks_arguments
from course_utils._networks import Ready, check_pair, class_indices, looks_inside
from course_utils._random import seeded_generator, uniform
from course_utils._warnings import warn
from course_utils.errors import check_count, check_not_negative, check_positive

Game = Callable[[Tensor], Tensor]
"""Coalitions (N, players) bool -> what each is worth, (N,)."""

BATCH = 8
"""Pictures at a time: on a CPU, larger batches fall out of its cache and take longer."""

AT_ONCE = 256
"""Coalitions that a game is asked for in one call."""

ROUNDINGS = 4
"""Values that lie no further apart than so many roundings of the largest are taken for equal."""

MOST_PLAYERS = 16
"""For all coalitions: 16 players have 65,536."""

# ---------------------------------------------------------------------------- pictures as games


@checks_arguments
def superpixels(picture: Tensor, count: int, compactness: float = 20.0) -> Tensor:
    """A picture (3, H, W) in [0, 1] cut into about `count` patches -> (H, W) int64, from 0 on.

    Every number up to the largest occurs. compactness: the larger, the more the patches are like
    squares; the smaller, the more they follow colours.

    Achanta et al., "SLIC Superpixels Compared to State-of-the-Art Superpixel Methods", IEEE TPAMI
    2012, as scikit-image has it.
    """
    check_picture(picture)
    check_count("count", count)
    check_positive(compactness=compactness)
    check_finite("The picture contains", picture)
    pixels = picture.detach().cpu().double().movedim(0, -1).numpy()
    found = slic(pixels, n_segments=count, compactness=compactness, start_label=0)
    _, numbers = np.unique(found, return_inverse=True)
    return torch.from_numpy(numbers.reshape(found.shape)).long()


@looks_inside
def coalition_scores(
    model: nn.Module,
    x: Tensor,
    target: int,
    baseline: Tensor,
    segments: Tensor,
    coalitions: Tensor,
    batch: int = BATCH,
) -> Tensor:
    """The target's score of pictures in which some players show x, the others the baseline -> (N,).

    x, baseline: one preprocessed picture each, (1, 3, H, W)
    segments:    (H, W) whole numbers from 0 on: the player who owns each pixel
    coalitions:  (N, players) bool
    batch:       pictures at a time

    With all arguments but the last, this is a game. Raises ValueError if a player owns no pixel.
    """
    check_pair(x, baseline)
    _check_segments(segments, x, coalitions)
    check_count("batch", batch)
    network, owners, scores = Ready(model), segments.long(), []
    with torch.no_grad():
        for part in coalitions.split(batch):
            shown = part[:, owners][:, None]
            found = network.scores(torch.where(shown, x, baseline))
            scores.append(found.gather(1, class_indices(target, found)[:, None])[:, 0])
    return torch.cat(scores)


@checks_arguments
def spread(values: Tensor, segments: Tensor) -> Tensor:
    """The values (players,) as a map (H, W): each player's is shared evenly by its pixels.

    So the sum over any region is what that region contributed. Raises ValueError if a player owns
    no pixel, and for values that are NaN or infinite.
    """
    if values.dim() != 1:
        raise ValueError(f"There is one value for each player, (players,); got {_shape(values)}.")
    check_finite("The values contain", values)
    sizes = _sizes(segments, len(values))
    return (values / sizes.to(values))[segments.long()]


# ---------------------------------------------------------------------------- exact


@checks_arguments
def all_coalitions(players: int) -> Tensor:
    """Every coalition, (2 ** players, players) bool: number k holds player i if bit i of k is set.

    The first is empty, the last holds all. Raises ValueError beyond MOST_PLAYERS.
    """
    _check_exact(players)
    return _numbered(torch.arange(2**players), players)


@checks_arguments
def exact(game: Game, players: int, progress: bool = False) -> Tensor:
    """The Shapley values of a game by its definition, from all coalitions, (players,) float64.

    A player's value is what it adds to those before it, averaged over all orders in which the
    players can come. Raises ValueError for more than MOST_PLAYERS players.
    """
    _check_exact(players)
    game = _Watched(game)
    sizes = range(players)
    # A coalition of s players comes before a given other one in s! (n - s - 1)! of n! orders.
    shares = torch.tensor(
        [1 / (players * math.comb(players - 1, size)) for size in sizes], dtype=torch.float64
    )
    joins = torch.cat([shares.new_zeros(1), shares])
    lacks = torch.cat([shares, shares.new_zeros(1)])
    values = torch.zeros(players, dtype=torch.float64)
    with _bar(progress, 2**players) as bar:
        for numbers in torch.arange(2**players).split(AT_ONCE):
            coalitions = _numbered(numbers, players)
            size = coalitions.sum(1)
            factors = torch.where(coalitions, joins[size][:, None], -lacks[size][:, None])
            values += worth(game, coalitions) @ factors
            bar.update(len(numbers))
    game.warn_of_rounding()
    return _finite(values)


def _numbered(numbers, players):
    return numbers[:, None].bitwise_right_shift(torch.arange(players)) % 2 == 1


# ---------------------------------------------------------------------------- sampled


@checks_arguments
def permutation_sampling(
    game: Game, players: int, permutations: int = 50, seed: int = 0, progress: bool = False
) -> tuple[Tensor, Tensor]:
    """The mean of what each player adds in random orders, and its standard error, two (players,).

    Each order costs players - 1 values of the game. The sum of the values is right in each order,
    and so in the mean. The error is the standard deviation over the orders by the root of their
    number; at least two are needed.

    Castro, Gómez and Tejada, "Polynomial calculation of the Shapley value based on sampling",
    Computers & Operations Research 2009.
    """
    check_count("players", players)
    check_count("permutations", permutations, least=2)
    generator = seeded_generator(seed)
    game = _Watched(game)
    empty, full = _ends(game, players)
    total = torch.zeros(players, dtype=torch.float64)
    squares = torch.zeros_like(total)
    together = max(1, AT_ONCE // max(1, players - 1))
    with _bar(progress, permutations) as bar:
        for group in _parts(permutations, together):
            orders = torch.stack([torch.randperm(players, generator=generator) for _ in group])
            added = _added(game, orders, empty, full)
            total += added.sum(0)
            squares += added.square().sum(0)
            bar.update(len(orders))
    game.warn_of_rounding()
    mean = total / permutations
    variance = (squares / permutations - mean.square()).clamp(min=0)
    return _finite(mean), _finite((variance / (permutations - 1)).sqrt())


def _added(game, orders, empty, full):
    """What each player adds when they come in these orders (M, players) -> (M, players)."""
    count, players = orders.shape
    arrival = orders.argsort(1)
    steps = torch.empty(count, players + 1, dtype=torch.float64)
    steps[:, 0] = empty
    steps[:, -1] = full
    if players > 1:
        present = torch.stack([arrival < size for size in range(1, players)], 1)
        steps[:, 1:-1] = worth(game, present.flatten(0, 1)).view(count, -1)
    return steps.diff(dim=1).gather(1, arrival)


@checks_arguments
def kernel_weights(players: int) -> Tensor:
    """The Shapley kernel: the weight of a coalition of 0, 1, ..., players players, (players + 1,).

    It is infinite for nobody and for all: there the fit must be exact. With these weights, the best
    linear approximation of a game has the Shapley values as its coefficients.

    Lundberg and Lee, "A Unified Approach to Interpreting Model Predictions", NeurIPS 2017,
    theorem 2.
    """
    check_count("players", players)
    inner = [
        (players - 1) / (math.comb(players, size) * size * (players - size))
        for size in range(1, players)
    ]
    return torch.tensor([math.inf, *inner, math.inf], dtype=torch.float64)


@checks_arguments
def kernel_shap(
    game: Game, players: int, samples: int = 512, seed: int = 0, progress: bool = False
) -> Tensor:
    """Shapley values by weighted least squares, (players,) float64; exact for enough samples.

    samples: coalitions, besides nobody and all. If there are no more than that, each is asked once,
             and the values are exact. Else sizes are drawn in proportion to the kernel, and each
             coalition comes with its complement, which lowers the variance.

    The values always sum to the worth of all minus that of nobody. Raises ValueError where the
    samples don't determine them.

    Lundberg and Lee (see `kernel_weights`). The pairs are from Covert and Lee, "Improving
    KernelSHAP: Practical Shapley Value Estimation via Linear Regression", AISTATS 2021.
    """
    check_count("players", players)
    check_count("samples", samples)
    game = _Watched(game)
    empty, full = _ends(game, players)
    if players == 1:
        game.warn_of_rounding()
        return _finite((full - empty)[None])
    if players <= MOST_PLAYERS and samples >= 2**players - 2:
        draws = _every_coalition(players)
    else:
        draws = _by_the_kernel(players, samples, seed)
    product, right = _normal_equations(game, draws, samples, players, progress)
    game.warn_of_rounding()
    right = right - product.diagonal() * empty  # as if nobody were worth nothing
    if torch.linalg.matrix_rank(product, hermitian=True) < players:
        raise ValueError(
            f"{samples} samples don't determine the values of {players} players: take three"
            " times as many as there are players, or more."
        )
    solved = torch.linalg.solve(product, torch.stack([right, torch.ones_like(right)], 1))
    plain, ones = solved.unbind(1)
    return _finite(plain - ones * (plain.sum() - (full - empty)) / ones.sum())


def _every_coalition(players):
    """All coalitions but nobody and all, each with its weight, in parts."""
    weights = kernel_weights(players)
    for numbers in torch.arange(1, 2**players - 1).split(AT_ONCE):
        coalitions = _numbered(numbers, players)
        yield coalitions, weights[coalitions.sum(1)]


def _by_the_kernel(players, samples, seed):
    """Coalitions drawn in proportion to the kernel, so that each weighs the same, in pairs."""
    generator = seeded_generator(seed)
    sizes = torch.arange(1, players, dtype=torch.float64)
    chances = 1 / (sizes * (players - sizes))
    for part in _parts(samples, AT_ONCE):
        coalitions = torch.zeros(len(part), players, dtype=torch.bool)
        for row in range(0, len(part), 2):
            size = 1 + int(torch.multinomial(chances, 1, generator=generator))
            coalitions[row, torch.randperm(players, generator=generator)[:size]] = True
        coalitions[1::2] = ~coalitions[0::2][: len(coalitions[1::2])]
        yield coalitions, torch.ones(len(part), dtype=torch.float64)


# ---------------------------------------------------------------------------- LIME


@checks_arguments
def lime_weights(coalitions: Tensor, width: float = 0.25) -> Tensor:
    """How near each coalition (N, players) is to the whole picture, (N,) in [0, 1].

    exp(-d² / (2 width²)), where d is the cosine distance from everybody, 1 - sqrt(share that is
    in): the kernel of the authors' program for pictures.
    """
    check_positive(width=width)
    _check_two_axes(coalitions)
    distance = 1 - coalitions.double().mean(1).sqrt()
    return torch.exp(-distance.square() / (2 * width**2))


@checks_arguments
def lime(
    game: Game,
    players: int,
    samples: int = 512,
    width: float = 0.25,
    ridge: float = 1.0,
    seed: int = 0,
    progress: bool = False,
) -> Tensor:
    """The coefficients of a linear model of the game near the whole picture, (players,) float64.

    Each player is in a coalition with probability one half. The least squares are weighted by
    `lime_weights`; their intercept is free, and the coefficients' sum need not be anything.

    ridge: the weight of the coefficients' squared length; above 0 there is always a solution

    Ribeiro, Singh and Guestrin, "Why Should I Trust You? Explaining the Predictions of Any
    Classifier", KDD 2016. The settings are those of the authors' program for pictures, which takes
    all players instead of the best few of the paper.
    """
    check_count("players", players)
    check_count("samples", samples)
    check_positive(width=width)
    check_not_negative(ridge=ridge)
    draws = _by_coins(players, samples, width, seed)
    game = _Watched(game)
    product, right = _normal_equations(game, draws, samples, players + 1, progress)
    game.warn_of_rounding()
    penalty = torch.full((players + 1,), float(ridge), dtype=torch.float64)
    penalty[-1] = 0  # the intercept
    product = product + penalty.diag()
    if torch.linalg.matrix_rank(product, hermitian=True) <= players:
        raise ValueError(
            f"{samples} samples don't determine the coefficients of {players} players: take more,"
            " or a ridge above 0."
        )
    return _finite(torch.linalg.solve(product, right)[:-1])


def _by_coins(players, samples, width, seed):
    generator = seeded_generator(seed)
    for part in _parts(samples, AT_ONCE):
        coalitions = uniform(len(part), players, generator=generator) < 0.5
        yield coalitions, lime_weights(coalitions, width)


# ---------------------------------------------------------------------------- what they share


@checks_arguments
def worth(game: Game, coalitions: Tensor) -> Tensor:
    """What a game says about coalitions (N, players) -> (N,) float64, on the CPU.

    The game gets copies, into which it may write. Raises ValueError for NaN and infinity, and for
    anything but one real number for each coalition.
    """
    _check_two_axes(coalitions)
    # Coalitions may be a view that names one number several times, which can't be written into.
    values = game(coalitions.clone(memory_format=torch.contiguous_format))
    if not isinstance(values, Tensor) or values.shape != (len(coalitions),):
        got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(
            f"A game returns a tensor with one number for each coalition, ({len(coalitions)},);"
            f" got {got}."
        )
    values = check_tensor("what a game returns", values).detach().cpu().double()
    wrong = (~values.isfinite()).nonzero()[:, 0].tolist()
    if wrong:
        members = coalitions[wrong[0]].nonzero()[:, 0].tolist()
        value = values[wrong[0]].item()
        said = "NaN (not a number)" if math.isnan(value) else f"infinite ({value})"
        raise ValueError(
            f"The game's value is {said} for the coalition {members}, and no differences can be"
            " taken of it: return finite numbers, such as logits instead of log-probabilities."
        )
    return values


class _Watched:
    """A game that remembers between which numbers its values lie."""

    def __init__(self, game):
        self.game = game
        self.lowest = math.inf
        self.highest = -math.inf
        self.rounding = 0.0

    def __call__(self, coalitions):
        values = self.game(coalitions)
        if isinstance(values, Tensor) and values.is_floating_point() and values.numel():
            self.lowest = min(self.lowest, values.min().item())
            self.highest = max(self.highest, values.max().item())
            eps = torch.finfo(values.dtype).eps
            moved = ROUNDINGS * eps * values.abs().max().item()
            self.rounding = max(self.rounding, moved)
        return values

    def warn_of_rounding(self):
        """Warns if the worths differ by no more than rounding makes them differ."""
        if 0 < self.highest - self.lowest < self.rounding:
            warn(
                f"The game's values lie between {self.lowest:.9g} and {self.highest:.9g}, no"
                " further apart than rounding moves them, so the players' values are rounding"
                " errors. Let the network compute in double precision: model.double(), x.double(),"
                " baseline.double().",
            )


def _finite(values):
    """The values. Raises ValueError if sums and differences of a game's numbers overflowed."""
    if not values.isfinite().all():
        raise ValueError(
            "The game's numbers are so large that sums and differences of them overflow: divide"
            " what it returns, such as by its largest absolute value."
        )
    return values


def _ends(game, players):
    """What nobody and what everybody is worth."""
    return worth(game, torch.tensor([[False], [True]]).expand(2, players))


def _normal_equations(game, draws, samples, size, progress):
    """The sums w z zᵀ (size, size) and w z value (size,) over weighted coalitions z.

    If size is one more than there are players, each z ends with a 1, for a constant.
    """
    product = torch.zeros(size, size, dtype=torch.float64)
    right = torch.zeros(size, dtype=torch.float64)
    with _bar(progress, samples) as bar:
        for coalitions, weights in draws:
            rows = torch.ones(len(coalitions), size, dtype=torch.float64)
            rows[:, : coalitions.shape[1]] = coalitions
            weighted = rows * weights[:, None]
            product += weighted.T @ rows
            right += weighted.T @ worth(game, coalitions)
            bar.update(len(rows))
    return product, right


def _parts(total, size) -> Iterator[range]:
    for start in range(0, total, size):
        yield range(start, min(start + size, total))


def _bar(progress, total):
    return tqdm(total=total, disable=not progress, desc="coalitions", unit="")


def _check_exact(players):
    check_count("players", players)
    if players > MOST_PLAYERS:
        raise ValueError(
            f"{players} players have 2 ** {players} coalitions, too many to ask all of them (up to"
            f" {MOST_PLAYERS} players go): use permutation_sampling or kernel_shap."
        )


def _check_two_axes(coalitions):
    if coalitions.dim() != 2:
        raise ValueError(f"Coalitions have the shape (N, players), not {_shape(coalitions)}.")


def _check_segments(segments, x, coalitions):
    if coalitions.dim() != 2 or coalitions.dtype != torch.bool:
        raise ValueError(f"Coalitions are a bool tensor (N, players), not {_shape(coalitions)}.")
    if segments.shape != x.shape[2:] or segments.is_floating_point():
        raise ValueError(
            f"The segments must be whole numbers of the picture's size, {tuple(x.shape[2:])}, not"
            f" {_shape(segments)}."
        )
    _sizes(segments, coalitions.shape[1])


def _sizes(segments, players):
    """How many pixels each player owns, (players,); ValueError for segments that don't tell."""
    if segments.dim() != 2 or not segments.numel() or segments.is_floating_point():
        raise ValueError(f"The segments must be whole numbers (H, W), not {_shape(segments)}.")
    least, most = (int(number) for number in segments.aminmax())
    if least < 0:
        raise ValueError("The segments are numbered from 0 on: there is a negative number.")
    if most >= players:
        raise ValueError(
            f"The segments name {most + 1} players, 0 to {most}, but there are {players}."
        )
    sizes = torch.bincount(segments.long().flatten(), minlength=players)
    empty = (sizes == 0).nonzero()[:, 0].tolist()
    if empty:
        raise ValueError(f"A superpixel is empty: no pixel belongs to player {empty[0]}.")
    return sizes


def _shape(tensor):
    return f"{tuple(tensor.shape)}, {tensor.dtype}"
