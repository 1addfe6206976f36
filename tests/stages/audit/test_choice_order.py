from __future__ import annotations

import json

import numpy as np
import pytest

from spillover.stages.audit.repaired_copy import write_repaired_copy
from spillover.tasks.benchmark import open_benchmark
from tests.stages.audit.builders import audit_folder, choice_folder, choice_items
from tests.stages.audit.choice_faults import plant_choices


def damaged(fault, rate=1.0):
    def edit(rows):
        data = choice_items("reading", 4)
        return plant_choices(fault, data, "de", "en", rate, np.random.default_rng(0))[0]

    return edit


def found(folder):
    return [f for f in audit_folder(folder, "reading") if f.severity != "note" and f.check != "oracle-ceiling"]


@pytest.mark.parametrize(("fault", "severity"), [("answers reordered", "warning"), ("answers without label", "error")])
def test_answers_in_another_order_are_put_back(fault, severity, tmp_path):
    folder = choice_folder(tmp_path / "data", "reading", 4, {"de": damaged(fault)})
    findings = found(folder)
    assert {f.language for f in findings} == {"de"}
    findings = [f for f in findings if f.check == "choice-order"]
    assert severity in {f.severity for f in findings}
    assert all((f.ceiling is None) == (f.severity == "warning") for f in findings)
    write_repaired_copy(findings, [open_benchmark("reading", data=str(folder))], tmp_path / "fixed")
    lines = (tmp_path / "fixed" / "reading" / "test" / "de.jsonl").read_text(encoding="utf-8").splitlines()
    repaired = {row["id"]: (row["choices"], int(row["label"])) for row in map(json.loads, lines)}
    right = {row["id"]: (row["choices"], row["label"]) for row in choice_items("reading", 4)["de"]}
    nats = {example_id: value for f in findings for example_id, value in f.evidence["nats"].items()}
    certain = {example_id for example_id, value in nats.items() if value >= 9.3}
    assert len(certain) >= 8
    assert {i: repaired[i] for i in certain} == {i: right[i] for i in certain}


def test_a_wrong_label_is_not_called_another_order(tmp_path):
    wrong = lambda rows: [row | {"label": (row["label"] + 1) % 4} if i in (2, 9) else row for i, row in enumerate(rows)]  # noqa: E731
    (finding,) = found(choice_folder(tmp_path, "reading", 4, {"de": wrong}))
    assert (finding.check, finding.example_ids) == ("label-disagrees", ("item-2", "item-9"))
    assert finding.repair is not None


def test_a_label_that_another_order_may_explain_is_not_repaired(tmp_path):
    """Answers that are alike: neither the order nor the label can be told to be the wrong one."""

    def alike(rows):
        return [row | {"choices": [f"{word} is here" for word in ("abc", "bcd", "cde", "def")]} for row in rows]

    def moved(rows):
        return [row | {"label": (row["label"] + 1) % 4} if i == 3 else row for i, row in enumerate(alike(rows))]

    languages = ("en", "de", "es", "fr", "it")
    edits = dict.fromkeys(languages, alike) | {"de": moved}
    findings = found(choice_folder(tmp_path, "reading", 4, edits, languages=languages))
    (finding,) = [f for f in findings if f.check in ("label-disagrees", "choice-order")]
    assert (finding.check, finding.language, finding.example_ids) == ("label-disagrees", "de", ("item-3",))
    assert finding.repair is None
