"""Labels in one Unicode form, so that `é` in one code point and in two are one label in a task and in its data."""

from __future__ import annotations

import logging
import unicodedata
from functools import cache

log = logging.getLogger(__name__)


def composed_label(label: str, place: object) -> str:
    """A label in the composed form (NFC). The log says so, once for each label of a place (a
    file), where it was in another form."""
    composed = unicodedata.normalize("NFC", label)
    if composed != label:
        _log_other_form(str(place), composed)
    return composed


@cache
def _log_other_form(place: str, label: str) -> None:
    log.warning("%s: label %r is in another Unicode form than NFC: it is matched all the same", place, label)
