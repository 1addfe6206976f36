"""Beginnings, ends and brackets that many texts of one language share, such as "Translation:", and the reference's do
not."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from spillover.stages.audit.recurring_runs import LEAST_TEXTS, share_a_run
from spillover.stages.audit.text_features import weighted_length

LONGEST = 120  # characters of a beginning or an end
NOTES, ENDS = r":：\[\]［］【】〔〕(（)）{}|#*=~→", ".!?。！？।؟"
NOTE_MARK = re.compile(f"[{NOTES}]")
# A beginning up to its first mark; an end is one of the text read backwards.
MARKED = re.compile(rf"\W{{0,4}}\w.{{1,{LONGEST}}}?[{NOTES}]")
FIRST_SENTENCE = re.compile(rf"[^{ENDS}]{{3,{LONGEST}}}[{ENDS}](?=\s*\w)")
LAST_SENTENCE = re.compile(rf"(?<=[{ENDS}])\s*[^{ENDS}]{{3,{LONGEST}}}[{ENDS}]*\s*$")
BRACKETED = re.compile(rf"[\[［【〔(（][^\]］】〕)）]{{2,{LONGEST}}}[\]］】〕)）]")
LEAST_SENTENCE = 12  # weighted characters
LEAST_LETTERS = 2
MARKED_COUNTERPARTS = 0.2  # share of counterparts with a mark there, up to which it is no template
ALIKE = 0.5  # share of counterparts that are alike, from which a sentence is a template


def added_affixes(texts: Sequence[str], counterparts: Sequence[str], least_share: float) -> list[str]:
    """Beginnings, ends and brackets in at least `least_share` of a language's texts, and nothing like it in the
    counterparts.

    Either up to a colon or a bracket, or in brackets, such as few counterparts have there; or a whole sentence of which
    the counterparts share nothing. Equal texts count once. texts, counterparts: one field of the same items, in the
    language and in the reference.
    """
    least = max(LEAST_TEXTS, math.ceil(least_share * len(set(texts))))
    facing = dict(zip(texts, counterparts, strict=True))
    affixes = []
    for cut, is_template in (
        (_marked_beginning, _has_marked_beginnings),
        (_marked_end, _has_marked_ends),
        (_bracketed, _has_brackets),
        (_first_sentence, _is_shared_sentence),
        (_last_sentence, _is_shared_sentence),
    ):
        holders: dict[str, list[str]] = {}
        for text in facing:
            affix = cut(text)
            if sum(map(str.isalpha, affix)) >= LEAST_LETTERS:
                holders.setdefault(affix, []).append(text)
        for affix, with_affix in holders.items():
            if len(with_affix) < least:
                continue
            inside = [facing[text] for text in with_affix]
            holds_it = set(with_affix)
            outside = [other for text, other in facing.items() if text not in holds_it]
            if not is_template(affix, inside, outside):
                affixes.append(affix)
    return sorted(dict.fromkeys(affixes), key=len, reverse=True)


def _marked_beginning(text: str) -> str:
    match = MARKED.match(text.lstrip())
    return match[0] if match else ""


def _marked_end(text: str) -> str:
    match = MARKED.match(text.rstrip()[::-1])
    return match[0][::-1] if match else ""


def _bracketed(text: str) -> str:
    match = BRACKETED.search(text)
    return match[0] if match else ""


def _first_sentence(text: str) -> str:
    match = FIRST_SENTENCE.match(text.lstrip())
    return match[0] if match and weighted_length(match[0]) >= LEAST_SENTENCE else ""


def _last_sentence(text: str) -> str:
    match = LAST_SENTENCE.search(text[-2 * LONGEST :])
    return match[0].strip() if match and weighted_length(match[0]) >= LEAST_SENTENCE else ""


def _has_marked_beginnings(affix: str, inside: Sequence[str], outside: Sequence[str]) -> bool:
    return _share_marked([text[:LONGEST] for text in inside]) > MARKED_COUNTERPARTS


def _has_marked_ends(affix: str, inside: Sequence[str], outside: Sequence[str]) -> bool:
    return _share_marked([text[-LONGEST:] for text in inside]) > MARKED_COUNTERPARTS


def _has_brackets(affix: str, inside: Sequence[str], outside: Sequence[str]) -> bool:
    return sum(BRACKETED.search(text) is not None for text in inside) > MARKED_COUNTERPARTS * len(inside)


def _share_marked(texts: Sequence[str]) -> float:
    return sum(NOTE_MARK.search(text) is not None for text in texts) / len(texts)


def _is_shared_sentence(affix: str, inside: Sequence[str], outside: Sequence[str]) -> bool:
    return share_a_run(inside, outside, phrase=affix, share=ALIKE)
