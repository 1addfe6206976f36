from __future__ import annotations

from dataclasses import replace

import pytest

from spillover.core.files import read_yaml
from spillover.stages.export.harness_tasks import ROWS_READER_TEXT, harness_task, harness_task_name, tag_of
from spillover.tasks.wording import load_task
from tests.builders import kind_task


@pytest.mark.parametrize("name", ["reading", "agreement", "letters"])
def test_a_task_names_columns_and_holds_no_text(name, tmp_path):
    task = load_task(kind_task(name))
    text = harness_task(task, "de")
    assert text.count("!function") == 1
    (tmp_path / "task.yaml").write_text(text.replace("!function ", ""), encoding="utf-8")
    values = read_yaml(tmp_path / "task.yaml")
    assert values["task"] == f"spillover_{name}_de"
    assert values["dataset_kwargs"] == {"file": f"spillover_{name}_de.jsonl"}
    assert values["custom_dataset"] == "spillover_rows.read"
    assert values["target_delimiter"] == (" " if name == "reading" else "")
    assert (values["doc_to_text"], values["doc_to_choice"], values["doc_to_target"]) == ("prompt", "choices", "target")
    assert values["num_fewshot"] == 0  # the harness then takes no other number
    assert [metric["metric"] for metric in values["metric_list"]] == ["acc", "acc_bytes"]


def test_a_name_holds_nothing_that_the_harness_reads_as_a_pattern_or_list():
    task = replace(load_task(kind_task("reading")), name='a,b*[c] {{d}} ü"')
    assert tag_of(task) == "spillover_a_b_c_d_"
    assert harness_task_name(task, "zh-Hant") == "spillover_a_b_c_d__zh-Hant"


def test_the_reader_of_rows_is_python():
    compile(ROWS_READER_TEXT, "spillover_rows.py", "exec")
