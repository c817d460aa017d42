"""Steering written into the weights: the steered model as an ordinary Hugging Face folder.

What can be written exactly is what is the same linear map of every token: interventions on all positions, with one
value for all rows, that are

- affine (:class:`Add`, :class:`Ablate`, :class:`SetProjection`, :class:`Affine`, :class:`RankOne`, :class:`Replace`,
  :class:`Rotate` by an angle) at ``attn_out``, ``mlp_out`` or the first ``resid_pre``, where one linear layer or the
  embeddings write: their weights and biases are mapped;
- additions anywhere in the residual stream: a bias of the layer that wrote last;
- a direction (or span) ablated at every point of the stream from the embeddings to some layer, as
  :func:`ablate_everywhere` does: taken out of all that is written there (Arditi et al. 2024, arXiv 2406.11717).

An addition needs a bias, which some architectures have no configuration for; there it is refused, and so is everything
else.  Nothing is called done before the folder, loaded again, gives the logits of the steered model (in float64 for
models of up to half a billion weights: with attention sinks, rounding alone moves logits by 1e-4 in float32).
"""

from __future__ import annotations

import copy
import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from steering.baked_card import Baked, card_of, described
from steering.edits import Edit
from steering.interventions import Ablate
from steering.writers import EMBEDDING, AffineMap, rewritten
from workbench.arguments import a_path, number
from workbench.errors import ArtifactError, ModelError, SpecError, WorkbenchWarning
from workbench.files import disk_errors, make_folder
from workbench.models.backend import in_order
from workbench.models.fingerprint import MADE_FROM
from workbench.models.hf import HuggingFaceBackend
from workbench.models.interventions import Intervention, Placed, Scope, Where
from workbench.models.sinks import sample_inputs
from workbench.sites import Site

if TYPE_CHECKING:
    from workbench.models.language_model import LanguageModel

_STREAM = ("resid_pre", "resid_mid", "resid_post")
_WIDEST = 500_000_000  # weights of a model that is compared in float64
_CLOSE = 1e-6  # how near to an affine map, a projection or the identity rounding leaves an edit of float32 values


def ablate_everywhere(direction: Any, model: Any) -> list[Intervention]:
    """A direction (or a list of them, their span) ablated at every token and every point of the residual stream.

    >>> from workbench.models.tiny import tiny_model
    >>> [str(each.site) for each in ablate_everywhere(torch.ones(32), tiny_model())][:3]
    ['blocks.0.hook_resid_pre', 'blocks.0.hook_resid_mid', 'blocks.0.hook_resid_post']
    """
    return [Ablate(direction, site=site, scope=Scope.everywhere()) for site in _points(model)]


