from __future__ import annotations

import re

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from spillover.core.errors import ModelError
from spillover.models.engine import open_engine
from spillover.models.load import attach_adapter, load_model
from spillover.models.loading_checks import check_causal, check_finite, check_loading_report, check_token_ids
from tests.builders import make_tokenizer, prompts_of, save_adapter, save_model


def rewrite(folder, change):
    """Change the tensors of a folder's safetensors file."""
    path = next(folder.glob("*.safetensors"))
    save_file(change(load_file(path)), path, metadata={"format": "pt"})
    return folder


def untied(folder):
    """A model whose head is a tensor of its own."""
    tokenizer = make_tokenizer("byte-level")
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        tie_word_embeddings=False, initializer_range=0.3,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def load(folder, **options):
    return load_model(str(folder), dtype="float32", **options)


def test_a_missing_head_is_named(tmp_path):
    rewrite(untied(tmp_path), lambda state: {key: value for key, value in state.items() if key != "lm_head.weight"})
    with pytest.raises(ModelError, match=r"1 tensor \(lm_head.weight\) missing"):
        load(tmp_path)


def test_weights_under_other_names_are_refused(tmp_path):
    rewrite(save_model(tmp_path), lambda state: {f"_orig_mod.{key}": value for key, value in state.items()})
    with pytest.raises(ModelError, match=r"missing from its files.*has no place for"):
        load(tmp_path)


def test_half_a_layer_is_refused(tmp_path):
    rewrite(save_model(tmp_path), lambda state: {key: v for key, v in state.items() if "layers.1.mlp" not in key})
    with pytest.raises(ModelError, match=r"3 tensors \(model.layers.1.mlp.down_proj.weight, .* and 1 more\) missing"):
        load(tmp_path)


def test_weights_of_another_shape_are_refused(tmp_path):
    rewrite(save_model(tmp_path), lambda state: state | {"model.norm.weight": torch.ones(31)})
    with pytest.raises(ModelError, match=r"model\.norm\.weight|shape|size"):
        load(tmp_path)


def test_weights_without_a_place_are_refused_unless_named(tmp_path):
    rewrite(save_model(tmp_path), lambda state: state | {"mtp.head.weight": torch.ones(3)})
    with pytest.raises(ModelError, match=r"mtp.head.weight.*no place for") as caught:
        load(tmp_path)
    assert 'model.ignore_weights=["^mtp"]' in caught.value.hint
    assert load(tmp_path, ignore_weights=["^mtp"]).layers == 2


def test_the_hint_names_every_weight_without_a_place():
    keys = {"mtp.0.weight", "mtp.1.weight", "score.weight", "value_head.bias"}
    with pytest.raises(ModelError) as caught:
        check_loading_report("m", {"unexpected_keys": keys})
    pattern = re.search(r'\["(.*)"\]', caught.value.hint)[1]
    check_loading_report("m", {"unexpected_keys": keys}, [pattern])


def test_a_sequence_classifier_is_refused(tmp_path):
    model = load(untied(tmp_path / "base"))
    classifier = transformers.LlamaForSequenceClassification(model.module.config)
    classifier.save_pretrained(tmp_path / "classifier")
    model.tokenizer.save_pretrained(tmp_path / "classifier")
    with pytest.raises(ModelError, match=r"lm_head.weight.*score.weight"):
        load(tmp_path / "classifier")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_named(value, tmp_path):
    def spoil(state):
        state["model.layers.1.mlp.up_proj.weight"][3, 5] = value
        return state

    rewrite(save_model(tmp_path), spoil)
    with pytest.raises(ModelError, match=r"1 tensor \(model.layers.1.mlp.up_proj.weight\) with NaN or infinite values"):
        load(tmp_path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.int8])
def test_finite_weights_of_any_type_pass(dtype):
    check_finite("m", [("w", torch.ones(4, 4).to(dtype)), ("empty", torch.zeros(0))])


def test_a_masked_language_model_is_refused(tmp_path):
    tokenizer = make_tokenizer("byte-level")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48
    )
    transformers.BertForMaskedLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="reads to the right"):
        load(tmp_path)


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-3)])
def test_rounding_is_not_reading_to_the_right(dtype, rounding):
    logits, noise = torch.linspace(-8, 8, 300).reshape(6, 50), torch.linspace(-1, 1, 300).reshape(6, 50)
    check_causal("m", logits.to(dtype), (logits + 8 * rounding * noise).to(dtype))
    with pytest.raises(ModelError, match="reads to the right"):
        check_causal("m", logits.to(dtype), (logits + 0.5 * noise).to(dtype))


def test_text_less_likely_than_chance_is_a_warning(tmp_path, caplog):
    load(save_model(tmp_path))
    assert "less likely than chance" in caplog.text
    caplog.clear()
    # A head of zeros gives chance itself.
    load(rewrite(tmp_path, lambda state: state | {"model.norm.weight": torch.zeros(32)}))
    assert "less likely" not in caplog.text


