from __future__ import annotations

import pytest

from spillover.core.config import load_config
from spillover.core.errors import ConfigError
from spillover.core.files import resources, write_yaml


def config_file(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_order_is_defaults_file_set_flags(tmp_path):
    path = config_file(tmp_path, "train: {rank: 4, epochs: 1}\nlimit: 10\n")
    config = load_config(path, ["train.epochs=2", "train.batch=32"], train__batch=8, limit=None)
    assert (config.train.rank, config.train.epochs, config.train.batch) == (4, 2, 8)
    assert (config.limit, config.train.learning_rate) == (10, 2e-4)


def test_all_mistakes_are_reported_at_once_with_their_values(tmp_path):
    path = config_file(tmp_path, "nmae: x\ntrain: {rank: many, learnin_rate: 1}\nlimit: 0\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path, ["build.pairs=-3", "nonsense"])
    text = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 6
    for part in (
        "unknown key 'nmae'",
        "train.rank",
        "'many'",
        "unknown key 'train.learnin_rate'",
        "limit",
        "-3",
        "nonsense",
    ):
        assert part in text


def test_a_grid_where_one_config_is_wanted_is_sent_to_sweep(tmp_path):
    with pytest.raises(ConfigError, match="unknown key 'grid'") as caught:
        load_config(config_file(tmp_path, "grid: {train.seed: [0, 1]}\n"))
    assert "spillover sweep" in caught.value.hint


def test_norwegian_stays_norwegian(tmp_path):
    config = load_config(config_file(tmp_path, "languages: [no, en]\n"))
    assert config.languages == ["no", "en"]


def test_yaml_cannot_execute(tmp_path):
    with pytest.raises(ConfigError):
        load_config(config_file(tmp_path, "name: !!python/object/apply:os.system ['echo hi']\n"))


def test_broken_yaml_names_its_line(tmp_path):
    with pytest.raises(ConfigError, match=r"config\.yaml:2"):
        load_config(config_file(tmp_path, "name: ok\ntrain: [rank: }\nlimit: 1\n"))


def test_resolved_config_reads_back_equal(tmp_path):
    config = load_config(resources() / "demo.yaml")
    write_yaml(tmp_path / "resolved.yaml", config.model_dump())
    assert load_config(tmp_path / "resolved.yaml") == config


@pytest.mark.parametrize("name", ["../up", "", "a/b", ".hidden"])
def test_a_run_name_is_a_file_name(name):
    with pytest.raises(ConfigError, match="name"):
        load_config(name=name)


def test_keys_of_earlier_versions_are_read_from_files_options_and_sweeps(tmp_path, caplog):
    path = config_file(tmp_path, "audit: {ceiling: 0.9, text_letters: 5, stop: false}\n")
    with caplog.at_level("INFO"):
        audit = load_config(path, ["audit.text_letters=7"], audit__balance=0.2).audit
    assert (audit.thresholds.ceiling, audit.thresholds.text_letters, audit.thresholds.balance) == (0.9, 7, 0.2)
    assert not audit.stop
    assert [record.message for record in caplog.records] == [
        f"{path}: read names of an earlier version: audit.ceiling is now audit.thresholds.ceiling, "
        "audit.text_letters is now audit.thresholds.text_letters"
    ]


def test_an_old_and_a_new_key_together_are_refused(tmp_path):
    path = config_file(tmp_path, "audit: {ceiling: 0.9, thresholds: {ceiling: 0.8}}\n")
    with pytest.raises(ConfigError, match=r"audit\.ceiling is now called audit\.thresholds\.ceiling"):
        load_config(path)


def test_a_removed_adapter_method_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match=r"train\.method: input should be 'lora', 'rslora' or 'dora', found 'pissa'"):
        load_config(train__method="pissa")


def test_weights_to_ignore_are_regular_expressions():
    assert load_config(overrides=['model.ignore_weights=["^mtp"]']).model.ignore_weights == ["^mtp"]
    with pytest.raises(ConfigError, match=r"model.ignore_weights.*not a regular expression"):
        load_config(overrides=['model.ignore_weights=["(mtp"]'])


def test_a_device_map_is_a_word_or_a_device_by_module():
    mapped = load_config(overrides=['model.device_map={"model.layers.0": 0, "": cpu}', "model.max_memory={0: 20GiB}"])
    assert mapped.model.device_map == {"model.layers.0": 0, "": "cpu"}
    assert mapped.model.max_memory == {0: "20GiB"}
    assert load_config(model__device_map="balanced").model.device_map == "balanced"
    for bad in ("model.device_map=fast", "model.device_map={model: [0]}", "model.max_memory={0: lots}"):
        with pytest.raises(ConfigError, match=bad.partition("=")[0]):
            load_config(overrides=[bad])


def test_the_former_key_of_4_bits_is_read():
    assert load_config(overrides=["model.load_in_4bit=true"]).model.quantise == "4bit"
    assert load_config(overrides=["model.load_in_4bit=false"]).model.quantise is None
