from __future__ import annotations

import pytest

from tests.stages.audit.builders import audit_folder, choice_folder


def rewritten(replace):
    def edit(rows):
        return [
            row | {"choices": [replace(text) if i == 3 else text for text in row["choices"]]}
            for i, row in enumerate(rows)
        ]

    return edit


@pytest.mark.parametrize(
    ("replace", "named"),
    [
        (lambda text: text.replace("1921", "1912"), True),
        (lambda text: text.replace("(1921)", ""), True),
        (lambda text: text.replace("1921", "19.21"), False),
        (lambda text: text.replace("1921", "१९२१"), False),
    ],
    ids=["another", "none", "marks", "digits of another script"],
)
def test_a_number_of_an_answer_is_compared_with_the_same_answer(replace, named, tmp_path):
    folder = choice_folder(tmp_path, "reading", 4, {"de": rewritten(replace)})
    findings = [f for f in audit_folder(folder, "reading") if f.check == "choice-numbers"]
    assert bool(findings) == named
    if named:
        assert [(f.language, f.example_ids, f.evidence) for f in findings] == [
            ("de", ("item-3",), {"choices": {"item-3": [0]}})
        ]
