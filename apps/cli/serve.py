"""``workbench serve``."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Annotated

import tyro

from apps.cli.app import check_hosts, check_port
from workbench.console import log, option
from workbench.errors import SpecError, extra

Many = tyro.conf.UseAppendAction


def serve(
    model: Annotated[str, option("shipped or fetched model, Hugging Face folder, GGUF file or hub id", "MODEL")],
    vector: Annotated[tuple[str, ...], Many, option("a vector that requests may name; any number", "NAME=FILE")] = (),
    probe: Annotated[tuple[str, ...], Many, option("a probe that requests may name; any number", "NAME=FILE")] = (),
    vectors: Annotated[Path | None, option("a folder of vectors, named as their files", "DIR")] = None,
    port: Annotated[int, option("of http://127.0.0.1:PORT/v1")] = 8000,
    host: Annotated[tuple[str, ...], option("further names of this machine that a client may ask for")] = (),
    backend: Annotated[str, option("hf, transformer_lens or nnsight")] = "hf",
    device: Annotated[str | None, option("default: CUDA when there is one")] = None,
    dtype: Annotated[str, option("auto is the checkpoint's")] = "auto",
    max_batch: Annotated[int, option("completions that are written at once")] = 64,
    max_waiting: Annotated[int, option("requests that may wait; a further one is answered with status 429")] = 256,
    api_key: Annotated[str | None, option("what clients must send; also from $WORKBENCH_API_KEY", "KEY")] = None,
) -> int:
    """Serve a model as OpenAI's API does, with fields for steering and probes.  For this machine only; Ctrl-C ends it.

    Requests that come in together are rows of one batch, whatever vectors they carry.
    """
    for package in ("fastapi", "uvicorn"):
        extra(package, "serve")
    check_port(port)
    check_hosts(host)
    for name, value in {"--max-batch": max_batch, "--max-waiting": max_waiting}.items():
        if value < 1:
            raise SpecError(f"{name} must be at least 1, not {value}")
    from apps.serve.server import serve as run
    from apps.serve.shelf import Shelf
    from apps.serve.worker import Worker
    from workbench.models import LanguageModel, load_model

    log(f"loading {model}")
    loaded = LanguageModel.of(load_model(model, backend, device=device, dtype=dtype))
    shelf = Shelf.read(loaded, vector, probe, vectors)
    _ = loaded.sinks, loaded.sampling  # measured before the first request, whose doses need it
    named = {"vectors": ", ".join(shelf.vectors), "probes": ", ".join(shelf.probes)}
    what = "".join(f", {kind}: {names}" for kind, names in named.items() if names)
    log(f"http://127.0.0.1:{port}/v1 serves {loaded.name}{what}; Ctrl-C ends it")
    with contextlib.suppress(KeyboardInterrupt):  # how it is meant to end
        run(Worker(shelf, max_batch, max_waiting), port, api_key or os.environ.get("WORKBENCH_API_KEY") or None, host)
    return 0
