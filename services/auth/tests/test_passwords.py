"""The password policy, and the filter of breached ones."""

import secrets

import pytest

from services.auth import breached, passwords
from tools import breached as tool

OWN = ("mira.lindqvist@north.example", "Mira Lindqvist")


def wide(text: str) -> str:
    """The same text in the wide forms of East Asian keyboards."""
    return "".join(chr(ord(character) + 0xFEE0) for character in text)


class TestWeaknesses:
    @pytest.mark.parametrize(
        "password",
        [
            "tall ships in the harbour",
            "correct horse battery staple",
            "dolphins-eat-17",
            "пароход в тумане",
            "灯台から見える十二隻の船",
            "aaaabbbbccccddddeeee 1",
            "x" * 3 + secrets.token_urlsafe(150),
        ],
    )
    def test_a_long_one_that_nobody_would_guess_is_taken(self, password: str) -> None:
        assert passwords.weaknesses(password, OWN) == []

    @pytest.mark.parametrize("password", ["short", "elevenchars", "9f3!kQ", ""])
    def test_a_short_one_is_refused(self, password: str) -> None:
        assert "must have at least 12 characters" in passwords.weaknesses(password, OWN)

    @pytest.mark.parametrize(
        "password",
        [
            "password1234",
            "Password123456!",
            "qwertyuiopasdfghjkl",
            "1qaz2wsx3edc4rfv",
            "unbelievable",
            "sunshine2024!",
            "123456789123456789",
            "aaaaaaaaaaaaaaaa",
            "907518436251",
            "ghjcnjgfhjkm",
            wide("PASSWORD123456"),
        ],
    )
    def test_a_breached_or_dull_one_is_refused(self, password: str) -> None:
        assert passwords.weaknesses(password, OWN) == ["is among the most common passwords"]

    @pytest.mark.parametrize(
        "password", ["lindqvist at sea 7", "I am at NORTH.example", "switchyard is mine", wide("MIRA") + " at the sea"]
    )
    def test_ones_own_data_is_refused(self, password: str) -> None:
        assert passwords.weaknesses(password, OWN) == ["must not contain the name or the e-mail address"]


class TestHasher:
    async def test_the_keyboard_does_not_matter(self) -> None:
        hasher = passwords.Hasher(memory_kib=64, time_cost=1)
        composed, decomposed = "caf\u00e9 by the harbour", "cafe\u0301 by the harbour"

        hashed = await hasher.hash(composed)

        assert await hasher.matches(decomposed, hashed)

    async def test_a_hash_of_a_lower_cost_is_made_up_for(self) -> None:
        before, now = passwords.Hasher(memory_kib=64, time_cost=1), passwords.Hasher(memory_kib=128, time_cost=2)

        cheap, dear = await before.hash("by the harbour"), await now.hash("by the harbour")

        assert (now.lacking(cheap), now.lacking(dear), before.lacking(dear)) == (2 * 128 - 64, 0, 0)
        assert not await now.matches("by the sea", cheap)
        assert await now.matches("by the harbour", cheap)


class TestFilter:
    def test_false_positives_are_as_rare_as_stated(self) -> None:
        tries = 100_000

        found = sum(breached.known(secrets.token_hex(8)) for _ in range(tries))

        # Two are expected; more than ten come by chance once in 100,000 runs.
        assert found <= 10

    def test_it_is_small(self) -> None:
        assert breached.PATH.stat().st_size < 1 << 20

    def test_a_rebuilt_one_knows_every_entry(self) -> None:
        entries = set(tool.entries_of([*(f"harbour-light-{number}" for number in range(5000)), "monkey12"]))

        made = tool.build(entries)

        assert len(entries) == 5001
        assert all(entry in made for entry in entries)
        assert "word:monkey" in made
        assert "monkey" not in made
