from __future__ import annotations

import json

from spillover.core.config import AuditThresholds
from spillover.core.types import Example
from spillover.stages.audit.inputs import LanguageRows
from spillover.stages.audit.leakage import ItemHashes, OtherSplit, leaked_questions, nearly_leaked_questions
from spillover.stages.audit.profile import LanguageProfiles
from spillover.tasks import overlap
from spillover.tasks.wording import load_task
from tests.builders import small_data, write_rows
from tests.stages.audit.builders import audit_folder

LONG = "the old bridge over the river was closed for the whole winter because of ice number"


def leaks(folder, code, text):
    path = folder / "sentiment" / "train" / f"{code}.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    write_rows(path, [*rows, {"id": "leak", "review": text}])
    return {(f.check, f.language, f.example_ids) for f in audit_folder(folder) if f.split == "train"}


def test_training_rows_that_are_test_items_even_of_another_language(tmp_path):
    folder = small_data(tmp_path)
    assert leaks(folder, "de", "REVIEW 3 in es!") == {("leaked-question", "de", ("leak",))}


def test_nearly_the_same_is_a_warning(tmp_path):
    folder = small_data(tmp_path)
    path = folder / "sentiment" / "test" / "de.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    write_rows(path, [row | {"review": f"{LONG} {i}"} for i, row in enumerate(rows)])
    assert leaks(folder, "de", f"{LONG} 77") == {("near-leak", "de", ("leak",))}


def test_labels_of_a_training_file_are_checked(tmp_path):
    folder = small_data(tmp_path)
    write_rows(
        folder / "sentiment" / "train" / "de.jsonl",
        [{"id": "a", "review": "x y z", "label": "yes"}, {"id": "b", "review": "z y x"}],
    )
    (finding,) = [f for f in audit_folder(folder) if f.split == "train"]
    assert (finding.check, finding.severity, finding.example_ids) == ("unknown-label", "error", ("a",))


class Compared(str):
    """An id that counts how often it is compared with another."""

    __slots__ = ()
    times = 0

    def __eq__(self, other):
        Compared.times += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def work(n, monkeypatch):
    """(ids compared, texts compared gram by gram) of one audit of n training rows: all are test items, half only nearly."""
    task = load_task("sentiment")
    items = [
        Example(f"item-{i}", "de", {"review": " ".join(str(7919**j * (i + 1) % 99991) for j in range(12))}, "positive")
        for i in range(n)
    ]
    rows = [
        Example(Compared(f"leak-{i}"), "de", {"review": row.fields["review"] + (" x!" if i % 2 else "")})
        for i, row in enumerate(items)
    ]
    languages = LanguageProfiles(task, AuditThresholds(), "en")
    languages.add(LanguageRows(task, "de", items, {}, AuditThresholds()))
    compared = []
    jaccard = overlap.jaccard
    monkeypatch.setattr(overlap, "jaccard", lambda *grams: compared.append(1) or jaccard(*grams))
    Compared.times = 0
    training = LanguageRows(task, "de", rows, {}, AuditThresholds(), "train")
    split = OtherSplit(training, ItemHashes(languages), items)
    (exact,), (near,) = leaked_questions(split), nearly_leaked_questions(split)
    monkeypatch.undo()
    assert (len(exact.example_ids), len(near.example_ids)) == (n - n // 2, n // 2)
    return Compared.times, len(compared)


def test_twice_the_leaked_rows_are_twice_the_work(monkeypatch):
    few, many = work(400, monkeypatch), work(1600, monkeypatch)
    assert many[0] <= 5 * few[0]
    # Texts that are one template but for a number are the worst case: each has at most CROWD candidates for each hash.
    assert many[1] <= 1600 * overlap.CROWD * overlap.SKETCH
    assert many[1] <= 5 * few[1]
