"""An option of a config key is generated from the key, and gives what the key takes."""

from __future__ import annotations

import re

import pytest
import typer

from spillover.cli.config_options import config_options
from spillover.core.config import RunConfig
from spillover.core.config_reference import config_keys
from spillover.core.errors import ConfigError

# A mapping has no option: it is set in the file.
OPTIONS = [
    key.name for key in config_keys() if key.kind.startswith("mapping") is False and "thresholds" not in key.name
]


def run(*arguments, keys):
    seen = []

    @config_options(*keys)
    def verb(config: RunConfig, plain: int = 3) -> None:
        """A verb."""
        seen.append((config, plain))

    app = typer.Typer()
    app.command()(verb)
    app(args=list(arguments), standalone_mode=False)
    return seen[0]


@pytest.mark.parametrize("key", OPTIONS)
def test_every_key_can_be_an_option_that_changes_nothing_when_it_is_not_given(key):
    assert run(keys=[key]) == (RunConfig(), 3)


def test_values_reach_their_keys():
    keys = ["tasks", "languages", "evaluate.rule", "train.rank", "probe.random_weights", "model.quantise", "limit"]
    arguments = "--task nli --lang zh,de --rule paper --rank 4 --no-random-weights --quantise 4bit --limit 7 --plain 9"
    config, plain = run(*arguments.split(), "--set", "compare.level=0.9", keys=keys)
    assert (config.tasks, config.languages, config.evaluate.rule) == (["nli"], "zh,de", "paper")
    assert (config.train.rank, config.probe.random_weights, config.model.quantise) == (4, False, "4bit")
    assert (config.limit, config.compare.level, plain) == (7, 0.9, 9)


def test_a_value_out_of_range_is_named_with_its_key():
    with pytest.raises(ConfigError, match=r"train\.rank"):
        run("--rank", "0", keys=["train.rank"])


def test_the_options_of_config_keys_show_choices_and_defaults_and_set_still_reaches_them(call, tmp_path):
    output = call("evaluate", "--help")[1]
    assert re.search(r"--rule .exact\|paper.", output)
    assert "[default: smollm2-135m]" in " ".join(output.split())
    assert "Items per language. [default: all]" in " ".join(output.split())
    code, _, error = call("evaluate", "--out", tmp_path / "run", "--set", "evaluate.labels=birds")
    assert (code, "birds" in error) == (2, True), "an option that is not given leaves --set alone"
