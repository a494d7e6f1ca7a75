"""Group orders through a real server, and races for the last moment."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from switchyard.options.v1 import policy_pb2
from switchyard.orders.v1 import groups_pb2

from chassis import clock, errors
from chassis.testing import Databases, Serve, Tenant
from services.orders import groups
from services.orders.tests.crowd import HOUR, STAFF, Crowd, gather_crowd, some_id

OPEN, LOCKED = groups_pb2.GROUP_ORDER_STATUS_OPEN, groups_pb2.GROUP_ORDER_STATUS_LOCKED


@pytest_asyncio.fixture
async def crowd(serve: Serve, databases: Databases, tenant: Tenant, inventory: tuple[Any, str]) -> Crowd:
    return await gather_crowd(serve, databases, tenant, inventory)


class TestCreateGroupOrder:
    async def test_is_open_with_a_code(self, crowd: Crowd) -> None:
        group = await crowd.open()

        assert (group.status, group.version, group.site_name) == (OPEN, 1, "A site")
        assert len(group.code) == groups.CODE_LENGTH
        assert set(group.code) <= set(groups.ALPHABET)

    async def test_is_told_to_the_site(self, crowd: Crowd) -> None:
        group = await crowd.open()

        assert await crowd.told(f"group_orders/{group.id}") == [
            ("GroupOrderCreated", f"orders:queue:{crowd.shop.site}")
        ]

    async def test_the_code_is_not_in_the_trail(self, crowd: Crowd) -> None:
        group = await crowd.open()

        (entry,) = await crowd.trail(f"group_orders/{group.id}")
        assert "Friday coffee" in entry
        assert group.code not in entry

    async def test_same_client_id_answers_the_same(self, crowd: Crowd) -> None:
        request = crowd.invitation(id=some_id())

        first, *others = await asyncio.gather(*(crowd.groups().CreateGroupOrder(request) for _ in range(8)))

        assert all(other == first for other in others)
        assert len(await crowd.told(f"group_orders/{first.id}")) == 1

    async def test_same_client_id_with_another_wish_is_refused(self, crowd: Crowd) -> None:
        group = await crowd.open(id=some_id())

        with pytest.raises(errors.AlreadyExists):
            await crowd.open(id=group.id, name="Other")

    @pytest.mark.parametrize("ahead", [-HOUR, timedelta(days=31)])
    async def test_a_deadline_that_has_passed_or_is_far_is_invalid(self, crowd: Crowd, ahead: timedelta) -> None:
        request = crowd.invitation()
        request.deadline.FromDatetime(clock.now() + ahead)

        with pytest.raises(errors.Invalid) as refused:
            await crowd.groups().CreateGroupOrder(request)

        assert "deadline" in refused.value.fields

    async def test_a_closed_site_is_not_found(self, crowd: Crowd) -> None:
        crowd.shop.running.service.every_site.closed.add(crowd.shop.site)

        with pytest.raises(errors.NotFound):
            await crowd.open()

    async def test_codes_are_unique_over_tenants_in_parallel(
        self, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # 64 codes for 40 group orders of two tenants: they meet all the time.
        monkeypatch.setattr(groups, "ALPHABET", "23")
        monkeypatch.setattr(groups, "CODES_MAX", 1000)
        await crowd.shop.rows("DELETE FROM group_participants")
        await crowd.shop.rows("DELETE FROM group_orders")
        others = Tenant().user(permissions=STAFF)

        opened = await asyncio.gather(*(crowd.open(others if each % 2 else None) for each in range(40)))

        assert len({group.code for group in opened}) == 40

    async def test_a_closed_ones_code_is_free_again(self, crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(groups, "ALPHABET", "9")
        first = await crowd.open()
        with pytest.raises(errors.Unavailable):
            await crowd.open()

        await crowd.groups().CancelGroupOrder(groups_pb2.CancelGroupOrderRequest(id=first.id))

        assert (await crowd.open()).code == "999999"
        await crowd.shop.rows(
            "UPDATE group_orders SET status = 'closed', outcome = 'cancelled', version = version + 1 "
            "WHERE status <> 'closed'"
        )


class TestByCode:
    async def test_tells_what_the_invited_may_know(self, crowd: Crowd) -> None:
        group = await crowd.open()
        await crowd.join(group)

        found = await crowd.nobody.GetGroupOrderByCode(groups_pb2.GetGroupOrderByCodeRequest(code=group.code))

        assert (found.id, found.name, found.host_name) == (group.id, "Friday coffee", "Ada")
        assert (found.site_id, found.site_name, found.participant_count) == (crowd.shop.site, "A site", 1)
        assert crowd.host.id not in str(found)

    async def test_small_letters_count_as_capitals(self, crowd: Crowd) -> None:
        group = await crowd.open()

        request = groups_pb2.ValidateGroupOrderCodeRequest(code=f" {group.code.lower()} ")

        assert (await crowd.nobody.ValidateGroupOrderCode(request)).id == group.id

    async def test_unknown_locked_closed_expired_and_malformed_are_the_same_answer(self, crowd: Crowd) -> None:
        locked, closed = await crowd.open(), await crowd.open()
        await crowd.lock(locked.id)
        await crowd.groups().CancelGroupOrder(groups_pb2.CancelGroupOrderRequest(id=closed.id))
        expired = await crowd.open()

        answers = []
        with clock.shifted(2 * HOUR):
            for code in ("222222", locked.code, closed.code, expired.code, "", "not a code"):
                for method, request in (
                    ("GetGroupOrderByCode", groups_pb2.GetGroupOrderByCodeRequest(code=code)),
                    ("ValidateGroupOrderCode", groups_pb2.ValidateGroupOrderCodeRequest(code=code)),
                ):
                    with pytest.raises(errors.NotFound) as refused:
                        await getattr(crowd.nobody, method)(request)
                    answers.append((refused.value.code, refused.value.message, refused.value.metadata))

        assert len({str(answer) for answer in answers}) == 1

    def test_guessing_is_limited_like_signing_in(self) -> None:
        service: Any = groups_pb2.DESCRIPTOR.services_by_name["GroupOrdersService"]
        rules = {method.name: method.GetOptions().Extensions[policy_pb2.policy] for method in service.methods}

        public = {name: policy.rate_class for name, policy in rules.items() if policy.public}

        assert set(public.values()) == {policy_pb2.RATE_CLASS_LOGIN}
        assert len(public) == 5


class TestJoinGroupOrder:
    async def test_is_in_the_group_order(self, crowd: Crowd) -> None:
        group = await crowd.open()

        joined = await crowd.join(group, lines=[crowd.line(quantity=2, notes="oat milk")])

        found = await crowd.get(group.id)
        (participant,) = found.participants
        assert (participant.id, participant.name) == (joined.id, "Grace")
        assert [(line.quantity, line.notes) for line in participant.lines] == [(2, "oat milk")]
        assert (found.participant_count, found.line_count, found.version) == (1, 1, 2)

    async def test_is_told_to_the_site(self, crowd: Crowd) -> None:
        group = await crowd.open()

        await crowd.join(group)

        told = await crowd.told(f"group_orders/{group.id}")
        assert told[1:] == [("GroupOrderUpdated", f"~orders:queue:{crowd.shop.site}")]

    async def test_nobody_is_who_did_it_in_the_tenants_trail(self, crowd: Crowd) -> None:
        group = await crowd.open()

        joined = await crowd.join(group)

        (entry,) = await crowd.trail(joined.id)
        assert '"actor":"anonymous:"' in entry
        assert f'"tenant_id":"{crowd.shop.tenant.id}"' in entry
        assert joined.token not in entry

    async def test_same_token_is_the_same_participant(self, crowd: Crowd) -> None:
        group, token = await crowd.open(), "t" * 32

        joined = await asyncio.gather(*(crowd.join(group, token=token) for _ in range(8)))

        assert {(one.id, one.token) for one in joined} == {(joined[0].id, token)}
        assert (await crowd.get(group.id)).participant_count == 1

    async def test_same_token_with_another_wish_is_refused(self, crowd: Crowd) -> None:
        group = await crowd.open()
        await crowd.join(group, token="t" * 32)

        with pytest.raises(errors.AlreadyExists):
            await crowd.join(group, token="t" * 32, name="Barbara")

    async def test_anothers_code_is_not_found(self, crowd: Crowd) -> None:
        group, other = await crowd.open(), await crowd.open()

        with pytest.raises(errors.NotFound):
            await crowd.join(group, code=other.code)

    async def test_after_the_deadline_it_is_closed_before_anybody_locked_it(self, crowd: Crowd) -> None:
        group = await crowd.open()

        with clock.shifted(2 * HOUR), pytest.raises(errors.Conflict) as refused:
            await crowd.join(group)

        assert refused.value.code == "GROUP_ORDER_CLOSED"

    async def test_a_locked_one_is_closed(self, crowd: Crowd) -> None:
        group = await crowd.open()
        await crowd.lock(group.id)

        with pytest.raises(errors.Conflict) as refused:
            await crowd.join(group)

        assert refused.value.code == "GROUP_ORDER_CLOSED"

    async def test_lines_have_an_end_in_parallel(self, crowd: Crowd) -> None:
        group = await crowd.open()
        lines = [crowd.line()] * 20

        tried = await asyncio.gather(
            *(crowd.join(group, f"Guest {each}", lines=lines) for each in range(14)), return_exceptions=True
        )

        refused = [one.code for one in tried if isinstance(one, errors.Conflict)]
        assert refused == ["GROUP_ORDER_FULL"] * 4
        assert (await crowd.get(group.id)).line_count == 200

    async def test_a_whole_number_of_joins_makes_it_into_the_order(self, crowd: Crowd) -> None:
        """Whoever was let in is in the order; whoever was late was told so."""
        group = await crowd.open()
        await crowd.join(group, "First")

        *tried, submitted = await asyncio.gather(
            *(crowd.join(group, f"Guest {each}") for each in range(12)),
            crowd.submit(group.id),
            return_exceptions=True,
        )

        joined = {one.name for one in tried if isinstance(one, groups_pb2.Participation)}
        late = [one.code for one in tried if isinstance(one, errors.Conflict)]
        assert isinstance(submitted, groups_pb2.GroupOrder)
        order = await crowd.shop.get(submitted.order_id)
        assert {line.notes for line in order.lines} == joined | {"First"}
        assert late == ["GROUP_ORDER_CLOSED"] * (12 - len(joined))

    async def test_nobody_slips_in_beside_a_lock(self, crowd: Crowd) -> None:
        group = await crowd.open()

        *tried, locked = await asyncio.gather(
            *(crowd.join(group, f"Guest {each}") for each in range(6)),
            crowd.lock(group.id),
            *(crowd.join(group, f"Guest {each}") for each in range(6, 12)),
            return_exceptions=True,
        )

        assert not isinstance(locked, errors.NotFound)
        joined = [one for one in tried if isinstance(one, groups_pb2.Participation)]
        found = await crowd.get(group.id)
        assert found.status == LOCKED
        assert (
            found.participant_count
            == len(found.participants)
            == len(joined) + isinstance(locked, groups_pb2.Participation)
        )

    async def test_nobody_slips_in_beside_the_deadline(self, crowd: Crowd) -> None:
        group = await crowd.open()
        with clock.shifted(HOUR - timedelta(seconds=30)):
            await crowd.join(group, "In time")

        with clock.shifted(2 * HOUR):
            tried = await asyncio.gather(
                *(crowd.join(group, f"Guest {each}") for each in range(6)),
                crowd.keeping.resume(),
                return_exceptions=True,
            )

        assert [one.code for one in tried if isinstance(one, errors.Conflict)] == ["GROUP_ORDER_CLOSED"] * 6
        assert [one.name for one in (await crowd.get(group.id)).participants] == ["In time"]

    async def test_the_database_lets_nobody_into_a_locked_one(self, crowd: Crowd) -> None:
        group = await crowd.open()
        await crowd.join(group)
        await crowd.lock(group.id)

        sql = "UPDATE group_participants SET name = 'Mallory' WHERE group_id = $1"
        with pytest.raises(Exception, match="not open"):
            await crowd.shop.rows(sql, UUID(group.id))


class TestParticipation:
    async def _change(self, crowd: Crowd, joined: groups_pb2.Participation, **more: Any) -> groups_pb2.Participation:
        fields = {"id": joined.group_order_id, "participant_id": joined.id, "token": joined.token, **more}
        fields = {"name": "Grace", "lines": [crowd.line(quantity=3), crowd.line()], **fields}
        changed: groups_pb2.Participation = await crowd.nobody.UpdateParticipation(
            groups_pb2.UpdateParticipationRequest(**fields)
        )
        return changed

    async def test_may_be_changed_with_its_token(self, crowd: Crowd) -> None:
        group = await crowd.open()
        joined = await crowd.join(group)

        changed = await self._change(crowd, joined)

        found = await crowd.get(group.id)
        assert [line.quantity for line in changed.lines] == [3, 1]
        assert changed.token == ""
        assert (found.line_count, found.version) == (2, 3)

    async def test_the_same_again_changes_nothing(self, crowd: Crowd) -> None:
        group = await crowd.open()
        joined = await crowd.join(group)
        await self._change(crowd, joined)
        before = await crowd.told(f"group_orders/{group.id}")

        await self._change(crowd, joined)

        assert await crowd.told(f"group_orders/{group.id}") == before
        assert (await crowd.get(group.id)).version == 3

    async def test_another_token_is_not_found(self, crowd: Crowd) -> None:
        group = await crowd.open()
        joined, other = await crowd.join(group), await crowd.join(group, "Barbara")

        with pytest.raises(errors.NotFound):
            await self._change(crowd, joined, token=other.token)

    async def test_may_be_withdrawn_with_its_token(self, crowd: Crowd) -> None:
        group = await crowd.open()
        joined = await crowd.join(group)

        await crowd.nobody.Withdraw(
            groups_pb2.WithdrawRequest(id=group.id, participant_id=joined.id, token=joined.token)
        )

        found = await crowd.get(group.id)
        assert (found.participant_count, found.line_count, len(found.participants)) == (0, 0, 0)

    async def test_stays_when_it_is_locked(self, crowd: Crowd) -> None:
        group = await crowd.open()
        joined = await crowd.join(group)
        await crowd.lock(group.id)

        with pytest.raises(errors.Conflict) as refused:
            await self._change(crowd, joined)

        assert refused.value.code == "GROUP_ORDER_CLOSED"
        with pytest.raises(errors.Conflict):
            await crowd.nobody.Withdraw(
                groups_pb2.WithdrawRequest(id=group.id, participant_id=joined.id, token=joined.token)
            )

    async def test_may_be_removed_by_the_host_when_it_is_locked(self, crowd: Crowd) -> None:
        group = await crowd.open()
        joined = await crowd.join(group)
        await crowd.lock(group.id)

        await crowd.groups().RemoveParticipant(
            groups_pb2.RemoveParticipantRequest(id=group.id, participant_id=joined.id)
        )

        assert (await crowd.get(group.id)).participant_count == 0


class TestHosting:
    async def test_lock_and_unlock(self, crowd: Crowd) -> None:
        group = await crowd.open()

        locked = await crowd.lock(group.id)
        again = await crowd.lock(group.id)
        opened = await crowd.groups().UnlockGroupOrder(groups_pb2.UnlockGroupOrderRequest(id=group.id))

        assert (locked.status, again.version, opened.status) == (LOCKED, locked.version, OPEN)
        assert len(await crowd.told(f"group_orders/{group.id}")) == 3

    async def test_unlocking_after_the_deadline_takes_another_one(self, crowd: Crowd) -> None:
        group = await crowd.open()
        await crowd.make_late(group)
        await crowd.keeping.resume()
        request = groups_pb2.UnlockGroupOrderRequest(id=group.id)
        with pytest.raises(errors.Invalid):
            await crowd.groups().UnlockGroupOrder(request)
        request.deadline.FromDatetime(clock.now() + HOUR)

        opened = await crowd.groups().UnlockGroupOrder(request)

        await crowd.join(group)
        assert opened.status == OPEN

    async def test_another_barista_may_not(self, crowd: Crowd) -> None:
        group = await crowd.open()
        other = crowd.shop.tenant.user(permissions={"orders.create", "orders.read"})

        with pytest.raises(errors.Denied) as denied:
            await crowd.lock(group.id, other)

        assert denied.value.metadata["permission"] == "orders.update"

    async def test_staff_may(self, crowd: Crowd) -> None:
        group = await crowd.open()

        assert (await crowd.lock(group.id, crowd.shop.staff)).status == LOCKED

    @pytest.mark.parametrize("whose", ["other tenant", "other site"])
    async def test_out_of_sight_is_not_found(self, crowd: Crowd, whose: str) -> None:
        group = await crowd.open()
        stranger = Tenant().user() if whose == "other tenant" else crowd.shop.tenant.user(sites=[some_id()])

        for method, kind in (
            ("GetGroupOrder", groups_pb2.GetGroupOrderRequest),
            ("LockGroupOrder", groups_pb2.LockGroupOrderRequest),
            ("UnlockGroupOrder", groups_pb2.UnlockGroupOrderRequest),
            ("SubmitGroupOrder", groups_pb2.SubmitGroupOrderRequest),
            ("CancelGroupOrder", groups_pb2.CancelGroupOrderRequest),
        ):
            with pytest.raises(errors.NotFound):
                await getattr(crowd.groups(stranger), method)(kind(id=group.id))
        listed = await crowd.groups(stranger).ListGroupOrders(groups_pb2.ListGroupOrdersRequest())
        assert not listed.group_orders

    async def test_listed_by_state_and_site(self, crowd: Crowd) -> None:
        group, locked = await crowd.open(), await crowd.open()
        await crowd.lock(locked.id)

        request = groups_pb2.ListGroupOrdersRequest(status=OPEN, site_id=crowd.shop.site)
        listed = await crowd.groups().ListGroupOrders(request)

        assert [one.id for one in listed.group_orders] == [group.id]
