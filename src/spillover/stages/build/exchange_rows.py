"""A row of another trainer's file → prompt and completion.

1. Where the row keeps what: as its dataset_info.json says, else as the tool of its format names it.
2. The system prompt, the question and the answer: in columns (alpaca, prompt and completion), or in turns (sharegpt,
   OpenAI's messages).
3. The system prompt goes in front of the question, with a line break between, as LLaMA-Factory joins instruction and
   input. There, a template puts it in the same place.

What a pair cannot hold is refused by its name and never left out: earlier turns, whose answers are trained on there,
and whose languages nothing says here; tools, images, preferences, and weights other than 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spillover.core.errors import DataError

# LLaMA-Factory's words for columns and tags → the names they have where dataset_info.json gives none.
ALPACA = {"prompt": "instruction", "query": "input", "response": "output"}
CONVERSATION = {"messages": "conversations"}
OPTIONAL = {name: name for name in ("system", "history", "tools", "images", "videos", "audios", "chosen", "rejected")}
SHAREGPT_TAGS = {
    "role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt", "system_tag": "system",
}  # fmt: skip
OPENAI_TAGS = {
    "role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
    "system_tag": "system",
}  # fmt: skip

FORMATTINGS = ("alpaca", "sharegpt", "openai")
# Without text in these, a row is a pair.
BESIDE_A_PAIR = ("tools", "images", "videos", "audios", "chosen", "rejected")
BESIDE_A_TURN = ("tool_calls", "function_call", "reasoning_content")
# OpenAI's, axolotl's and LLaMA-Factory's words for which answers are trained on, and the values that mean "this one".
WEIGHTS = ("weight", "loss", "loss_mask", "training")
TRAINED = (None, 1, [0, 1], [1, 1], [0, 0, 1])
SHAPES = "{prompt, completion}, {instruction, output}, {conversations}, {messages}, or {input, answer}"


def entry_names(place: str, entry: Mapping[str, Any]) -> dict[str, str]:
    """Columns and tags of an entry of dataset_info.json by LLaMA-Factory's words for them. As there, an entry with
    `columns` has only those that it names. DataError for rows that are no pairs, or only a part of them."""
    formatting = entry.get("formatting", "alpaca")
    if formatting not in FORMATTINGS:
        raise DataError(f"{place}: formatting {formatting!r} is not known", hint=f"one of {', '.join(FORMATTINGS)}")
    if entry.get("ranking"):
        raise DataError(f"{place}: ranking: preferences are not pairs", hint="give a data set for supervised training")
    if entry.get("num_samples"):
        raise DataError(
            f"{place}: num_samples: {entry['num_samples']}: a sample is not drawn here", hint="give a file of that many"
        )
    columns = {name: column for name, column in (entry.get("columns") or {}).items() if isinstance(column, str)}
    defaults = ALPACA if formatting == "alpaca" else CONVERSATION
    tags = {} if formatting == "alpaca" else SHAREGPT_TAGS | dict(entry.get("tags") or {})
    return (columns or defaults) | tags


def prompt_and_completion(place: str, row: Mapping[str, Any], names: Mapping[str, str] | None) -> tuple[str, str]:
    """(prompt, completion) of a row. names: as `entry_names` gives them, None for a file without dataset_info.json.

    DataError, which starts with `place`, for a row that is no pair, or more than one."""
    if names is None:
        names = _usual_names(place, row)
    else:
        _check_unnamed(place, row, names)
    _check_extras(place, row, names)
    if "messages" in names:
        system, prompt, completion = _from_turns(place, row, names)
    else:
        # LLaMA-Factory joins instruction and input with a line break.
        parts = [_text(place, row, names[name]) for name in ("prompt", "query") if name in names]
        system, prompt = "", "\n".join(part for part in parts if part)
        completion = _text(place, row, names["response"]) if "response" in names else ""
    column = _text(place, row, names["system"]) if "system" in names else ""
    if system and column and system != column:
        raise DataError(f"{place}: two system prompts", hint=f"one in column {names['system']!r}, or one as a turn")
    system = system or column
    if not prompt:
        raise DataError(f"{place}: not a pair: the prompt is empty", hint=f"expected {SHAPES}")
    if not completion.strip():
        raise DataError(f"{place}: not a pair: the answer is empty", hint="take the row out, or write its answer")
    return (f"{system}\n{prompt}" if system else prompt), completion


def _usual_names(place: str, row: Mapping[str, Any]) -> dict[str, str]:
    """The names of the format that a row without dataset_info.json has."""
    if {"prompt", "completion"} <= set(row):
        if isinstance(row["prompt"], list):  # TRL's conversational form
            return {"messages": "prompt", "answer": "completion"} | OPENAI_TAGS | OPTIONAL
        return {"prompt": "prompt", "response": "completion"} | OPTIONAL
    for column, tags in (("conversations", SHAREGPT_TAGS), ("messages", OPENAI_TAGS)):
        if column in row:
            return {"messages": column} | tags | OPTIONAL
    if "instruction" in row:
        return ALPACA | OPTIONAL
    if {"input", "answer"} <= set(row):
        return {"prompt": "input", "response": "answer"} | OPTIONAL
    raise DataError(f"{place}: not a pair: its columns are {', '.join(map(str, row))}", hint=f"expected {SHAPES}")


def _check_unnamed(place: str, row: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """DataError for a filled column with one of the usual names that dataset_info.json does not name: LLaMA-Factory
    would leave it out."""
    usual = ALPACA | CONVERSATION | OPTIONAL
    named = {names[word] for word in usual if word in names}
    for word, column in usual.items():
        if row.get(column) and column not in named:
            raise DataError(
                f"{place}: column {column!r} is filled, but dataset_info.json does not name it",
                hint=f'"{word}": "{column}" in its columns, or take it out of the rows',
            )


def _check_extras(place: str, row: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """DataError for what a row has and a pair has not."""
    for name in BESIDE_A_PAIR:
        if name in names and row.get(names[name]):
            raise DataError(f"{place}: column {names[name]!r} is filled: a pair has no {name}", hint="take the row out")
    rounds = row.get(names["history"]) if "history" in names else None
    if rounds:
        raise DataError(
            f"{place}: column {names['history']!r} has {len(rounds)} earlier round{'s' * (len(rounds) > 1)}: "
            "a pair has none",
            hint="make each answer that is to be learned a row of its own",
        )
    kto = names.get("kto_tag", "label")
    if row.get(kto) is False:
        raise DataError(f"{place}: column {kto!r} is false: an answer that is not wanted", hint="take the row out")
    _check_weight(place, row)


def _check_weight(place: str, row: Mapping[str, Any]) -> None:
    for name in WEIGHTS:
        if row.get(name) not in TRAINED:
            raise DataError(
                f"{place}: {name} is {row[name]}: every pair is trained on alike", hint=f"take out {name}, or the row"
            )


def _from_turns(place: str, row: Mapping[str, Any], names: Mapping[str, str]) -> tuple[str, str, str]:
    """(system prompt or "", prompt, completion) of a row whose texts stand in turns."""
    role, content = names["role_tag"], names["content_tag"]
    turns = row.get(names["messages"])
    if "answer" in names and isinstance(turns, list) and isinstance(row[names["answer"]], list):
        turns = [*turns, *row[names["answer"]]]
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise DataError(
            f"{place}: column {names['messages']!r} is no list of turns", hint=f'[{{"{role}": ..., "{content}": ...}}]'
        )
    for turn in turns:
        _check_weight(place, turn)
        if extra := [name for name in BESIDE_A_TURN if turn.get(name)]:
            raise DataError(f"{place}: a turn has {extra[0]}: a pair has none", hint="take the row out")
    roles = [str(turn.get(role)) for turn in turns]
    first = int(roles[:1] == [names.get("system_tag")])
    if roles[first:] != [names["user_tag"], names["assistant_tag"]]:
        raise DataError(_wrong_turns(place, roles, names), hint=_turns_hint(roles[first:], names))
    system = _text(place, turns[0], content) if first else ""
    return system, _text(place, turns[first], content), _text(place, turns[first + 1], content)


def _wrong_turns(place: str, roles: Sequence[str], names: Mapping[str, str]) -> str:
    expected = f"{names['user_tag']}, {names['assistant_tag']}"
    return (
        f"{place}: {len(roles)} turn{'s' * (len(roles) != 1)} ({', '.join(roles)}): a pair has two ({expected}), "
        f"and may have {names.get('system_tag', 'system')} in front"
    )


def _turns_hint(roles: Sequence[str], names: Mapping[str, str]) -> str:
    expected = [names["user_tag"], names["assistant_tag"]]
    if len(roles) > 2 and set(roles) == set(expected):
        return "make each answer that is to be learned a row of its own"
    if len(roles) == 2 and set(roles) != set(expected):
        return "the tags in dataset_info.json say what the roles are called"
    return "take the row out, or put its turns in order"


def _text(place: str, values: Mapping[str, Any], name: str) -> str:
    """A text by its name; "" where it is absent or null."""
    value = values.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataError(f"{place}: {name!r} is {type(value).__name__}, not text", hint="write it as one text")
    return value
