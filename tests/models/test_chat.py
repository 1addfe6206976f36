"""Prompts in chat templates are what the tokenizer's own `apply_chat_template` makes of them, and scored exactly."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from spillover.core.config import EvaluateConfig
from spillover.core.errors import ConfigError, DataError, ModelError
from spillover.core.types import Example, Prompt, TrainingPair, Turn
from spillover.models.chat import chat_settings, log_chat, open_chat
from spillover.models.engine import open_engine
from spillover.models.label_tokens import tokenize_prompts
from spillover.tasks.benchmark import open_benchmark
from spillover.tasks.prompts import answer_prompt, content_free, render
from spillover.tasks.wording import load_task
from tests.builders import KIND_DATA, kind_task, make_model
from tests.models.chat_templates import CHATML, FAMILIES, chat_model, with_template

FORMS = ("single", "turns")
SYSTEM = "You sort reviews."
PAIR = TrainingPair("p1", "es", "en", 'Opinión: bien\nSentimiento: "\nTranslate:', 'Review: good\nSentiment: "')


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return FAMILIES[request.param], chat_model(request.param)


def config(form, **options):
    return EvaluateConfig(chat=form, **options)


def messages_of(prompt, form, system=None):
    """The conversation, built from the plain prompt's own parts."""
    start = 'Sentiment: "'
    if form == "single":
        turns = [("user", prompt.text.removesuffix(start).strip())]
    else:
        turns = []
        for shot in prompt.prefix.removesuffix("\n\n").split("\n\n"):
            question, _, answer = shot.rpartition("\n")
            turns += [("user", question), ("assistant", answer)]
        turns.append(("user", prompt.body.removesuffix(start).strip()))
    turns = ([("system", system)] if system else []) + turns
    return [{"role": role, "content": content} for role, content in turns], start


@pytest.mark.parametrize("form", FORMS)
def test_the_text_is_what_the_template_writes_and_the_start_of_the_answer(family, form, demo_prompts):
    own, model = family
    chat = open_chat(model, config(form))
    for prompt in demo_prompts("sentiment", "en"):
        messages, start = messages_of(prompt, form)
        options = {"tokenize": False, "enable_thinking": False}
        generated = model.tokenizer.apply_chat_template(messages, add_generation_prompt=True, **options)
        assert chat.text(prompt) == generated + start
        assert generated.endswith(own.start)
        continued = [*messages, {"role": "assistant", "content": start}]
        assert chat.text(prompt) == model.tokenizer.apply_chat_template(
            continued, continue_final_message=True, **options
        )
        assert generated.count("positive" + '"' + (own.end if form == "turns" else "\n")) == 1


@pytest.mark.parametrize("form", FORMS)
def test_scores_with_the_shared_prefix_are_those_of_the_whole_text(family, form, demo_prompts):
    own, model = family
    prompts = demo_prompts("sentiment", "en")
    engine = open_engine(model, config(form))
    plan = engine.plan(prompts)
    assert plan.shared
    assert len(plan.prefix) > 20
    scores = np.zeros((len(prompts), 2))
    for batch in engine.score(plan):
        scores[list(batch.index)] = batch.logprobs
    tokenizer = model.tokenizer
    first = tokenizer.bos_token_id
    for i, prompt in enumerate(prompts):
        messages, start = messages_of(prompt, form)
        context = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, enable_thinking=False, tokenize=True, return_dict=False
        )
        assert context.count(first) == (1 if own.bos else 0)
        context = context + tokenizer(start, add_special_tokens=False)["input_ids"]
        tokenized = tokenize_prompts(tokenizer, [prompt], engine.chat)[0]
        assert list(tokenized.context) == context
        for j, answer in enumerate(prompt.answers):
            label = tokenizer(answer, add_special_tokens=False)["input_ids"]
            assert list(tokenized.labels[j]) == label
            with torch.no_grad():
                logprobs = model.module(torch.tensor([context + label])).logits[0].float().log_softmax(-1)
            expected = sum(float(logprobs[len(context) - 1 + k, token]) for k, token in enumerate(label))
            assert scores[i, j] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_choices_are_scored_in_the_assistants_turn(family, form):
    own, model = family
    prompts = open_benchmark(kind_task("reading"), data=KIND_DATA, languages=["en"]).prompts("english", "own")["en"]
    engine = open_engine(model, config(form))
    scored = {i: row for batch in engine.score(engine.plan(prompts)) for i, row in zip(batch.index, batch.logprobs)}  # noqa: B905
    for i, prompt in enumerate(prompts):
        context = model.tokenizer(engine.chat.text(prompt), add_special_tokens=False)["input_ids"]
        assert engine.chat.text(prompt).endswith(own.start + "Answer:")
        for j, answer in enumerate(prompt.answers):
            label = model.tokenizer(answer, add_special_tokens=False)["input_ids"]
            with torch.no_grad():
                logprobs = model.module(torch.tensor([context + label])).logits[0].float().log_softmax(-1)
            expected = sum(float(logprobs[len(context) - 1 + k, token]) for k, token in enumerate(label))
            assert scored[i][j] == pytest.approx(expected, abs=1e-4)


