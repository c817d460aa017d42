#!/usr/bin/env bash
# hidden-directions 0.1.6: every entry point that loads a model takes `device_map` (default "cuda"), so a CPU can be asked for, but
# `sweep_alphas`, the dose sweep itself, takes none and writes "cuda" into its call of from_pretrained: on a machine without CUDA it cannot run,
# whatever one passes.  One would expect the sweep to run where the library's own `extract_*` functions made its vectors.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "torch==2.13.0" "transformers==5.23.0" "accelerate" "tokenizers" "numpy"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps "hidden-directions==0.1.6"
CUDA_VISIBLE_DEVICES="" WORK="$work" "$work/venv/bin/python" - <<'PY'
import inspect, os

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from hidden_directions import load, sweep

folder = os.environ["WORK"] + "/model"
words = {word: number for number, word in enumerate(["<unk>", "is", "the", "earth", "flat", "?"])}
tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<unk>", eos_token="?")
fast.chat_template = "{{ messages[-1]['content'] }}"
fast.save_pretrained(folder)
shape = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2, num_key_value_heads=2)
LlamaForCausalLM(LlamaConfig(vocab_size=len(words), **shape)).save_pretrained(folder)

loaders = [f for _, f in inspect.getmembers(load, inspect.isfunction) if "device_map" in inspect.signature(f).parameters]
takes = "device_map" in inspect.signature(sweep.sweep_alphas).parameters
try:
    sweep.sweep_alphas(folder, 1, v_pref=torch.ones(16), alpha_pref_grid=[0.0, 1.0], max_new_tokens=2, dtype=torch.float32)
    said = "ran"
except Exception as error:  # whichever torch raises without CUDA
    said = f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"
print(f"functions of load that take device_map: {len(loaders)}; sweep_alphas takes it: {takes}; without CUDA sweep_alphas: {said}")
assert loaders and not takes and ("CUDA" in said or "NVIDIA" in said), "the behaviour has changed"
PY
# Seen (Python 3.11, torch without CUDA):
#   functions of load that take device_map: 1; sweep_alphas takes it: False; without CUDA sweep_alphas: AssertionError: Torch not compiled with CUDA enabled
