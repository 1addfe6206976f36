"""What cannot be written, as one error: a full disk, a folder that is read-only, a name that is too long.

Python and pyarrow raise an OSError with a number; torch and safetensors hide it in errors of their own.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spillover.core.errors import RunError, SpilloverError

RESUME = "then rerun the same command to resume"
CURES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), f"free disk space, {RESUME}"),
    **dict.fromkeys(
        (errno.EROFS, errno.EACCES, errno.EPERM), f"allow writing there or choose another folder, {RESUME}"
    ),
    errno.EFBIG: f"raise the limit on file sizes (ulimit -f), {RESUME}",
    errno.EIO: f"check the disk, {RESUME}",
    errno.ENAMETOOLONG: "choose a shorter path",
}
# safetensors, as Rust's errors are printed.
OS_ERROR = re.compile(r"\(os error (\d+)\)")
# torch's writer says that it failed, not why.
TORCH_WRITER = ("PytorchStreamWriter failed writing", "iostream error", "unexpected pos")


def write_failure(error: BaseException, path: Path | None = None) -> RunError | None:
    """The RunError of a failure to write; None for any other error. path: what was being written; where nobody knows,
    it may also have been read."""
    if isinstance(error, SpilloverError):
        return None
    number, reason = _cause(error)
    if number not in CURES:
        return None
    name = getattr(error, "filename", None)
    if path is None:
        return RunError(f"{name or 'the disk'}: {reason}", hint=CURES[number])
    if name is None or ".partial" in str(name):
        name = path
    return RunError(f"{name}: cannot be written ({reason})", hint=CURES[number])


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Within the block a failure to write is one RunError that names `path`."""
    try:
        yield
    except Exception as error:
        failure = write_failure(error, path)
        if failure is None:
            raise
        raise failure from None


def _cause(error: BaseException) -> tuple[int, str]:
    """The system's number of a failure to write and what it means; 0 for any other error."""
    current: BaseException | None = error
    while current is not None:
        if isinstance(current, OSError) and current.errno is not None:
            return current.errno, os.strerror(current.errno)
        if match := OS_ERROR.search(str(current)):
            return int(match[1]), os.strerror(int(match[1]))
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    if isinstance(error, RuntimeError) and any(text in str(error) for text in TORCH_WRITER):
        return errno.ENOSPC, os.strerror(errno.ENOSPC)
    return 0, ""
