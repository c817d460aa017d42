"""What a steering run may be asked, and concepts of one's own."""

import pytest
import yaml
from pydantic import ValidationError

from workbench.errors import SpecError
from workbench.families import plan
from workbench.families.steer import PRESETS, STEER, SteerSpec
from workbench.families.steer.concept import read_concept


def test_doses_are_sorted_and_one_is_added():
    assert SteerSpec(doses=(0.3, -0.1, 0.1)).doses == (-0.1, 0.1, 0.3)
    for wrong in ((-0.1,), (0.0, 0.1), ()):
        with pytest.raises(ValidationError):
            SteerSpec(doses=wrong)


def test_a_concept_of_ones_own_is_a_file(letters, tmp_path):
    file = tmp_path / "letters.yaml"
    file.write_text(yaml.safe_dump(letters.model_dump(mode="json")))
    assert read_concept(str(file)) == letters


@pytest.mark.parametrize(
    ("name", "said"), [("valense", "did you mean 'valence'"), ("nowhere.yaml", "cannot read the spec nowhere.yaml")]
)
def test_a_concept_that_is_not_there_is_one_line(name, said):
    with pytest.raises(SpecError, match=said):
        SteerSpec(model="bandit-agent", concept=name).check()


def test_a_concept_that_lacks_something_is_one_line(letters, tmp_path):
    fields = letters.model_dump(mode="json")
    del fields["words"]["down"]
    (tmp_path / "half.yaml").write_text(yaml.safe_dump(fields))
    with pytest.raises(SpecError, match=r"half.yaml: words.down is"):
        read_concept(str(tmp_path / "half.yaml"))


def test_no_test_prompt_and_no_word_of_the_measure_is_in_the_pairs():
    valence = read_concept("valence")
    said = " ".join(text for pair in valence.pairs for text in pair).lower().split()
    assert not {word for word in (*valence.words.up, *valence.words.down)} & {word.strip(".,") for word in said}
    assert not set(valence.prompts.choose) & set(valence.prompts.test)
    assert len(set(valence.prompts.test)) == 16


def test_a_layer_is_a_step_and_each_says_what_it_takes():
    steps = plan(STEER, PRESETS["smoke"])
    assert [step.name for step in steps] == [
        "vectors", "baselines", "grid-1", "grid-2", "equal", "control-random", "control-shuffled", "elsewhere",
    ]  # fmt: skip
    assert all(step.tokens > 0 for step in steps)
