"""Capturing into a store and reading it take the same memory however many rows there are."""

import subprocess
import sys
from pathlib import Path

import workbench

ROOT = Path(workbench.__path__[0]).parent
MEMORY = """
import resource, sys
import torch
from workbench.activations import ActivationStore, capture_to_store
from workbench.models.tiny import tiny_model

model, n = tiny_model(), int(sys.argv[2])
texts = ["a b c d e f g h i j k l m n o p q r s t u v w x y z"] * n
capture_to_store(model, texts[:64], range(4), "all", store=sys.argv[1] + "/warm", shard_inputs=64, batch_tokens=512)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
store = capture_to_store(model, texts, range(4), "all", store=sys.argv[1] + "/s", shard_inputs=64, batch_tokens=512)
total = sum(float(shard[3].sum()) for shard in store)
store.read(2, rows=range(0, len(store), 1000))
size = sum(f.stat().st_size for f in store.path.rglob("*.safetensors"))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024, size)
"""


def test_peak_memory_does_not_grow_with_the_number_of_rows(tmp_path):
    (tmp_path / "a").mkdir()
    answer = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path / "a"), "3000"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    grown, size = map(int, answer.stdout.split())
    assert size > 40e6
    assert grown < size / 2  # measured: 14 to 17 MB, whether 14 or 55 MB are stored
