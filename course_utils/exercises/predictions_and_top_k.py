"""Checks of notebook 2, predictions and top-k."""

import torch
import torch.nn.functional as F

from course_utils.exercises import check

# ---------------------------------------------------------------------------- preprocessing


def _photos(random):
    """A wide, a high and a square picture, with a mean and a spread for each colour."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    sizes = ((40, 61), (53, 36), (32, 32))
    return [(torch.rand(3, *size), 24, mean, std) for size in sizes]


def _resized(picture, shorter):
    """The picture as a batch of one, its shorter side brought to `shorter` pixels."""
    height, width = picture.shape[1:]
    scale = shorter / min(height, width)
    target = (int(height * scale + 1e-6), int(width * scale + 1e-6))
    return F.interpolate(picture[None], target, mode="bilinear", antialias=True)


def _cropped(x, size):
    top, left = round((x.shape[2] - size) / 2), round((x.shape[3] - size) / 2)
    return x[:, :, top : top + size, left : left + size]


def _normalized(x, mean, std):
    return (x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


@check(points=2, probes=_photos)
def preprocess(picture, size, mean, std):
    """A picture (3, H, W) in [0, 1] -> the network's input x (1, 3, size, size).

    The shorter side is resized to `size`, the centre cropped, each colour normalized.
    """
    return _normalized(_cropped(_resized(picture, size), size), mean, std)


@preprocess.mistake(
    "You squeezed the whole picture into a square. Keep the proportions: resize the shorter side "
    "to `size`, then cut off what the longer side has too much."
)
def _squeezed(picture, size, mean, std):
    x = F.interpolate(picture[None], (size, size), mode="bilinear", antialias=True)
    return _normalized(x, mean, std)


@preprocess.mistake(
    "The normalization is missing: subtract each colour's mean and divide by its standard "
    "deviation."
)
def _not_normalized(picture, size, mean, std):
    return _cropped(_resized(picture, size), size)


@preprocess.mistake(
    "You divide first and subtract the mean afterwards. The mean belongs to values in [0, 1]: "
    "subtract it first."
)
def _divided_first(picture, size, mean, std):
    x = _cropped(_resized(picture, size), size)
    return x / torch.tensor(std)[:, None, None] - torch.tensor(mean)[:, None, None]


@preprocess.mistake(
    "You crop the top left corner. The crop lies in the centre: half of what is too much goes off "
    "on each side."
)
def _corner(picture, size, mean, std):
    return _normalized(_resized(picture, size)[:, :, :size, :size], mean, std)


@preprocess.mistake(
    "The batch dimension is missing: a network takes (N, 3, H, W), here with N = 1. Indexing with "
    "`[None]` adds it."
)
def _without_batch(picture, size, mean, std):
    return preprocess.reference(picture, size, mean, std)[0]


@preprocess.mistake(
    "Everything is right but the resizing: without `antialias=True` a smaller picture keeps only "
    "every few pixels, and fine texture turns into patterns that were not there."
)
def _aliased(picture, size, mean, std):
    height, width = picture.shape[1:]
    scale = size / min(height, width)
    target = (int(height * scale + 1e-6), int(width * scale + 1e-6))
    x = F.interpolate(picture[None], target, mode="bilinear")
    return _normalized(_cropped(x, size), mean, std)


@preprocess.mistake(
    "You normalize with one mean and one standard deviation for all colours. Each channel has its "
    "own; `[:, None, None]` gives them the shape (3, 1, 1)."
)
def _one_mean(picture, size, mean, std):
    x = _cropped(_resized(picture, size), size)
    return (x - sum(mean) / 3) / (sum(std) / 3)


# ---------------------------------------------------------------------------- softmax


def _logits(random):
    """Ordinary logits, and some so large that their exponentials overflow."""
    return [(5 * torch.randn(4, 10),), (torch.randn(3, 7) + 200,), (torch.randn(6, 3) - 300,)]


@check(points=1, probes=_logits)
def softmax(logits):
    """Logits (N, C) of any size -> probabilities (N, C); every row sums to 1."""
    shifted = logits - logits.amax(dim=1, keepdim=True)
    powers = shifted.exp()
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


# ---------------------------------------------------------------------------- top-k accuracy


def _ranked(random):
    """Logits of pictures whose label is often second or third."""
    calls = []
    for pictures, classes, k in ((30, 6, 1), (40, 8, 2), (25, 7, 3)):
        labels = torch.randint(classes, (pictures,))
        logits = torch.randn(pictures, classes)
        logits[range(pictures), labels] += 1
        calls.append((logits, labels, k))
    return calls


@check(points=2, probes=_ranked)
def top_k_accuracy(logits, labels, k):
    """The share of pictures whose label is among their k highest logits, a float.

    logits: (N, C); labels: (N,) class indices
    """
    best = logits.argsort(dim=1, descending=True)[:, :k]
    return (best == labels[:, None]).any(dim=1).float().mean().item()


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


@top_k_accuracy.mistake("You ignore k and count only the first place, so top-2 comes out as top-1.")
def _top_one(logits, labels, k):
    return (logits.argmax(dim=1) == labels).float().mean().item()


# ---------------------------------------------------------------------------- confusion matrix


def _predictions(random):
    """Predictions of which a third are wrong, with more classes than occur."""
    calls = []
    for pictures, classes in ((60, 4), (45, 7)):
        labels = torch.randint(classes - 1, (pictures,))
        other = torch.randint(classes, (pictures,))
        wrong = torch.rand(pictures) < 0.35
        calls.append((torch.where(wrong, other, labels), labels, classes))
    return calls


@check(points=2, probes=_predictions)
def confusion_matrix(predictions, labels, classes):
    """How often each class is called what -> integer counts (classes, classes).

    Row: the true class; column: the predicted one. predictions, labels: (N,) class indices;
    classes: how many there are
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
    "These are shares of the rows. The matrix asked for counts the pictures; a class that does not "
    "occur has no shares."
)
def _shares(predictions, labels, classes):
    counts = confusion_matrix.reference(predictions, labels, classes)
    return counts / counts.sum(dim=1, keepdim=True).clamp(min=1)


@confusion_matrix.mistake(
    "Your matrix is as large as the largest label that occurs. It needs a row and a column for "
    "each of the classes."
)
def _too_small(predictions, labels, classes):
    seen = int(labels.max()) + 1
    return confusion_matrix.reference(predictions, labels, classes)[:seen, :seen]
