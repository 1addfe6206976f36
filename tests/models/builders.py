"""What the tests of models share."""

from __future__ import annotations

import gguf
import numpy as np
import torch

from spillover.models.intervention import Base, Description, new_intervention
from spillover.models.local import LocalEngine

GGUF_TENSORS = {
    "token_embd.weight": (263, 32), "output_norm.weight": (32,), "blk.0.attn_norm.weight": (32,),
    "blk.0.ffn_norm.weight": (32,), "blk.0.attn_q.weight": (32, 32), "blk.0.attn_k.weight": (16, 32),
    "blk.0.attn_v.weight": (16, 32), "blk.0.attn_output.weight": (32, 32), "blk.0.ffn_gate.weight": (48, 32),
    "blk.0.ffn_up.weight": (48, 32), "blk.0.ffn_down.weight": (32, 48),
}  # fmt: skip


def write_gguf(path, architecture="llama"):
    """A whole model of one layer and a byte tokenizer, with random weights."""
    tokens = ["<unk>", "<s>", "</s>", "a", "b", "ab", " ", *(f"<0x{byte:02X}>" for byte in range(256))]
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(48)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(i) for i in range(len(tokens))])
    writer.add_token_types([2, 3, 3, 1, 1, 1, 1, *[6] * 256])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    for name, shape in GGUF_TENSORS.items():
        writer.add_tensor(name, rng.normal(0, 0.3, shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


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


def describe(model, layers, *, strength=1.0, positions="all", **changes):
    """The description of an intervention in German for a model."""
    base = Base(name=model.ref.name, fingerprint=model.ref.fingerprint, layers=model.layers, hidden=model.hidden)
    values = {
        "method": "language-vector", "null": None, "layers": tuple(layers), "strength": strength,
        "positions": positions, "languages": ("de",), "reference": "en", "base": base, "data": "text", "sentences": 2,
    }  # fmt: skip
    return Description(**values | changes)


def intervene(model, arrays, *, name="mine", **options):
    """An intervention in German. arrays: by layer."""
    return new_intervention(name, describe(model, arrays, **options), {"de": arrays})
