from __future__ import annotations

import numpy as np
import pytest

from spillover.core.files import read_jsonl, resources
from spillover.stages.audit import exchanged_fields
from spillover.stages.audit.repaired_copy import write_repaired_copy
from spillover.tasks.benchmark import open_benchmark
from tests.stages.audit.builders import WITHOUT_IDENTIFIER, audit_folder
from tests.stages.audit.faults import plant, read_data, write_data
from tests.stages.audit.test_exchange_odds import long_and_short, profiles


@pytest.fixture(scope="module")
def nli():
    return read_data(resources() / "demo" / "nli" / "test")


def exchanged(nli, folder, language, rate):
    rows, _, damaged = plant("exchanged fields", nli, language, "en", rate, np.random.default_rng(3))
    data = write_data(folder, "nli", {**nli, language: rows}, {})
    findings = audit_folder(data, "nli", config=WITHOUT_IDENTIFIER)
    return data, damaged, [f for f in findings if f.severity != "note"]


@pytest.mark.parametrize("language", ["zh", "ja", "th", "hi", "de"])
def test_a_whole_file_is_found_and_repaired_to_what_it_was(language, nli, tmp_path):
    data, damaged, (finding,) = exchanged(nli, tmp_path / "data", language, 1.0)
    assert (finding.check, finding.language, finding.certainty) == ("exchanged-fields", language, "certain")
    assert set(finding.example_ids) == set(damaged)
    write_repaired_copy([finding], [open_benchmark("nli", data=str(data))], tmp_path / "fixed")
    assert [row for _, row in read_jsonl(tmp_path / "fixed" / "nli" / "test" / f"{language}.jsonl")] == nli[language]


@pytest.mark.parametrize("language", ["zh", "ja", "de"])
def test_a_fifth_of_the_rows_is_named_and_no_other(language, nli, tmp_path):
    _, damaged, (finding,) = exchanged(nli, tmp_path, language, 0.2)
    assert set(finding.example_ids) <= set(damaged)
    assert len(finding.example_ids) >= 0.8 * len(damaged)
    assert finding.repair.example_ids <= set(damaged)


@pytest.mark.parametrize(
    ("shifted", "unordered", "named"), [({}, (), 60), ({"de": {0, 1}}, (), 58), ({}, ("de",), 0), ({}, ("es",), 60)]
)
def test_what_the_order_of_the_rows_explains_is_passed_over(shifted, unordered, named, monkeypatch):
    """Paraphrases in no order fit half and half: on real ones ten of 500 rows would be named."""
    pairs = long_and_short()
    pairs["de"] = [pair[::-1] for pair in pairs["de"]]
    monkeypatch.setattr(exchanged_fields, "shifted_item_numbers", lambda languages: shifted)
    monkeypatch.setattr(exchanged_fields, "unordered_languages", lambda languages: frozenset(unordered))
    faults = list(exchanged_fields.exchanged_fields(profiles(pairs)))
    assert sum(len(fault.example_ids) for fault in faults) == named
