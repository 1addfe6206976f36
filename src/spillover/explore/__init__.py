"""Explore: a page on which one asks a loaded model, in any language, and sees inside.

1. `asked_question`: what a person asks → the task and the prompts that the engine is asked.
2. `session`: one or two loaded models → `results`, by the code of evaluate and probe.
3. `run_items`: the flipped items of a finished run.
4. `computation`: what visitors asked for, one after the other.
5. `gradio_page` and the files of its tabs: Gradio components around the four, and nothing computed there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spillover.core.lazy import lazy_names

if TYPE_CHECKING:
    from spillover.explore.asked_question import Question
    from spillover.explore.session import open_session

__all__ = ["Question", "open_session"]

__getattr__ = lazy_names(__name__, {"Question": f"{__name__}.asked_question", "open_session": f"{__name__}.session"})