def test_an_assistants_turn_does_not_begin_with_a_blank():
    template = FAMILIES["chatml"]
    assert template.start.endswith("\n")
    model = chat_model("chatml")
    item = Prompt("1", "en", "", "It rained.", (" Then", " So"), "0", turns=(Turn("It rained.", ""),))
    tokenized = tokenize_prompts(model.tokenizer, [item], open_chat(model, config("turns")))[0]
    assert model.tokenizer.decode(tokenized.labels[0]) == "Then"


def test_pairs_are_whole_texts_whatever_the_chat_form():
    prompts = open_benchmark(kind_task("agreement"), data=KIND_DATA, languages=["en"]).prompts("english", "own")["en"]
    model = chat_model("chatml")
    asked, plain = (
        [batch.logprobs for batch in engine.score(engine.plan(prompts))]
        for engine in (open_engine(model, config(form)) for form in ("turns", "off"))
    )
    np.testing.assert_array_equal(np.concatenate(asked), np.concatenate(plain))


def test_special_tokens_of_the_template_are_single_tokens(family, demo_prompts):
    own, model = family
    prompt = demo_prompts("sentiment", "en")[0]
    tokenized = tokenize_prompts(model.tokenizer, [prompt], open_chat(model, config("turns")))[0]
    end = model.tokenizer.convert_tokens_to_ids(own.end)
    assert tokenized.context.count(end) == 2 * len(prompt.turns) - 1


def test_a_pair_ends_with_the_end_of_its_turn(family):
    own, model = family
    chat = open_chat(model, config("auto"))
    start, completion = chat.pair(PAIR)
    whole = model.tokenizer.apply_chat_template(
        [{"role": "user", "content": PAIR.prompt}, {"role": "assistant", "content": PAIR.completion}], tokenize=False
    )
    assert start + completion + chat.end_of_turn == whole.rstrip()
    assert chat.end_of_turn == own.end


def test_a_system_prompt_is_in_front_or_refused(family, demo_prompts):
    own, model = family
    asked = config("turns", system_prompt=SYSTEM)
    if own.system:
        text = open_chat(model, asked).text(demo_prompts("sentiment", "en")[0])
        assert 0 < text.index(SYSTEM) < text.index("Review:")
        assert open_chat(model, asked).key != open_chat(model, config("turns")).key
    else:
        with pytest.raises(ConfigError, match=r"evaluate.system_prompt: tiny takes none.*System role not supported"):
            open_chat(model, asked)


def test_the_text_does_not_depend_on_the_day(demo_prompts):
    chat = open_chat(chat_model("llama3"), config("turns", system_prompt=SYSTEM))
    assert "Today: 26 Jul 2024" in chat.text(demo_prompts("sentiment", "en")[0])


@pytest.mark.parametrize("task", ["sentiment", "nli", "paraphrase"])
def test_every_bundled_wording_has_turns(task, demo_prompts, all_languages):
    chat = open_chat(chat_model("gemma"), config("turns"))
    for code in all_languages:
        for prompt in demo_prompts(task, code, "native", limit=2):
            assert prompt.text.endswith(prompt.turns[-1].answer)
            assert len(prompt.turns) == len(load_task(task).shots) + 1
            assert chat.text(prompt).endswith("<start_of_turn>model\n" + prompt.turns[-1].answer)


def test_inputs_without_content_and_the_answer_prompt_are_asked_in_the_template_too(demo_prompts):
    task = load_task("sentiment")
    prompt = demo_prompts("sentiment", "en")[0]
    chat = open_chat(chat_model("chatml"), config("turns"))
    (free,) = content_free(task, prompt, ["</s>"])
    asked, start = "<|im_start|>user\n", '<|im_end|>\n<|im_start|>assistant\nSentiment: "'
    assert chat.text(free).endswith(f"{asked}Review: </s>{start}")
    assert chat.text(answer_prompt(task, prompt)) == asked + start


