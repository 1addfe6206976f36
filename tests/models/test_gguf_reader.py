from __future__ import annotations

import gguf
import numpy as np
import transformers.modeling_gguf_pytorch_utils as gguf_loading

from spillover.models.gguf_reader import open_gguf, reading_with
from tests.models.builders import write_gguf


def test_a_file_is_read_as_the_gguf_package_reads_it(tmp_path):
    path = write_gguf(tmp_path / "model.gguf")
    ours, theirs = open_gguf(path), gguf.GGUFReader(path)
    assert list(ours.fields) == list(theirs.fields)
    assert all(ours.fields[name].contents() == field.contents() for name, field in theirs.fields.items())
    for tensor, other in zip(ours.tensors, theirs.tensors, strict=True):
        assert (tensor.name, tensor.tensor_type) == (other.name, other.tensor_type)
        np.testing.assert_array_equal(tensor.data, other.data)


def test_within_the_block_the_file_is_open_already_and_each_tensor_is_reported(tmp_path):
    reader = open_gguf(write_gguf(tmp_path / "model.gguf"))
    before = (gguf.GGUFReader, gguf.get_tensor_name_map, gguf_loading.tqdm)
    reports = []
    with reading_with(reader, lambda done, total: reports.append((done, total))):
        assert gguf.GGUFReader("anything") is reader
        checkpoint = gguf_loading.load_gguf_checkpoint(tmp_path / "model.gguf")
        for _ in gguf_loading.tqdm(reader.tensors, desc="ignored"):
            pass
    assert checkpoint["config"]["num_hidden_layers"] == 1
    assert reports == [(done, len(reader.tensors)) for done in range(len(reader.tensors))]
    assert (gguf.GGUFReader, gguf.get_tensor_name_map, gguf_loading.tqdm) == before
