"""What a process knows, and how it counts the life of a lease."""

from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from chassis import clock
from services.locks import locks
from services.locks.documents import FREE_S, Document, Documents, key_of, name_of, tenant_of
from services.locks.locks import Wish
from services.locks.tests.test_locks import Written, a_wish

TENANT = UUID(str(uuid7()))
KEY = key_of(TENANT, "restock")


class Known:
    """One lock as it is written, and what is known of it."""

    def __init__(self) -> None:
        self.documents = Documents()
        self.written = Written()

    def enter(self, now: float) -> Wish:
        wish = self.written.enter(a_wish(timeout_s=10))
        self.see(now)
        return wish

    def token_of(self, wish: Wish) -> int:
        lease = locks.lease_of(self.written.lock, wish.id)
        assert lease is not None
        return lease.token

    def see(self, now: float) -> bool:
        return self.documents.take(Document(KEY, locks.copy(self.written.lock), self.written.revision), now)


@pytest.fixture
def known() -> Known:
    """A lock that nobody has wished for."""
    return Known()


class TestKeys:
    def test_they_tell_tenant_and_name(self) -> None:
        key = key_of(TENANT, "orders:1.2")

        assert (tenant_of(key), name_of(key)) == (TENANT, "orders:1.2")


class TestLapsed:
    def test_a_lease_lapses_once_when_it_was_seen_for_its_life(self, known: Known) -> None:
        wish = known.enter(100.0)

        early, due, again = (known.documents.lapsed(now) for now in (109.9, 110.1, 110.2))

        assert early == again == []
        assert [lapsed.token for lapsed in due] == [known.token_of(wish)]

    def test_what_changes_about_others_does_not_lengthen_it(self, known: Known) -> None:
        known.enter(100.0)
        known.enter(109.0)

        assert len(known.documents.lapsed(110.1)) == 1

    def test_renewed_its_life_begins_when_that_is_seen(self, known: Known) -> None:
        wish = known.enter(100.0)
        locks.renew(known.written.lock, lease_id=wish.id, holder=wish.holder, timeout_s=None, now=clock.now())
        known.written.write()
        known.see(108.0)

        assert known.documents.lapsed(117.9) == []
        assert [lapsed.renewals for lapsed in known.documents.lapsed(118.1)] == [1]

    def test_granted_again_under_its_id_its_life_begins_anew(self, known: Known) -> None:
        wish = known.enter(100.0)
        known.written.lock.Clear()
        known.written.enter(wish)
        known.see(105.0)

        assert known.documents.lapsed(110.1) == []

    def test_released_it_does_not_lapse(self, known: Known) -> None:
        wish = known.enter(100.0)
        known.written.release(wish)
        known.see(101.0)

        assert known.documents.lapsed(200.0) == []


class TestTake:
    def test_what_is_older_is_not_taken(self, known: Known) -> None:
        known.enter(100.0)

        assert not known.see(101.0)

    def test_what_was_given_back_is_known_for_longer_than_its_lock_tells(
        self, known: Known, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(locks, "RELEASED_MAX", 1)
        wishes = [known.enter(100.0) for _ in range(3)]
        for second, wish in enumerate(wishes):
            known.written.release(wish)
            known.see(101.0 + second)
        known.enter(104.0)
        after = []

        for now in (101.9, 102.1, 103.1):
            known.documents.forget(now + FREE_S)
            after.append([known.documents.was_given_back(TENANT, wish.id) for wish in wishes])

        # The first left the document when the second was given back; the last stands in it.
        assert after == [[True, True, False], [False, True, False], [False, False, False]]
        assert known.documents.find(TENANT, wishes[2].id) == KEY

    def test_an_id_that_comes_in_two_locks_is_found_where_it_stands(self, known: Known) -> None:
        wish = known.enter(100.0)
        other, key = Written(), key_of(TENANT, "another")
        other.enter(wish)
        known.documents.take(Document(key, other.lock, 7), 100.0)
        elsewhere = known.documents.is_elsewhere(KEY, wish.id)
        found = []

        known.written.release(wish)
        known.see(101.0)
        found.append(known.documents.find(TENANT, wish.id))
        other.release(wish)
        known.documents.take(Document(key, other.lock, 8), 102.0)
        found.append(known.documents.find(TENANT, wish.id))
        known.documents.forget(101.5 + FREE_S)
        found.append(known.documents.find(TENANT, wish.id))

        assert elsewhere
        assert not known.documents.is_elsewhere(KEY, wish.id)
        assert found == [key] * 3

    def test_a_lease_is_found_until_the_lock_is_forgotten(self, known: Known) -> None:
        wish = known.enter(100.0)
        known.written.release(wish)
        known.see(101.0)

        before = known.documents.find(TENANT, wish.id)
        known.documents.forget(101.1 + FREE_S)

        assert before == KEY
        assert known.documents.find(TENANT, wish.id) is None
        assert known.documents.find(UUID(str(uuid7())), wish.id) is None
        assert known.documents.in_use(TENANT) == []
