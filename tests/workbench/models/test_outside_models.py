"""Models that nobody on this project made, against what their makers published."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from workbench.models.check import check_backend
from workbench.models.loading import load_model
from workbench.sites import Site

_PARTS = {  # site -> name in llm-viz's file
    Site(0, "resid_pre"): "x",
    Site(0, "resid_mid"): "attnResid",
    Site(0, "attn_out"): "yProj",
    Site(0, "mlp_out"): "mlp",
    Site(0): "block0",
    Site(1): "block1",
    Site(2): "block2",
}
_HEADS = {
    Site(0, "attn.pattern"): "attSm",
    Site(0, "attn.z"): "y",
    Site(0, "attn.v"): "v",
    Site(0, "mlp.pre"): "fc",
    Site(0, "mlp.post"): "gelu",
}


def _folder(shared_data: Path, name: str) -> Path:
    path = shared_data / "models" / name
    if not path.is_dir():
        pytest.skip(f"no outside model at {path}")
    return path


def _tensor(part: dict[str, Any]) -> torch.Tensor:
    values = np.frombuffer(base64.b64decode(part["data"]), dtype=np.float32).copy()
    return torch.from_numpy(values).reshape(part["shape"])


def test_stories260k_tells_its_golden_story(shared_data: Path, backend: str) -> None:
    folder = _folder(shared_data, "stories260K")
    model, golden = load_model(folder, backend), (folder / "golden.txt").read_text()
    new = 200 if backend == "hf" else 60
    (completion,) = model.generate([[1]], max_new_tokens=new, temperature=0)[0]
    assert len(completion.text) > 100 and golden.strip().startswith(completion.text.strip())


def test_nano_sort_has_the_activations_that_llm_viz_published(shared_data: Path, backend: str) -> None:
    folder = _folder(shared_data, "nano_sort")
    published = json.loads((folder / "upstream/public/gpt-nano-sort-t0-partials.json").read_text())
    model, rows = load_model(folder, backend), _tensor(published["idx"]).long().tolist()
    parts = _PARTS | (_HEADS if backend == "transformer_lens" else {})
    found = model.forward(rows, list(parts), logits=True)
    for site, name in parts.items():
        expected, actual = _tensor(published[name]), found.activations[site]
        if site.component == "attn.v":
            actual = actual.transpose(1, 2)  # they put heads first
        if site.component == "attn.z":
            actual = actual.flatten(2)
        torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")
    torch.testing.assert_close(found.logits, _tensor(published["lm_head"]), atol=1e-4, rtol=1e-4)


def test_nano_sort_sorts(shared_data: Path) -> None:
    model = load_model(_folder(shared_data, "nano_sort"))
    prompts = np.random.default_rng(0).integers(0, 3, (40, 6)).tolist()
    found = model.generate(prompts, max_new_tokens=5, temperature=0)
    sorted_first = [row for row, (c,) in zip(prompts, found, strict=True) if c.tokens == sorted(row)[:5]]
    assert len(sorted_first) >= 38


def test_slm4096_knows_the_page_it_was_trained_on(shared_data: Path, backend: str) -> None:
    folder = _folder(shared_data, "slm4096")
    model, text = load_model(folder, backend), (folder / "corpus.txt").read_text()
    tokens, width = model.encode(text), 128
    windows = [tokens[i : i + width] for i in range(0, len(tokens) - width, width)]
    scores = model.score([w[:1] for w in windows], [[w[1:]] for w in windows])
    # The first tokens of a window have little to go by.
    logprobs = torch.tensor([s[0].token_logprobs for s in scores])[:, 32:]
    assert float(-logprobs.mean()) < 0.1


@pytest.mark.parametrize("name", ["stories260K", "nano_sort", "slm4096"])
def test_outside_models_pass_the_conformance_check(shared_data: Path, backend: str, name: str) -> None:
    report = check_backend(load_model(_folder(shared_data, name), backend))
    assert report.ok, str(report)
