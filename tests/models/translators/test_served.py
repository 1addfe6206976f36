from __future__ import annotations

import json

import pytest

from spillover.core.config import TranslatorConfig
from spillover.core.errors import ConfigError, ModelError
from spillover.models.translators import IncompleteTranslation
from spillover.models.translators.served import ServedTranslator
from tests.models.translators.builders import ENGLISH, GERMAN, WritingServer, writing

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


def opened(url, **values):
    config = TranslatorConfig(**({"server": url, "name": "writer", "timeout": 5.0} | values))
    return ServedTranslator(config, retries=2, backoff=0.01)


@pytest.mark.parametrize("api", ["chat", "completion"])
def test_each_line_is_asked_with_examples_at_temperature_0(api):
    fake = WritingServer()
    with writing(fake) as url:
        texts = [f"text {i}" for i in range(20)]
        assert opened(url + "/v1/", api=api).translate([*texts, "a\nb"], ENGLISH, GERMAN) == [
            *(f"<{text}>" for text in texts),
            "<a>\n<b>",
        ]
    assert {(body["temperature"], body["model"], body["max_tokens"]) for body in fake.asked} == {(0, "writer", 256)}
    assert all("Die Fähre" in json.dumps(body, ensure_ascii=False) for body in fake.asked)


def test_the_prompt_is_shown():
    with writing(WritingServer()) as url:
        assert opened(url, api="completion").prompt(ENGLISH, GERMAN).endswith("English: {text}\nGerman:")
        assert opened(url).prompt(ENGLISH, GERMAN).startswith("[user]\nTranslate from English to German. Answer")


def test_a_retry_has_the_examples_in_another_order():
    fake = WritingServer()
    with writing(fake) as url:
        translator = opened(url)
        translator.translate(["a"], ENGLISH, GERMAN)
        translator.translate(["a"], ENGLISH, GERMAN, retry=True)
    first, second = (body["messages"] for body in fake.asked)
    assert first != second
    assert first[1]["content"] == second[-2]["content"]


@pytest.mark.parametrize(
    ("fake", "values", "message"),
    [
        (WritingServer(faults={"html"}), {}, "text/html, not a JSON object"),
        (WritingServer(key="secret"), {}, "wants a key"),
        (WritingServer(), {"name": "nobody"}, "does not serve 'nobody'"),
    ],
)
def test_a_server_that_cannot_translate_is_refused_at_first_contact(fake, values, message):
    with writing(fake) as url, pytest.raises(ModelError, match=message) as error:
        opened(url, **values)
    assert error.value.hint
    assert "\n" not in error.value.message


def test_the_models_that_are_served_are_named():
    with writing(WritingServer()) as url, pytest.raises(ModelError) as error:
        opened(url, name="nobody")
    assert error.value.hint == "--name: it serves writer, other"


def test_a_server_that_is_down_is_said_in_one_line():
    with pytest.raises(ModelError, match=r"127\.0\.0\.1:9") as error:
        opened("http://127.0.0.1:9")
    assert "port" in error.value.hint


def test_an_address_with_a_password_is_not_shown():
    with pytest.raises(ConfigError) as error:
        opened("http://me:secret@host")
    assert "secret" not in str(error.value)


def test_the_key_is_sent_and_refused_by_name_alone(monkeypatch):
    monkeypatch.setenv("SPILLOVER_API_KEY", "right")
    with writing(WritingServer(key="right")) as url:
        assert opened(url).translate(["a"], ENGLISH, GERMAN) == ["<a>"]
    with writing(WritingServer(key="other")) as url, pytest.raises(ModelError, match="refused the key") as error:
        opened(url)
    assert "right" not in str(error.value)


@pytest.mark.parametrize(
    ("faults", "message"),
    [({"no-chat"}, "has no /v1/chat/completions"), ({"empty"}, "answers without one text")],
)
def test_a_server_that_does_not_write_is_an_error_of_one_line(faults, message):
    with writing(WritingServer(faults=faults)) as url, pytest.raises(ModelError, match=message) as error:
        opened(url).translate(["a"], ENGLISH, GERMAN)
    assert "--api" in error.value.hint


def test_what_fails_for_now_is_asked_again():
    with writing(WritingServer(fails=2)) as url:
        assert opened(url, batch=1).translate(["a", "b"], ENGLISH, GERMAN) == ["<a>", "<b>"]


def test_a_server_that_fails_in_between_is_an_error_that_says_how_to_resume():
    fake = WritingServer()
    with writing(fake) as url:
        translator = opened(url)
        fake.fails = 100
        with pytest.raises(ModelError, match=r"no server answers: .* 503 overloaded") as error:
            translator.translate(["a"], ENGLISH, GERMAN)
    assert "rerun" in error.value.hint


def test_an_answer_that_drips_is_given_up():
    with writing(WritingServer(faults={"drips"})) as url, pytest.raises(ModelError, match="no answer in"):
        opened(url, timeout=0.1).translate(["a"], ENGLISH, GERMAN)


def test_a_text_beyond_the_context_is_left_out_and_the_others_translated():
    with writing(WritingServer(faults={"short-context"})) as url, pytest.raises(IncompleteTranslation) as error:
        opened(url).translate(["short", "a text that is far too long"], ENGLISH, GERMAN)
    assert error.value.translations == ["<short>", ""]
    assert "maximum context length is 20 tokens" in error.value.reasons[1]


def test_answers_that_are_cut_or_have_several_lines_are_named():
    with writing(WritingServer(faults={"cuts"})) as url, pytest.raises(IncompleteTranslation, match="does not end"):
        opened(url).translate(["a"], ENGLISH, GERMAN)
    chatty = WritingServer(lambda text: "Here it is:\n\nja")
    with writing(chatty) as url, pytest.raises(IncompleteTranslation, match="one line was answered with 2"):
        opened(url).translate(["yes"], ENGLISH, GERMAN)
