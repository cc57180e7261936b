"""The loop that trains the course's networks: one step down for every batch, in random order."""

import torch
from tqdm import tqdm


def descend(loss_of, optimizer, rates, count, batch, epochs, generator, describe):
    """Trains by gradient descent on minibatches -> the mean loss of the last epoch.

    loss_of:   indices of some examples (n,) -> their loss, a scalar that depends on what is learned
    rates:     the scheduler of learning rates, which moves on with every batch
    count:     how many examples there are; each epoch sees all of them once, `batch` at a time
    generator: of random numbers, for the order of the examples
    """
    progress = tqdm(range(epochs), describe, unit="epoch")
    for _ in progress:
        total = 0.0
        for chosen in torch.randperm(count, generator=generator).split(batch):
            loss = loss_of(chosen)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rates.step()
            total += loss.item() * len(chosen)
        progress.set_postfix(loss=f"{total / count:.4f}")
    return total / count
