"""Freed memory stays in the process where glibc is told so, and goes back when it is asked for."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import pytest
import torch

from spillover.models.fast.malloc import keep_freed_memory, return_freed_memory

needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")


def resident():
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


@needs_glibc
def test_glibc_takes_it():
    assert keep_freed_memory()


@needs_glibc
def test_what_was_freed_goes_back_though_something_between_stays():
    keep_freed_memory()
    blocks = [torch.ones(64_000) for _ in range(1000)]
    stays = blocks[::100]
    del blocks
    before = resident()
    assert return_freed_memory()
    assert resident() < before - 200 * 2**20
    assert all((block == 1).all() for block in stays)


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory.__wrapped__()
    assert not return_freed_memory()
