"""Chat templates of four families, written short, on tokenizers that know their special tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tokenizers import AddedToken

from spillover.models.load import Model
from tests.builders import make_model


@dataclass(frozen=True)
class Family:
    """template: Jinja. special: its special tokens. end: the one that ends a turn. bos: what begins a text; "" where
    nothing does. system: whether a system prompt is taken. start: of the assistant's turn."""

    template: str
    special: tuple[str, ...]
    end: str
    bos: str
    system: bool
    start: str


GEMMA = """{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}\
{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}\
<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}
{{ m.content | trim }}<end_of_turn>
{% endfor %}{% if add_generation_prompt %}<start_of_turn>model
{% endif %}"""
LLAMA3 = """{{ bos_token }}{% set date = date_string or strftime_now('%d %b %Y') %}{% for m in messages %}\
<|start_header_id|>{{ m.role }}<|end_header_id|>

{% if m.role == 'system' %}Today: {{ date }}
{% endif %}{{ m.content | trim }}<|eot_id|>{% endfor %}\
{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>

{% endif %}"""
CHATML = """{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
QWEN3 = """{% for m in messages %}<|im_start|>{{ m.role }}
{% if m.role == 'assistant' and loop.last %}<think>

</think>

{% endif %}{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and enable_thinking is false %}<think>

</think>

{% endif %}{% endif %}"""
CHAT_TOKENS = ("<|im_start|>", "<|im_end|>")

FAMILIES = {
    "gemma": Family(
        GEMMA, ("<start_of_turn>", "<end_of_turn>"), "<end_of_turn>", "<s>", False, "<start_of_turn>model\n"
    ),
    "llama3": Family(
        LLAMA3,
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "<|eot_id|>",
        "<s>",
        True,
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    "qwen3": Family(
        QWEN3, (*CHAT_TOKENS, "</think>", "<think>"), "<|im_end|>", "", True,
        "<|im_start|>assistant\n<think>\n\n</think>\n\n",
    ),
    "chatml": Family(CHATML, CHAT_TOKENS, "<|im_end|>", "", True, "<|im_start|>assistant\n"),
}  # fmt: skip


def chat_model(name: str, *, instruct: bool = True) -> Model:
    """A tiny random model whose tokenizer has a family's template and adds a first token to plain text. instruct: the
    end of a turn ends its texts."""
    family = FAMILIES[name]
    model = make_model()
    tokenizer = model.tokenizer
    # <think> is an added token, and not a special one, in Qwen 3.
    tokens = [AddedToken(token, special="think" not in token, normalized=False) for token in family.special]
    tokenizer.add_tokens(tokens)
    tokenizer.chat_template = family.template
    tokenizer.backend_tokenizer.post_processor = first_token(tokenizer)
    module = model.module
    module.resize_token_embeddings(len(tokenizer))
    if instruct:
        module.generation_config.eos_token_id = [2, tokenizer.convert_tokens_to_ids(family.end)]
    return replace(model, module=module.eval())


def first_token(tokenizer):
    """The post-processor of Llama and Gemma: a text begins with <s>."""
    from tokenizers.processors import TemplateProcessing

    return TemplateProcessing("<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)])


def with_template(model: Model, template: str | None) -> Model:
    """The model with another template."""
    model.tokenizer.chat_template = template
    return model
