from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spillover.core.types import Experiment, ModelRef
from spillover.stages.compare.differences import NAMES, differences
from spillover.stages.compare.result import Topic, to_plain
from spillover.stages.compare.stage import compare
from tests.builders import evaluation

SETTINGS = Experiment("w", "t", "english", "own", "exact", ("N/A", ""), "bfloat16", "v")
OTHERS = {
    "wording": "other", "template": "other", "labels": "native", "shots": "en", "rule": "paper", "content_free": ("-",),
    "dtype": "float32", "vocabulary": "other", "chat": "turns 1a2b3c4d", "engine": "vllm 0.32.0 at a:8000",
    "text": "translated into en by a model (1a2b3c4d), text 5e6f7a8b",
}  # fmt: skip


def sides(*, fingerprint="tuned", **other):
    rng = np.random.default_rng(0)
    hits = {code: rng.random((2, 60)) < 0.7 for code in ("en", "de")}
    before, after = (evaluation({code: rows[i] for code, rows in hits.items()}) for i in (0, 1))
    before = replace(before, model=ModelRef("m", None, None, "base"), experiment=SETTINGS)
    after = replace(after, model=ModelRef("m", None, None, fingerprint), experiment=replace(SETTINGS, **other))
    return before, after


def notes(*args):
    return [sentence.text for sentence in compare(*args).about(Topic.NOTE)]


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_that_differs_is_stated(name):
    before, after = sides(**{name: OTHERS[name]})
    assert len(differences(before, after)) == 1
    (note,) = notes(before, after)
    assert note.startswith("Besides the model, the two sides differ in")
    assert NAMES[name] in note


def test_every_field_has_a_name():
    assert set(NAMES) == set(vars(SETTINGS))


def test_equal_settings_need_no_note():
    assert notes(*sides()) == []


def test_unknown_settings_need_no_note():
    before, after = sides(dtype="float32")
    assert notes(replace(before, experiment=None), after) == []


def test_one_model_with_other_label_words_is_said_to_be_one():
    (note,) = notes(*sides(fingerprint="base", labels="native", dtype="float32"))
    assert note == (
        "Both sides are one model, and differ in label words (english → native) and precision (bfloat16 → float32): "
        "the change is that of these settings."
    )


def test_equal_scores_are_said_to_be_of_one_model():
    before, _ = sides()
    (note,) = notes(before, replace(before, model=ModelRef("m", None, "a", "tuned")))
    assert "Every score is the same number on both sides" in note


def test_what_the_readers_noted_stands_right_after_the_headline():
    before, after = sides()
    before, after = replace(before, notes=("by acc", "in haste")), replace(after, notes=("by acc", "with care"))
    found = compare(before, after)
    texts = ["Both sides: by acc.", "Before: in haste.", "After: with care."]
    assert [sentence.text for sentence in found.verdict[1:4]] == texts
    assert found.verdict[0].about == Topic.HEADLINE
    assert found.verdict[4].about != Topic.NOTE
    assert [row["text"] for row in to_plain(found)["verdict"] if row["about"] == "note"] == texts


def test_an_adapter_in_some_layers_is_named_with_its_side():
    before, after = sides()
    found = notes(before, replace(after, model=ModelRef("m", None, "a", "tuned", "0-3,14-17")))
    assert found == ["After: the adapter is kept in layers 0-3,14-17 alone."]


def test_a_side_whose_hidden_states_were_changed_is_named():
    before, after = sides()
    steered = [replace(side, model=replace(side.model, steer="mean-shift")) for side in (before, after)]
    assert notes(before, steered[1]) == ["After is steered by mean-shift, without training."]
    assert notes(steered[0], after) == ["Before is steered by mean-shift, without training."]
    assert notes(*steered) == ["Both sides are steered by mean-shift, without training."]
