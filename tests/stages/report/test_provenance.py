"""Where a run comes from, and what is missing of it."""

from __future__ import annotations

import json
import shutil

import pytest

from spillover.core.files import write_json
from spillover.stages.report import report
from spillover.stages.report.provenance import missing_parts


@pytest.mark.parametrize("stage", ["evaluate", "probe", "train"])
def test_a_stage_that_is_missing_is_left_out_and_said(whole_run, tmp_path, stage):
    copy = shutil.copytree(whole_run.path, tmp_path / "copy")
    assert not any(text.startswith(stage) for text, _ in missing_parts(whole_run, []))
    shutil.rmtree(copy / stage)
    manifest = json.loads((copy / "run.json").read_text())
    manifest["stages"].pop(stage, None)
    write_json(copy / "run.json", manifest)
    text = report(copy).read_text(encoding="utf-8")
    assert f"<bdi>{stage}:" in text
    assert "Claim:" in text
