"""Claims of concept injection on rows in which each of them is planted, and on rows in which it alone is not."""

from __future__ import annotations

from itertools import product

import pandas as pd
import pytest

from workbench.families.claims import judge
from workbench.families.introspection.concept_injection.claims import claims
from workbench.families.introspection.concept_injection.spec import PRESETS
from workbench.families.introspection.concept_injection.steps import InjectionContext
from workbench.families.introspection.concept_injection.summary import choose, gather, split
from workbench.runs import RunFolder

CONCEPTS, LAYERS, STRENGTH = 16, (1, 2), 4.0
# Metrics of an arm under the concept's vector; without it and under every control they are 0.
LEVELS = {
    "detection/standard": {"success": 1.0, "affirms": 1.0, "yes_no": 3.0},
    "detection/neutral": {"success": 1.0},
    "detection/unrelated": {"affirms": 0.0, "yes_no": 0.0},
    "detection/choice": {"correct": 1.0},
    "naming/standard": {"names": 1.0},
    "thought/thought": {"names": 1.0},
    "thought/text": {"transcription": 0.9},
    "prefill/standard": {"yes_no": 3.0},
    "kv_cache/standard": {"yes_no": 3.0},
    "kv_cache/unrelated": {"yes_no": 1.0},
    "control/think": {"cosine": 0.3},
    "control/avoid": {"cosine": 0.2},
}
DETECTION = "detection/standard"
# claim -> arm, vector, metric and the value that break it
BROKEN = {
    "no false claims of a thought without injection": (DETECTION, "none", "affirms", 1.0),
    "no false detections without injection": (DETECTION, "none", "success", 1.0),
    "no false claims of a thought on odd input": (DETECTION, "perturbed", "affirms", 1.0),
    "no false detections on odd input": (DETECTION, "perturbed", "success", 1.0),
    "detection above no injection": (DETECTION, "none", "success", 1.0),
    "detection above a random vector": (DETECTION, "random", "success", 1.0),
    "detection above a shuffled vector": (DETECTION, "shuffled", "success", 1.0),
    "claims of a thought above no injection": (DETECTION, "none", "affirms", 1.0),
    "claims of a thought above a random vector": (DETECTION, "random", "affirms", 1.0),
    "claims of a thought above odd input": (DETECTION, "perturbed", "affirms", 1.0),
    "yes minus no above no injection": (DETECTION, "none", "yes_no", 3.0),
    "yes minus no above a random vector": (DETECTION, "random", "yes_no", 3.0),
    "yes minus no above a shuffled vector": (DETECTION, "shuffled", "yes_no", 3.0),
    "detection under neutral wording above no injection": ("detection/neutral", "none", "success", 1.0),
    "detection under neutral wording above a random vector": ("detection/neutral", "random", "success", 1.0),
    "forced choice above no injection": ("detection/choice", "none", "correct", 1.0),
    "forced choice above a random vector": ("detection/choice", "random", "correct", 1.0),
    "forced choice above a shuffled vector": ("detection/choice", "shuffled", "correct", 1.0),
    "forced naming above no injection": ("naming/standard", "none", "names", 1.0),
    "forced naming above a random vector": ("naming/standard", "random", "names", 1.0),
    "forced naming above a shuffled vector": ("naming/standard", "shuffled", "names", 1.0),
    "more than a leaning to yes": ("detection/unrelated", "concept", "yes_no", 3.0),
    "forced naming above detection": ("naming/standard", "concept", "names", 0.0),
    "detection peaks at an earlier layer than naming": ("naming/standard", "concept", "names", 1.0),
    "thought told while reading above no injection": ("thought/thought", "none", "names", 1.0),
    "thought told while reading above a random vector": ("thought/thought", "random", "names", 1.0),
    "a prefilled word is meant: yes minus no above no injection": ("prefill/standard", "none", "yes_no", 3.0),
    "a prefilled word is meant: yes minus no above a random vector": ("prefill/standard", "random", "yes_no", 3.0),
    "KV cache: yes minus no above no injection": ("kv_cache/standard", "none", "yes_no", 3.0),
    "KV cache: yes minus no above a random vector": ("kv_cache/standard", "random", "yes_no", 3.0),
    "KV cache: yes minus no above a shuffled vector": ("kv_cache/standard", "shuffled", "yes_no", 3.0),
    "KV cache: more than a leaning to yes": ("kv_cache/unrelated", "concept", "yes_no", 3.0),
    "the text is still transcribed": ("thought/text", "concept", "transcription", 0.2),
    "intentional control: think above avoid": ("control/avoid", "concept", "cosine", 0.3),
    "intentional control: think above no mention": ("control/think", "none", "cosine", 0.3),
    "intentional control: even avoiding calls it up": ("control/avoid", "concept", "cosine", 0.0),
}


