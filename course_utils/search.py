"""Dataset search: the pictures of a gallery that a layer's channels respond to most.

    found = search(model, layer, gallery, classifier.preprocess, k=9)    # one pass, all channels
    found.top.pictures[channel]          # (9,) indices into the gallery, strongest first
    found.top.values[channel]            # what they reach
    row, column = found.top.place(channel, rank=0)                       # where in the maps
    crop = receptive_crop(picture, row, column, size, stride, start)     # what the unit saw

A picture counts by the maximum of the channel's map. The pass keeps k pictures of each channel and
forgets the rest, so a gallery may be larger than memory. With `cache=` it can be interrupted.

Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 4.1,
show the nine strongest pictures of a channel with their receptive fields; Zhou et al., "Object
Detectors Emerge in Deep Scene CNNs", ICLR 2015, section 3, do so for all units of a network.
"""

import contextlib
import hashlib
import os
import stat
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass, field
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from course_utils._arguments import check_picture, check_tensor, checks_arguments
from course_utils._networks import Ready, feature_maps, looks_inside, outputs_of
from course_utils._warnings import warn
from course_utils.errors import check_count, first_line, shown
from course_utils.manifest import write_files

BATCH = 16
"""Pictures at a time; on a CPU, more don't fit into its cache and are slower."""

SAMPLE = 256
"""So many pictures, evenly spread over the gallery, say what a channel's median is."""

SAVE_EVERY = 512
"""A search with a cache file saves its state after so many pictures."""


class StaleCache(UserWarning):
    """A cache file belongs to another search, or is damaged; it is not used."""


@dataclass(frozen=True)
class Ranking:
    """k pictures for each of C channels, each field (C, k); the best match comes first."""

    values: Tensor
    """The maximum of the channel's map for this picture."""
    pictures: Tensor
    """The picture's index in the gallery."""
    rows: Tensor
    columns: Tensor
    """Where in the map the maximum is; of equal values, the first in reading order."""

    @checks_arguments
    def place(self, channel: int, rank: int = 0) -> tuple[int, int]:
        """(row, column) in the map of the channel's picture of that rank."""
        return int(self.rows[channel, rank]), int(self.columns[channel, rank])


@dataclass(frozen=True)
class Found:
    """What a search returns."""

    top: Ranking
    """The pictures with the highest maxima, highest first."""
    least: Ranking
    """Those with the lowest, lowest first: what the channel is silent for."""
    middle: Ranking
    """Those nearest to the channel's median, nearest first: what is ordinary."""
    medians: Tensor
    """(C,) the median of each channel over `SAMPLE` evenly spread pictures of the gallery."""
    count: int
    """How many pictures were searched."""


# ---------------------------------------------------------------------------- the search


@looks_inside
def search(
    model: nn.Module,
    layer: nn.Module,
    gallery: Sequence,
    preprocess: Callable[[Tensor], Tensor],
    k: int = 9,
    *,
    cache: str | os.PathLike | None = None,
    batch: int = BATCH,
    progress: bool = True,
) -> Found:
    """The top, least and middle k pictures of every channel of a layer, in one pass.

    layer:      one with feature maps (N, C, h, w)
    gallery:    pictures (3, H, W), or pairs (picture, label): a `PictureSet`, a ConcatDataset of
                several, a tensor (N, 3, H, W) or any other sequence
    preprocess: pictures (N, 3, H, W) -> x, what the model takes
    k:          pictures per channel and ranking; all of them if the gallery has fewer
    cache:      a file, which nothing else than searches may have written. The state is kept there,
                also when the search is interrupted, and a later call goes on from it, or returns at
                once if nothing was left to do. If the weights, the layer, the preprocessing, k or
                the gallery have changed, or the file is damaged, it warns (`StaleCache`) what it
                was, and searches anew.
    progress:   whether a bar is shown

    Of pictures with equal values the one with the lower index comes first. Behind a ReLU, many
    pictures share the value 0, so that `least` shows the first of the gallery: search the layer
    before the ReLU. Medians are taken from a sample, beforehand; all else is exact.

    Raises ValueError for layers that did not run or have no feature maps, for k < 1, an empty
    gallery, a preprocess that doesn't return one x for each picture, a picture whose maps hold NaN
    or infinity, and a cache that is a folder or somebody else's file. The model is used in eval
    mode and left as it was; without gradients.
    """
    _check(gallery, k, batch)
    file = None if cache is None else _cache_file(cache)
    marks = None if file is None else _marks(model, layer, gallery, preprocess, k)
    state = None if file is None else _load(file, marks)
    peaks = _Peaks(Ready(model), layer, gallery, preprocess)
    if state is None:
        state = _State.empty(peaks.medians(batch), min(k, len(gallery)))
    try:
        _pass(state, peaks, batch, progress, file, marks)
    finally:
        if file is not None:
            _save(file, state, marks)
    return state.found()


