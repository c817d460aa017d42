#!/usr/bin/env bash
# transformers 5.23.0: with LongRoPE (Phi-3's) or dynamic NTK, what a causal model computes for its FIRST tokens depends on how long the row
# is that they stand in: the rotation of all positions is chosen anew in each pass from the longest position.  So padding a short prompt on the
# right to its neighbour's length, which changes nothing in other decoders, changes its logits by two thirds of their size here.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "torch==2.13.0" "transformers==5.23.0"
"$work/venv/bin/python" - <<'PY'
import torch, transformers
from transformers import LlamaConfig, LlamaForCausalLM

SHORT, LONG = 10, 24
ropes = {
    "default": {"rope_type": "default"},
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
    "dynamic": {"rope_type": "dynamic", "factor": 4.0},
    "longrope": {"rope_type": "longrope", "factor": 4.0, "original_max_position_embeddings": 16,
                 "short_factor": [1.0] * 4, "long_factor": [4.0] * 4},
}  # fmt: skip
shape = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4)
print(f"transformers {transformers.__version__}")
changed = {}
for name, rope in ropes.items():
    torch.manual_seed(0)
    positions = 16 if name == "dynamic" else 64
    config = LlamaConfig(vocab_size=99, pad_token_id=0, max_position_embeddings=positions, initializer_range=0.15,
                         rope_parameters={"rope_theta": 10000.0, **rope}, **shape)  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    row = torch.randint(3, 99, (1, SHORT), generator=torch.Generator().manual_seed(1))
    padded = torch.nn.functional.pad(row, (0, LONG - SHORT))
    mask = (padded != 0).long()
    with torch.no_grad():
        alone = model(row, use_cache=False).logits[0]
        beside = model(padded, attention_mask=mask, use_cache=False).logits[0, :SHORT]
    changed[name] = float((alone - beside).norm() / alone.norm())
    print(f"  {name}: padding on the right changes the logits of the row's own tokens by {changed[name]:.1%}")
assert changed["default"] < 1e-5 and changed["yarn"] < 1e-5, "the behaviour has changed"
assert changed["dynamic"] > 1e-3 and changed["longrope"] > 0.05, "the behaviour has changed"
PY
# Seen (Python 3.11):
#   default and yarn: 0.0%; dynamic: 3.3%; longrope: 69.0%
