"""Whether a password is among the breached ones: a Bloom filter in a file, made by `tools/breached.py`.

The list is SecLists' million most common ones of breaches. The filter knows every one of them that is long enough for
our policy, and the words that the shorter ones are made of, because people make a long one by putting digits and signs
around such a word. It never misses one that it knows; of passwords that it does not know it takes two in 100,000 for
known, one as a whole and one for its word.
"""

import hashlib
import unicodedata
from functools import cache
from pathlib import Path

from rbloom import Bloom

PATH = Path(__file__).with_name("breached.bloom")
LENGTH_MIN = 12
FALSE_POSITIVES = 1e-5
# Shorter than this, a word around which the rest is put is too little of a password to speak of.
WORD_MIN = 6


def folded(password: str) -> str:
    """The form in which passwords are compared: as typed on any keyboard, in any case."""
    return unicodedata.normalize("NFKC", password).casefold()


def known(password: str) -> bool:
    """Whether a password is in the list, or half or more of it is a word of the list among digits and signs."""
    text = folded(password)
    word = core(text)
    return text in _filter() or (2 * len(word) >= len(text) and mark(word) in _filter())


def core(text: str) -> str:
    """The letters of a password, when they stand together: what is left without the digits and signs around them."""
    word = text.strip("".join({character for character in text if not character.isalpha()}))
    return word if word.isalpha() and len(word) >= WORD_MIN else ""


def mark(word: str) -> str:
    """How the filter knows a word, so that it is not taken for a whole password."""
    return f"word:{word}"


def position(entry: str) -> int:
    """A hash for the filter that is the same in every process."""
    return int.from_bytes(hashlib.sha256(entry.encode("utf-8", "surrogatepass")).digest()[:16], "big", signed=True)


@cache
def _filter() -> Bloom:
    return Bloom.load(str(PATH), position)