def _check(gallery, k, batch):
    check_count("k", k)
    check_count("batch", batch)
    if not isinstance(gallery, Sized) or not hasattr(gallery, "__getitem__"):
        raise ValueError(
            "The gallery must have a length and pictures by their index, which a"
            f" {type(gallery).__name__} doesn't: pass list(gallery), or a Dataset."
        )
    if len(gallery) == 0:
        raise ValueError("The gallery has no pictures.")


def _pass(state, peaks, batch, progress, file, marks):
    """Goes on from where the state is, to the end of the gallery."""
    total = len(peaks.gallery)
    saved = state.done
    bar = tqdm(
        total=total, initial=state.done, desc="searching", unit=" pictures", disable=not progress
    )
    with bar:
        while state.done < total:
            indices = torch.arange(state.done, min(state.done + batch, total))
            state.add(indices, *peaks.of(indices.tolist()))
            bar.update(len(indices))
            if file is not None and state.done - saved >= SAVE_EVERY:
                _save(file, state, marks)
                saved = state.done


@dataclass
class _Peaks:
    """The maxima of a layer's maps, for pictures of a gallery."""

    network: Ready
    layer: nn.Module
    gallery: Sequence
    preprocess: Callable
    kept: dict = field(default_factory=dict)
    """What `of` found and will be asked for again, by the indices."""

    def of(self, indices):
        """Values, rows and columns of the maxima, each (N, C)."""
        return self.kept.pop(tuple(indices), None) or self._run(indices)

    def _run(self, indices):
        x = _prepared(self.gallery, indices, self.preprocess)
        with torch.no_grad(), outputs_of(self.layer) as outputs:
            self.network(x)
        values, rows, columns = channel_peaks(feature_maps(outputs[-1], x, "A search"))
        wrong = (~values.isfinite()).any(1).nonzero()
        if len(wrong):
            raise ValueError(
                f"The maps of picture {indices[int(wrong[0])]} hold NaN or infinity, so they have"
                " no maximum: look at that picture and at the weights."
            )
        return values, rows, columns

    def medians(self, batch):
        """Each channel's median over evenly spread pictures, (C,)."""
        count = min(SAMPLE, len(self.gallery))
        chosen = [number * len(self.gallery) // count for number in range(count)]
        parts = [chosen[start : start + batch] for start in range(0, count, batch)]
        found = [self.of(part) for part in parts]
        if count == len(self.gallery):  # then the search has run on all of it
            self.kept = dict(zip(map(tuple, parts), found))
        return torch.cat([values for values, _, _ in found]).median(dim=0).values


@checks_arguments
def channel_peaks(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The maximum of each map and its place: (N, C, h, w) -> values, rows, columns, each (N, C).

    On the CPU. A map with NaN has the value NaN.
    """
    if maps.dim() != 4 or maps.shape[2] * maps.shape[3] == 0:
        raise ValueError(f"Feature maps have the shape (N, C, h, w), not {tuple(maps.shape)}.")
    values, places = maps.detach().cpu().flatten(2).max(dim=2)
    return values, places // maps.shape[3], places % maps.shape[3]


def _prepared(gallery, indices, preprocess):
    """What the model takes, of pictures of a gallery. An error names the picture that causes it."""
    pictures = _stacked(gallery, indices)
    try:
        x = check_tensor("what preprocess returns", preprocess(pictures))
        if x.dim() and len(x) == len(pictures):
            return x
        raise ValueError(
            f"Of {len(pictures)} pictures, preprocess makes {tuple(x.shape)}: it must return one x"
            " for each, (N, 3, H, W)."
        )
    except ValueError as error:
        for index, picture in zip(indices, pictures):
            with _named(index):
                preprocess(picture[None])
        raise error  # of all of them together


@contextlib.contextmanager
def _named(index):
    """Within it, what is wrong with a picture of the gallery, or its file, says which one it is."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise ValueError(f"Picture {index} of the gallery: {first_line(error)}") from error


def _picture_at(gallery, index):
    with _named(index):
        return gallery[index]


def _stacked(gallery, indices):
    """Pictures of a gallery as a batch (N, 3, H, W)."""
    pictures = [
        check_tensor(f"picture {index} of the gallery", _picture(_picture_at(gallery, index)))
        for index in indices
    ]
    for index, picture in zip(indices, pictures):
        if picture.shape != pictures[0].shape:
            raise ValueError(
                f"Picture {index} of the gallery has the shape {tuple(picture.shape)}, picture"
                f" {indices[0]} {tuple(pictures[0].shape)}: bring all to one size first, or pass"
                " batch=1."
            )
    return torch.stack(pictures)


def _picture(item):
    """The picture of a gallery's item, which may be a pair with a label."""
    return item[0] if isinstance(item, (tuple, list)) else item


# ---------------------------------------------------------------------------- what is kept


ORDERS = ("top", "least", "middle")
FIELDS = ("values", "pictures", "rows", "columns")


@dataclass
class _State:
    """The best so far: {order: {field: (C, at most k)}}, of the first `done` pictures."""

    k: int
    medians: Tensor
    kept: dict[str, dict[str, Tensor]]
    done: int = 0

    @classmethod
    def empty(cls, medians, k):
        none = {"values": medians.new_zeros(len(medians), 0)}
        none |= {name: torch.zeros(len(medians), 0, dtype=torch.int64) for name in FIELDS[1:]}
        return cls(k, medians, {order: dict(none) for order in ORDERS})

    def add(self, indices, values, rows, columns):
        """Takes in the next pictures: indices (N,), the rest (N, C)."""
        pictures = indices[:, None].expand(values.shape)
        new = dict(zip(FIELDS, (values.T, pictures.T, rows.T, columns.T)))
        for order, kept in self.kept.items():
            both = {name: torch.cat([kept[name], new[name]], dim=1) for name in FIELDS}
            # What was kept has the lower indices and stands first, so a stable sort settles ties.
            best = self._cost(order, both["values"]).argsort(dim=1, stable=True)[:, : self.k]
            self.kept[order] = {name: both[name].gather(1, best) for name in FIELDS}
        self.done += len(indices)

    def _cost(self, order, values):
        """What the k lowest of are kept."""
        if order == "middle":
            return (values - self.medians[:, None]).abs()
        return -values if order == "top" else values

    def found(self):
        rankings = {order: Ranking(**fields) for order, fields in self.kept.items()}
        return Found(**rankings, medians=self.medians, count=self.done)


# ---------------------------------------------------------------------------- the cache file


def _cache_file(cache):
    """The file `cache`, if a search may write it. Raises ValueError for what would be lost."""
    try:
        file = Path(cache)
        file.parent.mkdir(parents=True, exist_ok=True)
        head = _first_bytes(file)
    except (TypeError, ValueError, OSError) as error:  # such as a folder, or a name with NUL
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"cache={shown(cache)}: give the name of a file that can be written ({reason})."
        ) from None
    if head and not (b'"__metadata__"' in head and b'"states"' in head):
        raise ValueError(
            f"{file} is no cache of a search, and would be overwritten: choose another name, or"
            " delete it."
        )
    return file


def _first_bytes(file):
    """The beginning of a file: in a cache, all that `_save` notes beside the tensors.

    Raises OSError for what is there but no file.
    """
    try:
        is_file = stat.S_ISREG(file.stat().st_mode)
    except FileNotFoundError:
        return b""
    if not is_file:
        raise OSError("this is a folder or a device")
    with file.open("rb") as content:
        return content.read(4096)


def _save(file, state, marks):
    """Writes the state: no half-written cache."""
    tensors = {f"{o}.{name}": t for o, fields in state.kept.items() for name, t in fields.items()}
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    tensors |= {"medians": state.medians}
    facts = {**marks, "states": str(state.k), "done": str(state.done)}
    content = safetensors.torch.save(tensors, {**facts, "sum": _sum(tensors, facts)})
    write_files({file: content})


def _load(file, marks):
    """The state in a cache file; None, after a warning, if it can't be used."""
    if not file.exists():
        return None
    try:
        with safetensors.safe_open(file, "pt") as content:
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
            facts = content.metadata()
        if facts.pop("sum") != _sum(tensors, facts):
            raise ValueError("a bit is another one")
        changed = [name for name, mark in marks.items() if facts[name] != mark]
        if "gallery" in changed and "preprocessing" in changed:
            changed.remove("preprocessing")  # other pictures become another x
        kept = {o: {name: tensors[f"{o}.{name}"] for name in FIELDS} for o in ORDERS}
        state = _State(int(facts["states"]), tensors["medians"], kept, int(facts["done"]))
    except (safetensors.SafetensorError, OSError, KeyError, TypeError, ValueError):
        warn(f"{file} is damaged or of an older version of the course; searching anew.", StaleCache)
        return None
    if changed:
        warn(f"{file} is stale: it was made with {_joined(changed)}; searching anew.", StaleCache)
        return None
    return state


def _sum(tensors, facts):
    """The sum of all that a cache holds, by which a damaged one is noticed."""
    return _digest(*sorted(tensors.items()), *(f"{name}={facts[name]}" for name in sorted(facts)))


def _joined(names):
    others = [f"other {name}" if name.endswith("s") else f"another {name}" for name in names]
    return " and ".join(others)


def _marks(model, layer, gallery, preprocess, k):
    """What the result depends on: {name: a hash or a text}."""
    names = [name for name, module in model.named_modules() if module is layer]
    if not names:
        raise ValueError("The layer is not part of this model.")
    tensors = [*model.named_parameters(), *model.named_buffers()]  # also those that aren't saved
    # A function can't be hashed, but what it does can: to both ends and the middle of the gallery.
    few = sorted({0, len(gallery) // 2, len(gallery) - 1})
    x = [_prepared(gallery, [index], preprocess) for index in few]
    return {
        "weights": _digest(repr(model), *tensors),
        "layer": names[0],
        "preprocessing": _digest(*x),
        "k": str(k),
        "gallery": _digest(*_contents(gallery)),
    }


def _contents(gallery):
    """What says which pictures a gallery has, without reading files: texts and tensors."""
    if isinstance(gallery, Tensor):
        return [gallery]
    if hasattr(gallery, "entries"):
        return [f"{entry.path} {entry.sha256}" for entry in gallery.entries]
    if isinstance(gallery, torch.utils.data.ConcatDataset):
        return [part for dataset in gallery.datasets for part in _contents(dataset)]
    if isinstance(gallery, torch.utils.data.Subset):
        return [*_contents(gallery.dataset), str(list(gallery.indices))]
    raise ValueError(
        f"A search can be cached for a PictureSet, a ConcatDataset or Subset of one, or a tensor;"
        f" it can't tell whether a {type(gallery).__name__} has changed. Leave out cache=."
    )


def _digest(*parts):
    """The SHA-256 of texts, tensors and pairs of these."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, tuple):
            total.update(_digest(*part).encode())
        elif isinstance(part, Tensor):
            flat = part.detach().cpu().contiguous()
            total.update(f"{flat.dtype} {tuple(flat.shape)}".encode())
            total.update(flat.reshape(-1).view(torch.uint8).numpy().tobytes())
        else:
            total.update(f"{len(part)} {part}".encode())
    return total.hexdigest()


# ---------------------------------------------------------------------------- crops


@checks_arguments
def receptive_crop(
    picture: Tensor,
    row: int,
    column: int,
    size: int,
    stride: int,
    start: int,
    fill: float = 1.0,
) -> Tensor:
    """The part of a picture (3, H, W) that the unit at (row, column) can see: (3, size, size).

    size, stride, start: the receptive field along one axis; unit i sees `size` pixels, from
                         start + i * stride on. `start` is negative where layers pad.
    fill:                the value of what lies outside the picture, where the network sees padding

    The picture is the one that the network saw: if preprocessing crops or resizes, pass the
    result of `classifier.undo_preprocess`.
    """
    check_picture(picture)
    if size < 1 or stride < 1 or row < 0 or column < 0:
        raise ValueError(
            f"size={size}, stride={stride}, row={row}, column={column}: size and stride are"
            " positive, row and column not negative."
        )
    height, width = picture.shape[1:]
    top = start + row * stride
    left = start + column * stride
    if top >= height or left >= width or top + size <= 0 or left + size <= 0:
        raise ValueError(
            f"The unit at ({row}, {column}) sees nothing of a picture of {height} x {width} pixels:"
            " is the receptive field that of this layer?"
        )
    crop = picture.new_full((3, size, size), fill)
    rows = slice(max(top, 0), min(top + size, height))
    columns = slice(max(left, 0), min(left + size, width))
    crop[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = (
        picture[:, rows, columns]
    )
    return crop
