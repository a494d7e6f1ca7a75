"""Where nothing is ever sent, whatever a tenant says."""

import ipaddress

import pytest
from pydantic import SecretStr

from services.orders import pos_addresses
from services.orders.pos_addresses import Forbidden, Guard, Unresolved
from services.orders.settings import OrdersSettings

PUBLIC = Guard()


def settings(**more: object) -> OrdersSettings:
    values: dict[str, object] = {"database_url": SecretStr(""), "orders_master_key": SecretStr("0123456789abcdef")}
    return OrdersSettings(**{**values, **more})  # type: ignore[arg-type]


class TestParse:
    @pytest.mark.parametrize("url", ["https://pos.example.com/in", "https://pos.example.com:8443/in?site=4"])
    def test_what_may_be_meant(self, url: str) -> None:
        PUBLIC.parse(url)

    @pytest.mark.parametrize(
        "url",
        [
            "http://pos.example.com/",
            "ftp://pos.example.com/",
            "file:///etc/passwd",
            "https://",
            "https:///in",
            "https://user:secret@pos.example.com/",
            "https://pos.example.com@127.0.0.1/",
            "https://pos.example.com/#fragment",
            "https://pos.example.com:0/",
            "https://pos.example.com:99999/",
            "https://pos.example.com:x/",
            "https://pos.example.com\\@127.0.0.1/",
            "https://pos.example.com/\r\nhost: x",
            "https://p\N{CYRILLIC SMALL LETTER O}s.example.com/",
            "https://[::1/",
        ],
    )
    def test_what_is_not(self, url: str) -> None:
        with pytest.raises(Forbidden):
            PUBLIC.parse(url)


class TestIsPublic:
    @pytest.mark.parametrize(
        "address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:93.184.215.14"]
    )
    def test_the_open_internet(self, address: str) -> None:
        assert pos_addresses.is_public(ipaddress.ip_address(address))

    @pytest.mark.parametrize(
        "address",
        [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "2001:db8::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ],
    )
    def test_what_is_not(self, address: str) -> None:
        assert not pos_addresses.is_public(ipaddress.ip_address(address))


class TestResolve:
    @pytest.mark.parametrize(
        "url",
        [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0177.0.0.1/",
            "https://0/",
            "https://localhost/",
            "https://LOCALHOST./",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://169.254.169.254/latest/meta-data/",
            "https://10.1.2.3:8443/",
        ],
    )
    async def test_private_addresses_in_all_their_forms(self, url: str) -> None:
        with pytest.raises((Forbidden, Unresolved)):
            await PUBLIC.resolve(url)

    async def test_a_public_address(self) -> None:
        assert await PUBLIC.resolve("https://93.184.215.14/in") == "93.184.215.14"

    async def test_a_name_that_there_is_not(self) -> None:
        with pytest.raises(Unresolved):
            await PUBLIC.resolve("https://nowhere.invalid/")

    async def test_development_may_be_told_that_the_pos_is_here(self) -> None:
        assert await Guard(http=True, private=True).resolve("http://127.0.0.1:81/") == "127.0.0.1"


class TestOf:
    def test_production(self) -> None:
        production = {"environment": "production", "stream_replicas": 3, "nats_monitor_urls": "http://nats:8222"}

        assert Guard.of(settings(**production, pos_at_private_addresses=True)) == Guard()

    def test_development(self) -> None:
        assert Guard.of(settings()) == Guard(http=True)
        assert Guard.of(settings(pos_at_private_addresses=True)) == Guard(http=True, private=True)
