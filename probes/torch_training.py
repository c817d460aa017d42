"""The one training loop of the torch probes: AdamW, minibatches, early stopping on groups that are held out whole.

A probe hands the loop a generator of minibatch losses and a function that scores the held-out rows; the loop does the
rest and leaves the best weights in the module.  Everything random happens inside :func:`seeded`, so equal seeds give
equal weights on one machine, and torch's own random stream is as it was before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike
from torch import Tensor, nn

from workbench.arguments import flag, integer, listed, number, shown
from workbench.errors import DataError, SpecError
from workbench.progress import progress_bar

_Network = TypeVar("_Network", bound=nn.Module)
# Dropout draws from torch's process-wide stream, so two threads that train at once would take each other's numbers.
_ONE_AT_A_TIME = threading.RLock()


def train(
    module: nn.Module,
    epoch: Callable[[], Iterable[Tensor]],
    validate: Callable[[], float] | None = None,
    *,
    lr: float = 1e-3,
    weight_decay: float = 1e-2,
    epochs: int = 100,
    patience: int = 10,
    progress: bool = False,
) -> list[float]:
    """Train ``module`` in place with AdamW and return the held-out loss after each epoch.

    ``epoch()`` yields the loss of one minibatch after the other, each with its graph; ``validate()`` is the loss on the
    held-out rows (called in evaluation mode, without gradients).  Training ends when the held-out loss has not
    improved for ``patience`` epochs, and the weights of the best epoch are restored.  Without ``validate`` all
    ``epochs`` run and the last weights stay.  Raises :class:`DataError` when a loss is not finite.

    >>> with seeded(0):
    ...     line, x = nn.Linear(1, 1), torch.linspace(-1, 1, 32)[:, None]
    ...     history = train(line, lambda: [((line(x) - 3 * x) ** 2).mean()], lr=0.1, epochs=200)
    >>> round(line.weight.item(), 1)
    3.0
    """
    optimizer = torch.optim.AdamW(module.parameters(), lr=lr, weight_decay=weight_decay)
    history: list[float] = []
    best, best_epoch = _copy(module), -1
    with progress_bar(epochs, progress, "training the probe") as advance:
        for number in range(epochs):
            module.train()
            for loss in epoch():
                _step(loss, optimizer)
            advance(1)
            module.eval()
            if validate is None:
                continue
            with torch.no_grad():
                history.append(_finite(float(validate())))
            if best_epoch < 0 or history[-1] < history[best_epoch]:
                best, best_epoch = _copy(module), number
            elif number - best_epoch >= patience:
                break
    if validate is not None:
        module.load_state_dict(best)
    return history


def hold_out(
    groups: ArrayLike, fraction: float, seed: int, labels: Int[np.ndarray, " rows"] | None = None
) -> Bool[np.ndarray, " rows"]:
    """Which rows to hold out: whole groups, at most ``fraction`` of the rows (but at least one group).

    groups: [rows] labels of any one type; labels: [rows] class numbers from 0 on, and then no class loses its last
    training row.  Nothing is held out when there is one group only or no group can be spared.

    >>> hold_out(["a", "a", "b", "b", "c"], 0.4, seed=0).sum() <= 2
    np.True_
    """
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    held = np.zeros(len(names), dtype=bool)
    if len(names) < 2 or fraction <= 0:
        return held[index]
    classes = np.zeros(len(index), dtype=np.int64) if labels is None else labels
    counts = np.zeros((len(names), int(classes.max()) + 1), dtype=np.int64)
    np.add.at(counts, (index, classes), 1)
    sizes, left, room = counts.sum(1), counts.sum(0), int(np.ceil(fraction * len(index)))
    absent = left == 0
    for group in np.random.default_rng(seed).permutation(len(names)):
        if room == 0:
            break
        if sizes[group] <= room and ((left > counts[group]) | absent).all():
            held[group], left, room = True, left - counts[group], room - sizes[group]
    if not held.any():  # every group is larger than the share asked for: take the smallest that can be spared
        spare = [g for g in np.argsort(sizes, kind="stable") if ((left > counts[g]) | absent).all()]
        held[spare[:1]] = True
    return held[index]


def shuffled(
    rows: Int[Tensor, " rows"], size: int, weights: Float[Tensor, " rows"] | None = None
) -> Iterator[Int[Tensor, " batch"]]:
    """Minibatches of an epoch: a permutation of ``rows``, or as many draws with replacement, by ``weights``.

    >>> sorted(torch.cat(list(shuffled(torch.arange(5), 2))).tolist())
    [0, 1, 2, 3, 4]
    """
    if weights is None:
        order = torch.randperm(len(rows))
    else:
        ends = weights.double().cumsum(0).cpu()
        order = torch.searchsorted(ends, torch.rand(len(rows), dtype=torch.float64) * ends[-1], right=True)
    yield from rows[order.clamp(max=len(rows) - 1).to(rows.device)].split(size)


def balanced_weights(
    classes: np.ndarray, labels: Int[np.ndarray, " rows"], class_weight: object
) -> Float[np.ndarray, " rows"] | None:
    """How often a row is drawn: ``"balanced"`` (every class as often), a dict class -> weight, or None (as it comes).

    classes: [k] names; labels: [rows] indices into them.  Rare classes are thus upsampled and the loss stays plain.

    >>> balanced_weights(np.array(["a", "b"]), np.array([0, 0, 0, 1]), "balanced").round(2).tolist()
    [0.67, 0.67, 0.67, 2.0]
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, str) and class_weight == "balanced":
        of_class = len(labels) / (len(classes) * np.bincount(labels, minlength=len(classes)))
    elif isinstance(class_weight, dict):
        given = {name: number(weight, "a class weight", 0) for name, weight in class_weight.items()}
        of_class = np.array([given.get(name, 1.0) for name in classes.tolist()])
    else:
        raise SpecError(f"class_weight={shown(class_weight)}: give 'balanced', a dict class -> weight, or None")
    if not (of_class > 0).any() or (of_class < 0).any():
        raise SpecError(f"class_weight={class_weight!r}: weights must be >= 0 and one of them positive")
    return of_class[labels]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw torch's random numbers from ``seed`` inside; its stream outside is untouched.  One thread at a time."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with _ONE_AT_A_TIME, torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def resolve_device(device: str | torch.device | None) -> torch.device:
    """``device``, or CUDA where there is one, else the CPU.  Raises :class:`SpecError` for one that is absent."""
    try:
        found = torch.device(device if device is not None else ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        raise SpecError(f"device={shown(device)} cannot be used here: {str(error).splitlines()[0]}") from None
    return found


def network_arrays(network: nn.Module) -> dict[str, np.ndarray]:
    """The weights of a network as arrays named ``network.<parameter>``, as a probe saves them."""
    return {f"network.{name}": value.cpu().numpy() for name, value in network.state_dict().items()}


def load_network(network: _Network, arrays: dict[str, np.ndarray]) -> _Network:
    """``network`` with the weights that :func:`network_arrays` gave, ready to predict."""
    own = {name.removeprefix("network."): value for name, value in arrays.items() if name.startswith("network.")}
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in own.items()})
    return network.eval()


def check_training(probe: Any) -> None:
    """Raise :class:`SpecError` for hyperparameters that no training can use; those a probe lacks are not looked at."""
    kind = type(probe).__name__
    for name in ("epochs", "batch_size", "patience"):
        integer(getattr(probe, name, 1), f"{kind}: {name}", least=1)
    for name in ("lr", "weight_decay"):
        number(getattr(probe, name, 0.0), f"{kind}: {name}", 0)
    if not getattr(probe, "lr", 1):
        raise SpecError(f"{kind}: lr=0 must be positive")
    for name in ("dropout", "validation"):
        if number(getattr(probe, name, 0.0), f"{kind}: {name}", 0, 1) == 1:
            raise SpecError(f"{kind}: {name} must lie in [0, 1)")
    for width in listed(getattr(probe, "hidden", ()), f"{kind}: hidden"):
        integer(width, f"{kind}: a width of hidden", least=1)
    flag(getattr(probe, "progress", False), f"{kind}: progress")


def _step(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    _finite(loss.item())
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def _finite(loss: float) -> float:
    if not np.isfinite(loss):
        raise DataError(f"training the probe diverged (loss {loss}): lower lr, or look for huge values in the features")
    return loss


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}
