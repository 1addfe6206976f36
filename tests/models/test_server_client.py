"""What a server may answer, and what is said of it; what every answer must hold is tested in test_server.py."""

from __future__ import annotations

import json

import httpx2 as httpx
import pytest

from spillover.core.errors import ModelError
from spillover.models.prompt_tokens import PromptTokens
from spillover.models.server_client import ServerClient, Unavailable, address_of


def client_of(status=200, body="{}", headers=(), error=None):
    """A client whose requests are answered without a network."""

    def answer(request):
        if error:
            raise error
        return httpx.Response(status, text=body, headers=dict(headers))

    client = ServerClient("http://here:8000/v1/")
    client._http.close()
    client._http = httpx.Client(base_url=client.url, transport=httpx.MockTransport(answer))
    return client


def completion(logprobs, **more):
    return json.dumps({"choices": [{"logprobs": logprobs}]} | more)


def reads(*, usage=None, **more):
    """An answer to `next_token("m", [1, 2], [5, 6])`."""
    logprobs = {"top_logprobs": [{"token_id:5": -1.0, "token_id:6": -2.0}], "token_logprobs": [-0.9]}
    return completion(logprobs | more, model="m", usage=usage or {"prompt_tokens": 2})


def test_an_address_with_and_without_v1_is_one():
    assert {ServerClient(url).url for url in ("http://a:1", "http://a:1/", "http://a:1/v1", "http://a:1/v1/")} == {
        "http://a:1"
    }
    assert address_of("http://a:1/v1") == "a:1"


def test_values_come_by_token():
    assert client_of(body=reads()).next_token("m", [1, 2], [5, 6]) == {5: -1.0, 6: -2.0}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"top_logprobs": [{"token_id:5": -1.0}]}, "lacks 1 of the 2 tokens that were asked for \\(first: 6\\)"),
        ({"top_logprobs": [{"token_id:5": 0.5, "token_id:6": -1}]}, "0.5 is no log-probability"),
        ({"top_logprobs": [{"token_id:5": -9999.0, "token_id:6": -1}]}, "-9999.0 is no log-probability"),
        ({"top_logprobs": [{"token_id:5": None, "token_id:6": -1}]}, "None is no log-probability"),
        ({"top_logprobs": [{"token_id:5": -0.1, "token_id:6": -0.1}]}, "sum of probabilities 1.810"),
        ({"token_logprobs": [-1.5]}, "of the most probable token -1.500"),
        ({"token_logprobs": [-20.0], "top_logprobs": [{"token_id:5": -21.0, "token_id:6": -22.0}]}, "-20.000"),
        ({"token_logprobs": [2.0]}, "most probable token 2.000"),
        ({"top_logprobs": [None]}, "by token id"),
        ({"top_logprobs": []}, "by token id"),
        ({"top_logprobs": [{"good": -1.0}]}, "by token id"),
    ],
)
def test_an_answer_that_is_no_score_is_an_error(changed, reason):
    with pytest.raises(ModelError, match=reason):
        client_of(body=reads(**changed)).next_token("m", [1, 2], [5, 6])


def test_another_model_or_length_in_the_answer_is_an_error():
    with pytest.raises(ModelError, match="asked for 'n', it answers as 'm'"):
        client_of(body=reads()).next_token("n", [1, 2], [5, 6])
    with pytest.raises(ModelError, match="was sent 3 tokens and read 2"):
        client_of(body=reads()).next_token("m", [1, 2, 3], [5, 6])


def test_a_whole_text_must_come_back_as_it_was_sent():
    logprobs = {"tokens": ["token_id:1", "token_id:2", "token_id:9"], "token_logprobs": [None, -0.5, -3.0]}
    assert client_of(body=completion(logprobs)).whole_text("m", [1, 2])[1:] == [-0.5]
    with pytest.raises(ModelError, match="as they were sent"):
        client_of(body=completion(logprobs)).whole_text("m", [1, 3])


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_may_pass_is_unavailable_with_the_time_that_it_asks_for(status):
    client = client_of(status, '{"error": {"message": "EngineCore\\nfailed"}}', {"retry-after": "7"})
    with pytest.raises(Unavailable, match=f"{status} EngineCore failed") as error:
        client.models()
    assert error.value.seconds == 7
    with pytest.raises(Unavailable) as error:
        client_of(status, "<html>", {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}).models()
    assert error.value.seconds is None


@pytest.mark.parametrize("error", [httpx.ConnectError("refused"), httpx.ReadTimeout("late"), httpx.ReadError("cut")])
def test_connections_that_fail_are_unavailable(error):
    with pytest.raises(Unavailable, match="http://here:8000: "):
        client_of(error=error).models()


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, '{"error": {"message": "too long"}}', "400 too long"),
        (401, "", "wants a key"),
        (403, "", "wants a key"),
        (404, "<html>", "/v1/models: 404"),
        (302, "", "/v1/models: 302"),
        (200, "<html>", "not a JSON object"),
        (200, "[]", "not a JSON object"),
        (200, '{"data": 3}', "lists no models"),
        (200, '{"data": [3]}', "lists no models"),
    ],
)
def test_what_will_not_pass_is_an_error(status, body, reason):
    with pytest.raises(ModelError, match=reason) as error:
        client_of(status, body).models()
    assert error.value.hint


@pytest.mark.parametrize(
    ("details", "cached"), [({"cached_tokens": 1}, 1), ({"cached_tokens": 0}, 0), ({}, None), (None, None), ("x", None)]
)
def test_cached_tokens_are_those_that_the_server_reports(details, cached):
    client = client_of(body=reads(usage={"prompt_tokens": 2, "prompt_tokens_details": details}))
    client.next_token("m", [1, 2], [5, 6])
    client.next_token("m", [1, 2], [5, 6])
    assert client.take_prompt_tokens() == PromptTokens(4, None if cached is None else 2 * cached)
    assert client.take_prompt_tokens() == PromptTokens()


def test_what_a_server_need_not_tell():
    client = client_of(404, '{"detail": "Not Found"}')
    assert client.version() is None
    assert client.token_ids("m", "text") is None
