from __future__ import annotations

import hashlib
import json
import sys
import types
from datetime import datetime, timezone
from importlib.util import module_from_spec, spec_from_file_location

import pytest

from spillover.core.config import EvaluateConfig
from spillover.core.errors import ConfigError, DataError, RunError
from spillover.core.files import hash_files, write_json
from spillover.core.runs import open_run
from spillover.stages.evaluate.stage import evaluate
from spillover.stages.export import export_eee, export_lm_eval
from spillover.tasks.benchmark import open_benchmark
from tests.builders import KIND_DATA, kind_task, small_data, write_rows
from tests.cli.builders import made_run

NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)


def opened(name, **options):
    return open_benchmark(kind_task(name), data=KIND_DATA, **options)


def read_rows(path, monkeypatch):
    """As the harness reads them: by the exported Python, with the part of `datasets` that it uses."""
    datasets = types.ModuleType("datasets")
    datasets.Dataset = types.SimpleNamespace(from_list=list)
    monkeypatch.setitem(sys.modules, "datasets", datasets)
    spec = spec_from_file_location("spillover_rows", path.parent / "spillover_rows.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.read(path.name, version=1)["test"]


@pytest.mark.parametrize("name", ["reading", "agreement", "letters"])
def test_a_folder_holds_each_language_and_the_reader(name, tmp_path, monkeypatch):
    benchmark = opened(name)
    items = export_lm_eval(benchmark, tmp_path / "out")
    names = [f"spillover_{name}_{code}" for code in benchmark.languages]
    assert list(items) == names
    files = {f"{task}{suffix}" for task in names for suffix in (".yaml", ".jsonl")} | {"spillover_rows.py"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == files
    for code, prompts in benchmark.prompts("english", "own").items():
        rows = read_rows(tmp_path / "out" / f"spillover_{name}_{code}.jsonl", monkeypatch)
        assert [row["prompt"] for row in rows] == [prompt.text for prompt in prompts]
        assert len(rows) == items[f"spillover_{name}_{code}"]


def test_lines_break_where_rows_end_alone(tmp_path, monkeypatch):
    rows = [{"id": str(i), "review": f"a\u2028b\x85c\r\nd{i}", "label": "positive"} for i in range(2)]
    write_rows(tmp_path / "data" / "sentiment" / "test" / "en.jsonl", rows)
    export_lm_eval(open_benchmark("sentiment", data=str(tmp_path / "data")), tmp_path / "out")
    read = read_rows(tmp_path / "out" / "spillover_sentiment_en.jsonl", monkeypatch)
    assert len(read) == 2
    assert "a\u2028b\x85c\r\nd1" in read[1]["prompt"]


def test_label_set_and_shots_are_those_of_the_config(tmp_path):
    benchmark = open_benchmark("sentiment", data=str(small_data(tmp_path / "data")), languages="de")
    export_lm_eval(benchmark, tmp_path / "out", config=EvaluateConfig(labels="native", shots="es"))
    line = (tmp_path / "out" / "spillover_sentiment_de.jsonl").read_text(encoding="utf-8").splitlines()[0]
    row = json.loads(line)
    (prompt, *_) = benchmark.prompts("native", "es")["de"]
    assert (row["prompt"], tuple(row["choices"])) == (prompt.text, prompt.answers)
    assert (row["spillover"]["label_set"], row["spillover"]["shots"]) == ("native", "es")


def test_a_folder_that_holds_something_is_left_as_it_is(tmp_path):
    (tmp_path / "out").mkdir()
    export_lm_eval(opened("agreement"), tmp_path / "out")  # an empty one is filled
    with pytest.raises(RunError, match=r"out: not empty \(it holds spillover_agreement_de.jsonl\)"):
        export_lm_eval(opened("reading"), tmp_path / "out")
    assert not list((tmp_path / "out").glob("*reading*"))
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(RunError, match="is a file"):
        export_lm_eval(opened("reading"), tmp_path / "file")


def test_nothing_is_written_where_a_row_cannot_be_exported(tmp_path):
    rows = [{"id": "1", "choices": ["a ", "b"], "label": 0}]
    write_rows(tmp_path / "data" / "agreement" / "test" / "en.jsonl", rows)
    with pytest.raises(DataError, match="whitespace"):
        export_lm_eval(open_benchmark(kind_task("agreement"), data=str(tmp_path / "data")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_papers_rule_is_no_rule_of_the_harness(tmp_path):
    with pytest.raises(ConfigError, match=r"evaluate.rule: paper: lm-eval scores whole answers"):
        export_lm_eval(opened("letters"), tmp_path / "out", config=EvaluateConfig(rule="paper"))


def test_records_of_a_run_are_the_same_files_again(tmp_path):
    run = open_run(made_run(tmp_path / "run"))
    first = export_eee(run, tmp_path / "out", retrieved=NOW)
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert export_eee(run, tmp_path / "out", retrieved=NOW) == first
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before
    assert len(first) == 2
    for path in first:
        record = json.loads(path.read_text(encoding="utf-8"))
        samples = record["detailed_evaluation_results"]
        raw = (tmp_path / "out" / samples["file_path"]).read_bytes()
        assert samples["checksum"] == hashlib.sha256(raw).hexdigest()
        assert samples["total_rows"] == len(raw.splitlines()) == 120
        assert record["source_metadata"]["additional_details"]["run"] == "run"


def test_one_evaluation_of_several_is_exported_by_its_name(tmp_path):
    run = open_run(made_run(tmp_path / "run"))
    (path,) = export_eee(run, tmp_path / "out", name="tuned", organization="Somebody", relationship="third_party")
    source = json.loads(path.read_text(encoding="utf-8"))["source_metadata"]
    assert source["additional_details"]["evaluation"] == "tuned"
    assert (source["source_organization_name"], source["evaluator_relationship"]) == ("Somebody", "third_party")


def test_a_run_without_evaluations_or_with_half_of_one_is_refused(tmp_path):
    run = open_run(tmp_path / "run")
    run.update(stages={})
    with pytest.raises(RunError, match="run: no evaluations") as caught:
        export_eee(run, tmp_path / "out")
    assert "spillover evaluate" in caught.value.hint
    run = open_run(made_run(tmp_path / "made"))
    with pytest.raises(RunError, match="no evaluation named 'other'"):
        export_eee(run, tmp_path / "out", name="other")
    run.update(stages={"evaluate/base/sentiment": {"state": "started"}})
    with pytest.raises(RunError, match=r"base/sentiment: not finished"):
        export_eee(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_data_of_the_hub_is_named_where_it_is_still_what_was_scored(tmp_path, tiny):
    data = small_data(tmp_path / "data", ("en", "de"))
    source = {"name": "reviews", "hub": "org/reviews", "revision": "abc", "splits": {"test": "validation"}}
    write_json(data / "SOURCE.json", source)
    run = open_run(tmp_path / "run")
    evaluate(tiny, open_benchmark("sentiment", data=str(data)), out=run.path)
    changed = data / "sentiment" / "test" / "de.jsonl"
    changed.write_text(changed.read_text(encoding="utf-8").replace("review 1", "review one"), encoding="utf-8")
    (path,) = export_eee(run, tmp_path / "out")
    results = json.loads(path.read_text(encoding="utf-8"))["evaluation_results"]
    by_language = {result["evaluation_name"].rpartition(".")[2]: result["source_data"] for result in results}
    assert by_language["en"] == {
        "dataset_name": "reviews",
        "source_type": "hf_dataset",
        "hf_repo": "org/reviews",
        "hf_split": "validation",
        "additional_details": {
            "data": "data",
            "data_hash": hash_files([data / "sentiment" / "test" / "en.jsonl"]),
            "revision": "abc",
        },
    }
    assert by_language["de"]["source_type"] == "other"
    assert str(tmp_path) not in path.read_text(encoding="utf-8")
