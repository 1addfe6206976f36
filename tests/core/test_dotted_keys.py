from __future__ import annotations

from spillover.core.dotted_keys import dotted


def test_nested_settings_have_dotted_keys_and_lists_stay_values():
    values = {"seed": 0, "build": {"sources": ["es"], "replay": {"share": 0.1}}, "grid": {}}
    assert dotted(values) == {"seed": 0, "build.sources": ["es"], "build.replay.share": 0.1}
