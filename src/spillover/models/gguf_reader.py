"""How transformers reads a GGUF file, in a fraction of the time and with progress; what it reads stays the same.

transformers parses the file three times (config, weights, tokenizer), and the gguf package takes millions of slices of
a memory map to list a large vocabulary, each of them a slow kind of array. Here the map is sliced as a plain array, and
parsed once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import transformers.modeling_gguf_pytorch_utils as gguf_loading
from transformers.utils import logging as transformers_logging


def open_gguf(path: Path) -> Any:
    """The gguf package's reader of a file. It raises errors of many types where the file is damaged."""
    return _reader_type()(path)


@contextmanager
def reading_with(reader: Any, report: Callable[[int, int], None]) -> Iterator[None]:
    """Within the block, whoever opens a GGUF file gets `reader`, and `report` is called with (tensors read, tensors in
    the file). transformers draws no bars."""
    import gguf

    def reported(tensors: Iterable[Any], **_: Any) -> Iterator[Any]:
        """Stands in for the bar that transformers draws while it reads tensors."""
        for done, tensor in enumerate(tensors):
            report(done, len(reader.tensors))
            yield tensor

    replaced = [
        (gguf, "GGUFReader", lambda *_, **__: reader),
        # Built anew for each module of the model otherwise.
        (gguf, "get_tensor_name_map", cache(gguf.get_tensor_name_map)),
        (gguf_loading, "tqdm", reported),
    ]
    before = [getattr(module, name) for module, name, _ in replaced]
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        for module, name, new in replaced:
            setattr(module, name, new)
        yield
    finally:
        for (module, name, _), old in zip(replaced, before, strict=True):
            setattr(module, name, old)
        if bars:
            transformers_logging.enable_progress_bar()


@cache
def _reader_type() -> Any:
    import gguf
    import numpy as np

    class Reader(gguf.GGUFReader):  # type: ignore[misc]
        """Slices a plain array over the memory map."""

        @property
        def data(self) -> Any:
            return self._data

        @data.setter
        def data(self, memory_map: Any) -> None:
            self._data = memory_map.view(np.ndarray)

    return Reader
