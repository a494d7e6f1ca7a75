"""Under which host others call a process."""

import socket

import pytest
from pydantic import SecretStr, ValidationError

from chassis.settings import ServiceSettings

URL = SecretStr("postgresql://nowhere")


def _named(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(socket, "gethostbyname", lambda _: address)


class TestAdvertiseHost:
    def test_is_where_it_listens(self) -> None:
        assert ServiceSettings(database_url=URL, grpc_host="10.0.0.7").advertise_host == "10.0.0.7"

    def test_is_what_it_is_told(self) -> None:
        told = ServiceSettings(database_url=URL, grpc_host="0.0.0.0", advertise_host="orders-1")

        assert told.advertise_host == "orders-1"

    @pytest.mark.parametrize("everywhere", ["0.0.0.0", "::", "[::]"])
    def test_is_its_own_address_when_it_listens_everywhere(
        self, everywhere: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _named(monkeypatch, "172.18.0.9")

        assert ServiceSettings(database_url=URL, grpc_host=everywhere).advertise_host == "172.18.0.9"

    def test_is_asked_for_when_its_own_name_says_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        _named(monkeypatch, "127.0.1.1")

        with pytest.raises(ValidationError, match="needs one by which others find it"):
            ServiceSettings(database_url=URL, grpc_host="0.0.0.0")

    @pytest.mark.parametrize("everywhere", ["0.0.0.0", "::", "[::]"])
    def test_is_never_everywhere(self, everywhere: str) -> None:
        with pytest.raises(ValidationError, match="needs one by which others find it"):
            ServiceSettings(database_url=URL, advertise_host=everywhere)
