"""Sixteen pairs, and the adapter of a training on them that nothing interrupts."""

from __future__ import annotations

import pytest

from spillover.core.config import BuildConfig
from spillover.stages.build import build_pairs
from spillover.stages.train import train
from tests.builders import make_model
from tests.stages.train.builders import CHECKPOINT_EACH_STEP, adapter_bytes


@pytest.fixture(scope="package")
def sixteen_pairs():
    return build_pairs("sentiment", languages=["es"], config=BuildConfig(pairs=16))


@pytest.fixture(scope="package")
def uninterrupted_adapter(sixteen_pairs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    train(make_model(), sixteen_pairs, out=folder, config=CHECKPOINT_EACH_STEP)
    return adapter_bytes(folder)
