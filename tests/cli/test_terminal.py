from __future__ import annotations

from types import SimpleNamespace

from spillover.cli import terminal


def test_without_a_terminal_progress_is_a_line_now_and_then(capsys, monkeypatch):
    clock = iter([0.0, 5.0, 16.0, 17.0, 40.0, 41.0])
    monkeypatch.setattr(terminal, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with terminal.progress_bars() as progress:
        for done in range(1, 7):
            progress("audit nli", done, 6)
    lines = [line.strip() for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert lines == ["audit nli: 3/6", "audit nli: 5/6", "audit nli: 6/6"]
