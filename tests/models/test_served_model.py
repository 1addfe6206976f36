"""Who is admitted, and what is said of who is not."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest

from spillover.core.errors import ConfigError, ModelError
from spillover.models.engine import open_engine
from spillover.models.local import LocalEngine
from tests.builders import make_model, prompts_of
from tests.models.fake_server import FakeServer, serving
from tests.models.test_server import EXACT, opened, scores

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


REFUSED = {
    "ignores-fields": "ignores logprob_token_ids",
    "missing-label": "lacks 1 of the 32 tokens",
    "string-keys": "next token by token id",
    "no-logprobs": "log-probabilities, so nothing",
    "no-choices": "log-probabilities, so nothing",
    "nan": "is no log-probability",
    "logits": "no log-probabilit",
    "too-small": "differ by",
    "processed": "temperature and penalties",
    "shifted-echo": "differ by",
    "no-echo": "echo",
    "adds-bos": "read",
    "any-model": "answers to any model name",
    "text-only": "text alone, not as token ids",
    "no-completions": "no /v1/completions",
    "other-tokenizer": "another tokenizer",
    "html": "text/html, not a JSON object",
    "redirect": "302",
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_cannot_give_exact_scores_is_refused(fault, tiny, tokenizer_folder):
    fake = FakeServer({"tiny": tiny}, faults={fault})
    with serving(fake) as urls, pytest.raises(ModelError, match=REFUSED[fault]) as error:
        opened(urls, tokenizer_folder)
    assert fake.url in error.value.message
    assert error.value.hint
    assert "\n" not in error.value.message


def test_what_a_good_server_may_do_is_taken(tiny, tokenizer_folder):
    prompts = prompts_of(3)
    fake = FakeServer({"tiny": tiny}, faults={"reordered", "no-tokenize"}, version="")
    with serving(fake) as urls:
        model = opened([url + "/v1/" for url in urls], tokenizer_folder)
        np.testing.assert_allclose(scores(open_engine(model), prompts), scores(LocalEngine(tiny), prompts), atol=EXACT)
    assert model.engine.startswith("server of unknown version at 127.0.0.1:")


def test_the_number_of_tokens_tells_another_tokenizer_where_ids_are_not_told(tiny, tmp_path):
    make_model("byte-fallback").tokenizer.save_pretrained(tmp_path)
    with (
        serving(FakeServer({"tiny": tiny}, faults={"no-tokenize"})) as urls,
        pytest.raises(ModelError, match="another tokenizer"),
    ):
        opened(urls, str(tmp_path))


def test_names_that_are_not_served(tiny, tokenizer_folder):
    fake = FakeServer({"tiny": tiny, "lora": tiny}, parents={"lora": "tiny"})
    with serving(fake) as urls:
        with pytest.raises(ConfigError, match="does not serve 'big'; it serves 'tiny', 'lora'"):
            opened(urls, tokenizer_folder, name="big")
        with pytest.raises(ConfigError, match=r"model.adapter: .* does not serve 'other'"):
            opened(urls, tokenizer_folder, adapter="other")
        with pytest.raises(ConfigError, match="'lora' is an adapter of 'tiny'"):
            opened(urls, tokenizer_folder, name="lora")
        with pytest.raises(ModelError, match="'lora' gives the scores of 'tiny'"):
            opened(urls, tokenizer_folder, adapter="lora")


def test_an_adapter_that_is_not_on_is_refused(tiny, tokenizer_folder):
    tuned = replace(make_model(seed=1), tokenizer=tiny.tokenizer)
    fake = FakeServer({"tiny": tiny, "lora": tuned}, parents={"lora": "tiny"}, faults={"adapter-off"})
    with serving(fake) as urls, pytest.raises(ModelError, match="the adapter is not on"):
        opened(urls, tokenizer_folder, adapter="lora")


def test_a_key_comes_from_the_environment_and_goes_nowhere_else(tiny, tokenizer_folder, monkeypatch, caplog):
    with serving(FakeServer({"tiny": tiny}, key="sesame")) as urls:
        monkeypatch.delenv("SPILLOVER_API_KEY", raising=False)
        with pytest.raises(ModelError, match="wants a key"):
            opened(urls, tokenizer_folder)
        monkeypatch.setenv("SPILLOVER_API_KEY", "guess")
        with pytest.raises(ModelError, match="refused the key") as error:
            opened(urls, tokenizer_folder)
        assert "guess" not in str(error.value)
        monkeypatch.setenv("SPILLOVER_API_KEY", "sesame")
        with caplog.at_level(logging.DEBUG, logger="spillover"):
            model = opened(urls, tokenizer_folder)
    assert "sesame" not in caplog.text + repr(model)


def test_no_server_is_one_line(tokenizer_folder):
    with serving(FakeServer({})) as urls:
        pass
    with pytest.raises(ModelError, match=f"no server answers: {urls[0]}: .*refused"):
        opened(urls, tokenizer_folder)


def test_one_server_of_two_that_is_down_is_left_out(tiny, tokenizer_folder, caplog):
    with serving(FakeServer({})) as down:
        pass
    with serving(FakeServer({"tiny": tiny})) as up:
        model = opened([*down, *up], tokenizer_folder)
        assert scores(open_engine(model), prompts_of(3)).shape == (3, 2)
    assert f"left out: {down[0]}" in caplog.text
    assert [client.url for client in model.pool.clients] == up


def test_servers_of_two_models_are_not_mixed(tiny, tokenizer_folder):
    fakes = FakeServer({"tiny": tiny}), FakeServer({"tiny": tiny}, root="/models/other")
    with serving(*fakes) as urls, pytest.raises(ConfigError, match="scores of both would be mixed"):
        opened(urls, tokenizer_folder)
