from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from spillover.core.errors import DataError
from spillover.stages.alternatives.result_files import read_alternatives, write_alternatives
from spillover.stages.alternatives.table import alternatives_of
from tests.stages.alternatives.builders import quality, scored_rows


@pytest.fixture(scope="module")
def result():
    return alternatives_of(scored_rows(np.random.default_rng(0), n=60, shots=0.2, shots_null=0.0, tuned=0.5))


def test_what_is_written_is_read_again(result, tmp_path):
    write_alternatives(tmp_path, [result])
    (again,) = read_alternatives(tmp_path)
    pd.testing.assert_frame_equal(again.rows, result.rows)
    pd.testing.assert_frame_equal(again.contrasts, result.contrasts)
    assert (again.answer, again.verdict, again.numbers, again.notes) == (
        result.answer, result.verdict, result.numbers, result.notes,
    )  # fmt: skip


def test_a_table_without_contrasts_is_written_too(tmp_path):
    write_alternatives(tmp_path, [alternatives_of(scored_rows(np.random.default_rng(0), n=60, shots=0.2))])
    (again,) = read_alternatives(tmp_path)
    assert again.contrasts.empty


def test_translations_are_written_and_tables_of_before_have_none(tmp_path):
    scored = scored_rows(np.random.default_rng(0), n=60, shots=0.2)
    result = alternatives_of(scored, translations={"self-translate": quality()})
    write_alternatives(tmp_path, [result])
    (again,) = read_alternatives(tmp_path)
    pd.testing.assert_frame_equal(again.translations, result.translations)
    (tmp_path / "translations.parquet").unlink()
    (again,) = read_alternatives(tmp_path)
    assert again.translations.empty
    assert list(again.translations) == list(result.translations)


def test_a_run_without_the_stage_has_none_and_a_damaged_file_is_named(result, tmp_path):
    assert read_alternatives(tmp_path) == []
    write_alternatives(tmp_path, [result])
    (tmp_path / "alternatives.json").write_text('[{"task": "sentiment"}]')
    with pytest.raises(DataError, match=r"alternatives\.json"):
        read_alternatives(tmp_path)
