"""Input that no program should choke on."""

from __future__ import annotations

import tracemalloc

import pytest

from spillover.core.errors import DataError
from spillover.core.files import read_jsonl
from spillover.stages.audit.stage import audit
from tests.builders import small_data


def german(folder):
    return folder / "sentiment" / "test" / "de.jsonl"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: raw + b'{"id": "x", "review": "caf\xe9", "label": "positive"}\n', r"de\.jsonl:7: not UTF-8"),
        (lambda raw: raw[:-30], r"de\.jsonl:6: broken JSON"),
        (lambda raw: raw + b'{"id": "x", "review": "' + b"a" * (50 << 20) + b'"}\n', r"de\.jsonl:7: a line of more than 16 MB"),
        (lambda raw: raw + b"[" * 100_000 + b"\n", r"de\.jsonl:7: broken JSON"),
        (lambda raw: b"", r"de\.jsonl: the file is empty"),
        (lambda raw: raw + b'{"id": "x", "review": 5, "label": "positive"}\n', r"de\.jsonl:7: no review"),
    ],
    ids=["latin-1", "half a line", "50 MB line", "nested", "empty", "number"],
)  # fmt: skip
def test_a_broken_file_is_named_with_its_line(damage, message, tmp_path):
    folder = small_data(tmp_path)
    german(folder).write_bytes(damage(german(folder).read_bytes()))
    with pytest.raises(DataError, match=message):
        audit("sentiment", data=str(folder))


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    folder = small_data(tmp_path / "data")
    outside = tmp_path / "secret.jsonl"
    german(folder).rename(outside)
    german(folder).symlink_to(outside)
    with pytest.raises(DataError, match="a link out of the data folder"):
        audit("sentiment", data=str(folder))


def test_a_link_inside_the_folder_is_fine(tmp_path):
    folder = small_data(tmp_path / "data")
    german(folder).rename(folder / "de-original.jsonl")
    german(folder).symlink_to(folder / "de-original.jsonl")
    assert audit("sentiment", data=str(folder)) == []


def test_a_million_rows_are_read_one_at_a_time(tmp_path):
    path = tmp_path / "big.jsonl"
    with path.open("w") as file:
        file.writelines(f'{{"id":"{i}"}}\n' for i in range(1_000_000))
    tracemalloc.start()
    assert sum(1 for _ in read_jsonl(path)) == 1_000_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20
