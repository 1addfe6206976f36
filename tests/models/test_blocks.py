"""Blocks and the final norm are found by what they are, and a model without them is refused."""

from __future__ import annotations

import pytest

from spillover.core.errors import ModelError
from spillover.models.blocks import blocks, residual_modules
from spillover.models.local import LocalEngine
from tests.builders import make_model


@pytest.mark.parametrize("family", ["llama", "gpt_neox"])
def test_the_residual_stream_is_read_by_every_block_and_the_final_norm(family):
    module = make_model(family=family).module
    assert len(blocks(module)) == 2
    assert len(residual_modules(module)) == 3


def test_a_model_whose_norm_or_blocks_are_not_found_is_refused(demo_prompts):
    model = make_model()
    model.module.model.last_scaling = model.module.model.norm
    del model.module.model.norm
    engine = LocalEngine(model)
    engine._trusted = True
    with pytest.raises(ModelError, match="no final norm found"):
        next(engine.score(engine.plan(demo_prompts("sentiment", "en")), states=True))
