#!/usr/bin/env bash
# transformers 5.23.0: `from_pretrained(..., gguf_file=...)` takes over the keys of a GGUF file that its table names and says nothing of the
# others.  Rotary scaling is among those: of a file that says `llama.rope.scaling.type = linear, factor = 4` (and as well of one with Llama
# 3's tensor `rope_freqs.weight`), what loads has plain frequencies.  It writes fluent text and is another model, more so further on.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "torch==2.13.0" "transformers==5.23.0" "gguf==0.19.0" "accelerate==1.15.0"
cd "$work"
"$work/venv/bin/python" - <<'PY'
import gguf, numpy as np, torch, transformers
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

torch.manual_seed(0)
shape = dict(vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2)
scaling = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
config = LlamaConfig(**shape, rope_parameters=scaling, max_position_embeddings=64, initializer_range=0.3)
model = LlamaForCausalLM(config).eval()

writer = gguf.GGUFWriter("model.gguf", "llama")
for key, value in {"context_length": 64, "embedding_length": 32, "block_count": 2, "feed_forward_length": 64,
                   "attention.head_count": 2, "attention.head_count_kv": 2, "rope.dimension_count": 16, "vocab_size": 64}.items():
    writer.add_uint32(f"llama.{key}", value)
for key, value in {"attention.layer_norm_rms_epsilon": 1e-6, "rope.freq_base": 10000.0, "rope.scaling.factor": 4.0}.items():
    writer.add_float32(f"llama.{key}", value)
writer.add_string("llama.rope.scaling.type", "linear")
writer.add_string("general.name", "tiny")
names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2)
for name, weight in model.state_dict().items():
    own, value = names.get_name(name.removesuffix(".weight")) + ".weight", weight.numpy()
    if "attn_q" in own or "attn_k" in own:  # llama.cpp turns neighbours, Hugging Face halves
        value = value.reshape(2, 2, 8, 32).swapaxes(1, 2).reshape(value.shape)
    writer.add_tensor(own, np.ascontiguousarray(value))
writer.write_header_to_file(), writer.write_kv_data_to_file(), writer.write_tensors_to_file(), writer.close()

loaded = AutoModelForCausalLM.from_pretrained(".", gguf_file="model.gguf", dtype=torch.float32)
tokens = torch.arange(40)[None] % 64
with torch.no_grad():
    off = (loaded(tokens).logits - model(tokens).logits).abs().amax(-1)[0]
    loaded.config.rope_parameters = scaling
    mended = LlamaForCausalLM(loaded.config).eval()
    mended.load_state_dict(loaded.state_dict())
    left = (mended(tokens).logits - model(tokens).logits).abs().max()
print(f"transformers {transformers.__version__}")
print(f"  logits differ by {off[0]:.1e} at position 0, {off[5]:.2f} at 5, {off[39]:.2f} at 39; with the scaling put back by {left:.1e}")
assert off[0] < 1e-4 and off[5] > 0.05 and off[39] > 0.05 and left < 1e-4, "the behaviour has changed"
PY
# Seen (Python 3.11):
# transformers 5.23.0
#   logits differ by 0.0e+00 at position 0, 5.11 at 5, 3.70 at 39; with the scaling put back by 0.0e+00
