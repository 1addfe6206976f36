"""One process at a time: a lock that the system releases when its process ends, however it ends.

1. The lock file is opened and locked with flock(2). The file of a killed process is locked by nobody: it is taken over.
2. The holder writes into it who it is; a process that is refused says so.
3. At the end the holder removes the file while it still holds the lock. A process that opened it before that finds that
   the path leads to no file or to another one, and tries again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import shlex
import socket
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from spillover.core.errors import RunError

log = logging.getLogger(__name__)

# File systems that know no locks.
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
LONGEST_COMMAND = 200

# How often this process has entered each lock that it holds.
_entered: dict[Path, int] = {}


@contextlib.contextmanager
def locked(path: Path, *, what: Path | None = None, wait: bool = False) -> Iterator[bool]:
    """Within the block no other process holds the lock file `path`; it is removed at the end. The value is whether this
    is the outermost block of this process: it may enter a lock again.

    what: what the lock is for, in messages; the lock's folder unless given. wait: for another process to end; otherwise
    it is a RunError that says which one. Where the folder cannot be written there is no lock: nobody writes there.
    """
    key = path.absolute()
    if _entered.get(key):
        _entered[key] += 1
        try:
            yield False
        finally:
            _entered[key] -= 1
        return
    missing = [folder for folder in key.parents if not folder.exists()]
    descriptor = _acquire(key, what or path.parent, wait=wait)
    _entered[key] = 1
    try:
        if descriptor is not None:
            _write_holder(descriptor)
        yield True
    finally:
        del _entered[key]
        if descriptor is not None:
            path.unlink(missing_ok=True)
            os.close(descriptor)
            with contextlib.suppress(OSError):  # a folder that was made for the lock alone goes with it
                for folder in missing:
                    folder.rmdir()


def is_locked(path: Path) -> bool:
    """Whether another process holds the lock file `path` at this moment."""
    if _entered.get(path.absolute()):
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _acquire(path: Path, what: Path, *, wait: bool) -> int | None:
    """A descriptor of the locked file; None where the folder cannot be written. RunError when another process holds it
    and we do not wait."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # another process removed the folder that it had made
            continue
        except OSError as error:
            if error.errno in UNWRITABLE and path.parent.is_dir() and not path.exists():
                return None
            raise
        try:
            _flock(descriptor, what, wait=wait)
            if _leads_to(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _flock(descriptor: int, what: Path, *, wait: bool) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if not wait:
            raise RunError(
                f"{what}: in use by {_holder(descriptor)}", hint="wait until it ends, or choose another folder"
            ) from None
        log.info("%s: waiting for %s", what, _holder(descriptor))
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        log.warning("%s: this file system has no locks: a second process there would not be noticed", what)


def _leads_to(path: Path, descriptor: int) -> bool:
    """Whether the path leads to the file that is open, and not to none or to a later one."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _write_holder(descriptor: int) -> None:
    program, *arguments = sys.argv or [""]
    holder = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join([Path(program).name, *arguments])[:LONGEST_COMMAND],
    }
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _holder(descriptor: int) -> str:
    """Who holds the lock, as it wrote itself: for a moment after it was taken it has not yet."""
    try:
        holder: dict[str, Any] = json.loads(os.pread(descriptor, 1 << 12, 0))
        return f"process {holder['pid']} on {holder['host']} since {holder['since']}: {holder['command']}"
    except (ValueError, TypeError, KeyError):
        return "another process"
