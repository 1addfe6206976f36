"""Scores with changed hidden states equal those of plain forward passes with the same change, one prompt at a time."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from spillover.core.errors import ModelError
from spillover.models.hidden_states import residual_modules
from spillover.models.label_tokens import tokenize_prompts
from spillover.models.load import attach_intervention
from spillover.models.local import LocalEngine
from spillover.models.steering import StateChange
from tests.builders import make_model
from tests.models.builders import hidden_states, intervene, pooled
from tests.models.test_local import ARCHITECTURES, EXACT, by_hand, scores

POSITIONS = ("all", "question", "last")


def arrays(seed=0, layers=(1, 2)):
    """A vector at the first of two layers, a map at the second."""
    rng = np.random.default_rng(seed)
    first, second = layers
    return {first: rng.normal(0, 0.5, 32), second: rng.normal(0, 0.1, (32, 32))}


@contextmanager
def outputs_changed(module, intervention, rows):
    """The same change in another place: at the output of what stands before the hidden state, by the model's own names."""
    decoder = module.get_decoder()
    blocks = getattr(decoder, "layers", None) or decoder.h

    def hook_of(change):
        def hook(_module, _arguments, output):
            states = (output[0] if isinstance(output, tuple) else output).clone()
            added = states[:, rows] @ change if change.dim() == 2 else change
            states[:, rows] += intervention.description.strength * added
            return (states, *output[1:]) if isinstance(output, tuple) else states

        return hook

    handles = [
        blocks[layer - 1].register_forward_hook(hook_of(change)) for layer, change in intervention.tensors["de"].items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def steered_by_hand(model, prompts, intervention):
    """[items, labels]: a forward pass for each prompt and label, changed at the output of the block before."""
    table = []
    for prompt in prompts:
        tokenized = tokenize_prompts(model.tokenizer, [prompt])[0]
        context = len(tokenized.context)
        row = []
        for label in tokenized.labels:
            ids = torch.tensor([[*tokenized.context, *label]])
            # A blank line ends the shots, and is tokens of its own here; a whole text follows a begin token.
            shots = len(model.tokenizer(prompt.prefix).input_ids) if prompt.text else 1
            rows = {
                "all": slice(None),
                "question": slice(shots, None),
                "last": slice(context - 1, context),
            }[intervention.description.positions]
            with torch.no_grad(), outputs_changed(model.module, intervention, rows):
                logprobs = model.module(ids).logits[0].log_softmax(-1)
            row.append(sum(logprobs[context - 1 + i, token].item() for i, token in enumerate(label)))
        table.append(row)
    return np.array(table)


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("family", [*ARCHITECTURES, "bloom"])
def test_steered_scores_equal_those_by_hand(family, positions, demo_prompts):
    model = make_model(family=family)
    made = intervene(model, arrays(), strength=0.7, positions=positions)
    prompts = demo_prompts("sentiment", "de", "native", limit=2)
    steered = attach_intervention(model, made)
    expected = steered_by_hand(model, prompts, made)
    assert np.abs(expected - by_hand(model, prompts)).max() > 0.01
    np.testing.assert_allclose(scores(steered, prompts), expected, atol=EXACT)
    np.testing.assert_allclose(scores(steered, prompts, prefix_cache=False), expected, atol=EXACT)


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize(("task", "label_set"), [("nli", "native"), ("copa", "english"), ("blimp", "english")])
def test_label_trees_own_answers_and_whole_texts_are_changed_alike(task, label_set, positions, tiny, demo_prompts):
    prompts = demo_prompts(task, "de", label_set, limit=2)
    made = intervene(tiny, arrays(), positions=positions)
    steered, expected = attach_intervention(tiny, made), steered_by_hand(tiny, prompts, made)
    for shared in (True, False):
        np.testing.assert_allclose(scores(steered, prompts, prefix_cache=shared), expected, atol=EXACT)


def test_batches_and_merged_boundaries_change_nothing(demo_prompts):
    model = make_model("byte-fallback")
    prompts = demo_prompts("sentiment", "de")
    assert all(item.merged for item in tokenize_prompts(model.tokenizer, prompts))
    steered = attach_intervention(model, intervene(model, arrays(), positions="question"))
    whole = scores(steered, prompts, prefix_cache=False)
    for options in ({"batch_tokens": 1}, {"batch_tokens": 100_000}):
        np.testing.assert_allclose(scores(steered, prompts, **options), whole, atol=EXACT)
    np.testing.assert_allclose(scores(steered, prompts[2:3]), whole[2:3], atol=EXACT)


def test_the_reference_language_scores_as_without(tiny, demo_prompts):
    prompts = demo_prompts("sentiment", "en")
    steered = attach_intervention(tiny, intervene(tiny, arrays()))
    assert scores(steered, prompts).tobytes() == scores(tiny, prompts).tobytes()


def prefix_passes(monkeypatch, module):
    """A list that grows with every pass that computes a shared prefix."""
    from spillover.models import local

    passes, original = [], local.Sharing

    def counting(*arguments, **options):
        if options.get("kept") is not None:
            passes.append(1)
        return original(*arguments, **options)

    monkeypatch.setattr(local, "Sharing", counting)
    return passes


@pytest.mark.parametrize(("positions", "expected"), [("last", 1), ("all", 4)])
def test_a_prefix_that_is_not_changed_stays_valid_and_another_is_computed_once(
    positions, expected, tiny, demo_prompts, monkeypatch
):
    """Base, two interventions, and the first again: one pass in all, or one for each change."""
    passes = prefix_passes(monkeypatch, tiny.module)
    engine = LocalEngine(tiny, batch_tokens=64)
    plan = engine.plan(demo_prompts("sentiment", "de", limit=3))
    assert len(plan.batches) > 1
    settings = [None, *(intervene(tiny, arrays(seed), positions=positions) for seed in (0, 1, 0))]
    for intervention in settings:
        engine.intervention = intervention
        found = np.concatenate([batch.logprobs for batch in engine.score(plan)])
        model = attach_intervention(tiny, intervention) if intervention else tiny
        alone = LocalEngine(model, prefix_cache=False, batch_tokens=64)
        slow = alone.plan(plan.prompts)
        rows = {i: row for batch in alone.score(slow) for i, row in zip(batch.index, batch.logprobs, strict=True)}
        order = [i for batch in plan.batches for i in batch]
        np.testing.assert_allclose(found, [rows[i] for i in order], atol=EXACT)
    assert len(passes) == expected


def test_states_are_read_as_they_are_after_the_change(tiny, demo_prompts):
    """A vector that is added at layer l shows at layer l, not before and not a block later."""
    prompts = demo_prompts("sentiment", "de", limit=2)
    shift = np.arange(32) / 32
    for layer in (0, 1, 2):
        steered = attach_intervention(tiny, intervene(tiny, {layer: shift}, strength=2.0))
        _, rows, _ = pooled(tiny, prompts)
        for shared in (True, False):
            _, changed, _ = pooled(steered, prompts, prefix_cache=shared)
            for before, after in zip(rows, changed, strict=True):
                for name in before:
                    moved = after[name] - before[name]
                    np.testing.assert_allclose(moved[layer], 2 * shift, atol=1e-4, err_msg=name)
                    np.testing.assert_allclose(moved[:layer], 0, atol=1e-4)


def test_hidden_state_l_is_the_input_of_block_l_and_the_output_of_the_one_before(tiny):
    modules = residual_modules(tiny.module)
    assert modules[:-1] == list(tiny.module.model.layers)
    assert modules[-1] is tiny.module.model.norm
    ids = tiny.tokenizer("good bad").input_ids
    seen = {}
    handles = [
        module.register_forward_pre_hook(
            lambda _m, a, k, i=i: seen.update({i: (a[0] if a else k["hidden_states"])[0]}), with_kwargs=True
        )
        for i, module in enumerate(modules)
    ]
    states = hidden_states(tiny, ids)
    for handle in handles:
        handle.remove()
    for layer in range(tiny.layers + 1):
        torch.testing.assert_close(seen[layer], states[layer])


def test_a_change_keeps_the_tensor_that_others_hold_and_the_dtype():
    states = torch.ones(1, 3, 4, dtype=torch.bfloat16)
    changed = StateChange(torch.ones(4), 2.0, torch.tensor([1])).apply(states)
    assert changed.dtype == torch.bfloat16
    assert changed[0].tolist() == [[1.0] * 4, [3.0] * 4, [1.0] * 4]
    assert (states == 1).all()


def test_hooks_are_gone_after_scoring_and_after_a_failure(tiny, demo_prompts):
    prompts = demo_prompts("sentiment", "de")
    before = scores(tiny, prompts)
    scores(attach_intervention(tiny, intervene(tiny, arrays())), prompts)
    with pytest.raises(ModelError):
        scores(attach_intervention(tiny, intervene(tiny, {1: np.full(32, 1e38)}, strength=1e9)), prompts)
    assert scores(tiny, prompts).tobytes() == before.tobytes()
    assert not any(module._forward_pre_hooks for module in tiny.module.modules())


@pytest.mark.parametrize("layer", [1, 2])
def test_a_strength_that_is_too_large_is_named_with_its_layer(layer, tiny, demo_prompts):
    steered = attach_intervention(tiny, intervene(tiny, {layer: np.full(32, 1e38)}, strength=1000.0))
    message = f"intervention mine: with strength 1000 hidden states are non-finite at layer {layer}"
    with pytest.raises(ModelError, match=message) as caught:
        scores(steered, demo_prompts("sentiment", "de"))
    assert "a smaller steer.strength" in caught.value.hint


def test_a_language_without_a_vector_is_refused_before_anything_is_scored(tiny, demo_prompts):
    steered = attach_intervention(tiny, intervene(tiny, arrays()))
    with pytest.raises(ModelError, match="it has no vector for th"):
        LocalEngine(steered).plan(demo_prompts("sentiment", "th"))


def test_a_model_in_bfloat16_takes_the_change(tiny, demo_prompts):
    half = replace(tiny, module=make_model().module.to(torch.bfloat16), dtype=torch.bfloat16)
    prompts = demo_prompts("sentiment", "de")
    steered = attach_intervention(half, intervene(half, {1: np.ones(32)}))
    assert np.abs(scores(steered, prompts) - scores(half, prompts)).max() > 0.01
