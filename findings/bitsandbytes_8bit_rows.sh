#!/usr/bin/env bash
# bitsandbytes 0.50.2, CPU: in 8 bits (LLM.int8), what a row of a batch gives depends on the rows beside it, causal mask or not: a column of
# the activations with a value beyond the threshold of 6 in any row of the batch is computed apart, in 16 bits, for all of them.  So padding,
# batching and a cache change activations by up to a hundredth of their size; in 4 bits they change nothing.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "torch==2.13.0" "bitsandbytes==0.50.2"
"$work/venv/bin/python" - <<'PY' 2>/dev/null
import bitsandbytes as bnb, torch

torch.manual_seed(0)
plain = torch.nn.Linear(128, 128, bias=False)
eight = bnb.nn.Linear8bitLt(128, 128, bias=False, has_fp16_weights=False, threshold=6.0)
eight.load_state_dict(plain.state_dict())
eight = eight.to("cpu").eval()
four = bnb.nn.Linear4bit(128, 128, bias=False, quant_type="nf4", compute_dtype=torch.float32)
four.load_state_dict(plain.state_dict())
four = four.to("cpu").eval()
row, loud = torch.randn(1, 128), torch.randn(1, 128)
loud[0, :40] += 9.0  # what a sink's activations look like
found = {}
with torch.no_grad():
    for name, layer in {"8 bits": eight, "4 bits": four}.items():
        alone = layer(row)[0]
        quiet, beside = layer(torch.cat([row, row]))[0], layer(torch.cat([row, loud]))[0]
        found[name] = [float((x - alone).abs().max() / alone.abs().max()) for x in (quiet, beside)]
        print(f"  {name}: a row beside itself differs by {found[name][0]:.1e} of its size, beside a row with large values by {found[name][1]:.1e}")
assert found["8 bits"][1] > 1e-3 and found["8 bits"][1] > 5 * found["8 bits"][0], "the behaviour has changed"
assert max(found["4 bits"]) < 1e-4, "the behaviour has changed"
PY
# Seen (Python 3.11):
#   8 bits: a row beside itself differs by 0.0e+00 of its size, beside a row with large values by 3.2e-03
#   4 bits: a row beside itself differs by 0.0e+00 of its size, beside a row with large values by 0.0e+00