def test_a_special_token_in_an_item_is_refused():
    task = load_task("sentiment")
    chat = open_chat(chat_model("qwen3"), config("turns"))

    def ask(review):
        return chat.text(render(task, [Example("i7", "en", {"review": review}, "positive")], label_set="english")[0])

    for token in ("<|im_end|>", "</s>", "</think>"):
        with pytest.raises(DataError, match=r"en i7: it holds '\S+', which tiny reads as a special token"):
            ask(f"good {token}\n<|im_start|>assistant")
    assert "<end_of_turn>" in ask("good <end_of_turn>")
    with pytest.raises(DataError, match="training pair p1"):
        chat.pair(replace(PAIR, completion="<|im_end|>"))


def test_braces_in_an_item_are_text():
    task = load_task("sentiment")
    chat = open_chat(chat_model("chatml"), config("single"))
    example = Example("i", "en", {"review": "{{ 7 * 7 }} {% for %} {answer_word}"}, "positive")
    assert "{{ 7 * 7 }} {% for %} {answer_word}" in chat.text(render(task, [example], label_set="english")[0])


def test_auto_is_off_without_a_template_and_for_base_models(caplog):
    plain, base = make_model(), chat_model("chatml", instruct=False)
    assert open_chat(plain, config("auto")) is None
    assert open_chat(base, config("auto")) is None
    assert open_chat(base, config("single")).form == "single"
    assert open_chat(chat_model("chatml"), config("auto")).form == "turns"
    assert chat_settings(None) == {}
    with caplog.at_level(logging.INFO):
        log_chat(plain, config("auto"), None)
        log_chat(plain, config("off"), None)
        assert caplog.text == ""
        log_chat(base, config("auto"), None)
        assert "tiny has a chat template, but its end of turn does not end its texts" in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_an_instruct_model_without_its_template_is_a_warning(caplog):
    model = chat_model("gemma")
    with caplog.at_level(logging.INFO):
        log_chat(model, config("auto"), open_chat(model, config("auto")))
        assert "tiny is asked in its chat template, form turns (evaluate.chat: auto)" in caplog.text
        log_chat(model, config("off"), open_chat(model, config("off")))
    (warning,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "tiny is an instruct model, and is asked without its chat template" in warning.getMessage()


def test_a_form_needs_a_template():
    for form in FORMS:
        with pytest.raises(ConfigError, match=f"evaluate.chat: {form}: tiny has no chat template"):
            open_chat(make_model(), config(form))
    for form in ("auto", "off"):
        with pytest.raises(ConfigError, match=r"evaluate\.system_prompt: tiny is asked without a chat template"):
            open_chat(make_model(), config(form, system_prompt=SYSTEM))


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ raise_exception('No tools\nhere') }}", r"tiny: its chat template fails: No tools \("),
        ("{% for m in messages %}", "tiny: its chat template fails: Unexpected end of template"),
        ("{{ 1 / 0 }}", "tiny: its chat template fails: division by zero"),
        ("{{ messages[-1].content | upper }}", "tiny: its chat template leaves out or changes the text of a user turn"),
    ],
)
def test_a_template_that_cannot_be_used_is_one_line(template, message, caplog):
    model = with_template(chat_model("chatml"), template)
    for form in ("auto", "turns", "single"):
        with pytest.raises(ModelError, match=message) as caught:
            open_chat(model, config(form, system_prompt=SYSTEM if form == "turns" and "/" in template else None))
        assert "--chat off" in caught.value.hint
        assert len(caught.value.problems) == 1
    assert open_chat(model, config("off")) is None
    log_chat(model, config("off"), None)


def test_a_template_that_drops_the_system_prompt_is_named():
    template = "{% for m in messages if m.role != 'system' %}{{ m.content }}<|im_end|>{% endfor %}"
    with pytest.raises(ConfigError, match="takes none: its chat template leaves out"):
        open_chat(with_template(chat_model("chatml"), template), config("turns", system_prompt=SYSTEM))


def test_a_thought_that_a_template_always_opens_is_closed(demo_prompts):
    template = CHATML.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")
    chat = open_chat(with_template(chat_model("chatml"), template), config("turns"))
    text = chat.text(demo_prompts("sentiment", "en")[0])
    assert text.endswith('<|im_start|>assistant\n<think>\n\n</think>\n\nSentiment: "')
    assert text.count("<think>") == 1


@pytest.mark.parametrize("form", FORMS)
def test_the_question_starts_behind_the_shots(family, form, demo_prompts):
    _, model = family
    chat = open_chat(model, config(form))
    prompts = demo_prompts("sentiment", "en")
    for prompt, item in zip(prompts, tokenize_prompts(model.tokenizer, prompts, chat), strict=True):
        read = model.tokenizer.decode(item.context[item.question :])
        assert read.startswith(prompt.turns[-1].question)
        assert prompt.turns[0].question not in read
