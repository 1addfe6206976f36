"""Contract 5: the lens at the last layer equals the model's own logits; and every number against a literal loop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from spillover.core.config import EvaluateConfig, ProbeConfig
from spillover.core.errors import ConfigError, ModelError, RunError
from spillover.core.files import read_json
from spillover.core.runs import open_run
from spillover.models.label_tokens import tokenize_prompts
from spillover.models.local import LocalEngine
from spillover.stages.evaluate.stage import evaluate
from spillover.stages.probe.lens import Lens, measure_batch
from spillover.stages.probe.lens_tables import leading_from
from spillover.stages.probe.lens_targets import seek, token_text, with_random_words, word_kinds
from spillover.stages.probe.stage import probe
from spillover.tasks.benchmark import open_benchmark
from spillover.tasks.wording import load_task
from tests.builders import make_model, small_data
from tests.models.test_hidden_states import hidden_states, pooled
from tests.models.test_local import ARCHITECTURES


def seen(model, prompts, label_set="english", rule="exact"):
    task = load_task("sentiment")
    widened, sought, random = seek(model, task, prompts, label_set, rule, np.random.default_rng(0))
    engine = LocalEngine(model)
    plan = with_random_words(engine.plan(widened), random, 100_000)
    batch = next(engine.score(plan, states=True))
    found = measure_batch(Lens(model), sought, plan, batch)
    back = np.argsort(batch.index)
    return sought, plan, {name: values[back] for name, values in found.items()}, batch.logprobs[back]


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_last_layer_equals_the_models_own_logits(family, demo_prompts):
    model = make_model(family=family)
    prompts = demo_prompts("sentiment", "de", "native", limit=3)
    _, rows, _ = pooled(model, prompts)
    found = Lens(model).logprobs(torch.from_numpy(np.stack([row["last"][-1] for row in rows])))
    for item, prompt in zip(found, prompts, strict=True):
        context = tokenize_prompts(model.tokenizer, [prompt])[0].context
        with torch.no_grad():
            expected = model.module(torch.tensor([context])).logits[0, -1].log_softmax(-1)
        torch.testing.assert_close(item, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt_neox"])
def test_exact_words_at_the_last_layer_have_the_engines_log_probability(family, demo_prompts):
    model = make_model(family=family)
    sought, _, found, logprobs = seen(model, demo_prompts("sentiment", "hi", "native", limit=3), "native")
    assert sought.kinds == ("reference", "native", "romanised")
    assert max(max(row) for row in sought.tokens) > 2
    np.testing.assert_allclose(found["lens.sequence"][:, -1], logprobs[:, sought.columns], atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(found["lens.control"][:, -1], logprobs[:, sought.controls], atol=1e-4, rtol=1e-4)


def test_inner_layers_equal_a_literal_loop(tiny, demo_prompts):
    prompts = demo_prompts("sentiment", "th", "native", limit=2)
    sought, plan, found, _ = seen(tiny, prompts)
    norm, head = tiny.module.model.norm, tiny.module.lm_head
    rows = torch.nn.functional.normalize(head.weight.detach(), dim=-1)
    spread = (rows @ rows.T).square().mean().sqrt()
    for n, (prompt, item) in enumerate(zip(plan.prompts, plan.items, strict=True)):
        context = [*plan.prefix, *item.body]
        right = sought.labels.index(prompt.gold)
        with torch.no_grad():
            normed = norm(hidden_states(tiny, context)[1, -1])
            logits = head(normed)
        p = logits.softmax(-1)
        for k, kind in enumerate(sought.kinds):
            for i in range(2):
                own = sought.first[k][i]
                expected = float(p[own].sum()) if own else np.nan
                assert found["lens.first"][n, 1, k, i] == pytest.approx(expected, rel=1e-4, nan_ok=True), kind
                word = item.labels[sought.columns[k][i]]
                with torch.no_grad():
                    grown = head(norm(hidden_states(tiny, [*context, *word])[1, len(context) - 1 : -1])).log_softmax(-1)
                total = sum(grown[at, token].item() for at, token in enumerate(word))
                assert found["lens.sequence"][n, 1, k, i] == pytest.approx(total, abs=1e-3)
            rank = 1 + int((logits > logits[sought.starts[k][right]]).sum())
            assert found["lens.rank"][n, 1, k] == rank
        assert found["lens.entropy"][n, 1] == pytest.approx(float(-(p * p.log2()).sum()), rel=1e-4)
        assert found["lens.pool"][n, 1] == pytest.approx(float(p[sought.pool].mean()), rel=1e-4)
        unit = normed / normed.norm()
        assert found["lens.energy"][n, 1] == pytest.approx(
            float((rows @ unit).square().mean().sqrt() / spread), rel=1e-3
        )


@pytest.mark.usefixtures("bfloat16_attention")
def test_a_bfloat16_model_is_read_within_its_rounding_and_exactly_at_its_last_layer(demo_prompts):
    exact = make_model()
    half = replace(exact, module=make_model().module.to(torch.bfloat16), dtype=torch.bfloat16)
    prompts = demo_prompts("sentiment", "de", "native", limit=4)
    _, _, found, logprobs = seen(half, prompts)
    sought, _, wide, _ = seen(exact, prompts)
    np.testing.assert_allclose(found["lens.sequence"], wide["lens.sequence"], atol=1.0)
    np.testing.assert_allclose(found["lens.entropy"], wide["lens.entropy"], atol=0.3)
    np.testing.assert_allclose(found["lens.sequence"][:, -1], logprobs[:, sought.columns], atol=1e-3)


def test_a_first_token_that_two_words_share_counts_for_neither_and_is_counted(tiny, demo_prompts):
    prompts = demo_prompts("sentiment", "hi", limit=2)
    sought, _, found, _ = seen(tiny, prompts)
    native = sought.kinds.index("native")
    assert sought.starts[native][0] == sought.starts[native][1], "both begin with the byte E0"
    assert sought.first[native] == [[], []]
    assert sought.shared[native] == 1
    assert np.isnan(found["lens.first"][:, :, native]).all()
    assert np.isfinite(found["lens.sequence"]).all()


def test_the_papers_rule_takes_every_token_that_begins_the_word(tiny, demo_prompts):
    prompts = demo_prompts("sentiment", "en", limit=2)
    exact, paper = (seen(tiny, prompts, rule=rule)[0].first[0] for rule in ("exact", "paper"))
    assert all(set(one) <= set(other) for one, other in zip(exact, paper, strict=True))
    assert len(paper[0]) > 1


def test_kinds_of_words(all_languages):
    task = load_task("sentiment")
    assert word_kinds(task, "en", "english") == ({"reference": ("positive", "negative")}, "reference")
    assert word_kinds(task, "hi", "native")[1] == "native"
    kinds, asked = word_kinds(task, "zh", "irrelevant")
    assert (list(kinds), asked) == (["reference", "native", "romanised", "asked"], "asked")
    assert kinds["romanised"] == ("zhengmian", "fumian")


def test_words_that_the_tokenizer_does_not_know_are_left_out(demo_prompts):
    model = make_model("whole-words")
    sought, _, found, _ = seen(model, demo_prompts("sentiment", "hi", limit=2))
    assert "native" not in sought.kinds
    assert np.isfinite(found["lens.sequence"]).all()


def test_parts_of_a_character_are_shown_as_hex():
    assert token_text("正".encode()) == "正"
    assert token_text("正".encode()[:2]) == "⟨E6 AD⟩"


def test_leading_from():
    leads = np.array([[1, 0, 1, 1], [1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=bool)
    assert leading_from(leads).tolist() == [2, 0, 3, 3]


def run_probe(run, model, data, languages="all", **changes):
    config = ProbeConfig(items=4, draws=20, random_weights=False, **changes)
    return probe(run, model, open_benchmark("sentiment", data=data, languages=languages), name="base", config=config)


def test_the_stage_writes_tables_once(tiny, tmp_path, monkeypatch):
    data = str(small_data(tmp_path / "data"))
    run = open_run(tmp_path / "run")
    folder = run_probe(run, tiny, data)
    tables = {path.stem: pd.read_parquet(path) for path in folder.glob("*.parquet")}
    lens, layers, items = tables["lens"], tables["lens_layers"], tables["lens_items"]
    assert len(lens) == 3 * (1 + 2 + 2)
    assert lens["n"].eq(4).all()
    for name in ("answer", "wrong", "random", "answer_sequence", "wrong_sequence", "random_sequence"):
        own = lens.loc[lens[name].notna(), [f"{name}_low", name, f"{name}_high"]]
        assert own.stack().between(-1e-6, 1 + 1e-6).all(), name
        assert (own[f"{name}_low"] <= own[name] + 1e-9).all()
        assert (own[name] <= own[f"{name}_high"] + 1e-9).all()
    assert lens["rank"].between(1, 400).all()
    assert layers[["entropy", "energy"]].stack().ge(0).all()
    assert items["leads_at"].between(0, 2).all()
    assert (items["leads_first"] <= items["leads_at"]).all()
    assert set(tables["pca"]["pooling"]) == {"last", "mean", "all", "weighted"}
    assert len(tables["pca"]) == 4 * 3 * 3 * 4
    assert len(tables["pca_pairs"]) == 4 * 3 * 3
    assert read_json(folder / "words.json")["de"]["native"]["positive"]["word"]
    before = {path: path.read_bytes() for path in folder.glob("*.parquet")}
    monkeypatch.setattr(LocalEngine, "score", lambda *_, **__: pytest.fail("computed again"))
    run_probe(run, tiny, data)
    assert {path: path.read_bytes() for path in folder.glob("*.parquet")} == before


def test_the_items_are_those_of_the_runs_evaluation(tiny, tmp_path):
    data = str(small_data(tmp_path / "data"))
    config = EvaluateConfig(labels="native", shots="en")
    evaluate(
        tiny,
        open_benchmark("sentiment", data=data, languages="de,en", limit=3),
        config=config,
        out=tmp_path / "run",
        name="base",
    )
    run = open_run(tmp_path / "run")
    scored = pd.read_parquet(tmp_path / "run" / "evaluate" / "base" / "sentiment" / "de.parquet")
    folder = run_probe(run, tiny, data)
    items = pd.read_parquet(folder / "lens_items.parquet")
    assert set(items["language"]) == {"de", "en"}
    assert set(items["example_id"]) == set(scored["example_id"])
    settings = run.manifest()["stages"]["probe/base"]["settings"]
    assert (settings["labels"], settings["shots"]) == ("native", "en")
    final = items[items["language"] == "de"].set_index("example_id").loc[scored["example_id"], "answer"]
    given = scored[["logprob_positive", "logprob_negative"]].to_numpy().argmax(axis=1)
    assert list(final) == [("positive", "negative")[i] for i in given]
    with pytest.raises(RunError, match="evaluate/base was made by the model tiny-0, this one is tiny-1"):
        run_probe(run, make_model(seed=1), data)
    other = str(small_data(tmp_path / "other", items=8))
    with pytest.raises(RunError, match="scored other data in en, de"):
        run_probe(run, tiny, other)
    with pytest.raises(ConfigError, match="'es' is not available"):
        run_probe(run, tiny, data, languages="es")


def test_a_layer_that_does_not_exist_is_refused_before_anything_is_written(tiny, tmp_path):
    run = open_run(tmp_path / "run")
    with pytest.raises(ConfigError, match="layer 3 is not here"):
        run_probe(run, tiny, "demo", layers=[1, 3])
    assert not (tmp_path / "run").exists()


def test_some_layers_are_kept_and_the_lens_reads_all(tiny, tmp_path):
    data = str(small_data(tmp_path / "data"))
    folder = run_probe(open_run(tmp_path / "run"), tiny, data, layers=[2, 1])
    assert set(pd.read_parquet(folder / "pca.parquet")["layer"]) == {1, 2}
    assert set(pd.read_parquet(folder / "lens.parquet")["layer"]) == {0, 1, 2}


def test_a_model_without_a_known_final_norm_is_refused():
    model = make_model()
    model.module.model.last_scaling = model.module.model.norm
    del model.module.model.norm
    with pytest.raises(ModelError, match="no final norm found"):
        Lens(model)
