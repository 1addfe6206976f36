"""Contract 5: the lens at the last layer equals the model's own logits; and every number against a literal loop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from spillover.core.errors import DataError, ModelError
from spillover.models.label_tokens import tokenize_prompts
from spillover.stages.probe.lens import LogitLens, top_tokens
from tests.builders import make_model
from tests.models.builders import hidden_states, pooled
from tests.models.test_local import ARCHITECTURES
from tests.stages.probe.builders import read_lens


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_last_layer_equals_the_models_own_logits(family, demo_prompts):
    model = make_model(family=family)
    prompts = demo_prompts("sentiment", "de", "native", limit=3)
    _, rows, _ = pooled(model, prompts)
    logprobs = LogitLens(model).logprobs(torch.from_numpy(np.stack([row["last"][-1] for row in rows])))
    for item, prompt in zip(logprobs, prompts, strict=True):
        context = tokenize_prompts(model.tokenizer, [prompt])[0].context
        with torch.no_grad():
            expected = model.module(torch.tensor([context])).logits[0, -1].log_softmax(-1)
        torch.testing.assert_close(item, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt_neox"])
def test_exact_words_at_the_last_layer_have_the_engines_log_probability(family, demo_prompts):
    model = make_model(family=family)
    reading = read_lens(model, demo_prompts("sentiment", "ja", "native", limit=3), "native")
    targets = reading.targets
    measured = reading.measured
    logprobs = reading.logprobs
    assert targets.sets == ("reference", "native", "romanised")
    assert max(max(row) for row in targets.n_tokens) > 2
    np.testing.assert_allclose(measured["lens.sequence"][:, -1], logprobs[:, targets.word_index], atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(
        measured["lens.control"][:, -1], logprobs[:, targets.control_index], atol=1e-4, rtol=1e-4
    )


def test_inner_layers_equal_a_literal_loop(tiny, demo_prompts):
    prompts = demo_prompts("sentiment", "th", "native", limit=2)
    reading = read_lens(tiny, prompts)
    targets = reading.targets
    plan = reading.plan
    measured = reading.measured
    norm, head = tiny.module.model.norm, tiny.module.lm_head
    rows = torch.nn.functional.normalize(head.weight.detach(), dim=-1)
    spread = (rows @ rows.T).square().mean().sqrt()
    for n, (prompt, item) in enumerate(zip(plan.prompts, plan.items, strict=True)):
        context = [*plan.prefix, *item.body]
        right = targets.labels.index(prompt.gold)
        with torch.no_grad():
            normed = norm(hidden_states(tiny, context)[1, -1])
            logits = head(normed)
        p = logits.softmax(-1)
        for k, kind in enumerate(targets.sets):
            for i in range(2):
                tokens = targets.first_tokens[k][i]
                expected = float(p[tokens].sum()) if tokens else np.nan
                assert measured["lens.first"][n, 1, k, i] == pytest.approx(expected, rel=1e-4, nan_ok=True), kind
                word = item.labels[targets.word_index[k][i]]
                with torch.no_grad():
                    grown = head(norm(hidden_states(tiny, [*context, *word])[1, len(context) - 1 : -1])).log_softmax(-1)
                total = sum(grown[at, token].item() for at, token in enumerate(word))
                assert measured["lens.sequence"][n, 1, k, i] == pytest.approx(total, abs=1e-3)
            rank = 1 + int((logits > logits[targets.start_tokens[k][right]]).sum())
            assert measured["lens.rank"][n, 1, k] == rank
        assert measured["lens.entropy"][n, 1] == pytest.approx(float(-(p * p.log2()).sum()), rel=1e-4)
        assert measured["lens.pool"][n, 1] == pytest.approx(float(p[targets.token_pool].mean()), rel=1e-4)
        unit = normed / normed.norm()
        assert measured["lens.energy"][n, 1] == pytest.approx(
            float((rows @ unit).square().mean().sqrt() / spread), rel=1e-3
        )


@pytest.mark.usefixtures("bfloat16_attention")
def test_a_bfloat16_model_is_read_within_its_rounding_and_exactly_at_its_last_layer(demo_prompts):
    exact = make_model()
    half = replace(exact, module=make_model().module.to(torch.bfloat16), dtype=torch.bfloat16)
    prompts = demo_prompts("sentiment", "de", "native", limit=4)
    reading = read_lens(half, prompts)
    measured = reading.measured
    logprobs = reading.logprobs
    reading = read_lens(exact, prompts)
    targets = reading.targets
    exact_measured = reading.measured
    np.testing.assert_allclose(measured["lens.sequence"], exact_measured["lens.sequence"], atol=1.0)
    np.testing.assert_allclose(measured["lens.entropy"], exact_measured["lens.entropy"], atol=0.3)
    np.testing.assert_allclose(measured["lens.sequence"][:, -1], logprobs[:, targets.word_index], atol=1e-3)


def test_a_model_without_a_known_final_norm_is_refused():
    model = make_model()
    model.module.model.last_scaling = model.module.model.norm
    del model.module.model.norm
    with pytest.raises(ModelError, match="no final norm found"):
        LogitLens(model)


def test_top_tokens_of_the_last_layer_are_the_models_own(tiny):
    top = top_tokens(tiny, "The capital of", places=2, top=3)
    assert [row["layer"] for row in top["layers"]] == [0, 1, 2]
    assert len(top["tokens"]) == len(top["layers"][0]["places"]) == 2
    ids = tiny.tokenizer("The capital of")["input_ids"]
    with torch.no_grad():
        expected = tiny.module(torch.tensor([ids])).logits[0, -1].softmax(-1).topk(3).values
    probabilities = [token["probability"] for token in top["layers"][-1]["places"][-1]]
    np.testing.assert_allclose(probabilities, expected, rtol=1e-4)
    with pytest.raises(DataError, match="the text has 0 tokens"):
        top_tokens(tiny, "", places=1, top=1)
