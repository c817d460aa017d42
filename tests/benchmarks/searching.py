"""The search for a layer and a dose: every cell of the grid in shared batches, against other tools' own loops.

Cells are layers x doses x signs, once with a mean difference and once with a random direction in its place; each cell
continues all prompts greedily, steered at every token.  The other tools run as they come, cell by cell: repsteer's
``evaluation.sweep`` and hidden-directions' ``sweep_alphas`` (its loading replaced by the model that is here already).
Both are put into a temporary folder without their dependencies, which ours satisfy.

By itself, in any size (that of the run below is a few minutes on two cores):

    python tests/benchmarks/searching.py --layers 6 --doses 6 --prompts 24 --tokens 32 --sample 6
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[2])]

import torch  # noqa: E402
from measure import Row, Timed, at_least, timed_in_turn  # noqa: E402

from steering import Add, side_by_side  # noqa: E402
from workbench.activations import capture  # noqa: E402
from workbench.models import load_model  # noqa: E402
from workbench.models.language_model import LanguageModel  # noqa: E402
from workbench.sites import Site  # noqa: E402

__all__ = ["against_others"]

OTHERS = ("repsteer==0.2.4", "hidden-directions==0.1.6")
MODEL = "smollm2-135m"
EVERYWHERE = "prompt+generation"  # hidden-directions knows no other scope
GLAD = ("What a wonderful day", "I love this place", "The good news made us smile", "She laughed with joy")
SAD = ("What a terrible day", "I hate this place", "The bad news made us cry", "She wept with grief")
ASKED = (
    "your day", "the sea", "a small town", "birds", "the weather", "your neighbour", "a long walk", "school",
    "the moon", "an old house", "bread", "a river", "the news", "a garden", "music", "trains", "winter", "a letter",
    "the market", "a dog", "the office", "a holiday", "the forest", "dinner",
)  # fmt: skip


@dataclass(frozen=True)
class Size:
    """How large a grid is searched; of the other ways, ``sample`` cells are run and their time is scaled."""

    layers: int = 3
    doses: int = 2
    prompts: int = 6
    tokens: int = 32
    sample: int = 4
    repeats: int = 3


@dataclass(frozen=True)
class Cell:
    """One way to steer: ``multiplier`` times ``vector`` [d] at the output of a block."""

    layer: int
    multiplier: float
    vector: torch.Tensor


@dataclass(frozen=True)
class Search:
    """The model, what it is asked, and all cells."""

    model: LanguageModel
    chats: list[dict[str, str]]
    cells: list[Cell]
    tokens: int

    @classmethod
    def of(cls, size: Size) -> Search:
        model = load_model(MODEL, dtype="float32", device="cpu")
        layers = [round(model.n_layers * (0.2 + 0.6 * k / max(1, size.layers - 1))) for k in range(size.layers)]
        found = capture(model, [*GLAD, *SAD], [Site(layer) for layer in layers], sinks="keep").activations
        generator, cells = torch.Generator().manual_seed(0), []
        for layer in layers:
            z = found[Site(layer)]
            difference, noise = (
                z[: len(GLAD)].mean(0) - z[len(GLAD) :].mean(0),
                torch.randn(z.shape[1], generator=generator),
            )
            for direction in (difference, noise):
                vector = direction / direction.norm() * model.residual_norm(layer)
                doses = [0.5 * (k + 1) / size.doses for k in range(size.doses)]
                cells += [Cell(layer, sign * dose, vector) for dose in doses for sign in (1.0, -1.0)]
        chats = [{"role": "user", "content": f"Tell me about {what}."} for what in ASKED[: size.prompts]]
        return cls(model, chats, cells, size.tokens)

    def ours(self, cells: Sequence[Cell]) -> list[str]:
        """What each prompt is continued with, cell by cell."""
        sets = [[Add(cell.vector, cell.multiplier, site=cell.layer, scope=EVERYWHERE)] for cell in cells]
        steer = side_by_side(sets, self.model, len(self.chats))
        prompts = [[chat] for chat in self.chats] * len(cells)
        found = self.model.generate(prompts, max_new_tokens=self.tokens, temperature=0, interventions=steer)
        return [self._text(row[0].tokens) for row in found]

    def repsteer(self, cells: Sequence[Cell]) -> list[str]:
        """The same by ``repsteer.evaluation.sweep``, a grid of one point a cell."""
        import repsteer as rs

        kept = _Kept()
        wrapped = rs.models.from_model(
            self.model.backend.hf_model, self.model.tokenizer, model_id="model", revision="main"
        )
        for cell in cells:
            site = rs.sites.resid_post(layer=cell.layer)
            about = rs.ArtifactMetadata(
                model_id="model", model_revision="main", architecture=wrapped.architecture, site=site,
                hidden_size=self.model.d_model,
            )  # fmt: skip
            rs.evaluation.sweep(
                model=wrapped,
                artifact=rs.DirectionArtifact(about, cell.vector),
                data=self.chats,
                search=rs.evaluation.Grid([site], [cell.multiplier], [rs.positions.AllTokens()]),
                metrics=[kept],
                generate_kwargs={"max_new_tokens": self.tokens, "do_sample": False},
            )
        lengths = [len(self.model.encode([chat])) for chat in self.chats] * len(cells)
        return [self._text(row[length:]) for row, length in zip(kept.tokens, lengths, strict=True)]

    def hidden_directions(self, cells: Sequence[Cell]) -> list[str]:
        """The same by ``hidden_directions.sweep.sweep_alphas``, which takes one prompt."""
        from hidden_directions import sweep

        sweep.AutoTokenizer, sweep.AutoModelForCausalLM = (
            _Here(self.model.tokenizer),
            _Here(self.model.backend.hf_model),
        )
        texts = []
        with contextlib.redirect_stdout(io.StringIO()):  # it prints as it goes
            for cell in cells:
                for chat in self.chats:
                    (row,) = sweep.sweep_alphas(
                        MODEL, cell.layer, v_pref=cell.vector, alpha_pref_grid=[cell.multiplier],
                        probe_prompt=chat["content"], max_new_tokens=self.tokens,
                    )  # fmt: skip
                    texts.append(row.output)
        return texts

    def _text(self, tokens: Any) -> str:
        return self.model.tokenizer.decode(tokens, skip_special_tokens=True)


class _Kept:
    """A metric of repsteer's that keeps the tokens."""

    name = "kept"

    def __init__(self) -> None:
        self.tokens: list[list[int]] = []

    def __deepcopy__(self, _memo: Any) -> _Kept:
        return self

    def update(self, batch: Any) -> None:
        self.tokens.append(batch.result.token_ids[0].tolist())

    def compute(self) -> dict[str, float]:
        return {}


