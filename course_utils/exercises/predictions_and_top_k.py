"""Checks of notebook 2, predictions and top-k."""

import numpy as np
import torch
import torch.nn.functional as F

from course_utils.exercises import check

# ---------------------------------------------------------------------------- preprocessing


def _photos(random):
    """Wide, high, small and square pictures, with a mean and a spread for each colour.

    Their sides are as 2 to 3, so that no size has to be rounded.
    """
    usual = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    other = (0.3, 0.5, 0.6), (0.4, 0.25, 0.2)
    return [
        (torch.rand(3, 40, 60), 24, *usual),
        (torch.rand(3, 48, 32), 24, *other),
        (torch.rand(3, 16, 24), 20, *usual),  # grows
        (torch.rand(3, 32, 32), 24, *usual),
    ]


@check(points=2, probes=_photos, precision=True)
def preprocess(picture, size, mean, std):
    """A picture (3, H, W) in [0, 1] -> the network's input x (1, 3, size, size), float32.

    The shorter side is resized to `size` and the longer one by the same factor; of the longer one,
    the `size` pixels in the middle remain. What comes out as no whole number may be rounded either
    way. Then each colour is normalized. mean, std: three numbers each, in a tuple
    """
    height, width = picture.shape[1:]
    shorter = min(height, width)
    target = (height * size // shorter, width * size // shorter)
    x = F.interpolate(picture[None], target, mode="bilinear", antialias=True)
    top, left = round((target[0] - size) / 2), round((target[1] - size) / 2)
    x = x[:, :, top : top + size, left : left + size]
    return (x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def _resized(picture, size, **settings):
    """As a batch of one, its shorter side brought to `size` pixels."""
    sides = [side * size // min(picture.shape[1:]) for side in picture.shape[1:]]
    settings = {"mode": "bilinear", "antialias": True} | settings
    return F.interpolate(picture[None], sides, **settings)


def _cropped(x, size):
    top, left = (round((side - size) / 2) for side in x.shape[2:])
    return x[:, :, top : top + size, left : left + size]


def _resized_and_cropped(picture, size):
    return _cropped(_resized(picture, size), size)


def _each_colour(values):
    return torch.tensor(values)[:, None, None]


def _normalized(x, mean, std):
    return (x - _each_colour(mean)) / _each_colour(std)


@preprocess.mistake(
    "You squeezed the whole picture into a square. Keep the proportions: resize the shorter side "
    "to `size`, then cut off what the longer side has too much."
)
def _squeezed(picture, size, mean, std):
    x = F.interpolate(picture[None], (size, size), mode="bilinear", antialias=True)
    return _normalized(x, mean, std)


@preprocess.mistake(
    "You cut a square out of the picture without resizing it. Resize first; then only the longer "
    "side loses something."
)
def _only_cropped(picture, size, mean, std):
    return _normalized(_cropped(picture[None], size), mean, std)


@preprocess.mistake(
    "You crop first and resize then. Near the border of the crop the resized values differ, since "
    "the pixels outside are gone: resize first."
)
def _cropped_first(picture, size, mean, std):
    square = _cropped(picture[None], min(picture.shape[1:]))
    x = F.interpolate(square, (size, size), mode="bilinear", antialias=True)
    return _normalized(x, mean, std)


@preprocess.mistake(
    "Height and width are exchanged: `picture.shape` is (3, height, width), and `F.interpolate` "
    "takes (height, width)."
)
def _sides_exchanged(picture, size, mean, std):
    sides = [side * size // min(picture.shape[1:]) for side in picture.shape[:0:-1]]
    x = F.interpolate(picture[None], sides, mode="bilinear", antialias=True)
    return _normalized(_cropped(x, size), mean, std)


@preprocess.mistake(
    "You resize the *longer* side to `size`, so the shorter one is too short for the crop. The "
    "scale is `size` divided by the shorter side."
)
def _longer_side(picture, size, mean, std):
    sides = [side * size // max(picture.shape[1:]) for side in picture.shape[1:]]
    x = F.interpolate(picture[None], sides, mode="bilinear", antialias=True)
    return _normalized(_cropped(x, size), mean, std)


@preprocess.mistake(
    "You crop the top left corner. The crop lies in the centre: half of what is too much goes off "
    "on each side."
)
def _corner(picture, size, mean, std):
    return _normalized(_resized(picture, size)[:, :, :size, :size], mean, std)


@preprocess.mistake(
    "Your crop has its rows and columns exchanged: `x.shape[2]` is the height, from which the top "
    "follows, and `x.shape[3]` the width."
)
def _crop_exchanged(picture, size, mean, std):
    x = _resized(picture, size)
    left, top = (round((side - size) / 2) for side in x.shape[2:])
    return _normalized(x[:, :, top : top + size, left : left + size], mean, std)


@preprocess.mistake(
    "Everything is right but the resizing: without `antialias=True` a smaller picture keeps only "
    "every few pixels, and fine texture turns into patterns that were not there."
)
def _aliased(picture, size, mean, std):
    return _normalized(_cropped(_resized(picture, size, antialias=False), size), mean, std)


@preprocess.mistake(
    "The normalization is missing: subtract each colour's mean and divide by its standard "
    "deviation."
)
def _not_normalized(picture, size, mean, std):
    return _resized_and_cropped(picture, size)


@preprocess.mistake(
    "You divide first and subtract the mean afterwards. The mean belongs to values in [0, 1]: "
    "subtract it first."
)
def _divided_first(picture, size, mean, std):
    return _resized_and_cropped(picture, size) / _each_colour(std) - _each_colour(mean)


@preprocess.mistake(
    "You multiply by the standard deviation. Divide by it: the values spread by about 1 then."
)
def _multiplied(picture, size, mean, std):
    return (_resized_and_cropped(picture, size) - _each_colour(mean)) * _each_colour(std)


@preprocess.mistake("You add the mean. Subtract it: the values lie around 0 then.")
def _mean_added(picture, size, mean, std):
    return (_resized_and_cropped(picture, size) + _each_colour(mean)) / _each_colour(std)


@preprocess.mistake(
    "The mean is subtracted, but the rest is not divided by the standard deviation."
)
def _not_divided(picture, size, mean, std):
    return _resized_and_cropped(picture, size) - _each_colour(mean)


@preprocess.mistake(
    "You normalize with this picture's own mean and standard deviation. The network expects those "
    "of its training pictures, which are passed as `mean` and `std`."
)
def _own_statistics(picture, size, mean, std):
    x = _resized_and_cropped(picture, size)
    return (x - x.mean((2, 3), keepdim=True)) / x.std((2, 3), keepdim=True)


@preprocess.mistake(
    "You normalize all colours with the numbers of the first. Each channel has its own; "
    "`[:, None, None]` gives them the shape (3, 1, 1)."
)
def _first_colour_for_all(picture, size, mean, std):
    return (_resized_and_cropped(picture, size) - mean[0]) / std[0]


@preprocess.mistake(
    "The batch dimension is missing: a network takes (N, 3, H, W), here with N = 1. Indexing with "
    "`[None]` adds it."
)
def _without_batch(picture, size, mean, std):
    return preprocess.reference(picture, size, mean, std)[0]


# ---------------------------------------------------------------------------- softmax


def _logits(random):
    """Ordinary logits, large and small ones, rows of very different size, a wide row, huge ones."""
    return [
        (5 * torch.randn(4, 10),),
        (torch.randn(3, 7) + 200,),
        (torch.randn(6, 3) - 300,),
        (torch.randn(4, 3) + torch.tensor([[0.0], [300.0], [-300.0], [0.0]]),),
        (torch.tensor([[0.0, 1.0, 400.0, 399.0, -400.0]]) + torch.rand(1, 1),),
        (torch.tensor([[999.0, 1000.0, -1000.0], [-1000.0, -1001.0, -1002.0]]) + torch.rand(1, 3),),
    ]


@check(points=1, probes=_logits)
def softmax(logits):
    """Logits (N, C) of any size -> probabilities (N, C); every row sums to 1, none is NaN."""
    powers = (logits - logits.amax(dim=1, keepdim=True)).exp()
    return powers / powers.sum(dim=1, keepdim=True)


@softmax.mistake(
    "Right for small logits, but exp(200) overflows, and the quotient is NaN. Subtract each row's "
    "maximum first: it changes no probability."
)
def _overflows(logits):
    return logits.exp() / logits.exp().sum(dim=1, keepdim=True)


@softmax.mistake(
    "Your columns sum to 1, not your rows. A row is one picture: its classes compete with each "
    "other, so the sum goes over dim 1."
)
def _over_the_batch(logits):
    return logits.softmax(dim=0)


@softmax.mistake(
    "A sigmoid treats every class by itself, so a row does not sum to 1. Softmax divides each "
    "exponential by the sum over all classes."
)
def _sigmoid(logits):
    return logits.sigmoid()


@softmax.mistake(
    "You divide the logits by their sum. Logits may be negative: take their exponentials first."
)
def _without_exponential(logits):
    return logits / logits.sum(dim=1, keepdim=True)


@softmax.mistake(
    "The largest probability of each row is 1, so the row sums to more. Divide by the sum of the "
    "exponentials, not by their maximum."
)
def _by_maximum(logits):
    return (logits - logits.amax(dim=1, keepdim=True)).exp()


@softmax.mistake("These are logarithms of probabilities: there is one exponential too few.")
def _log_softmax(logits):
    return logits.log_softmax(dim=1)


@softmax.mistake(
    "You subtract one maximum from all rows. Where another row lies far below it, every "
    "exponential is 0, and 0 / 0 is NaN. Each row needs its own maximum."
)
def _one_maximum(logits):
    powers = (logits - logits.max()).exp()
    return powers / powers.sum(dim=1, keepdim=True)


@softmax.mistake(
    "You subtract each row's mean. A logit far above the mean still overflows: subtract the "
    "row's maximum, so that no exponential is larger than 1."
)
def _mean_subtracted(logits):
    powers = (logits - logits.mean(dim=1, keepdim=True)).exp()
    return powers / powers.sum(dim=1, keepdim=True)


@softmax.mistake(
    "You cut large logits off, which makes them equal. Subtracting each row's maximum avoids the "
    "overflow and keeps all differences."
)
def _cut_off(logits):
    powers = logits.clamp(max=80).exp()
    return powers / powers.sum(dim=1, keepdim=True)


@softmax.mistake(
    "You divide the logits by the maximum. Subtract it: only a shift leaves the probabilities as "
    "they are."
)
def _divided_by_maximum(logits):
    powers = (logits / logits.amax(dim=1, keepdim=True)).exp()
    return powers / powers.sum(dim=1, keepdim=True)


@softmax.mistake(
    "You divide by one sum over all pictures, so that all rows together sum to 1. Each row has "
    "its own sum: `sum(dim=1, keepdim=True)`."
)
def _one_sum(logits):
    powers = (logits - logits.amax(dim=1, keepdim=True)).exp()
    return powers / powers.sum()


# ---------------------------------------------------------------------------- top-k accuracy


def _ranked(random):
    """Logits without ties; a known number of labels is first, second and so on.

    In the last two calls the logits lie so far apart that all probabilities but one are 0, and k is
    the number of classes.
    """
    first = int(random.integers(8))
    return [
        _with_ranks(random, (9 + first, 24, 6, 3, 3, 15), 2),
        _with_ranks(random, (18 + first, 3, 12, 6, 9, 0, 9, 6), 3),
        _with_ranks(random, (4, 2, 1), 1),
        _with_ranks(random, (0, 0, 0, 1, 0), 4),
        _with_ranks(random, (2, 9, 11, 3), 2, scale=10_000),
        _with_ranks(random, (3, 1, 5), 3),
    ]


def _with_ranks(random, counts, k, scale=1):
    """(logits, labels, k): counts[r] pictures have r logits higher than that of their label."""
    ranks = np.repeat(np.arange(len(counts)), counts)[random.permutation(sum(counts))]
    order = random.permuted(np.tile(np.arange(len(counts)), (len(ranks), 1)), axis=1)
    logits = np.zeros(order.shape)
    drawn = scale * random.normal(size=order.shape)
    np.put_along_axis(logits, order, -np.sort(-drawn), axis=1)
    labels = order[np.arange(len(ranks)), ranks]
    return torch.tensor(logits, dtype=torch.float32), torch.tensor(labels), k


@check(points=2, probes=_ranked)
def top_k_accuracy(logits, labels, k):
    """The share of pictures whose label is among their k highest logits, a float in [0, 1].

    logits: (N, C), no two of a picture are equal; labels: (N,) class indices; k: from 1 to C
    """
    best = logits.argsort(dim=1, descending=True)[:, :k]
    return (best == labels[:, None]).any(dim=1).float().mean().item()


def _best(logits, k):
    return logits.argsort(dim=1, descending=True)[:, :k]


@top_k_accuracy.mistake(
    "These are the k lowest logits: `argsort` counts upwards unless you say `descending=True`."
)
def _lowest(logits, labels, k):
    best = logits.argsort(dim=1)[:, :k]
    return (best == labels[:, None]).any(dim=1).float().mean().item()


@top_k_accuracy.mistake(
    "You ask whether the label is exactly at place k. Any of the first k places counts."
)
def _exactly_place_k(logits, labels, k):
    return (logits.argsort(dim=1, descending=True)[:, k - 1] == labels).float().mean().item()


@top_k_accuracy.mistake(
    "You divide the hits by all N x k places. Each picture counts once: use `.any(dim=1)` before "
    "the mean."
)
def _mean_over_places(logits, labels, k):
    best = logits.argsort(dim=1, descending=True)[:, :k]
    return (best == labels[:, None]).float().mean().item()


@top_k_accuracy.mistake("You look at one place more than k: `[:, :k]` takes the first k.")
def _one_too_many(logits, labels, k):
    return top_k_accuracy.reference(logits, labels, k + 1)


@top_k_accuracy.mistake(
    "`[:, k]` takes one column, the place after the first k. `[:, :k]` takes the first k."
)
def _column_k(logits, labels, k):
    return (_best(logits, k + 1)[:, k] == labels).float().mean().item()


@top_k_accuracy.mistake("You ignore k and count only the first place, so top-2 comes out as top-1.")
def _top_one(logits, labels, k):
    return (logits.argmax(dim=1) == labels).float().mean().item()


@top_k_accuracy.mistake(
    "You compare the labels with the highest logits themselves. Compare them with the *indices* "
    "of those logits: `argsort`, or the second result of `topk`."
)
def _compared_with_values(logits, labels, k):
    best = logits.topk(k, dim=1).values
    return (best == labels[:, None]).any(dim=1).float().mean().item()


@top_k_accuracy.mistake(
    "You ask that *all* of the k places are the label, which they can't be. One of them is "
    "enough: `.any(dim=1)`."
)
def _all_places(logits, labels, k):
    return (_best(logits, k) == labels[:, None]).all(dim=1).float().mean().item()


@top_k_accuracy.mistake(
    "You ask whether there is a hit in any picture at all. Ask for each picture: "
    "`.any(dim=1)`, and then take the mean."
)
def _any_at_all(logits, labels, k):
    return float((_best(logits, k) == labels[:, None]).any())


@top_k_accuracy.mistake(
    "That is one verdict for each picture. The accuracy is one number: the mean of all verdicts."
)
def _verdicts(logits, labels, k):
    return (_best(logits, k) == labels[:, None]).any(dim=1)


@top_k_accuracy.mistake(
    "You sort the pictures for each class: dim 0. The classes of each picture are to be sorted: "
    "dim 1."
)
def _sorted_pictures(logits, labels, k):
    best = logits.argsort(dim=0, descending=True)[:, :k]
    return (best == labels[:, None]).any(dim=1).float().mean().item()


@top_k_accuracy.mistake(
    "`argsort` says which class stands at each place, not at which place each class stands. Look "
    "for the label among the first k entries of its row."
)
def _place_for_class(logits, labels, k):
    order = logits.argsort(dim=1, descending=True)
    return (order[torch.arange(len(labels)), labels] < k).float().mean().item()


# ---------------------------------------------------------------------------- confusion matrix


def _predictions(random):
    """A third of the predictions is wrong. Some classes neither occur nor are predicted.

    In the last call one pair occurs too often to be counted in a byte.
    """
    return [
        _confused(random, (20, 7, 25), classes=5),
        _confused(random, (0, 6, 0, 30, 9), classes=5),
        _confused(random, (3, 17, 5, 11), classes=4),
        _confused(random, (500, 8), classes=2),
    ]


def _confused(random, counts, classes):
    """(predictions, labels, classes), with so many pictures of each class; the rest has none."""
    labels = torch.tensor(np.repeat(np.arange(len(counts)), counts))
    labels = labels[torch.randperm(len(labels))]
    occurring = torch.tensor([label for label, count in enumerate(counts) if count])
    other = occurring[torch.randint(len(occurring), labels.shape)]
    return torch.where(torch.rand(len(labels)) < 0.4, other, labels), labels, classes


@check(points=2, probes=_predictions, integers=True)
def confusion_matrix(predictions, labels, classes):
    """How often each class is called what -> a tensor of integers (classes, classes).

    Row: the true class; column: the predicted one. predictions, labels: (N,) class indices, not
    all of which need to occur; classes: how many there are
    """
    counts = torch.zeros(classes, classes, dtype=torch.int64)
    for label, prediction in zip(labels, predictions):
        counts[label, prediction] += 1
    return counts


@confusion_matrix.mistake(
    "Your matrix is transposed: rows are the truth, columns the predictions, so that a row sums "
    "to the pictures of a class."
)
def _transposed(predictions, labels, classes):
    return confusion_matrix.reference(labels, predictions, classes)


@confusion_matrix.mistake(
    "Every entry is 0 or 1. `counts[labels, predictions] += 1` adds once for each pair that "
    "occurs, however often; add for each picture."
)
def _added_once(predictions, labels, classes):
    counts = torch.zeros(classes, classes, dtype=torch.int64)
    counts[labels, predictions] += 1
    return counts


@confusion_matrix.mistake(
    "The diagonal is empty: right predictions belong into the matrix as well."
)
def _errors_only(predictions, labels, classes):
    counts = confusion_matrix.reference(predictions, labels, classes)
    return counts - counts.diag().diag()


@confusion_matrix.mistake(
    "Everything beside the diagonal is empty: you count the right predictions alone. The wrong "
    "ones are what the matrix is for."
)
def _right_only(predictions, labels, classes):
    return confusion_matrix.reference(predictions, labels, classes).diag().diag()


@confusion_matrix.mistake(
    "You count every label with every prediction. A picture has one of each: go through both "
    "together, with `zip`."
)
def _every_pair(predictions, labels, classes):
    rows, columns = (
        torch.bincount(labels, minlength=classes),
        torch.bincount(predictions, minlength=classes),
    )
    return rows[:, None] * columns


@confusion_matrix.mistake(
    "These are shares of the rows. The matrix asked for counts the pictures; a class that does not "
    "occur has no shares."
)
def _shares(predictions, labels, classes):
    counts = confusion_matrix.reference(predictions, labels, classes)
    return counts / counts.sum(dim=1, keepdim=True)


@confusion_matrix.mistake(
    "Your matrix is as large as the largest label that occurs. It needs a row and a column for "
    "each of the classes."
)
def _too_small(predictions, labels, classes):
    return confusion_matrix.reference(predictions, labels, int(labels.max()) + 1)
