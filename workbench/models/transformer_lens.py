"""The ``transformer_lens`` back end: attention patterns, heads and MLP neurons through TransformerLens' bridge.

``TransformerBridge`` computes attention step by step, so that there is a hook point at each step.  It replaces the
modules of the model it is given, so it gets a copy that shares the weights; precision stays the checkpoint's, and
nothing is folded or centred, hence the basis is ``raw``.  ``backend.bridge`` is TransformerLens' own object.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from workbench.errors import ModelError
from workbench.models.backend import Backend, Hook, Hooks, StopForward, in_order
from workbench.models.blocks import structure
from workbench.models.contract import on_trial, trial_inputs
from workbench.models.shared_weights import copy_sharing_weights
from workbench.models.watched import distance, meant, misfits
from workbench.sites import COMPONENTS, Site

# Components whose activations are [batch, pos, d]; those of heads are [batch, pos, head, d_head] and patterns
# [batch, head, query, key], which interventions do not know.
_STEERABLE = frozenset({"resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "mlp.pre", "mlp.post"})
_HEADS = ("attn.q", "attn.k", "attn.v", "attn.z")
_PARTS = frozenset({"attn_out", "resid_mid", "mlp_out"})


class TransformerLensBackend(Backend):
    """See :class:`workbench.models.backend.Backend`.

    Reads ``attn.q``, ``attn.k``, ``attn.v`` and ``attn.z`` [batch, pos, head, d_head] and ``attn.pattern``
    [batch, head, query, key] beside the components that the ``hf`` back end has.
    """

    name = "transformer_lens"

    def __init__(self, hf_model: Any, tokenizer: Any) -> None:
        self.hf_model = hf_model
        layers = range(len(structure(hf_model).blocks))
        self._last = layers[-1]
        self.bridge = _boot(copy_sharing_weights(hf_model), tokenizer)
        self._points = self.bridge.hook_dict  # aliases such as blocks.0.hook_resid_post included
        self.components = self._found(layers)
        self.steerable = self.components & _STEERABLE
        reason = f"TransformerLens has no point in {type(hf_model).__name__} that gives it in every block"
        self.missing = dict.fromkeys(COMPONENTS.keys() - self.components, reason)

    def _found(self, layers: range) -> frozenset[str]:
        """The components that every block has, by a pass over random tokens; :class:`ModelError` for a bridge that does
        not compute what the model does."""
        tokens, _ = trial_inputs(self.hf_model)
        named = {c for c in COMPONENTS if all(Site(k, c).hook_name in self._points for k in layers)}
        read: dict[Site, list[Tensor]] = {Site(k, c): [] for k in layers for c in named - {"resid_mid"}}

        def reading(site: Site) -> Hook:
            def see(activation: Tensor) -> Tensor:
                read[site].append(activation.clone())  # some blocks add in place afterwards
                return activation

            return see

        kind = type(self.hf_model).__name__
        with on_trial(self.hf_model, f"TransformerLens' bridge of {kind}"):
            logits = self.forward(tokens, hooks={site: reading(site) for site in read})
            expected = self.hf_model(tokens, use_cache=False).logits
        found = {c for c in named if all(_fits(c, read.get(Site(k, c)), tokens) for k in layers)}
        if (
            not {"resid_pre", "resid_post"} <= found
            or logits is None
            or distance(expected, logits) > meant(self.hf_model.dtype)
        ):
            raise ModelError(
                f"TransformerLens cannot run {kind} (use backend='hf'): its bridge computes something else"
            )
        return frozenset(found if all(_add_up(read, k) for k in layers) else found - _PARTS)

    @property
    def basis(self) -> str:
        """``raw``, until someone calls TransformerLens' ``enable_compatibility_mode`` on the bridge."""
        return "compatibility" if self.bridge.compatibility_mode else "raw"

    def _pass(
        self, tokens: Tensor, arguments: dict[str, Any], hooks: Hooks, stop_after: int | None, logits: bool
    ) -> Tensor | None:
        if stop_after is None and not logits:
            stop_after = self._last
        with self._hooked(hooks, stop_after):
            try:
                return self.bridge(tokens, return_type="logits", **arguments)
            except StopForward:
                return None

    @contextmanager
    def _hooked(self, hooks: Hooks, stop_after: int | None) -> Iterator[None]:
        before: list[tuple[Any, set[int], list[Any]]] = []

        def add(site: Site, function: Any) -> None:
            point = self._points[site.hook_name]
            # Taken first, for a Ctrl-C inside add_hook may leave a hook behind and return no handle of it.
            before.append((point, set(point._forward_hooks), list(point.fwd_hooks)))
            point.add_hook(function)

        try:
            for site, hook in in_order(hooks, stop_after):
                if site.component == "resid_mid":
                    self._add_mid(site.layer, hook, add)
                else:
                    add(site, _on_point(hook))
            if stop_after is not None:
                add(Site(stop_after), _stop)
            yield
        finally:
            for point, torch_hooks, hooks_of_lens in reversed(before):  # a user's own hooks on the bridge stay
                for ours in set(point._forward_hooks) - torch_hooks:
                    del point._forward_hooks[ours]
                point.fwd_hooks[:] = hooks_of_lens

    @staticmethod
    def _add_mid(layer: int, ours: Hook, add: Any) -> None:
        """TransformerLens' hook_resid_mid changes what the MLP reads but not the stream that goes past it, so a change
        of resid_mid = resid_pre + attn_out is written into attn_out, as in the hf back end."""
        kept: list[Tensor] = []

        def before(activation: Tensor, hook: Any) -> None:
            kept[:] = [activation]

        def after(activation: Tensor, hook: Any) -> Tensor | None:
            middle = kept.pop() + activation
            new = ours(middle)
            return None if new is middle else activation + (new - middle)

        add(Site(layer, "resid_pre"), before)
        add(Site(layer, "attn_out"), after)


