#!/usr/bin/env bash
# transformers 5.23.0: `generate` hands the model's forward the 2-D attention mask [batch, tokens so far] that it was given, but with a static
# cache a 4-D boolean mask [batch, 1, new tokens, cache length].  Code that hooks the forward and reads the left padding off
# `attention_mask` (the sum of a row, say) is right with the one and silently wrong with the other; `position_ids` hold in both.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "torch==2.13.0" "transformers==5.23.0"
"$work/venv/bin/python" - <<'PY'
import torch, transformers
from transformers import LlamaConfig, LlamaForCausalLM

torch.manual_seed(0)
shape = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2)
model = LlamaForCausalLM(LlamaConfig(vocab_size=50, pad_token_id=0, **shape)).eval()
ids = torch.tensor([[0, 0, 5, 6, 7], [8, 9, 10, 11, 12]])  # the first row is padded on the left
seen = {"dynamic": [], "static": []}
texts = {}
for kind in seen:

    def watch(module, args, kwargs, kind=kind):
        mask = kwargs["attention_mask"]
        seen[kind].append((tuple(mask.shape), str(mask.dtype), kwargs["position_ids"][:, -1].tolist()))

    handle = model.register_forward_pre_hook(watch, with_kwargs=True)
    given = {"cache_implementation": "static"} if kind == "static" else {}
    texts[kind] = model.generate(
        ids, attention_mask=(ids != 0).long(), max_new_tokens=3, do_sample=False, disable_compile=True, **given
    )
    handle.remove()
print(f"transformers {transformers.__version__}")
for kind, passes in seen.items():
    print(f"  {kind} cache: " + "; ".join(f"mask {shape} {dtype}, last positions {last}" for shape, dtype, last in passes))
assert [shape for shape, _, _ in seen["dynamic"]] == [(2, 5), (2, 6), (2, 7)], "the behaviour has changed"
assert [shape for shape, _, _ in seen["static"]] == [(2, 1, 5, 7), (2, 1, 1, 7), (2, 1, 1, 7)], "the behaviour has changed"
assert [last for _, _, last in seen["dynamic"]] == [last for _, _, last in seen["static"]] == [[2, 4], [3, 5], [4, 6]]
assert torch.equal(texts["dynamic"], texts["static"])
PY
# Seen (Python 3.11):
#   dynamic cache: mask (2, 5) torch.int64, last positions [2, 4]; mask (2, 6) ..., last positions [3, 5]; mask (2, 7) ..., [4, 6]
#   static cache: mask (2, 1, 5, 7) torch.bool, last positions [2, 4]; mask (2, 1, 1, 7) ..., [3, 5]; mask (2, 1, 1, 7) ..., [4, 6]
