from __future__ import annotations


def test_tasks_languages_and_models_are_listed(call):
    tasks = call("ls", "tasks")[1]
    assert "paraphrase" in tasks
    assert "20 languages, 2 shots, choices. Which of two sentences is the cause" in tasks
    assert "no wording, pairs. Which of two sentences is grammatical?" in tasks
    assert len(call("ls", "languages")[1].splitlines()) == 20
    assert "smollm2-135m" in call("ls", "models")[1]


def test_checks_are_listed_with_what_each_sees(call):
    output = call("ls", "checks")[1]
    assert "label-permutation" in output
    assert "Cannot see" in output
    assert "xnli" in call("ls", "datasets")[1]
