"""Small sequence models that act: observations in, one position a step; action and next-observation heads.

They are Hugging Face models (saved as a folder, loaded by :func:`workbench.models.load_model`) whose blocks have the
usual parts, so their residual stream is read and steered through the same sites, back end and interventions as that of
a language model.  An observation is a row of integers, one a field (embedding each and adding them up equals a linear
layer on the fields' one-hots), or a vector of numbers.  Actions are one of a few, or vectors drawn from a Gaussian.

The transformer is that of arXiv 2512.20605: causal, pre-norm, ReLU MLP, attention biased by relative position in 32
buckets (those of T5), no other positions.  The recurrent model is Hawk (:mod:`workbench.models.recurrent`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, Normal
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from workbench.errors import SpecError, did_you_mean
from workbench.models.recurrent import GatedMlp, RecurrentCache, RecurrentMixing, RgLru

_BUCKETS, _FARTHEST = 32, 128
_LOG_SIGMA = (-5.0, 2.0)  # bounds of the Gaussian's log standard deviation
_KINDS = {"block": ("attention", "recurrent"), "observation": ("fields", "vector"), "action": ("discrete", "gaussian")}


class SequenceConfig(PreTrainedConfig):
    """Shape of a sequence model.

    ``field_sizes``: how many values each field of an observation has; ``n_actions``: how many actions there are;
    ``max_position_embeddings``: the longest episode.  ``block`` is ``attention`` or ``recurrent`` (then
    ``num_attention_heads`` counts the blocks of the gates).  ``observation`` is ``fields`` or ``vector``
    (``observation_size`` numbers).  ``action`` is ``discrete`` or ``gaussian`` (``n_actions`` numbers).  Raises
    :class:`SpecError` for another kind.
    """

    model_type = "workbench-sequence"
    # Class attributes: a config that leaves them alone is written, and its model fingerprinted, without them.
    block, observation, action, observation_size = "attention", "fields", "discrete", 0

    def __init__(
        self,
        field_sizes: list[int] | tuple[int, ...] = (4,),
        n_actions: int = 4,
        hidden_size: int = 128,
        intermediate_size: int = 256,
        num_hidden_layers: int = 4,
        num_attention_heads: int = 4,
        max_position_embeddings: int = 64,
        world: dict[str, Any] | None = None,
        **rest: Any,
    ) -> None:
        self.field_sizes, self.n_actions = list(field_sizes), n_actions
        self.hidden_size, self.intermediate_size = hidden_size, intermediate_size
        self.num_hidden_layers, self.num_attention_heads = num_hidden_layers, num_attention_heads
        self.max_position_embeddings = max_position_embeddings
        self.world = world or {}
        for kind, valid in _KINDS.items():
            if (given := rest.get(kind, valid[0])) not in valid:
                raise SpecError(f"a sequence model has no {kind} {given!r}{did_you_mean(given, valid)}")
        super().__init__(**rest)


@dataclass
class SequenceOutput(ModelOutput):
    """``logits`` of the actions [batch, pos, n_actions], of Gaussian ones means and log standard deviations
    [batch, pos, 2 n_actions]; ``last_hidden_state`` [batch, pos, d] after the last norm."""

    logits: Tensor | None = None
    last_hidden_state: Tensor | None = None


class SequenceCache:
    """Keys and values of the steps so far, in room for ``length`` steps; rows can be dropped.

    >>> cache = SequenceCache(layers=2, length=8)
    >>> cache.get_seq_length()
    0
    """

    def __init__(self, layers: int, length: int) -> None:
        self.length, self._seen = length, [0] * layers
        self._room: list[tuple[Tensor, Tensor] | None] = [None] * layers

    def get_seq_length(self) -> int:
        """Steps that every layer has seen."""
        return self._seen[-1]

    def update(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Append keys and values [batch, heads, new, head]; all so far."""
        room = self._room[layer]
        if room is None:
            shape = (*keys.shape[:2], self.length, keys.shape[3])
            room = self._room[layer] = (keys.new_empty(shape), values.new_empty(shape))
        start = self._seen[layer]
        self._seen[layer] = stop = start + keys.shape[2]
        room[0][:, :, start:stop], room[1][:, :, start:stop] = keys, values
        return room[0][:, :, :stop], room[1][:, :, :stop]

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but these."""
        for layer, room in enumerate(self._room):
            if room is not None:
                seen = self._seen[layer]
                shape = (len(rows), *room[0].shape[1:])
                kept = (room[0].new_empty(shape), room[1].new_empty(shape))
                for old, new in zip(room, kept, strict=True):
                    new[:, :, :seen] = old[rows, :, :seen]
                self._room[layer] = kept


def relative_buckets(queries: Tensor, keys: Tensor) -> Int[Tensor, "queries keys"]:
    """T5's causal buckets of the distances ``queries - keys``: exact up to 15, then logarithmic up to 128.

    >>> relative_buckets(torch.tensor([20]), torch.tensor([20, 19, 5, 4, 0])).tolist()
    [[0, 1, 15, 16, 17]]
    """
    back = (queries[:, None] - keys).clamp(min=0)
    exact = _BUCKETS // 2
    far = exact + (back.clamp(min=1) / exact).log() / math.log(_FARTHEST / exact) * (_BUCKETS - exact)
    return torch.where(back < exact, back, far.long().clamp(max=_BUCKETS - 1))


class _Attention(nn.Module):
    def __init__(self, config: SequenceConfig, layer: int) -> None:
        super().__init__()
        self.heads, self.layer = config.num_attention_heads, layer
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=False)
        self.out = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.bias = nn.Embedding(_BUCKETS, config.num_attention_heads)

    def forward(self, x: Tensor, cache: SequenceCache | None) -> Tensor:
        pos = x.shape[1]
        split = "batch pos (three heads each) -> three batch heads pos each"
        q, k, v = rearrange(self.qkv(x), split, three=3, heads=self.heads)
        if cache is not None:
            k, v = cache.update(k, v, self.layer)
        keys = torch.arange(k.shape[2], device=x.device)
        queries = keys[-pos:]
        bias = rearrange(self.bias(relative_buckets(queries, keys)), "pos keys heads -> heads pos keys")
        bias = bias.masked_fill(keys > queries[:, None], float("-inf")).to(q.dtype)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias[None])
        return self.out(rearrange(mixed, "batch heads pos each -> batch pos (heads each)"))


class _Mlp(nn.Module):
    def __init__(self, config: SequenceConfig) -> None:
        super().__init__()
        self.up = nn.Linear(config.hidden_size, config.intermediate_size)
        self.down = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.up(x).relu())


class _Block(nn.Module):
    def __init__(self, config: SequenceConfig, layer: int) -> None:
        super().__init__()
        recurrent = config.block == "recurrent"
        self.input_layernorm = _norm(config)
        # Whatever mixes over time goes by the name that sites look for.
        d, heads = config.hidden_size, config.num_attention_heads
        self.self_attn = RecurrentMixing(d, heads, layer) if recurrent else _Attention(config, layer)
        self.post_attention_layernorm = _norm(config)
        self.mlp = GatedMlp(d, config.intermediate_size) if recurrent else _Mlp(config)

    def forward(self, hidden_states: Tensor, cache: SequenceCache | RecurrentCache | None = None) -> Tensor:
        hidden_states = hidden_states + self.self_attn(self.input_layernorm(hidden_states), cache)
        return hidden_states + self.mlp(self.post_attention_layernorm(hidden_states))


def _norm(config: SequenceConfig) -> nn.Module:
    size = config.hidden_size
    return nn.RMSNorm(size, eps=1e-6) if config.block == "recurrent" else nn.LayerNorm(size)


class _Base(PreTrainedModel):
    config_class = SequenceConfig
    base_model_prefix = "model"

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            module.weight.data.normal_(std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            module.bias.data.zero_()
        if isinstance(module, RgLru):
            module.reset_parameters()


class SequenceTrunk(_Base):
    """Embedding, blocks and the last norm: observations [batch, pos, fields or size] -> [batch, pos, d]."""

    def __init__(self, config: SequenceConfig) -> None:
        super().__init__(config)
        if config.observation == "vector":
            self.embed: nn.Linear | nn.Embedding = nn.Linear(config.observation_size, config.hidden_size)
        else:
            self.embed = nn.Embedding(sum(config.field_sizes), config.hidden_size)
        self.layers = nn.ModuleList(_Block(config, i) for i in range(config.num_hidden_layers))
        self.norm = _norm(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embed

    def _embedded(self, observations: Tensor) -> Tensor:
        if self.config.observation == "vector":
            dtype = self.embed.weight.dtype
            return self.embed(observations.to(dtype)).to(dtype)  # under autocast the stream stays in the weights' dtype
        # No buffer: loading a folder leaves buffers that are not saved without values.
        starts = torch.tensor([0, *self.config.field_sizes[:-1]], device=observations.device).cumsum(0)
        rows = rearrange(observations + starts, "batch pos fields -> (batch pos) fields")
        found = functional.embedding_bag(rows, self.embed.weight, mode="sum")
        return rearrange(found, "(batch pos) d -> batch pos d", batch=len(observations))

    def forward(
        self, input_ids: Tensor, past_key_values: SequenceCache | RecurrentCache | None = None, **_: Any
    ) -> SequenceOutput:
        x = self._embedded(input_ids)
        for block in self.layers:
            x = block(x, past_key_values)
        return SequenceOutput(last_hidden_state=self.norm(x))


class SequenceModelForActions(_Base):
    """The trunk with its heads.

    ``forward`` gives the action logits, of which :meth:`action_distribution` makes a distribution;
    :meth:`next_observation` predicts what will be observed.
    """

    def __init__(self, config: SequenceConfig) -> None:
        super().__init__(config)
        self.model = SequenceTrunk(config)
        self.action_head = nn.Linear(config.hidden_size, config.n_actions * (1 + (config.action == "gaussian")))
        # What the head puts out: logits of each field, or the vector itself.
        vector = config.observation == "vector"
        self._observed = [config.observation_size] if vector else list(config.field_sizes)
        self.observation_head = nn.Linear(config.hidden_size, sum(self._observed))
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.model.embed

    def random_observations(self, rows: int, length: int, generator: torch.Generator) -> Tensor:
        """Observations [rows, length, fields or size] for checks of the model."""
        if self.config.observation == "vector":
            return torch.randn(rows, length, self.config.observation_size, generator=generator).to(self.device)
        sizes = torch.tensor(self.config.field_sizes)
        return (torch.rand(rows, length, len(sizes), generator=generator) * sizes).long().to(self.device)

    def forward(
        self, input_ids: Tensor, past_key_values: SequenceCache | RecurrentCache | None = None, **_: Any
    ) -> SequenceOutput:
        hidden = self.model(input_ids, past_key_values).last_hidden_state
        return SequenceOutput(self.action_head(hidden), hidden)

    def action_distribution(self, logits: Float[Tensor, "*batch values"]) -> Distribution:
        """What the action is drawn from: categorical, or a diagonal Gaussian over vectors of ``n_actions`` numbers."""
        if self.config.action == "discrete":
            return Categorical(logits=logits.float(), validate_args=False)
        mean, log_sigma = logits.float().chunk(2, -1)
        each = Normal(mean, log_sigma.clamp(*_LOG_SIGMA).exp(), validate_args=False)
        return Independent(each, 1, validate_args=False)

    def next_observation(self, hidden: Float[Tensor, "*batch d"]) -> list[Float[Tensor, "*batch values"]]:
        """Logits of each field of the next observation; of a vector, one entry: the vector expected."""
        return list(self.observation_head(hidden).split(self._observed, -1))

    def new_cache(self, length: int) -> SequenceCache | RecurrentCache:
        """An empty cache for up to ``length`` steps (a recurrent model takes any number)."""
        layers = self.config.num_hidden_layers
        return RecurrentCache(layers) if self.config.block == "recurrent" else SequenceCache(layers, length)


AutoConfig.register(SequenceConfig.model_type, SequenceConfig, exist_ok=True)
AutoModelForCausalLM.register(SequenceConfig, SequenceModelForActions, exist_ok=True)