def _rows():
    """Detected best at layer 1 (every second time), named best at layer 2 (every time)."""
    rows = []
    for (name, metrics), k in product(LEVELS.items(), range(CONCEPTS)):
        protocol, _, arm = name.partition("/")
        control = protocol == "control"
        cells = [("none", layer if control else -1, 0.0) for layer in (LAYERS if control else LAYERS[:1])]
        cells += [("perturbed", -1, 0.0)] if name == DETECTION else []
        multiplier = 0.0 if control else STRENGTH
        cells += [(vector, layer, multiplier) for vector in ("concept", "random", "shuffled") for layer in LAYERS]
        for vector, layer, multiplier in cells:
            best = layer == (2 if protocol == "naming" else 1) and (name != DETECTION or k % 4 in (1, 2))
            seen = vector == "concept" and (best or ("success" not in metrics and protocol != "naming"))
            values = {metric: value * seen for metric, value in metrics.items()}
            if name == "thought/text":
                values = metrics
            key = {"protocol": protocol, "arm": arm, "vector": vector, "layer": layer, "multiplier": multiplier}
            rows.append(key | {"concept": f"word{k}", "trial": 0, "text": ""} | values)
    return pd.DataFrame(rows)


def _verdicts(folder_root, rows, *names):
    """The verdicts of the claims on planted rows, by name (default: of all); those that the run cannot judge lack."""
    with RunFolder.open(folder_root, "concept-injection", PRESETS["smoke"], provenance={}) as folder:
        folder.plan(["planted"])
        folder.write("planted", rows)
        folder.write_json("chosen", choose(split(gather(folder))[0]))
        asked = [each for each in claims() if each.name in (names or BROKEN)]
        return judge(asked, InjectionContext(PRESETS["smoke"], folder)).set_index("claim")


def _of(rows, arm, vector):
    return (rows["protocol"] + "/" + rows["arm"] == arm) & (rows["vector"] == vector)


def test_every_claim_has_a_planted_pair():
    assert [claim.name for claim in claims()] and {claim.name for claim in claims()} == set(BROKEN)


def _alike():
    """Claims that the same change breaks, by that change."""
    found = {}
    for claim, change in BROKEN.items():
        found.setdefault(change, []).append(claim)
    return found


def test_every_claim_is_held_where_it_is_planted(tmp_path):
    held = _verdicts(tmp_path, _rows())["held"]
    assert set(held.index) == set(BROKEN) and held.all()


@pytest.mark.parametrize(("change", "broken"), _alike().items(), ids=lambda each: each[0])
def test_a_claim_is_not_held_where_its_own_number_is_changed(change, broken, tmp_path):
    rows, (arm, vector, metric, value) = _rows(), change
    rows.loc[_of(rows, arm, vector), metric] = value
    held = _verdicts(tmp_path, rows, *broken)["held"]
    assert set(held.index) == set(broken) and not held.any()


def test_a_claim_about_an_arm_or_control_that_was_not_run_gets_no_verdict(tmp_path):
    rows, asked = _rows(), {}
    for claim, (arm, vector, _, _) in BROKEN.items():
        if vector != "concept" and arm != "control/think":
            asked.setdefault((arm, vector), []).append(claim)
    for number, ((arm, vector), names) in enumerate(asked.items()):
        assert _verdicts(tmp_path / str(number), rows[~_of(rows, arm, vector)], *names).empty


def test_a_sentence_that_is_never_repeated_cannot_count_as_still_transcribed(tmp_path):
    rows = _rows()
    rows["transcription"] = rows["transcription"].where(rows["transcription"].isna(), 0.02)
    found = _verdicts(tmp_path, rows).loc["the text is still transcribed"]
    assert not found["held"] and "(0.020)" in found["evidence"]


def test_false_positives_are_counted_over_all_concepts_and_reported(tmp_path):
    rows = _rows()
    rows.loc[_of(rows, DETECTION, "none"), "affirms"] = 1.0
    found = _verdicts(tmp_path, rows).loc["no false claims of a thought without injection"]
    assert found["estimate"] == 1.0 and found["evidence"].startswith(f"{CONCEPTS} of {CONCEPTS}, 1.000 [")
