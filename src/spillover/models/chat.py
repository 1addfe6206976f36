"""Prompts and training pairs in a model's own chat template: the only code that renders one.

1. `open_chat` decides: off, or one of two forms. A template that cannot be used is found here, before anything is
   scored.
2. The text is what the template writes up to the assistant's turn, thinking off, and then the start of the answer:
   label words are scored where the assistant would write them. The template writes all special tokens, the first too.
3. Text that holds one of the special tokens is refused: it would end a turn, or begin one.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from spillover.core.config import EvaluateConfig
from spillover.core.errors import ConfigError, DataError, ModelError, first_line
from spillover.core.files import hash_of
from spillover.core.types import Prompt, TrainingPair, Turn
from spillover.models.load import Model
from spillover.models.remote_model import RemoteModel
from spillover.models.served_model import ServedModel

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)

Form = Literal["single", "turns"]
AUTO_FORM: Form = "turns"
PLAIN = "--chat off asks without a template"
# What Llama's templates write where nobody gives a date: the text must not depend on the day.
DATE = "26 Jul 2024"
# A conversation that shows what a template does with it.
SAMPLE = (Turn("First question?", "First answer."), Turn("Second question?", ""))
OPEN_THOUGHT, NO_THOUGHT = "<think>", "<think>\n\n</think>\n\n"

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class ChatTemplate:
    """The chat template of one model in one form: `single`, shots and item in one user turn, or `turns`, each shot a
    user and an assistant turn. model: its name, for messages."""

    model: str
    tokenizer: PreTrainedTokenizerBase
    form: Form
    system_prompt: str | None = None

    def text(self, prompt: Prompt) -> str:
        """Everything before the label word.

        DataError for an item that holds a special token, ModelError where the template fails or changes the item.
        """
        *shots, item = prompt.turns
        if prompt.content:
            self._refuse_special_tokens(f"{prompt.language} {prompt.example_id}", _texts(prompt.turns))
        if self.form == "single":
            shots, item = [], Turn((prompt.prefix + item.question).strip(), item.answer)
        return self.rendered(self._messages([*shots, item])) + item.answer

    def pair(self, pair: TrainingPair) -> tuple[str, str]:
        """(the text up to where a pair's completion starts, the completion without its end of turn). As `text`."""
        self._refuse_special_tokens(f"training pair {pair.id}", (pair.prompt, pair.completion))
        start = self.rendered(self._messages([Turn(pair.prompt.strip(), "")]))
        return start, pair.completion.strip()

    @cached_property
    def key(self) -> str:
        """A hash of all that the text depends on besides the prompts: the template, its special tokens, the system
        prompt, and whatever else it writes."""
        template = self.tokenizer.get_chat_template()
        sample = SAMPLE if self.form == "turns" else SAMPLE[-1:]
        return hash_of([template, self.form, self.rendered(self._messages(sample))])[:8]

    @cached_property
    def end_of_turn(self) -> str:
        """What the template writes after an assistant's turn, up to the token that ends it; "" where it writes none."""
        answer = SAMPLE[0].answer
        messages = [*self._messages(SAMPLE[:1]), _message("assistant", answer)]
        rendered = self.rendered(messages, end=True)
        after = rendered[rendered.rindex(answer) + len(answer) :]
        match = self._special_tokens.search(after)
        return after[: match.end()] if match else ""

    @cached_property
    def _special_tokens(self) -> re.Pattern[str]:
        """The special tokens, and the other added ones that the template writes, such as `<think>`."""
        template = self.tokenizer.get_chat_template()
        added = self.tokenizer.added_tokens_decoder.values()
        special = [t.content for t in added if t.content.strip() and (t.special or t.content in template)]
        return re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))) or r"(?!)")

    def _refuse_special_tokens(self, where: str, texts: Sequence[str]) -> None:
        for text in texts:
            if match := self._special_tokens.search(text):
                raise DataError(
                    f"{where}: it holds {match[0]!r}, which {self.model} reads as a special token of its chat template",
                    hint=f"take it out of the text; {PLAIN}, and reads it as a special token too",
                )

    def _messages(self, turns: Sequence[Turn]) -> Messages:
        """The system prompt, the turns, and the last one's question without an answer."""
        messages = [] if self.system_prompt is None else [_message("system", self.system_prompt.strip())]
        for shot in turns[:-1]:
            messages += [_message("user", shot.question), _message("assistant", shot.answer)]
        return [*messages, _message("user", turns[-1].question)]

    def rendered(self, messages: Messages, *, end: bool = False) -> str:
        """What the template writes of messages, and the beginning of an assistant's turn unless `end`. ModelError when
        it fails, or when a message isn't in it as it is."""
        try:
            text = str(
                self.tokenizer.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=not end, enable_thinking=False, date_string=DATE
                )
            )
        except Exception as error:  # noqa: BLE001  # Jinja's own, and whatever a template's code raises
            raise ModelError(f"{self.model}: its chat template fails: {first_line(error)}", hint=PLAIN) from None
        for message in messages:
            if message["content"] not in text:
                raise ModelError(
                    f"{self.model}: its chat template leaves out or changes the text of a {message['role']} turn: "
                    f"{message['content'][:60]!r}",
                    hint=PLAIN,
                )
        # A template that always opens a thought has no switch: the thought is closed, and empty.
        bare = text.rstrip()
        return bare.removesuffix(OPEN_THOUGHT) + NO_THOUGHT if bare.endswith(OPEN_THOUGHT) and not end else text


