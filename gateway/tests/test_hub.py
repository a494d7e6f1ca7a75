"""Channels, offsets and what is kept of them; and who may join."""

import orjson
import pytest

from chassis.identity import PLATFORM
from chassis.testing import Tenant
from gateway.realtime import channels, hub
from gateway.realtime.hub import Hub, Since


class Listening:
    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def push(self, made: bytes) -> None:
        self.frames.append(made)

    def events(self) -> list[dict[str, object]]:
        return [_payload(made) for made in self.frames]


def _payload(made: bytes) -> dict[str, object]:
    skip = {126: 4, 127: 10}.get(made[1], 2)
    loaded: dict[str, object] = orjson.loads(made[skip:])
    return loaded


class TestPublish:
    def test_offsets_grow_by_one(self) -> None:
        published, listening = Hub(), Listening()
        published.join("t", "tenant", listening)

        for number in range(3):
            published.publish("t", "tenant", b'{"n":%d}' % number)

        assert [event["offset"] for event in listening.events()] == [1, 2, 3]
        assert listening.events()[2]["event"] == {"n": 2}

    def test_the_bytes_are_not_touched(self) -> None:
        published, listening = Hub(), Listening()
        published.join("t", "tenant", listening)

        published.publish("t", "tenant", b'{"a" : 1.0}')

        assert listening.frames[0].endswith(b'"event":{"a" : 1.0}}')

    def test_one_frame_serves_all(self) -> None:
        published, first, second = Hub(), Listening(), Listening()
        published.join("t", "tenant", first)
        published.join("t", "tenant", second)

        published.publish("t", "tenant", b"{}")

        assert first.frames[0] is second.frames[0]

    def test_another_tenants_channel_of_that_name_is_another(self) -> None:
        published, listening = Hub(), Listening()
        published.join("t1", "tenant", listening)

        published.publish("t2", "tenant", b"{}")

        assert listening.frames == []

    def test_who_has_left_hears_nothing(self) -> None:
        published, listening = Hub(), Listening()
        published.join("t", "tenant", listening)
        published.leave("t", "tenant", listening)

        published.publish("t", "tenant", b"{}")

        assert listening.frames == []

    @pytest.mark.parametrize("length", [10, 125, 126, 0xFFFF, 0x10000])
    def test_frames_of_any_length(self, length: int) -> None:
        text = b'{"a":"' + b"x" * (length - 8) + b'"}'

        assert _payload(hub.frame(text)) == orjson.loads(text)


