"""Redirect URIs: what can be registered, and what is one of them."""

import pytest

from services.auth import oauth_redirects


class TestFault:
    @pytest.mark.parametrize(
        "uri",
        [
            "https://rota.example/callback",
            "https://rota.example:8443/a/b?c=d",
            "http://127.0.0.1/callback",
            "http://127.0.0.1:8080/callback",
            "http://[::1]:8080/callback",
            "http://localhost:3000/callback",
        ],
    )
    def test_these_are_taken(self, uri: str) -> None:
        assert oauth_redirects.fault(uri) == ""

    @pytest.mark.parametrize(
        "uri",
        [
            "http://rota.example/callback",
            "https://rota.example/callback#top",
            "https://user@rota.example/callback",
            "https://rota.example@evil.example/callback",
            "https:///callback",
            "https://rota.example:port/callback",
            "https://rota.example;script-src *;/callback",
            "https://a;b/callback",
            "https://rota.example/\\evil.example",
            "https://rota.example/ callback",
            'https://rota.example/"',
            "javascript:alert(1)",
            "data:text/html,x",
            "rota://callback",
            "//rota.example/callback",
            "/callback",
            "",
            "https://*.rota.example/callback",
            "http://127.0.0.1.evil.example/callback",
            "http://2130706433/callback",
            "https://rötä.example/callback",
        ],
    )
    def test_these_are_not(self, uri: str) -> None:
        assert oauth_redirects.fault(uri)


class TestIsRegistered:
    @pytest.mark.parametrize(
        "uri",
        [
            "https://rota.example/callback/",
            "https://rota.example/callback/../evil",
            "https://rota.example/callback/..%2fevil",
            "https://rota.example/callback?next=https://evil.example",
            "https://rota.example/callback#x",
            "https://rota.example/Callback",
            "HTTPS://rota.example/callback",
            "https://ROTA.example/callback",
            "https://rota.example:443/callback",
            "https://rota.example.evil.example/callback",
            "https://evil.example/rota.example/callback",
            "https://rota.example@evil.example/callback",
            "https://user@rota.example/callback",
            "https://rota.example\\@evil.example/callback",
            "https://rota.example%2f@evil.example/callback",
            "http://rota.example/callback",
            "https://rota.example/callbac",
            " https://rota.example/callback",
            "https://rota.example/callback\n",
            "",
        ],
    )
    def test_nothing_but_the_letter(self, uri: str) -> None:
        assert not oauth_redirects.is_registered(uri, ["https://rota.example/callback"])

    @pytest.mark.parametrize("uri", ["http://127.0.0.1:1/cb", "http://127.0.0.1:65535/cb", "http://127.0.0.1/cb"])
    def test_the_loopback_is_itself_at_any_port(self, uri: str) -> None:
        assert oauth_redirects.is_registered(uri, ["http://127.0.0.1/cb"])

    @pytest.mark.parametrize(
        ("uri", "registered"),
        [
            ("http://127.0.0.1:9999/cb", "http://127.0.0.1:8080/cb"),
            ("http://localhost:9999/cb", "http://localhost/cb"),
            ("http://127.0.0.1:9999/cb/x", "http://127.0.0.1/cb"),
            ("http://127.0.0.1:9999@evil.example/cb", "http://127.0.0.1/cb"),
            ("http://[::1]:9999/cb", "http://127.0.0.1/cb"),
            ("https://127.0.0.1:9999/cb", "https://127.0.0.1/cb"),
            ("http://127.0.0.1:/cb", "http://127.0.0.1/cb"),
            ("http://127.0.0.1:99999999/cb", "http://127.0.0.1/cb"),
        ],
    )
    def test_but_only_so(self, uri: str, registered: str) -> None:
        assert not oauth_redirects.is_registered(uri, [registered])

    def test_of_version_six_too(self) -> None:
        assert oauth_redirects.is_registered("http://[::1]:4711/cb", ["http://[::1]/cb"])