def bake(
    model: LanguageModel,
    interventions: Sequence[Intervention],
    folder: str | os.PathLike[str],
    *,
    texts: Sequence[Any] = (),
    tolerance: float = 1e-4,
) -> Baked:
    """Write a model with its steering as a Hugging Face folder: weights, configuration, tokenizer and a card.

    The module's documentation says what can be written.

    Args:
        model: in float32 or float64, so that equality can be seen.
        interventions: as for ``model.generate``, each with scope ``prompt+generation``.
        folder: a new one.
        texts: prompts that logits are compared on, besides a few of our own.
        tolerance: the largest difference of a logit that passes for equal.

    Raises:
        SpecError: for an intervention that cannot be written.
        ModelError: for an architecture that has no place for it, or a result that is not equal.
        ArtifactError: for a folder that is there already.

    >>> import tempfile
    >>> from steering import Add
    >>> from workbench.models.tiny import tiny_model
    >>> model, everywhere = tiny_model(), Scope.everywhere()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     baked = bake(model, [Add(torch.ones(32), site=1, scope=everywhere)], f"{folder}/steered")
    ...     sorted(path.name for path in baked.folder.iterdir())[:2]
    ['README.md', 'baked.json']
    >>> baked.difference < 1e-4 < baked.effect
    True
    """
    target = a_path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ArtifactError(f"{target} is there already: choose another folder")
    if model.dtype not in (torch.float32, torch.float64):
        raise ModelError(
            f"{model.name} is in {model.precision}, which hides small differences: load it with dtype='float32'"
        )
    placed = model.placed(interventions)
    if not placed:
        raise SpecError("there are no interventions to write")
    new = rewritten(model.backend.hf_model, _maps(placed, model))
    if hasattr(new.config, MADE_FROM):
        delattr(new.config, MADE_FROM)
    make_folder(target.parent, ArtifactError)
    with disk_errors(target, ArtifactError), TemporaryDirectory(dir=target.parent, prefix=".baking") as temporary:
        inner = Path(temporary, target.name)
        new.save_pretrained(inner)
        model.tokenizer.save_pretrained(inner)
        del new
        baked = _measured(model, placed, inner, texts, number(tolerance, "tolerance", 0))
        facts = {name: value for name, value in asdict(baked).items() if name != "folder"}
        (inner / "baked.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
        (inner / "README.md").write_text(card_of(target.name, baked), encoding="utf-8")
        if target.exists():
            target.rmdir()
        os.replace(inner, target)
    return Baked(target, *(getattr(baked, name) for name in facts))


# ---- what is written where


def _points(model: Any) -> list[Site]:
    """The points of the residual stream in the order of a pass; a parallel block has no middle."""
    within = [component for component in _STREAM[1:] if component in model.backend.steerable]
    return [EMBEDDING, *(Site(layer, component) for layer in range(model.n_layers) for component in within)]


def _maps(placed: Sequence[Intervention], model: Any) -> dict[Site, AffineMap]:
    """The map on what is written at each ``attn_out``, ``mlp_out`` and the embeddings."""
    identity = AffineMap(None, torch.zeros(model.d_model, dtype=torch.float64))
    at: dict[Site, AffineMap] = {}
    names: dict[Site, str] = {}
    for each in placed:
        site = _site(each.site)
        at[site] = at.get(site, identity).then(_affine(each, model.d_model))
        names[site] = type(_plain(each)).__name__
    points = _points(model)
    projection, ablated = _ablation(points, at, names)
    maps: dict[Site, AffineMap] = {}
    for site in (site for site, _ in in_order(dict.fromkeys(at, _same), None)):
        if site in points and site != EMBEDDING:
            change = AffineMap(None, at[site].shift)
            for writer in _written(site, points) if projection is not None and site in ablated else []:
                maps[writer] = maps.get(writer, identity).then(AffineMap(projection, torch.zeros_like(change.shift)))
            site = _written(site, points)[-1]
        else:
            change = at[site]
        maps[site] = maps.get(site, identity).then(change)
    return maps


def _ablation(
    points: list[Site], at: dict[Site, AffineMap], names: dict[Site, str]
) -> tuple[Tensor | None, list[Site]]:
    """The projection that is made at the points of the stream, and which those are; the rest must be additions."""
    mapped = [site for site in points if site in at and at[site].matrix is not None]
    inner = [site for site in mapped if site != EMBEDDING]
    if not inner:
        return None, []
    matrix = at[inner[0]].matrix
    assert matrix is not None
    where = f"{names[inner[0]]} at {inner[0]}"
    if not _near(matrix @ matrix, matrix):
        raise SpecError(f"{where}: in the middle of the residual stream only additions and ablations can be written")
    if any(not _near(at[site].matrix, matrix) for site in mapped):
        raise SpecError(f"{where}: what is ablated in the residual stream must be the same at every point of it")
    lacking = [site for site in points[: points.index(mapped[-1])] if site not in mapped]
    if lacking:
        raise SpecError(
            f"{where} can be written only if it is ablated at every point from the embeddings on, which"
            f" {lacking[0]} is not: take ablate_everywhere(direction, model)"
        )
    for site in mapped[:-1]:
        shift = at[site].shift
        if not _near(matrix @ shift, shift):
            raise SpecError(f"what is added at {site} has a part along what is ablated after it: it cannot be written")
    return matrix, mapped


def _written(point: Site, points: list[Site]) -> list[Site]:
    """Where the layers write whose outputs reach the stream between a point and the one before it."""
    if point.component == "resid_mid":
        return [Site(point.layer, "attn_out")]
    alone = [Site(point.layer, "mlp_out")]
    return alone if Site(point.layer, "resid_mid") in points else [Site(point.layer, "attn_out"), *alone]


def _site(site: Site) -> Site:
    """The input of a block is the output of the one before it."""
    return Site(site.layer - 1) if site.component == "resid_pre" and site.layer else site


def _plain(intervention: Intervention) -> Intervention:
    return intervention.inner if isinstance(intervention, Placed) else intervention


def _affine(intervention: Intervention, width: int) -> AffineMap:
    """What an intervention does to every token, as an affine map; :class:`SpecError` where it is none."""
    edit = _plain(intervention)
    what = f"{type(edit).__name__} at {intervention.site}"
    if not isinstance(edit, Edit):
        raise SpecError(f"{what} is not the same map of every token, so it cannot be written into weights")
    if edit.scope != Scope.everywhere():
        raise SpecError(f"{what} has scope {edit.scope}: weights act on every token, scope='prompt+generation'")
    if edit._n_rows is not None:  # type: ignore[attr-defined]
        raise SpecError(f"{what} has values by row: weights are the same for all rows")
    shift, *columns = _through(edit, torch.cat([torch.zeros(1, width), torch.eye(width)]).double())
    matrix = (torch.stack(columns) - shift).T
    probe = torch.randn(8, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    if not _near(_through(edit, 3 * probe), 3 * probe @ matrix.T + shift):
        raise SpecError(f"{what} is not an affine map of the activation, so it cannot be written into weights")
    return AffineMap(None if _near(matrix, torch.eye(width).double()) else matrix, shift)


def _through(edit: Intervention, rows: Tensor) -> Tensor:
    at = torch.arange(len(rows))[None]
    return edit(rows[None], Where(at, torch.zeros_like(at), torch.full_like(at, len(rows))))[0]


def _near(one: Tensor | None, other: Tensor) -> bool:
    return one is not None and torch.allclose(one, other, rtol=_CLOSE, atol=_CLOSE)


def _same(activation: Tensor) -> Tensor:
    return activation


# ---- what is measured


def _measured(
    model: LanguageModel, placed: Sequence[Intervention], folder: Path, texts: Sequence[Any], tolerance: float
) -> Baked:
    """The folder, loaded again, beside the steered model; :class:`ModelError` where their logits differ."""
    from workbench.models.language_model import LanguageModel
    from workbench.models.loading import load_model

    prompts = [*sample_inputs(model), *(model.encode_all(texts) if len(texts) else ())]
    written = [described(_plain(each), each.site, model) for each in placed]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", WorkbenchWarning)  # of another precision, which is meant
        wide = _wide(model)
        steered, plain = ([_logits(wide, prompt, own) for prompt in prompts] for own in (placed, ()))
        precision = wide.precision
        del wide
        found = LanguageModel.of(load_model(folder, device=str(model.device), dtype=precision))
        baked = [_logits(found, prompt) for prompt in prompts]
    difference, effect = _largest(baked, steered), _largest(plain, steered)
    if not difference <= tolerance:
        raise ModelError(
            f"the logits of {model.name} with this in its weights differ by {difference:.3g} from the steered model's"
        )
    base = {"base": model.name, "base_fingerprint": model.fingerprint}
    return Baked(folder, found.fingerprint, **base, difference=difference, effect=effect, precision=precision,
                 texts=len(prompts), written=written)  # fmt: skip


def _wide(model: LanguageModel) -> LanguageModel:
    """The model in float64, unless it is large: float32 alone makes logits differ by 1e-4."""
    from workbench.models.language_model import LanguageModel

    hf_model = model.backend.hf_model
    if model.dtype == torch.float64 or sum(weight.numel() for weight in hf_model.parameters()) > _WIDEST:
        return model
    return LanguageModel(HuggingFaceBackend(copy.deepcopy(hf_model).double()), model.tokenizer, model.name)


def _logits(model: LanguageModel, prompt: Any, interventions: Sequence[Intervention] = ()) -> Tensor:
    found = model.forward([prompt], interventions=interventions, logits=True).logits
    assert found is not None
    return found


def _largest(some: list[Tensor], others: list[Tensor]) -> float:
    return max(float((one - other).abs().max()) for one, other in zip(some, others, strict=True))
