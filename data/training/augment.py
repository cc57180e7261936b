"""Random changes of a training batch: pictures (N, 3, H, W) in [0, 1] in, the same shape out.

Every function draws from the torch.Generator it is given and from nothing else.
"""

import torch
import torch.nn.functional as F


def _uniform(shape, low, high, generator):
    return low + (high - low) * torch.rand(shape, generator=generator)


def shift_and_flip(pictures, generator, most=12):
    """Moves each picture by up to `most` pixels (the border is mirrored); flips half of them."""
    n, _, height, width = pictures.shape
    padded = F.pad(pictures, (most,) * 4, mode="reflect")
    rows, columns = torch.randint(0, 2 * most + 1, (2, n), generator=generator).tolist()
    flips = (torch.rand(n, generator=generator) < 0.5).tolist()
    moved = torch.empty_like(pictures)
    for i, (row, column, flip) in enumerate(zip(rows, columns, flips)):
        window = padded[i, :, row : row + height, column : column + width]
        moved[i] = window.flip(-1) if flip else window
    return moved


def recolour(pictures, generator, strength=0.12):
    """Changes gain and offset of each colour channel of each picture by about `strength`."""
    n = len(pictures)
    together = 1 + strength * torch.randn(n, 1, 1, 1, generator=generator)
    gain = together + strength / 3 * torch.randn(n, 3, 1, 1, generator=generator)
    offset = strength / 3 * torch.randn(n, 3, 1, 1, generator=generator)
    return (pictures * gain + offset).clamp(0, 1)


def _filling(picture, kind, generator):
    """What an erased rectangle is filled with, broadcastable to (3, H, W)."""
    if kind == 0:
        return picture.mean((1, 2), keepdim=True)
    if kind == 1:
        return torch.full((3, 1, 1), 0.45)
    if kind == 2:
        return torch.zeros(3, 1, 1)
    if kind == 3:
        return torch.rand(picture.shape, generator=generator)
    return F.avg_pool2d(picture[None], 15, stride=1, padding=7, count_include_pad=False)[0]


def erase(pictures, generator, most=3, smallest=10, largest=36):
    """Covers up to `most` rectangles of each picture with grey, black, noise or its own blur.

    A network trained so has met the patches that occlusion slides over a picture
    (random erasing: Zhong et al. 2020; cutout: DeVries and Taylor 2017).
    """
    n, _, height, width = pictures.shape
    erased = pictures.clone()
    for i in range(n):
        for _ in range(int(torch.randint(0, most + 1, (), generator=generator))):
            rows, columns = torch.randint(smallest, largest + 1, (2,), generator=generator).tolist()
            top = int(torch.randint(-rows // 2, height - rows // 2, (), generator=generator))
            left = int(torch.randint(-columns // 2, width - columns // 2, (), generator=generator))
            kind = int(torch.randint(0, 5, (), generator=generator))
            window = (
                slice(None),
                slice(max(top, 0), top + rows),
                slice(max(left, 0), left + columns),
            )
            filling = _filling(pictures[i], kind, generator).expand(pictures[i].shape)
            erased[i][window] = filling[window]
    return erased


def soften(pictures, generator, chance=0.25):
    """Blurs some pictures a little and adds grain to others, as cheap cameras do."""
    n = len(pictures)
    choice = torch.rand(n, generator=generator)
    blurred = F.avg_pool2d(pictures, 3, stride=1, padding=1, count_include_pad=False)
    amount = _uniform((n, 1, 1, 1), 0, 1, generator)
    grain = 0.04 * amount * torch.randn(pictures.shape, generator=generator)
    blur_these = (choice < chance)[:, None, None, None]
    grain_these = (choice > 1 - chance)[:, None, None, None]
    softened = torch.where(blur_these, pictures + amount * (blurred - pictures), pictures)
    return torch.where(grain_these, pictures + grain, softened).clamp(0, 1)