def _fits(component: str, seen: list[Tensor] | None, tokens: Tensor) -> bool:
    """Whether a point was reached once, with an activation of the shape that its component has."""
    if seen is None:  # resid_mid, which is resid_pre + attn_out
        return True
    batch, pos = tokens.shape
    shapes = {"attn.pattern": (batch, None, pos, pos)} | dict.fromkeys(_HEADS, (batch, pos, None, None))
    wanted = shapes.get(component, (batch, pos, None))
    return (
        len(seen) == 1
        and len(seen[0].shape) == len(wanted)
        and all(size in (None, own) for size, own in zip(wanted, seen[0].shape, strict=True))
    )


def _add_up(read: dict[Site, list[Tensor]], layer: int) -> bool:
    """Whether what was read of a block is what it adds to the residual stream."""
    parts = [read.get(Site(layer, c), []) for c in ("resid_pre", "attn_out", "mlp_out", "resid_post")]
    if not all(parts):
        return False
    before, attention, mlp, after = (seen[0] for seen in parts)
    return before.shape == attention.shape == mlp.shape and float(misfits(before, attention, [mlp], after)) <= 1


def _on_point(ours: Hook) -> Any:
    def function(activation: Tensor, hook: Any) -> Tensor | None:  # TransformerLens passes its hook point by this name
        new = ours(activation)
        return None if new is activation else new

    return function


def _stop(activation: Tensor, hook: Any) -> None:
    raise StopForward


def _boot(hf_model: Any, tokenizer: Any) -> Any:
    """TransformerLens' bridge around a model, which it rewires."""
    bridge_class = _import_bridge()
    # Without these two entries TransformerLens would load the tokenizer again from where it came from.
    lent = copy.deepcopy(tokenizer)
    lent.init_kwargs = lent.init_kwargs | {"name_or_path": lent.name_or_path, "add_bos_token": True}
    if not hf_model.config.architectures:  # it goes by this list, which a model that was never saved does not have
        hf_model.config.architectures = [type(hf_model).__name__]
    name = hf_model.name_or_path or type(hf_model).__name__
    place = {} if getattr(hf_model, "hf_device_map", None) else {"device": hf_model.device}
    try:
        bridge = bridge_class.boot_transformers(name, hf_model=hf_model, tokenizer=lent, dtype=hf_model.dtype, **place)
    except Exception as error:  # it raises many kinds, each with its own reason why this model cannot be bridged
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        kind = type(hf_model).__name__
        raise ModelError(f"TransformerLens cannot run {kind} (use backend='hf'): {reason[:200]}") from error
    return bridge.eval()


def _import_bridge() -> Any:
    """TransformerLens' bridge class.  Its import takes seconds and silences warnings and logs of others: undone."""
    logger = logging.getLogger("transformers")
    level = logger.level
    with warnings.catch_warnings():
        from transformer_lens.model_bridge import TransformerBridge
    logger.setLevel(level)
    return TransformerBridge
