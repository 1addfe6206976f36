"""A model's tokenizer without its weights: what the audit needs of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spillover.core.types import Prompt
from spillover.models.label_tokens import tokenize_prompts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Counter:
    """Tokens of texts and of label words. `context`: the longest prompt the model was made for, in tokens."""

    name: str
    context: int
    tokenizer: PreTrainedTokenizerBase

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, nothing added."""
        return [len(ids) for ids in self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]]

    def label_tokens(self, prompt: Prompt) -> tuple[tuple[int, ...], ...]:
        """The tokens each answer's log-probability sums. DataError when two answers have the same."""
        return tokenize_prompts(self.tokenizer, [prompt])[0].labels


def load_tokenizer(name: str, *, revision: str | None = None, trust_remote_code: bool = False) -> Counter:
    """The tokenizer of a model by any name that `load_model` takes. ModelError when it cannot be loaded."""
    import transformers

    from spillover.core.errors import ModelError, first_line
    from spillover.models.packaged_model import local_path
    from spillover.models.registry import model_names

    path = local_path(name)
    options = {"revision": revision, "trust_remote_code": trust_remote_code}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(path, **options)
        config = transformers.AutoConfig.from_pretrained(path, **options).get_text_config()
    except Exception as error:  # noqa: BLE001  # tokenizers raises types of its own
        hint = f"give {model_names()}"
        raise ModelError(f"tokenizer {name!r}: {first_line(error)}", hint=hint) from None
    return Counter(name, int(getattr(config, "max_position_embeddings", None) or 10**9), tokenizer)
