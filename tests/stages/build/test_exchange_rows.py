"""Rows as other tools document them: every text of a row is in the pair, or the row is refused by name."""

from __future__ import annotations

import json
import logging

import pytest

from spillover.core.errors import DataError
from spillover.stages.build.formats import read_exchange

QUESTION = "Die Katze wartet.\nTranslate the input from German to English:\n"
ANSWER = "The cat waits."
HUMAN, GPT = {"from": "human", "value": QUESTION}, {"from": "gpt", "value": ANSWER}
USER, ASSISTANT = {"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}
SYSTEM = {"role": "system", "content": "Write plainly."}
ALPACA = {"instruction": QUESTION, "input": "", "output": ANSWER}
OPENAI_TAGS = {
    "role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
    "system_tag": "system",
}  # fmt: skip
MESSAGES = {"formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": OPENAI_TAGS}


def read(tmp_path, row, entry=None):
    """The pair of one row; entry: what dataset_info.json says of its file."""
    path = tmp_path / "t.json"
    path.write_text("[\n" + json.dumps(row) + "\n]\n")
    if entry is None:
        (pair,) = read_exchange(path)
    else:
        (tmp_path / "dataset_info.json").write_text(json.dumps({"t": {"file_name": "t.json"} | entry}))
        (pair,) = read_exchange(tmp_path)
    assert (pair.source, pair.target) == ("de", "en")
    return pair.prompt, pair.completion


@pytest.mark.parametrize(
    ("row", "entry"),
    [
        ({"prompt": QUESTION, "completion": ANSWER}, None),
        ({"prompt": [USER], "completion": [ASSISTANT]}, None),  # TRL's conversational form
        ({"messages": [USER, ASSISTANT]}, None),
        ({"conversations": [HUMAN, GPT]}, None),
        ({"conversations": [HUMAN, GPT]}, {"formatting": "sharegpt"}),
        (ALPACA, None),
        (ALPACA, {}),
        ({"input": QUESTION, "answer": ANSWER}, None),
        ({"messages": [USER, ASSISTANT]}, MESSAGES),
        ({"messages": [USER, ASSISTANT]}, MESSAGES | {"formatting": "openai"}),
        ({"q": QUESTION, "a": ANSWER}, {"columns": {"prompt": "q", "response": "a"}}),
        ({"input": QUESTION, "output": ANSWER}, {"columns": {"prompt": "input", "response": "output"}}),
        (ALPACA | {"system": "", "history": [], "tools": None}, None),
        ({"messages": [USER, ASSISTANT | {"weight": 1}], "weight": 1.0}, None),
        ({"messages": [USER, ASSISTANT], "loss_mask": [0, 1]}, None),
    ],
)
def test_question_and_answer_are_found_in_each_shape(tmp_path, row, entry):
    assert read(tmp_path, row, entry) == (QUESTION, ANSWER)


@pytest.mark.parametrize(
    ("row", "entry"),
    [
        (ALPACA | {"system": "Write plainly."}, None),
        (
            ALPACA | {"sys": "Write plainly."},
            {"columns": {"prompt": "instruction", "response": "output", "system": "sys"}},
        ),
        ({"conversations": [{"from": "system", "value": "Write plainly."}, HUMAN, GPT]}, None),
        ({"conversations": [HUMAN, GPT], "system": "Write plainly."}, None),
        (
            {"conversations": [HUMAN, GPT], "system": "Write plainly."},
            {"formatting": "sharegpt", "columns": {"messages": "conversations", "system": "system"}},
        ),
        ({"messages": [SYSTEM, USER, ASSISTANT]}, MESSAGES),
        ({"messages": [SYSTEM, USER, ASSISTANT], "system": "Write plainly."}, None),
        ({"prompt": [SYSTEM, USER], "completion": [ASSISTANT]}, None),
    ],
)
def test_a_system_prompt_stands_in_front_of_the_question(tmp_path, row, entry):
    assert read(tmp_path, row, entry) == (f"Write plainly.\n{QUESTION}", ANSWER)


def test_instruction_and_input_follow_the_system_prompt(tmp_path):
    row = {"instruction": "Die Katze", "input": "wartet." + QUESTION[17:], "output": ANSWER, "system": "Write plainly."}
    assert read(tmp_path, row)[0] == "Write plainly.\nDie Katze\n" + row["input"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"conversations": [HUMAN, GPT, HUMAN, GPT]}, r"t\.json:2: 4 turns \(human, gpt, human, gpt\): a pair has two"),
        ({"conversations": [GPT, HUMAN]}, r"t\.json:2: 2 turns \(gpt, human\)"),
        ({"conversations": [HUMAN]}, r"t\.json:2: 1 turn \(human\)"),
        ({"conversations": []}, r"t\.json:2: 0 turns"),
        ({"conversations": [USER, ASSISTANT]}, r"t\.json:2: 2 turns \(None, None\)"),
        ({"conversations": "Hi"}, r"t\.json:2: column 'conversations' is no list of turns"),
        ({"conversations": ["Hi", "Hello"]}, "no list of turns"),
        ({"messages": [HUMAN, GPT]}, r"2 turns \(None, None\): a pair has two \(user, assistant\)"),
        ({"messages": [USER, SYSTEM, ASSISTANT]}, r"3 turns \(user, system, assistant\)"),
        ({"messages": [SYSTEM, SYSTEM, USER, ASSISTANT]}, r"4 turns \(system, system, user, assistant\)"),
        ({"messages": [USER, ASSISTANT | {"content": ""}]}, r"t\.json:2: not a pair: the answer is empty"),
        ({"messages": [USER, ASSISTANT | {"content": None}]}, "the answer is empty"),
        ({"messages": [USER, ASSISTANT | {"content": [{"type": "text"}]}]}, "'content' is list, not text"),
        ({"messages": [USER, ASSISTANT | {"tool_calls": [{"id": 1}]}]}, "a turn has tool_calls"),
        ({"messages": [USER, ASSISTANT | {"weight": 0}]}, r"t\.json:2: weight is 0"),
        ({"conversations": [HUMAN, GPT | {"loss": False}]}, "loss is False"),
        ({"messages": [USER, ASSISTANT], "loss_mask": [0, 0]}, r"loss_mask is \[0, 0\]"),
        ({"messages": [SYSTEM, USER, ASSISTANT], "system": "Be kind."}, "two system prompts"),
        (ALPACA | {"history": [["Hi", "Hello"]]}, r"t\.json:2: column 'history' has 1 earlier round: a pair has none"),
        (ALPACA | {"tools": "[{}]"}, r"t\.json:2: column 'tools' is filled"),
        (ALPACA | {"images": ["a.png"]}, "column 'images' is filled"),
        (ALPACA | {"system": 5}, "'system' is int, not text"),
        (ALPACA | {"output": "  "}, "the answer is empty"),
        (ALPACA | {"weight": 0.5}, "weight is 0.5: every pair is trained on alike"),
        ({"prompt": QUESTION, "completion": ANSWER, "label": False}, "column 'label' is false"),
        ({"prompt": QUESTION, "chosen": ANSWER, "rejected": "x"}, "not a pair: its columns are prompt, chosen, rejected"),
        ({"prompt": QUESTION, "completion": ANSWER, "rejected": "x"}, "column 'rejected' is filled"),
        ({"instruction": "", "input": "", "output": ANSWER}, "the prompt is empty"),
    ],
)  # fmt: skip
def test_what_a_pair_cannot_hold_is_refused_by_name(tmp_path, row, message):
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, row)
    assert caught.value.hint
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("row", "entry", "message"),
    [
        (ALPACA | {"system": "Write plainly."}, {}, "column 'system' is filled, but dataset_info.json does not name it"),
        (ALPACA | {"input": "x"}, {"columns": {"prompt": "instruction", "response": "output"}}, "column 'input'"),
        ({"messages": [USER, ASSISTANT], "system": "Write plainly."}, MESSAGES, "column 'system' is filled, but"),
        (ALPACA, {"ranking": True}, r"dataset_info\.json: ranking"),
        (ALPACA, {"num_samples": 5}, r"dataset_info\.json: num_samples: 5"),
        (ALPACA, {"formatting": "chatml"}, "formatting 'chatml' is not known"),
        ({"conversations": [USER, ASSISTANT]}, {"formatting": "sharegpt"}, r"2 turns \(None, None\)"),
        ({"q": QUESTION}, {"columns": {"prompt": "q"}}, "the answer is empty"),
        (ALPACA | {"past": [["a", "b"]] * 2}, {"columns": {"prompt": "instruction", "query": "input", "response": "output", "history": "past"}}, "'past' has 2 earlier rounds"),
        (ALPACA | {"good": False}, {"columns": {"prompt": "instruction", "query": "input", "response": "output", "kto_tag": "good"}}, "column 'good' is false"),
    ],
)  # fmt: skip
def test_what_dataset_info_does_not_say_is_refused(tmp_path, row, entry, message):
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, row, entry)
    assert caught.value.hint


def test_the_id_zero_is_an_id(tmp_path):
    path = tmp_path / "t.json"
    path.write_text(json.dumps([ALPACA | {"id": 0}, ALPACA | {"id": ""}]))
    assert [pair.id for pair in read_exchange(path)] == ["0", "t-00002:de-en"]


def test_the_log_says_which_data_set_of_a_dataset_info_is_read(tmp_path, caplog):
    (tmp_path / "t.json").write_text(json.dumps([ALPACA]))
    info = {"first": {"file_name": "t.json"}, "second": {"file_name": "other.json"}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    with caplog.at_level(logging.INFO, logger="spillover"):
        assert len(read_exchange(tmp_path)) == 1
    assert "pairs are read from t.json, its first entry" in caplog.text
