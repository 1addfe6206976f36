from __future__ import annotations

import io
import json
import logging
from types import SimpleNamespace

import pytest

from spillover.cli import main, terminal
from spillover.core.files import write_jsonl


def test_without_a_terminal_progress_is_a_line_now_and_then(capsys, monkeypatch):
    clock = iter([0.0, 5.0, 16.0, 17.0, 40.0, 41.0])
    monkeypatch.setattr(terminal, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with terminal.progress_bars() as progress:
        for done in range(1, 7):
            progress("audit nli", done, 6)
    lines = [line.strip() for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert lines == ["audit nli: 3/6", "audit nli: 5/6", "audit nli: 6/6"]


# A screen cleared, a title set, text turned round, a line of its own, and markup of rich's.
EVIL = "x\x1b[2J\x1b]0;owned\a\x9b31m\u202eevil\u2066\x00\nerror: all is well\r[red]y[/red]"
SHOWN = "x\\x1b[2J\\x1b]0;owned\\x07\\x9b31m\\u202eevil\\u2066\\x00\\nerror: all is well\\r[red]y[/red]"
ACTING = set("\x00\a\x1b\r\x9b\u202e\u2066")


def printed(capsys):
    """What was printed on both streams, none of which acts."""
    captured = capsys.readouterr()
    text = captured.out + captured.err
    assert not ACTING & set(text)
    assert not any(line.startswith("error: all is well") for line in text.splitlines())
    return text


@pytest.mark.parametrize(
    "print_it",
    [
        terminal.say,
        terminal.show,
        lambda text: terminal.print_list([text]),
        lambda text: terminal.print_wrapped(text, indent=2),
        lambda text: terminal.print_table(text, ["", "a"], [["b", "c"]]),
        lambda text: terminal.print_table("", [text, "a"], [["b", "c"]]),
        lambda text: terminal.print_table("", ["", text], [["b", "c"]]),
        lambda text: terminal.print_table("", ["", "a"], [[text, "c"]]),
        lambda text: terminal.print_table("", ["", "a"], [["b", text]]),
    ],
)
def test_hostile_text_is_shown_and_does_nothing(print_it, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    print_it(EVIL)
    assert SHOWN in printed(capsys)


def test_hostile_text_in_json_is_the_same_value(capsys):
    terminal.print_json({EVIL: EVIL})
    assert json.loads(printed(capsys)) == {EVIL: EVIL}


def test_hostile_text_in_progress_and_logs_does_nothing(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with terminal.progress_bars() as progress:
        progress(EVIL, 1, 1)
        logging.getLogger("spillover.test").warning("a label: %s", EVIL)
    text = printed(capsys)
    assert f"{SHOWN}: 1/1" in text
    assert f"a label: {SHOWN}" in text


def test_hostile_text_in_bars_on_a_terminal_does_nothing(monkeypatch):
    from rich.console import Console

    screen = io.StringIO()
    monkeypatch.setattr(
        "rich.console.Console", lambda **_: Console(file=screen, force_terminal=True, width=200, color_system=None)
    )
    with terminal.progress_bars() as progress:
        progress(EVIL, 1, 2)
    assert SHOWN in screen.getvalue()
    assert "\x1b]0;" not in screen.getvalue()
    assert "\u202e" not in screen.getvalue()


def test_a_log_line_outside_of_progress_does_nothing():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(terminal.VisibleFormatter())
    handler.handle(logging.makeLogRecord({"msg": "%s", "args": (EVIL,)}))
    assert stream.getvalue() == f"{SHOWN}\n"


@pytest.mark.parametrize("name", ["evil\x1b[2J\u202e.csv", "a\nerror: all is well.csv"])
def test_a_hostile_file_name_in_an_error_is_one_line(name, tmp_path, capsys):
    path = tmp_path / name
    path.write_text(f"language,before,after\n{EVIL[:5]},0.5,x\n")
    with pytest.raises(SystemExit) as ended:
        main(["compare", "--plan", "--items", "50", "--published", str(path)])
    assert ended.value.code == 3
    text = printed(capsys)
    assert len(text.splitlines()) == 2
    assert "'x' is not a share" in text


def test_a_hostile_language_in_a_published_table_does_nothing(tmp_path, capsys):
    path = tmp_path / "t.csv"
    path.write_text("language,before,after\nz\x1b[2J\u202e[red],0.5,0.6\n")
    with pytest.raises(SystemExit) as ended:
        main(["compare", "--plan", "--items", "50", "--published", str(path)])
    assert ended.value.code == 0
    assert "z\\x1b[2J\\u202e[red]" in printed(capsys)


def test_hostile_data_does_nothing_in_an_audit(tmp_path, capsys):
    rows = [{"id": f"{EVIL}{i}", "review": f"{EVIL} {i % 2}", "label": EVIL if i else "positive"} for i in range(6)]
    write_jsonl(tmp_path / "data" / "sentiment" / "test" / "en.jsonl", rows)
    for flags in ([], ["--json"]):
        arguments = ["audit", "--task", "sentiment", "--data", str(tmp_path / "data"), "--lang", "en"]
        with pytest.raises(SystemExit):
            main([*arguments, "--out", str(tmp_path / "run"), *flags])
        assert "x\\" in printed(capsys)
    with pytest.raises(SystemExit) as ended:
        main(["audit", "--task", "sentiment", "--data", str(tmp_path / EVIL.replace("\x00", "")), "--out", "x"])
    assert ended.value.code == 3
    printed(capsys)
