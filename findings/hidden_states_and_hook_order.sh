#!/usr/bin/env bash
# transformers 5.23.0 records `output_hidden_states` with forward hooks of its own, which it installs on a block at the first call that asks
# for them and leaves there.  So what a steering hook does to a block is in `hidden_states` when the hook was registered before that first
# call, and is not (while the logits are steered all the same) when it was registered after it, unless it is registered with prepend=True.
# One would expect hidden_states[k + 1] to be what block k + 1 reads, whatever was asked of the model before.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "torch==2.13.0" "transformers==5.23.0"
"$work/venv/bin/python" - <<'PY'
import torch, transformers
from transformers import LlamaConfig, LlamaForCausalLM

ids = torch.tensor([[5, 6, 7]])


def model():
    torch.manual_seed(0)
    shape = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2, num_key_value_heads=2)
    return LlamaForCausalLM(LlamaConfig(vocab_size=50, **shape)).eval()


def steer(module, args, out):
    return out + torch.arange(16.0)


def change(asked_before, **order):
    """Largest change of hidden_states[2] (after block 1) and of the logits when block 1 is steered."""
    plain = model()(ids, output_hidden_states=True)
    steered = model()
    if asked_before:
        steered(ids, output_hidden_states=True)
    steered.model.layers[1].register_forward_hook(steer, **order)
    out = steered(ids, output_hidden_states=True)
    return (out.hidden_states[2] - plain.hidden_states[2]).abs().max().item(), (out.logits - plain.logits).abs().max().item()


first, later, ahead = change(False), change(True), change(True, prepend=True)
print(f"transformers {transformers.__version__}: change of hidden_states[2] and of the logits")
print(f"  hook registered before the first call that asks for hidden states: {first[0]:.3f} {first[1]:.3f}")
print(f"  hook registered after it:                                          {later[0]:.3f} {later[1]:.3f}")
print(f"  after it, with prepend=True:                                       {ahead[0]:.3f} {ahead[1]:.3f}")
assert first[0] > 14 and ahead[0] > 14 and later[0] == 0, "the behaviour has changed"
assert abs(first[1] - later[1]) < 1e-6 and later[1] > 0.1, "the behaviour has changed"
PY
# Seen (Python 3.11):
#   hook registered before the first call that asks for hidden states: 15.000 0.344
#   hook registered after it:                                          0.000 0.344
#   after it, with prepend=True:                                       15.000 0.344
