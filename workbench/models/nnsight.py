"""The ``nnsight`` back end: hooks run as interventions inside an nnsight trace.

The trace pauses the model at the modules that hooks name, in the order in which the model reaches them.  nnsight
replaces the ``forward`` of every module, so it gets a copy that shares the weights.  ``backend.model`` is nnsight's own
``TransformersModel``, for traces over any module.  Everything runs in this process; nothing is sent to NDIF.
"""

from __future__ import annotations

import copy
import sys
from functools import reduce
from typing import Any

from torch import Tensor, nn

from workbench.models.backend import Backend, Hook, Hooks, in_order
from workbench.models.blocks import structure
from workbench.models.hf import with_first
from workbench.models.shared_weights import copy_sharing_weights
from workbench.models.watched import first
from workbench.sites import Site


class NnsightBackend(Backend):
    """See :class:`workbench.models.backend.Backend`."""

    name = "nnsight"

    def __init__(self, hf_model: Any, tokenizer: Any) -> None:
        self.hf_model = hf_model
        self._copy = copy_sharing_weights(hf_model)
        found = structure(hf_model)
        self._blocks, self.missing = found.of(self._copy), found.missing
        self.components = self.steerable = found.components
        self.model = _wrap(self._copy, tokenizer)
        self._paths = {module: path for path, module in self._copy.named_modules()}

    def _pass(
        self, tokens: Tensor, arguments: dict[str, Any], hooks: Hooks, stop_after: int | None, logits: bool
    ) -> Tensor | None:
        run = self._copy if logits else self._copy.base_model
        outputs: list[Any] = []
        # nnsight cuts this block out of the source and runs it beside the model, waiting where it asks for values.
        with self.model.trace(tokens, fn=run, **arguments) as tracer:
            self._intervene(hooks, stop_after, tracer)
            outputs.append(tracer.result)
        return outputs[0].logits if logits and outputs else None

    def _intervene(self, hooks: Hooks, stop_after: int | None, tracer: Any) -> None:
        """Runs inside the trace: serve the hooks, then stop the model behind the last block that is needed."""
        kept: dict[int, Tensor] = {}  # resid_pre of layers with a hook at resid_mid
        ordered = in_order(hooks, stop_after)
        middles = {site.layer for site, _ in ordered if site.component == "resid_mid"}
        for site, hook in ordered:
            if site.layer in middles and site.component != "resid_pre" and site.layer not in kept:
                kept[site.layer] = self._envoy(self._blocks[site.layer].module).input
            self._serve(site, hook, kept)
        if stop_after is not None:
            self._envoy(self._blocks[stop_after].module).output  # noqa: B018 - waits for it
            tracer.stop()

    def _serve(self, site: Site, hook: Hook, kept: dict[int, Tensor]) -> None:
        block = self._blocks[site.layer]
        if site.component == "resid_pre":
            envoy = self._envoy(block.module)
            old = envoy.input
            new = hook(old)
            if new is not old:
                envoy.input = new
            return
        modules = {"resid_post": block.module, "mlp_out": block.mlp}
        envoy = self._envoy(modules.get(site.component, block.attention))
        output = envoy.output
        old = first(output)
        if site.component == "resid_mid":  # a change is written into attn_out, which both branches read
            middle = kept[site.layer] + old
            new = old if (changed := hook(middle)) is middle else old + (changed - middle)
        else:
            new = hook(old)
        if new is not old:
            envoy.output = with_first(output, new)

    def _envoy(self, module: nn.Module | None) -> Any:
        """nnsight's view of a module."""
        return reduce(getattr, self._paths[module].split("."), self.model)


def _wrap(hf_model: Any, tokenizer: Any) -> Any:
    """nnsight's ``TransformersModel`` around a model whose inputs may also be given whole, as for the model itself."""
    transformers_model = _import_transformers_model()

    class Traced(transformers_model):  # type: ignore[misc, valid-type]
        def _batch(self, invokes: list[Any], fn: Any) -> Any:
            # nnsight would take masks and caches apart into rows; a pass that names the module to run goes in as it is.
            return invokes[0] if fn in (hf_model, hf_model.base_model) else super()._batch(invokes, fn)

    place = {} if getattr(hf_model, "hf_device_map", None) else {"device": hf_model.device}
    hook = sys.excepthook
    try:
        return Traced(hf_model, tokenizer=copy.deepcopy(tokenizer), task="text-generation", dispatch=True, **place)
    finally:
        sys.excepthook = hook


def _import_transformers_model() -> Any:
    """nnsight's model class, its import without the side effects: ``.save`` on every object, another excepthook."""
    imported, hook = "nnsight" in sys.modules, sys.excepthook
    try:
        import nnsight

        if not imported and nnsight.CONFIG.APP.PYMOUNT:
            nnsight.CONFIG.APP.PYMOUNT = False
            from nnsight._c import unmount

            if unmount is not None:  # nnsight.save(value) does the same for those who use nnsight beside us
                unmount("save")
        return nnsight.TransformersModel
    finally:
        sys.excepthook = hook