@dataclass(frozen=True)
class _Here:
    """Stands for one of transformers' Auto classes; loads what is loaded already."""

    what: Any

    def from_pretrained(self, *_: Any, **__: Any) -> Any:
        return self.what


# ---- the benchmark


def against_others(_model_name: str, quick: bool) -> list[Row]:
    """Times and peak memory on SmolLM2; without rows where the model or the other tools cannot be had."""
    return measured(Size(layers=2, doses=1, prompts=2, tokens=4, sample=2, repeats=1) if quick else Size())


def measured(size: Size) -> list[Row]:
    """The rows of a search of a size."""
    with _installed() as folder:
        if folder is None:
            return []
        search = Search.of(size)
        step = max(1, len(search.cells) // size.sample)
        sampled = list(range(0, len(search.cells), step))[: size.sample]
        few = [search.cells[k] for k in sampled]
        n = len(search.chats)
        texts = search.ours(search.cells)  # warms up as well
        mine = [text for k in sampled for text in texts[k * n : (k + 1) * n]]
        ways = {"repsteer 0.2.4": search.repsteer, "hidden-directions 0.1.6": search.hidden_directions}
        agree = {name: _agreement(mine, way(few)) for name, way in ways.items()}
        times = timed_in_turn(
            [lambda: search.ours(search.cells), *(lambda way=way: way(few) for way in ways.values())], size.repeats
        )
        scale = len(search.cells) / len(few)
        note = (
            f"{MODEL} in float32; {size.layers} layers x {size.doses} doses x 2 signs, each with a random direction"
            f" beside it, {n} prompts of {len(search.model.encode([search.chats[0]]))} tokens steered everywhere,"
            f" {size.tokens} new tokens, greedy; the other was timed on {len(few)} of {len(search.cells)} cells and"
            " scaled;"
        )
        rows = [
            at_least(
                f"the search for layer and dose in shared batches, over {name}, cell by cell",
                Timed(times[0], [scale * seconds for seconds in other]), 4,
                f"{note} {agree[name]} of {len(mine)} texts of these are the same",
            )
            for name, other in zip(ways, times[1:], strict=True)
        ]  # fmt: skip
        return [*rows, _memory(size, folder)]


def _memory(size: Size, folder: str) -> Row:
    """Peak memory of a process that searches the whole grid, over one that runs one cell by repsteer's loop."""
    peaks = {}
    for way in ("ours", "repsteer"):
        command = [sys.executable, __file__, "--peak", way, "--folder", folder]
        command += [text for name, value in asdict(size).items() for text in (f"--{name}", str(value))]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[way] = json.loads(done.stdout.splitlines()[-1])
    ratio = peaks["ours"] / peaks["repsteer"]
    note = f"resident at most while searching: {peaks['ours']:.0f} MB against {peaks['repsteer']:.0f} MB"
    return Row("memory of that search, of one cell by repsteer 0.2.4", round(ratio, 3), "<= 1.3", ratio <= 1.3, note)


def _peak(way: str, size: Size) -> float:
    """MB resident at most during a search, the loading of the model before it left out."""
    search = Search.of(size)
    gc.collect()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
    getattr(search, way)(search.cells if way == "ours" else search.cells[:1])
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1000


def _agreement(ours: list[str], other: list[str]) -> int:
    same = sum(a == b for a, b in zip(ours, other, strict=True))
    if same < 0.9 * len(ours):  # a rounding may tip an argmax
        raise AssertionError(f"only {same} of {len(ours)} texts agree: the two ways do not do the same thing")
    return same


@contextlib.contextmanager
def _installed() -> Iterator[str | None]:
    """The other tools on the path, in a folder that is gone afterwards; None, with a line that says why, without."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, *OTHERS]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            print(f"search: skipped, {' and '.join(OTHERS)} cannot be installed: {reason}", file=sys.stderr)
            yield None
            return
        sys.path.append(folder)
        try:
            yield folder
        finally:
            sys.path.remove(folder)


def main() -> None:
    """Print the rows of a search of the size that the options say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in asdict(Size()).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--threads", type=int, default=0, help="of torch, for both (0: as many as torch takes)")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = vars(parser.parse_args())
    threads, peak, folder = (options.pop(name) for name in ("threads", "peak", "folder"))
    if threads:
        torch.set_num_threads(threads)
    if folder:
        sys.path.append(folder)
    if peak:
        print(json.dumps(_peak(peak, Size(**options))))
        return
    for row in measured(Size(**options)):
        print(f"{row.name}: {row.ratio:g} ({row.bar}), {'held' if row.held else 'missed'}\n  {row.note}")


if __name__ == "__main__":
    main()
