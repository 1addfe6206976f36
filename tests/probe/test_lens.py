"""Contract 5: the lens at the last layer equals the model's own logits."""

from __future__ import annotations

import pytest
import torch

from spillover.core.config import EvaluateConfig, ProbeConfig
from spillover.core.errors import ModelError
from spillover.core.runs import open_run
from spillover.models.labels import tokenize_prompts
from spillover.models.local import LocalEngine
from spillover.probe.lens import lens_masses, unembed
from spillover.probe.run import probe
from tests.conftest import make_model, small_data


def states_of(model, prompts):
    engine = LocalEngine(model)
    parts = {}
    for batch in engine.score(engine.plan(prompts), states=True):
        parts |= dict(zip(batch.index, torch.from_numpy(batch.states.last), strict=True))
    return torch.stack([parts[i] for i in range(len(prompts))])


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_last_layer_equals_the_models_own_logits(family, demo_prompts):
    model = make_model(family=family)
    prompts = demo_prompts("sentiment", "en", limit=3)
    found = unembed(model)(states_of(model, prompts)[:, -1])
    for item, prompt in zip(found, prompts, strict=True):
        context = tokenize_prompts(model.tokenizer, [prompt])[0].context
        with torch.no_grad():
            expected = model.module(torch.tensor([context])).logits[0, -1].log_softmax(-1)
        torch.testing.assert_close(item, expected, atol=1e-4, rtol=1e-4)


def test_earlier_layers_are_normed_first(tiny, demo_prompts):
    states = states_of(tiny, demo_prompts("sentiment", "en", limit=2))
    expected = tiny.module.lm_head(tiny.module.model.norm(states[:, 1])).log_softmax(-1)
    torch.testing.assert_close(unembed(tiny)(states[:, 1]), expected, atol=1e-5, rtol=1e-5)


def test_masses_are_probabilities_and_entropy_is_in_bits(tiny, demo_prompts):
    vocabulary = tiny.module.config.vocab_size
    states = states_of(tiny, demo_prompts("sentiment", "en", limit=2))
    masses, entropy = lens_masses(unembed(tiny), states, [[1, 2], [3], list(range(vocabulary))])
    assert masses.shape == (3, 2, 3)
    torch.testing.assert_close(masses[..., 2], torch.ones(3, 2))
    assert (masses[..., :2] >= 0).all()
    assert (entropy >= 0).all()
    assert (entropy <= torch.log2(torch.tensor(float(vocabulary))) + 1e-4).all()


def test_a_model_without_a_known_final_norm_is_refused(demo_prompts):
    model = make_model()
    model.module.model.last_scaling = model.module.model.norm
    del model.module.model.norm
    with pytest.raises(ModelError, match="no final norm found"):
        unembed(model)


def test_the_stage_writes_tables_once(tiny, tmp_path, monkeypatch):
    import pandas as pd

    data = small_data(tmp_path / "data")
    options = {
        "config": ProbeConfig(items=4), "evaluate": EvaluateConfig(), "task": "sentiment", "data": str(data),
        "languages": "all", "seed": 0,
    }  # fmt: skip
    run = open_run(tmp_path / "run")
    folder = probe(run, tiny, "base", **options)
    lens, pca = pd.read_parquet(folder / "lens.parquet"), pd.read_parquet(folder / "pca.parquet")
    assert len(lens) == 3 * 3
    assert len(pca) == 3 * 3 * 4
    assert lens["n"].eq(4).all()
    assert lens[["reference_mass", "native_mass", "random_mass"]].stack().between(0, 1).all()
    before = (folder / "pca.parquet").read_bytes()
    monkeypatch.setattr(LocalEngine, "score", lambda *_, **__: pytest.fail("computed again"))
    probe(run, tiny, "base", **options)
    assert (folder / "pca.parquet").read_bytes() == before
