#!/usr/bin/env bash
# transformers 5.23.0: the decoders of Bart, MBart, Pegasus, Marian, Blenderbot and TrOCR, loaded as causal language models, take `position_ids`
# without a word and ignore them (they fall into **kwargs); OPT, BioGPT and XGLM, of the same make, obey them.  So what hands the positions of a
# left-padded or packed batch to any decoder gets other numbers from these, and no error.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "torch==2.13.0" "transformers==5.23.0"
"$work/venv/bin/python" - <<'PY'
import torch, transformers
from transformers import AutoConfig, AutoModelForCausalLM

transformers.logging.set_verbosity_error()
shape = dict(
    vocab_size=99, d_model=32, hidden_size=32, word_embed_proj_dim=32, decoder_layers=2, num_layers=2, num_hidden_layers=2,
    decoder_attention_heads=4, attention_heads=4, num_attention_heads=4, decoder_ffn_dim=64, ffn_dim=64, intermediate_size=64,
    max_position_embeddings=64, init_std=0.3, initializer_range=0.3, pad_token_id=0,
)  # fmt: skip
ids = torch.randint(3, 99, (1, 10), generator=torch.Generator().manual_seed(1))
print(f"transformers {transformers.__version__}")
obeys = {}
for kind in ("opt", "biogpt", "xglm", "bart", "mbart", "pegasus", "marian", "blenderbot", "trocr"):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **shape)).eval()
    with torch.no_grad():
        plain = model(ids).logits
        moved = model(ids, position_ids=3 * torch.arange(10)[None]).logits
    obeys[kind] = not torch.equal(plain, moved)
    print(f"  {type(model).__name__}: positions 0, 3, 6, ... change the logits: {obeys[kind]}")
assert {kind for kind, yes in obeys.items() if yes} == {"opt", "biogpt", "xglm"}, "the behaviour has changed"
PY
# Seen (Python 3.11):
#   True for OPT, BioGPT and XGLM; False for Bart, MBart, Pegasus, Marian, Blenderbot and TrOCR
