"""Parts of a zip: packed with zstandard or not, damaged, and made to unpack to more than any memory holds."""

from __future__ import annotations

import json
import tracemalloc
import zipfile

import pytest

from spillover.core.errors import DataError
from spillover.stages.compare import zip_parts
from spillover.stages.compare.zip_parts import ZSTANDARD, open_zip


def read(path, name):
    with open_zip(path, hint="the hint") as parts:
        return parts.json(name)


def a_zstandard_part(tool_logs):
    path = tool_logs / "inspect-ai" / "before" / "polarity.eval"
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("samples/1_epoch_1.json")
    assert info.compress_type == ZSTANDARD
    return path, info


def zip_of(path, parts, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return path


def test_parts_packed_with_zstandard_and_others_are_read(tool_logs, tmp_path):
    path, info = a_zstandard_part(tool_logs)
    assert read(path, info.filename)["id"] == 1
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA):
        assert read(zip_of(tmp_path / "a.eval", {"a": '{"b": 1}'}, compression), "a") == {"b": 1}


def test_a_damaged_part_is_refused(tool_logs, tmp_path):
    path, info = a_zstandard_part(tool_logs)
    whole = path.read_bytes()
    for place in (info.header_offset + 40 + len(info.filename), info.header_offset + info.compress_size // 2):
        broken = tmp_path / "a.eval"
        broken.write_bytes(whole[:place] + bytes(40) + whole[place + 40 :])
        with pytest.raises(DataError, match=r"a\.eval: not a readable \.eval log: .*the hint"):
            read(broken, info.filename)
    wrong_sum = bytearray(whole)
    wrong_sum[whole.rindex(info.CRC.to_bytes(4, "little"))] ^= 1
    broken.write_bytes(wrong_sum)
    with pytest.raises(DataError, match=r"bad CRC-32 of samples/1_epoch_1\.json"):
        read(broken, info.filename)


def test_no_zip_and_no_file(tmp_path):
    path = tmp_path / "a.eval"
    with pytest.raises(DataError, match=r"a\.eval: no such file"):
        read(path, "a")
    path.write_text("no zip")
    with pytest.raises(DataError, match=r"a\.eval: not a readable \.eval log: File is not a zip file \(the hint\)"):
        read(path, "a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested too deep"),
        ("9" * 5000, "4300 digits"),
        ("{", "Expecting property"),
        (b"\xff\xfe\xff", "utf"),
    ],
)
def test_a_part_that_is_no_json_is_named(tmp_path, text, message):
    path = zip_of(tmp_path / "a.eval", {"samples/1.json": text})
    with pytest.raises(DataError, match=rf"a\.eval: samples/1\.json(:1)?: broken JSON: .*{message}"):
        read(path, "samples/1.json")


def test_a_bomb_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(zip_parts, "ALWAYS_ALLOWED", 4 << 20)
    path = tmp_path / "a.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a", "w") as part:
        for _ in range(64):
            part.write(b" " * (1 << 20))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"a\.eval: a unpacks to more than"):
        read(path, "a")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size * zip_parts.LARGEST_RATIO < 48 << 20
    assert peak < 48 << 20


def test_the_bounds_hold_for_one_part_and_for_all_together(tmp_path, monkeypatch):
    parts = {str(i): json.dumps(" " * (1 << 20)) for i in range(6)}
    path = zip_of(tmp_path / "a.eval", parts)
    monkeypatch.setattr(zip_parts, "LARGEST_RATIO", 1)
    monkeypatch.setattr(zip_parts, "ALWAYS_ALLOWED", 4 << 20)
    with open_zip(path, hint="") as opened:
        for name in "012":
            opened.json(name)
        with pytest.raises(DataError, match="3 unpacks to more than"):
            opened.json("3")
    monkeypatch.setattr(zip_parts, "ALWAYS_ALLOWED", 64 << 20)
    monkeypatch.setattr(zip_parts, "LARGEST_PART", 1 << 19)
    with pytest.raises(DataError, match=r"convert the log to \.json"):
        read(path, "0")


def test_a_zstandard_bomb_is_refused(tool_logs, tmp_path, monkeypatch):
    path, info = a_zstandard_part(tool_logs)
    monkeypatch.setattr(zip_parts, "LARGEST_PART", info.file_size - 1)
    with pytest.raises(DataError, match=r"samples/1_epoch_1\.json unpacks to more than"):
        read(path, info.filename)
