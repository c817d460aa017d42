"""Finetuning of any Hugging Face causal language model on prompt -> completion pairs, by low-rank adapters (LoRA).

PEFT adds the adapters to a copy of the model (see :mod:`workbench.models.shared_weights`), so the model itself stays as
it was and its weights are held once.  The loss is on the completion and the end token only.  What comes out is an
adapter folder that PEFT loads anywhere, and an ordinary :class:`LanguageModel`: the adapters merged into copies of the
weights they touch, hence with a fingerprint of its own, behind the same back end, ready to be read, probed and steered.

Source: Hu et al. (2021), arXiv 2106.09685.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from workbench.errors import DataError, ModelError, RunError
from workbench.files import disk_errors, make_folder, read_object, write_json
from workbench.models.adapters import ADAPTER_FILES, FINETUNING, load_adapter, merged, quiet_peft
from workbench.models.blocks import find_blocks
from workbench.models.language_model import LanguageModel
from workbench.models.shared_weights import copy_sharing_weights
from workbench.models.sharing import SHARED, decoding_path
from workbench.seeding import derive_seed
from workbench.training.branches import Pair, Tree, plant, tree_loss
from workbench.training.chains import Row, chain_loss, chains
from workbench.training.loop import Schedule, train

_WINDOW = 8  # batches among which rows of similar length are put together


@dataclass(frozen=True)
class LoRA:
    """A finetuning recipe: ``alpha / rank`` scales the adapters; ``lr`` is warmed up, then falls to a tenth (cosine);
    ``targets`` are module names of the model, or PEFT's ``all-linear`` (all but the output layer).  ``depth``: only the
    blocks from this share of the depth on are adapted, which spares the backward pass through those below."""

    rank: int = 32
    alpha: int = 32
    lr: float = 2e-5
    batch: int = 16
    epochs: int = 1
    targets: str | tuple[str, ...] = "all-linear"
    depth: float = 0.0

    def __post_init__(self) -> None:
        for name in ("rank", "batch", "epochs"):
            if getattr(self, name) < 1:
                raise DataError(f"LoRA: {name} is {getattr(self, name)}, and must be at least 1")
        if not (self.lr > 0 and self.alpha > 0):
            raise DataError(f"LoRA: lr ({self.lr}) and alpha ({self.alpha}) must be positive")
        if not 0 <= self.depth < 1:
            raise DataError(f"LoRA: depth is {self.depth}, and must be a share of the blocks: from 0 to below 1")

    @property
    def identity(self) -> dict[str, Any]:
        """Its values as they are kept; a depth of 0 is left out, as it was before there was one."""
        return {name: value for name, value in asdict(self).items() if name != "depth" or value}


def finetune(
    model: LanguageModel,
    pairs: Sequence[Pair] | Sequence[Sequence[Pair]],
    folder: str | os.PathLike[str],
    recipe: LoRA = LoRA(),
    *,
    seed: int = 0,
    name: str | None = None,
    report: Callable[[dict[str, float]], None] | None = None,
    checkpoint_seconds: float = 60.0,
) -> LanguageModel:
    """Finetune ``model`` on ``pairs`` and return the finetuned model; ``model`` stays as it is.

    Groups of pairs in place of pairs are laid in one sequence each (see :mod:`workbench.training.branches`): what the
    pairs of a group share at their beginning is computed once; ``batch`` then counts groups.

    ``folder`` gets the adapter (PEFT's format).  Killed, the same call goes on from its last checkpoint there; when the
    adapter is finished it is loaded instead of trained.  ``name``: of the new model (default ``NAME+FOLDER``).
    ``report`` gets the step, loss and share done after every step.  The random state of the process stays.

    Raises :class:`DataError` for pairs without content, :class:`ModelError` for pairs longer than the model's context
    and for groups on a model whose attention obeys no mask, :class:`RunError` for a folder that holds another
    finetuning.

    >>> import tempfile
    >>> from workbench.models.tiny import tiny_model
    >>> model = tiny_model()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tuned = finetune(model, [Pair("a b", " c")] * 32, folder, LoRA(rank=4, lr=0.02, batch=2, epochs=4))
    >>> tuned.generate(["a b"], max_new_tokens=4, temperature=0)[0][0].text, tuned.fingerprint == model.fingerprint
    (' c', False)
    """
    target, rows = Path(folder), _encoded(model, pairs)
    identity = {
        "base": model.fingerprint,
        "precision": model.precision,
        "recipe": recipe.identity,
        "seed": seed,
        "pairs": _digest(rows),
    }
    identity = json.loads(json.dumps(identity))
    make_folder(target)
    if (target / FINETUNING).exists():
        if read_object(target / FINETUNING)["identity"] != identity:
            raise RunError(f"{target} holds an adapter of another model, recipe, seed or data: choose another folder")
        return load_adapter(model, target, name)
    adapted = _adapted(model, recipe, seed)
    seconds = _train(model, adapted, rows, target, recipe, identity, report, checkpoint_seconds)
    spent: dict[str, Any] = {
        "tokens": recipe.epochs * sum(len(row.tokens) for row in rows),
        "seconds": round(seconds, 1),
    }
    spent |= {"threads": torch.get_num_threads(), "device": model.device.type}
    _save(adapted, target, {"identity": identity, "base_name": model.name, **spent})
    return merged(model, adapted, name or f"{model.name}+{target.name}")


# ---- data


def _encoded(model: LanguageModel, pairs: Sequence[Pair] | Sequence[Sequence[Pair]]) -> list[Row] | list[Tree]:
    if not len(pairs):
        raise DataError("there are no pairs to finetune on")
    if all(isinstance(pair, Pair) and not pair.soft for pair in pairs):
        rows: Any = chains(model, cast(Sequence[Pair], pairs))
        longest = max(len(row.tokens) for row in rows)
    else:
        rows = plant(model, [[pair] if isinstance(pair, Pair) else pair for pair in pairs])
        longest = max(int(tree.positions().max()) + 1 for tree in rows)
        path = decoding_path(model, longest, max(len(tree.tokens) for tree in rows))
        if path.name != SHARED:
            raise ModelError(
                f"{model.name} cannot read several pairs in one sequence ({path.reason}): give them singly"
            )
    limit = getattr(model.config, "max_position_embeddings", None)
    if limit and longest > limit:
        raise ModelError(f"a pair has {longest} tokens, more than the {limit} positions of {model.name}")
    return rows


def _digest(rows: Sequence[Row] | Sequence[Tree]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        if isinstance(row, Row):
            digest.update(np.array([row.prompt, *row.tokens], dtype=np.int64).tobytes())
        else:
            digest.update(repr((row.tokens, row.parents, row.targets)).encode())
    return digest.hexdigest()[:16]


def _batches(lengths: np.ndarray, batch: int, epochs: int, seed: int) -> list[np.ndarray]:
    """Row numbers of every step: each epoch a permutation; rows of similar length meet, which spares padding."""
    steps: list[np.ndarray] = []
    for epoch in range(epochs):
        rng = np.random.default_rng(derive_seed(seed, "batches", epoch))
        order = rng.permutation(len(lengths))
        for start in range(0, len(order), _WINDOW * batch):
            window = order[start : start + _WINDOW * batch]
            window = window[np.argsort(lengths[window], kind="stable")]
            parts = [window[i : i + batch] for i in range(0, len(window), batch)]
            steps += [parts[i] for i in rng.permutation(len(parts))]
    return steps


# ---- training


def _adapted(model: LanguageModel, recipe: LoRA, seed: int) -> Any:
    """PEFT's model around a copy: the copy's weights are the model's, the adapters' are new and in float32."""
    with quiet_peft():
        from peft import LoraConfig, get_peft_model

    targets = recipe.targets if isinstance(recipe.targets, str) else list(recipe.targets)
    if recipe.depth:
        targets = _deep(model, recipe)
    config = LoraConfig(
        r=recipe.rank, lora_alpha=recipe.alpha, lora_dropout=0.0, bias="none", target_modules=targets,
        task_type="CAUSAL_LM",
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(seed, "adapters"))
        try:
            with quiet_peft():
                return get_peft_model(copy_sharing_weights(model.backend.hf_model), config).eval()  # dropout stays off
        except ValueError as error:  # targets that the model does not have
            raise DataError(f"LoRA on {model.name}: {str(error).splitlines()[0]}") from error


def _deep(model: LanguageModel, recipe: LoRA) -> list[str]:
    """Names of the modules that are adapted: those of ``recipe.targets`` in blocks from ``recipe.depth`` on."""
    first = round(recipe.depth * model.n_layers)
    names = {id(module): name for name, module in model.backend.hf_model.named_modules()}
    found = [
        names[id(module)]
        for block in find_blocks(model.backend.hf_model)[first:]
        for module in block.module.modules()
        if isinstance(module, torch.nn.Linear | Conv1D)
    ]
    wanted = recipe.targets
    return [n for n in found if wanted == "all-linear" or n.endswith(tuple(f".{w}" for w in np.atleast_1d(wanted)))]


def _train(
    model: LanguageModel, adapted: Any, rows: list[Row] | list[Tree], folder: Path, recipe: LoRA,
    identity: dict[str, Any], report: Callable[[dict[str, float]], None] | None, checkpoint_seconds: float,
) -> float:  # fmt: skip
    from peft.helpers import disable_input_dtype_casting

    lengths = np.array([len(row.tokens) for row in rows])
    steps = _batches(lengths, recipe.batch, recipe.epochs, identity["seed"])
    half = model.dtype in (torch.bfloat16, torch.float16)

    def step_loss(step: int, done: float) -> tuple[Tensor, int]:
        batch: Any = [rows[i] for i in steps[step]]
        # Autocast casts: PEFT need not do so before it.
        cast_once = disable_input_dtype_casting(adapted, active=half)
        with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=half), cast_once:
            loss = (chain_loss if isinstance(batch[0], Row) else tree_loss)(adapted, batch, model.device)
        return loss, sum(len(row.tokens) for row in batch)

    schedule = Schedule(
        int(lengths.sum()) * recipe.epochs, recipe.lr, weight_decay=0.0, warmup=0.05, betas=(0.9, 0.999),
        checkpoint_seconds=checkpoint_seconds,
    )  # fmt: skip
    return train(_trainable(adapted), step_loss, schedule, folder, identity, report)


def _trainable(adapted: Any) -> Any:
    """The adapters alone as a module, so that checkpoints do not hold the frozen weights."""
    holder = torch.nn.Module()
    for name, parameter in adapted.named_parameters():
        if parameter.requires_grad:
            holder.register_parameter(name.replace(".", "/"), parameter)
    return holder


# ---- what is kept


def _save(adapted: Any, folder: Path, mark: dict[str, Any]) -> None:
    with disk_errors(folder), TemporaryDirectory(dir=folder, prefix=".saving") as temporary:
        adapted.peft_config["default"].base_model_name_or_path = mark["base_name"]
        adapted.save_pretrained(temporary, save_embedding_layers=False)
        for file in ADAPTER_FILES:
            os.replace(Path(temporary, file), folder / file)
        write_json(folder / FINETUNING, mark)
        (folder / "checkpoint.safetensors").unlink(missing_ok=True)