class TestJoin:
    def test_what_was_missed_is_sent(self) -> None:
        published = Hub()
        joined = published.join("t", "tenant", Listening())
        for number in range(5):
            published.publish("t", "tenant", b'{"n":%d}' % number)

        again = published.join("t", "tenant", Listening(), Since(3, joined.epoch))

        assert (again.offset, again.recovered) == (5, True)
        assert [_payload(made)["offset"] for made in again.missed] == [4, 5]

    def test_nothing_missed_is_recovered_too(self) -> None:
        published = Hub()
        published.publish("t", "tenant", b"{}")
        joined = published.join("t", "tenant", Listening())

        again = published.join("t", "tenant", Listening(), Since(1, joined.epoch))

        assert (again.recovered, again.missed) == (True, [])

    def test_another_epoch_is_not_recovered(self) -> None:
        published = Hub()
        published.publish("t", "tenant", b"{}")

        assert not published.join("t", "tenant", Listening(), Since(1, "other")).recovered

    def test_an_offset_from_the_future_is_not_recovered(self) -> None:
        published = Hub()
        joined = published.join("t", "tenant", Listening())

        assert not published.join("t", "tenant", Listening(), Since(9, joined.epoch)).recovered

    def test_only_so_many_are_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hub, "KEPT_MAX", 3)
        published = Hub()
        joined = published.join("t", "tenant", Listening())
        for _ in range(5):
            published.publish("t", "tenant", b"{}")

        recovered = {
            offset: published.join("t", "tenant", Listening(), Since(offset, joined.epoch)).recovered
            for offset in range(6)
        }

        assert recovered == {0: False, 1: False, 2: True, 3: True, 4: True, 5: True}

    def test_only_so_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hub, "KEPT_S", -1.0)
        published = Hub()
        joined = published.join("t", "tenant", Listening())
        published.publish("t", "tenant", b"{}")

        assert not published.join("t", "tenant", Listening(), Since(0, joined.epoch)).recovered

    def test_a_busy_channel_leaves_nothing_behind(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hub, "KEPT_MAX", 3)
        published = Hub()

        for _ in range(1000):
            published.publish("t", "tenant", b"{}")

        assert len(published._history) <= 10

    def test_only_so_much_over_all_channels(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hub, "KEPT_LEN_MAX", 10)
        published = Hub()
        old = published.join("t", "site:1", Listening())
        published.publish("t", "site:1", b'{"a":1}')
        published.publish("t", "site:2", b'{"b":2}')

        assert not published.join("t", "site:1", Listening(), Since(0, old.epoch)).recovered

    def test_a_forgotten_channel_numbers_in_a_new_epoch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hub, "KEPT_S", -1.0)
        published, listening = Hub(), Listening()
        first = published.join("t", "tenant", listening)
        published.leave("t", "tenant", listening)

        assert published.join("t", "tenant", listening).epoch != first.epoch

    def test_after_a_loss_nothing_is_recovered(self) -> None:
        published, listening = Hub(), Listening()
        joined = published.join("t", "tenant", listening)
        published.publish("t", "tenant", b"{}")

        published.restart()
        published.publish("t", "tenant", b"{}")

        assert not published.join("t", "tenant", Listening(), Since(1, joined.epoch)).recovered
        assert len(listening.frames) == 2


class TestWhoMay:
    @pytest.mark.parametrize("name", ["tenant", "site:s1", "orders:queue:s1", "role:barista", "presence:s1"])
    def test_a_barista_of_the_site(self, name: str) -> None:
        tenant = Tenant()
        user = tenant.user(permissions={"orders.read"}, sites=["s1"], roles=("barista",))

        assert channels.tenant_of(user, name) == str(tenant.id)

    @pytest.mark.parametrize(
        "name",
        [
            "site:s2",
            "station:x",
            "orders:queue:s2",
            "presence:s2",
            "role:admin",
            "kiosk:s1",
            "user:other",
            "service-health",
            "audit:anomalies",
            "nonsense",
            "site:",
            "site:s1:x",
            "site:s1\n",
            "",
        ],
    )
    def test_nothing_else(self, name: str) -> None:
        user = Tenant().user(permissions={"orders.read"}, sites=["s1"], roles=("barista",))

        assert channels.tenant_of(user, name) is None

    def test_a_client_joins_what_a_person_of_its_role_does(self) -> None:
        tenant = Tenant()
        client = tenant.client(permissions={"orders.read"}, roles=("barista",))
        names = ("tenant", "site:s1", "station:x", "orders:queue:s1", "role:barista", "presence:s1")

        assert {channels.tenant_of(client, name) for name in names} == {str(tenant.id)}

    @pytest.mark.parametrize("name", ["role:admin", "kiosk:s1", "service-health", "audit:anomalies"])
    def test_a_client_joins_nothing_else(self, name: str) -> None:
        client = Tenant().client(permissions={"orders.read"}, roles=("barista",))

        assert channels.tenant_of(client, name) is None
        assert channels.tenant_of(client, f"user:{client.id}") is None

    def test_a_user_joins_their_own(self) -> None:
        user = Tenant().user()

        assert channels.tenant_of(user, f"user:{user.id}") is not None

    def test_a_kiosk_joins_its_site_and_itself(self) -> None:
        kiosk = Tenant().kiosk("s1")

        allowed = [name for name in ("kiosk:s1", "site:s1", "kiosk:s2", "tenant") if channels.tenant_of(kiosk, name)]

        assert allowed == ["kiosk:s1", "site:s1"]

    def test_the_health_of_services_is_the_platforms(self) -> None:
        user = Tenant().user(permissions={"registry.read"})

        assert channels.tenant_of(user, "service-health") == str(PLATFORM)