def test_only_token_ids_that_occur_need_an_embedding(tmp_path):
    check_token_ids("m", [3, 8, 9], 10)
    check_token_ids("m", [], 0)
    with pytest.raises(ModelError, match="ids up to 10, the model has 10 embeddings"):
        check_token_ids("m", [3, 10], 10)
    folder = save_model(tmp_path)
    tokenizer = load(folder).tokenizer
    tokenizer.add_tokens(["<spare>"])
    tokenizer.save_pretrained(folder)
    open_engine(load(folder)).plan(prompts_of(3))
    tokenizer.add_tokens([" positive", "Review"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(ModelError, match="its tokenizer gives ids up to"):
        open_engine(load(folder)).plan(prompts_of(3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda key: key.replace("base_model.model.", "base_model.model._orig_mod."), "none of its 8 tensors fits"),
        (lambda key: key.replace(".weight", ".default.weight"), "none of its 8 tensors fits"),
        (lambda key: key.replace("layers.1.", "layers.7."), "only 4 of its 8 tensors fits"),
        (lambda key: key if "lora_A" in key else None, "4 tensors .*lora_B.*missing"),
        (lambda key: key if "layers.0" in key else None, "4 tensors .*layers.1.*missing"),
        (lambda key: None, "8 tensors .*missing"),
    ],
)
def test_an_adapter_with_other_names_or_parts_is_refused(change, message, tmp_path):
    base = save_model(tmp_path / "base")
    adapter = save_adapter(tmp_path / "adapter", base)
    rewrite(adapter, lambda state: {change(key): value for key, value in state.items() if change(key)})
    with pytest.raises(ModelError, match=message):
        load(base, adapter=str(adapter))


def test_an_adapter_of_another_shape_or_not_finite_is_refused(tmp_path):
    base = save_model(tmp_path / "base")
    adapter = save_adapter(tmp_path / "adapter", base)
    good = load_file(adapter / "adapter_model.safetensors")
    key = next(iter(good))
    rewrite(adapter, lambda state: state | {key: torch.ones(3, 3)})
    with pytest.raises(ModelError, match="does not go onto"):
        load(base, adapter=str(adapter))
    rewrite(adapter, lambda state: good | {key: good[key] * float("nan")})
    with pytest.raises(ModelError, match="with NaN"):
        load(base, adapter=str(adapter))


def test_an_adapter_that_changes_nothing_is_refused(tmp_path):
    base = save_model(tmp_path / "base")
    adapter = save_adapter(tmp_path / "adapter", base)
    load(base, adapter=str(adapter))
    rewrite(adapter, lambda state: {key: value * ("lora_A" in key) for key, value in state.items()})
    with pytest.raises(ModelError, match="changes nothing in float32"):
        load(base, adapter=str(adapter))


OTHER_ADAPTERS = {
    "lora on everything": {"target_modules": "all-linear"},
    "lora on embeddings": {"target_modules": ["embed_tokens", "q_proj"]},
    "lora on the head": {"target_modules": ["lm_head", "q_proj"]},
    "whole modules": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "embed_tokens"]},
    "dora": {"target_modules": ["q_proj"], "use_dora": True},
    "rslora": {"target_modules": ["q_proj"], "use_rslora": True, "r": 8},
    "ranks of their own": {"target_modules": ["q_proj", "v_proj"], "rank_pattern": {"q_proj": 2}},
}


@pytest.mark.parametrize("options", OTHER_ADAPTERS.values(), ids=OTHER_ADAPTERS)
def test_every_kind_of_adapter_is_scored_as_a_plain_forward_pass_would(options, tmp_path):
    base = load(untied(tmp_path / "base"))
    before = {key: value.clone() for key, value in base.module.state_dict().items()}
    tuned = attach_adapter(base, str(save_adapter(tmp_path / "adapter", tmp_path / "base", **options)))
    assert all(torch.equal(before[key], value) for key, value in base.module.state_dict().items())
    engine = open_engine(tuned)
    plan = engine.plan(prompts_of(4))
    for batch in engine.score(plan):
        for number, row in zip(batch.index, batch.logprobs, strict=True):
            item = plan.items[number]
            for label, score in zip(item.labels, row, strict=True):
                ids = torch.tensor([[*plan.prefix, *item.body, *label]])
                with torch.no_grad():
                    logprobs = tuned.module(input_ids=ids).logits[0].log_softmax(-1)
                start = item.context - 1
                expected = sum(float(logprobs[start + k, token]) for k, token in enumerate(label))
                assert score == pytest.approx(expected, abs=1e-4)


def test_whole_layers_of_an_adapters_file_do_not_reach_the_base(tmp_path):
    base = load(untied(tmp_path / "base"))
    before = base.module.model.embed_tokens.weight.clone()
    adapter = save_adapter(tmp_path / "adapter", tmp_path / "base")
    key = "base_model.model.model.embed_tokens.weight"
    rewrite(adapter, lambda state: state | {key: before + 1})
    tuned = attach_adapter(base, str(adapter))
    assert torch.equal(base.module.model.embed_tokens.weight, before)
    assert torch.equal(tuned.module.get_base_model().model.embed_tokens.weight, before + 1)


def test_an_adapter_of_the_prompt_is_refused(tmp_path):
    import peft

    base = save_model(tmp_path / "base")
    module = transformers.AutoModelForCausalLM.from_pretrained(base)
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    peft.get_peft_model(module, config).save_pretrained(tmp_path / "adapter")
    with pytest.raises(ModelError, match="PROMPT_TUNING puts vectors of its own into the prompt"):
        load(base, adapter=str(tmp_path / "adapter"))


def test_a_report_without_problems_passes():
    check_loading_report("m", {"missing_keys": set(), "unexpected_keys": set(), "mismatched_keys": set()})