def open_chat(model: Model | ServedModel | RemoteModel, config: EvaluateConfig) -> ChatTemplate | None:
    """The chat template of a model as `config.chat` asks for it; None for plain text.

    ConfigError for a form or a system prompt that the model has no template for, or a system prompt that its template
    refuses. ModelError where its template fails.
    """
    chat = None if config.chat == "off" else _usable(model, config)
    if chat is None and config.system_prompt is not None:
        raise ConfigError(
            f"evaluate.system_prompt: {model.ref.name} is asked without a chat template, so nothing would read it",
            hint="leave it out, or --chat turns with an instruct model",
        )
    return chat


def _usable(model: Model | ServedModel | RemoteModel, config: EvaluateConfig) -> ChatTemplate | None:
    name = model.ref.name
    if not model.tokenizer.chat_template:
        if config.chat == "auto":
            return None
        raise ConfigError(
            f"evaluate.chat: {config.chat}: {name} has no chat template", hint=f"{PLAIN}; or take its instruct version"
        )
    form: Form = AUTO_FORM if config.chat == "auto" or config.chat == "off" else config.chat
    chat = ChatTemplate(name, model.tokenizer, form, config.system_prompt)
    try:
        _ = chat.key, chat.end_of_turn
    except ModelError as error:
        if chat.system_prompt is None:
            raise
        _ = replace(chat, system_prompt=None).key  # where this fails too, the system prompt is not to blame
        reason = error.message.partition(": ")[2]
        raise ConfigError(
            f"evaluate.system_prompt: {name} takes none: {reason}",
            hint="leave it out, or put it into the template of the task",
        ) from None
    return None if config.chat == "auto" and not _ends_with_turn(model, chat) else chat


def chat_settings(chat: ChatTemplate | None) -> dict[str, str | None]:
    """What a stage's settings record of a chat template; nothing for plain text: settings of before it hold."""
    if chat is None:
        return {}
    return {"chat": chat.form, "chat_template": chat.key, "system_prompt": chat.system_prompt}


def log_chat(model: Model | ServedModel | RemoteModel, config: EvaluateConfig, chat: ChatTemplate | None) -> None:
    """Say in which form a model with a chat template is asked, and warn where an instruct model is asked without it."""
    name = model.ref.name
    if chat is not None:
        log.info("%s is asked in its chat template, form %s (evaluate.chat: %s)", name, chat.form, config.chat)
    elif not model.tokenizer.chat_template:
        return
    elif config.chat == "auto":
        log.info(
            "%s has a chat template, but its end of turn does not end its texts, as in a base model: asked without it; "
            "--chat turns uses it", name,
        )  # fmt: skip
    elif _is_instruct(model):
        log.warning("%s is an instruct model, and is asked without its chat template; --chat auto uses it", name)


def _is_instruct(model: Model | ServedModel | RemoteModel) -> bool:
    try:
        return _ends_with_turn(model, ChatTemplate(model.ref.name, model.tokenizer, AUTO_FORM))
    except ModelError:  # the template fails, which may be why it is off
        return False


def _ends_with_turn(model: Model | ServedModel | RemoteModel, chat: ChatTemplate) -> bool:
    """Whether the token that ends a turn ends the model's texts too. Base models often carry the template of their
    instruct version, and go on."""
    end = chat.end_of_turn
    ids = model.tokenizer(end, add_special_tokens=False)["input_ids"] if end else []
    return bool(ids) and ids[-1] in end_tokens(model)


def end_tokens(model: Model | ServedModel | RemoteModel) -> set[int]:
    """The tokens that end a text, by the tokenizer and by the model's settings for generation."""
    ends = [model.tokenizer.eos_token_id, getattr(model.generation_config, "eos_token_id", None)]
    return {token for end in ends if end is not None for token in (end if isinstance(end, list) else [end])}


def _texts(turns: Sequence[Turn]) -> list[str]:
    return [text for turn in turns for text in (turn.question, turn.answer)]


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
