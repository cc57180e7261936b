"""Pictures that a network takes for a class and that people recognize, too: ascent on phases.

    pictures = ascend_phases(model, [zebra, pineapple], 224, mean, std)      # (2, 3, 224, 224)

Free ascent ends in patterns that excite a network and look like nothing. Here every picture on the
way has the spectrum of natural pictures: the magnitude of each Fourier component is fixed, falling
with its frequency, and so is the covariance of the colours. What ascent can choose are the phases:
where the edges lie. And the target must be found in random crops, turned and made noisy, which no
fine pattern survives.

Fel et al., "Unlocking Feature Visualization for Deeper Networks with MAgnitude Constrained
Optimization", NeurIPS 2023; they take the mean spectrum of ImageNet's pictures, this a power of
the frequency. The colours are those of Olah, Mordvintsev and Schubert, "Feature Visualization",
Distill 2017.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm.auto import tqdm

from course_utils._arguments import check_colours
from course_utils._networks import Ready, first_weights, gradients_of, in_full, looks_inside
from course_utils._random import gaussian, seeded_generator, uniform
from course_utils.ascent import COLOURS, Target, checked_targets, scores_seen_by
from course_utils.errors import check_count, check_not_negative, check_positive


@looks_inside
def ascend_phases(
    model: nn.Module,
    targets: Sequence[Target],
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    layer: nn.Module | None = None,
    steps: int = 200,
    step: float = 1.0,
    crops: int = 2,
    smallest: float = 0.3,
    turn: float = 10.0,
    noise: float = 0.08,
    falloff: float = 1.1,
    contrast: float = 1.3,
    seed: int = 1,
    progress: bool = False,
) -> Tensor:
    """Pictures (N, 3, size, size) in [0, 1] with high scores, one for each target.

    targets, layer: as `ascent.ascend` takes them: classes, or a layer's channels or units
    mean, std:      the network sees x = (picture - mean) / std

    steps, step: of Adam, in radians; a step's length shrinks evenly to nothing
    crops:    so many random crops of the picture are shown in each step
    smallest: share of the picture's side that a crop has at least; at most it has all of it
    turn:     crops are turned by up to so many degrees
    noise:    standard deviation of the noise that is added to a crop
    falloff:  the power of the frequency by which magnitudes are divided; higher is smoother
    contrast: the spread of the values before the sigmoid that brings them into [0, 1]

    Each target starts from the same random phases, which `seed` chooses, and gets the same crops.
    Raises ValueError for targets that the network doesn't have.
    """
    for name, count in {"steps": steps, "crops": crops, "size": size}.items():
        check_count(name, count)
    targets = checked_targets(targets)
    check_positive(step=step, contrast=contrast)
    check_colours(mean, std)
    check_not_negative(turn=turn, noise=noise, falloff=falloff)
    if not 0 < smallest <= 1:
        raise ValueError(f"smallest={smallest}: it is a share of the picture's side, above 0.")
    weights = first_weights(model)
    weights = torch.zeros(()) if weights is None else weights.detach()
    like = in_full(weights)
    magnitudes = _magnitudes(size, falloff).to(like)
    centre = torch.as_tensor(mean).to(like).view(3, 1, 1)
    spread = torch.as_tensor(std).to(like).view(3, 1, 1)
    network, pictures = Ready(model), []
    with tqdm(total=len(targets) * steps, desc="ascent", disable=not progress) as bar:
        for target in targets:
            generator = seeded_generator(seed)
            start = 2 * math.pi * uniform(*magnitudes.shape, generator=generator)
            phases = start.to(like).requires_grad_()
            optimizer = torch.optim.Adam([phases], lr=step)
            for number in range(steps):
                optimizer.param_groups[0]["lr"] = step * (1 - number / steps)
                with torch.enable_grad():
                    picture = _picture(magnitudes, phases, size, contrast)
                    seen = _crops(picture, crops, smallest, turn, noise, generator)
                    x = (seen - centre) / spread
                    score = scores_seen_by(network, x.to(weights.dtype), [target] * crops, layer)
                    (phases.grad,) = gradients_of(-score.mean(), phases)
                optimizer.step()
                bar.update()
            pictures.append(_picture(magnitudes, phases.detach(), size, contrast))
    return torch.stack(pictures)


def _magnitudes(size, falloff):
    """The fixed magnitude of each Fourier component, the same for all channels: (3, h, w)."""
    rows = torch.fft.fftfreq(size)[:, None]
    columns = torch.fft.rfftfreq(size)[None]
    frequency = (rows.square() + columns.square()).sqrt()
    lowest = 1 / size  # the constant component has no frequency: treated like this
    return (frequency.clamp_min(lowest) ** -falloff).expand(3, -1, -1)


def _picture(magnitudes, phases, size, contrast):
    """The picture (3, size, size) in [0, 1] of a spectrum."""
    spectrum = torch.polar(magnitudes, phases)
    values = torch.fft.irfft2(spectrum, s=(size, size))
    values = contrast * values / values.std()
    root = torch.tensor(COLOURS).to(values)
    root = root / root.norm(dim=0).max()
    return torch.einsum("cd,dhw->chw", root, values).sigmoid()


def _crops(picture, count, smallest, turn, noise, generator):
    """Random squares of a picture, turned, enlarged to its size, with noise: (count, 3, S, S)."""
    side = smallest + (1 - smallest) * uniform(count, generator=generator)
    angle = math.radians(turn) * (2 * uniform(count, generator=generator) - 1)
    centre = (2 * uniform(count, 2, generator=generator) - 1) * (1 - side)[:, None]
    cosine, sine = side * angle.cos(), side * angle.sin()
    rows = torch.stack([cosine, -sine, centre[:, 0], sine, cosine, centre[:, 1]], dim=1)
    places = functional.affine_grid(
        rows.view(count, 2, 3).to(picture), [count, *picture.shape], align_corners=False
    )
    seen = functional.grid_sample(
        picture.expand(count, -1, -1, -1), places, padding_mode="reflection", align_corners=False
    )
    return seen + noise * gaussian(*seen.shape, generator=generator).to(seen)
