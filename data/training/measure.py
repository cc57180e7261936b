"""What a trained network can and can't do, in numbers for its model card."""

import io

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image


def accuracy(classifier, images, labels):
    """The share of `images` (N, 3, H, W) in [0, 1] whose highest score is at `labels` (N,)."""
    return float((classifier.predict(images) == labels).float().mean())


def accuracy_by(classifier, picture_set, *fields):
    """Accuracy for each combination of the entries' fields, {(value, ...): share}."""
    images, labels = picture_set.stack()
    right = (classifier.predict(images) == labels).tolist()
    groups = {}
    for entry, hit in zip(picture_set.entries, right):
        groups.setdefault(tuple(getattr(entry, field) for field in fields), []).append(hit)
    return {key: float(np.mean(hits)) for key, hits in sorted(groups.items())}


def confusion(classifier, picture_set):
    """How often class i was called class j: (C, C) counts, rows are the truth."""
    images, labels = picture_set.stack()
    count = len(picture_set.classes)
    pairs = labels * count + classifier.predict(images)
    return torch.bincount(pairs, minlength=count**2).reshape(count, count)


def second_predictions(classifier, picture_set):
    """How often class j came second (for j = the truth: first) in pictures of class i, (C, C)."""
    images, labels = picture_set.stack()
    best, second = classifier.scores(images).topk(2).indices.T
    runner_up = torch.where(best == labels, second, best)
    count = len(picture_set.classes)
    return torch.bincount(labels * count + runner_up, minlength=count**2).reshape(count, count)


# ------------------------------------------------------------------------------- corruptions


def blurred(images, sigma=1.5):
    """A Gaussian blur of `sigma` pixels."""
    reach = int(3 * sigma)
    x = torch.arange(-reach, reach + 1).float()
    kernel = torch.exp(-(x**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, -1)
    padded = F.pad(images, (reach,) * 4, mode="reflect")
    rows = F.conv2d(padded, kernel[..., None], groups=3)
    return F.conv2d(rows, kernel[..., None, :], groups=3)


def compressed(images, quality=20):
    """Saved as JPEG of a poor quality and opened again."""
    reopened = []
    for image in (images * 255).round().byte().permute(0, 2, 3, 1).numpy():
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=quality)
        reopened.append(np.array(Image.open(buffer)))
    return torch.from_numpy(np.stack(reopened)).permute(0, 3, 1, 2).float() / 255


CORRUPTIONS = {
    "none": lambda images: images,
    "blur, sigma 1.5 px": blurred,
    "JPEG, quality 20": compressed,
    "brightness x 0.6": lambda images: images * 0.6,
    "brightness x 1.4": lambda images: (images * 1.4).clamp(0, 1),
}


def accuracy_when_corrupted(classifier, picture_set):
    """Accuracy after each light corruption, {name: share}."""
    images, labels = picture_set.stack()
    return {
        name: accuracy(classifier, change(images), labels) for name, change in CORRUPTIONS.items()
    }
