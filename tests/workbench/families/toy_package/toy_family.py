"""A family in one file: does the residual stream grow with depth?"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd

from workbench.activations import capture
from workbench.families import Claim, Family, ModelSpec, Step, Table, View, verdict
from workbench.sites import Site
from workbench.statistics import Interval, cluster_bootstrap


class ToySpec(ModelSpec):
    model: str = "bandit-agent"
    texts: tuple[str, ...] = ("Button 1 paid 90 points.", "Thought: Button 2 is better.", "Action: I choose Button 1.")


def steps(spec: ToySpec) -> Iterator[Step]:
    for layer in range(spec.n_layers()):
        yield Step(f"layer-{layer}", f"read layer {layer}", partial(read, layer))


def read(layer: int, run) -> pd.DataFrame:
    activations = capture(run.model, run.spec.texts, [layer], positions="all")
    norms = activations[Site(layer)].float().norm(dim=-1).numpy()
    return pd.DataFrame({"layer": layer, "text": activations.groups, "norm": norms})


def finish(run) -> None:
    means = run.gather("layer").groupby(["layer", "text"], as_index=False)["norm"].mean()
    rows = [{"layer": k} | vars(cluster_bootstrap(part["norm"], part["text"])) for k, part in means.groupby("layer")]
    run.folder.save_table("norms", pd.DataFrame(rows))


def grows(run):
    norms = run.gather("layer").groupby(["text", "layer"])["norm"].mean().unstack()
    change = norms[norms.columns.max()] - norms[0]
    yield verdict("norm, last layer less first", cluster_bootstrap(change.to_numpy(), np.asarray(change.index)))


def figures(record):
    import plotly.express as px

    norms = record.load_table("norms") if "norms.parquet" in record.artifacts else None
    return {} if norms is None else {"norms": lambda: px.line(norms, x="layer", y="estimate", title="Norm by layer")}


def report(record) -> Iterator[Table]:
    norms = record.load_table("norms")
    texts = [Interval.of(row).text() for row in norms.itertuples()]
    yield Table("Norm of the residual stream", pd.DataFrame({"layer": norms["layer"], "norm": texts}))


FAMILY = Family(
    "toy", "Toy: how the residual stream grows", ToySpec, {"cpu": ToySpec(), "smoke": ToySpec()}, steps, finish,
    lambda: [Claim("the norm grows with depth", grows)], figures, report, lambda: [View("Figures", ("norms",))],
)  # fmt: skip
