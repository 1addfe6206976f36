"""A command of one's own as a translator: it is started once for each batch, and needs no library of ours.

stdin   {"id": 0, "text": "...", "source": CODE, "target": CODE, "retry": false}, one a line, then the end of file
stdout  {"translation": "..."} one a line, as many and in the same order

No shell is involved. The command is given no key: SPILLOVER_API_KEY is taken out of its environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from spillover.core.config import KEY_VARIABLE, TranslatorConfig
from spillover.core.errors import DataError, ModelError
from spillover.core.files import hash_files, hash_of, parse_json
from spillover.core.types import Language

SHOWN = 200


class CommandTranslator:
    """A command that translates. fingerprint: of its arguments, and of the program and those arguments that are files.
    ModelError where there is no such program."""

    def __init__(self, config: TranslatorConfig) -> None:
        self.config = config
        program, *arguments = config.command
        path = shutil.which(program)
        if path is None:
            raise ModelError(
                f"translate.translator.command: no program {program!r}",
                hint="give its path, and its arguments one by one, as in command: [python, translate.py]",
            )
        self.name = Path(program).name
        files = [Path(path), *(Path(argument) for argument in arguments if Path(argument).is_file())]
        self.fingerprint = hash_of([config.command, [hash_files([file]) for file in files]])

    def prompt(self, source: Language, target: Language) -> str:
        """Nothing: what the command makes of a text is its own affair."""
        return ""

    def translate(self, texts: Sequence[str], source: Language, target: Language, *, retry: bool = False) -> list[str]:
        """As `Translator.translate`; `retry` is in each row that the command reads. ModelError where it fails, takes
        longer than `timeout`, or answers with another number of rows."""
        translations: list[str] = []
        for start in range(0, len(texts), self.config.batch):
            batch = texts[start : start + self.config.batch]
            rows = [
                {"id": number, "text": text, "source": source.code, "target": target.code, "retry": retry}
                for number, text in enumerate(batch)
            ]
            output = self._run("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
            translations += self._read(output, len(batch))
        return translations

    def _run(self, rows: str) -> bytes:
        environment = {key: value for key, value in os.environ.items() if key != KEY_VARIABLE}
        try:
            process = subprocess.Popen(
                self.config.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env=environment, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise ModelError(f"{self.name}: cannot be started: {error.strerror}", hint="is it executable?") from None
        with process:
            try:
                output, errors = process.communicate(rows.encode(), timeout=self.config.timeout)
            except subprocess.TimeoutExpired:
                raise ModelError(
                    f"{self.name}: no answer in {self.config.timeout:g} s",
                    hint="a smaller --batch, or --set translate.translator.timeout=SECONDS",
                ) from None
            finally:
                # Its children too; it is a group of its own.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
        if process.returncode:
            said = errors.decode(errors="replace").strip().splitlines()[-1:] or ["nothing on stderr"]
            raise ModelError(
                f"{self.name}: ended with exit code {process.returncode}: {said[0][:SHOWN]}",
                hint="run it by hand on one row: docs/translate.md shows how",
            )
        return output

    def _read(self, output: bytes, expected: int) -> list[str]:
        lines = [line for line in output.split(b"\n") if line.strip()]
        if len(lines) != expected:
            raise ModelError(
                f"{self.name}: was given {expected} rows and returned {len(lines)}",
                hint="one JSON line for each row on stdout, and nothing else; messages go to stderr",
            )
        translations = []
        for number, line in enumerate(lines, start=1):
            try:
                row = parse_json(line, f"{self.name}: row", line=number)
            except DataError as error:
                raise ModelError(error.message, hint='{"translation": "..."}, one a line, in UTF-8') from None
            if not isinstance(row, dict) or not isinstance(row.get("translation"), str):
                shown = line.decode(errors="replace").strip()[:SHOWN]
                raise ModelError(
                    f"{self.name}: row {number} has no text under translation: {shown}",
                    hint='{"translation": "..."}, one a line',
                )
            translations.append(row["translation"])
        return translations
