"""What the tests of models share."""

from __future__ import annotations

import torch

from spillover.models.local import LocalEngine


def pooled(model, prompts, **options):
    """(plan, pooled states by name, states of the label tokens), of each prompt in order."""
    engine = LocalEngine(model, **options)
    plan = engine.plan(prompts)
    rows, nodes = {}, {}
    for batch in engine.score(plan, states=True):
        at = 0
        for n, i in enumerate(batch.index):
            rows[i] = {name: getattr(batch.states, name)[n] for name in ("last", "mean", "all", "weighted")}
            count = len(plan.items[i].tree.tokens)
            nodes[i] = batch.states.nodes[at : at + count]
            at += count
        assert at == len(batch.states.nodes)
    return plan, [rows[i] for i in range(len(prompts))], [nodes[i] for i in range(len(prompts))]


def hidden_states(model, ids):
    """[layers + 1, t, hidden], the last one before the final norm: by a hook on the last block."""
    last = []
    decoder = model.module.get_decoder()
    handle = decoder.layers[-1].register_forward_hook(
        lambda *a: last.append(a[2][0] if isinstance(a[2], tuple) else a[2])
    )
    with torch.no_grad():
        layers = model.module(torch.tensor([ids]), output_hidden_states=True).hidden_states
    handle.remove()
    return torch.stack([*layers[:-1], last[0]])[:, 0]
