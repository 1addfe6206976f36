from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from spillover.core.errors import DataError, ModelError
from spillover.models.intervention import new_intervention, read_intervention, write_intervention
from spillover.models.load import attach_intervention
from tests.models.builders import describe, intervene


def test_what_is_written_is_read(tiny, tmp_path):
    made = intervene(tiny, {1: np.ones(32)}, name="mine")
    write_intervention(tmp_path / "mine", made)
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["intervention.json", "vectors.safetensors"]
    again = read_intervention(tmp_path / "mine")
    assert (again.name, again.description, again.key) == (made.name, made.description, made.key)
    assert torch.equal(again.tensors["de"][1], torch.ones(32))
    assert list(load_file(tmp_path / "mine" / "vectors.safetensors")) == ["de/1"]
    plain = json.loads((tmp_path / "mine" / "intervention.json").read_text())
    assert {"method", "layers", "strength", "data", "base", "languages"} <= set(plain)


def test_the_fingerprint_covers_what_scores_depend_on_and_nothing_else(tiny):
    made = intervene(tiny, {1: np.ones(32)})
    steered = attach_intervention(tiny, made)
    assert steered.ref.steer == "mine"
    assert steered.ref.title == "tiny, steered by mine"
    assert steered.ref.fingerprint != tiny.ref.fingerprint
    others = [
        intervene(tiny, {1: np.ones(32) * 2}),
        intervene(tiny, {2: np.ones(32)}),
        intervene(tiny, {1: np.ones(32)}, strength=2.0),
        intervene(tiny, {1: np.ones(32)}, positions="last"),
    ]
    keys = {attach_intervention(tiny, other).ref.fingerprint for other in (made, *others)}
    assert len(keys) == 5
    noted = made.description.model_copy(update={"facts": {"retrieval": [0.5]}})
    assert new_intervention("elsewhere", noted, {"de": {1: np.ones(32)}}).key == made.key


def test_the_reference_language_is_left_as_it_is_and_others_need_a_vector(tiny):
    made = intervene(tiny, {1: np.ones(32)})
    assert made.changes("en") == {}
    with pytest.raises(ModelError, match="intervention mine: it has no vector for th") as caught:
        made.changes("th")
    assert "it has de: --lang with these, or parallel text in th" in caught.value.hint


def refused(model, intervention, message):
    with pytest.raises(ModelError, match=message):
        attach_intervention(model, intervention)


def test_an_intervention_of_another_model_is_refused(tiny):
    made = intervene(tiny, {1: np.ones(32)})
    other = replace(tiny, ref=replace(tiny.ref, fingerprint="other"))
    refused(other, made, r"made for tiny \(tiny-0\), not for tiny \(other\)")
    base = made.description.base.model_copy(update={"layers": 3})
    deeper = replace(made, description=made.description.model_copy(update={"base": base}))
    refused(tiny, deeper, "made for 3 layers of width 32, tiny has 2 of 32")
    refused(tiny, intervene(tiny, {1: np.zeros(32)}), "it changes nothing")
    refused(tiny, intervene(tiny, {1: np.ones(32)}, strength=0.0), "it changes nothing")


def test_vectors_that_are_not_finite_are_refused(tiny):
    with pytest.raises(ModelError, match="intervention mine: de is not finite at layer 1"):
        intervene(tiny, {1: np.full(32, np.nan)})


def test_missing_and_damaged_folders_are_named(tiny, tmp_path):
    with pytest.raises(DataError, match=r"no intervention \(intervention.json is missing\)"):
        read_intervention(tmp_path)
    write_intervention(tmp_path / "mine", intervene(tiny, {1: np.ones(32)}))
    path = tmp_path / "mine" / "intervention.json"
    whole = path.read_text()
    path.write_text(whole.replace('"strength": 1.0', '"strength": "much"'))
    with pytest.raises(DataError, match="damaged intervention: strength: input should be a valid number"):
        read_intervention(tmp_path / "mine")
    path.write_text(json.dumps(describe(tiny, [1, 2]).model_dump(mode="json")))
    with pytest.raises(DataError, match="damaged intervention: 'de/2' is missing"):
        read_intervention(tmp_path / "mine")
    path.write_text(whole)
    (tmp_path / "mine" / "vectors.safetensors").write_bytes(b"no")
    with pytest.raises(DataError, match="damaged intervention"):
        read_intervention(tmp_path / "mine")
