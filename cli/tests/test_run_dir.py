"""Secrets, state and logs of a run directory."""

import hashlib
import hmac
import io
from pathlib import Path

import pytest

from cli import log_stream, run_dir
from cli.run_dir import RunDir


class TestSecrets:
    def test_made_once(self, tmp_path: Path) -> None:
        first = RunDir(tmp_path).secret("auth_master_key")

        assert RunDir(tmp_path).secret("auth_master_key") == first
        assert len(bytes.fromhex(first)) == 32

    def test_readable_by_the_owner_alone(self, tmp_path: Path) -> None:
        RunDir(tmp_path).secret("auth_master_key")

        assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {"secrets.json": 0o600}

    def test_service_credential_is_a_mac_of_the_name(self) -> None:
        credential = run_dir.service_credential("root", "orders")

        assert credential == "svc_orders." + hmac.new(b"root", b"orders", hashlib.sha256).hexdigest()

    def test_environment_wins(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SWITCHYARD_SERVICE_ROOT_SECRET", "given")
        monkeypatch.setenv("SWITCHYARD_DATABASE_PASSWORD_ORDERS", "given too")

        assert run_dir.root_secret(RunDir(tmp_path)) == "given"
        assert run_dir.database_password(RunDir(tmp_path), "orders") == "given too"
        assert list(tmp_path.iterdir()) == []


class TestState:
    def test_lasts_until_the_run_is_forgotten(self, tmp_path: Path) -> None:
        directory = RunDir(tmp_path)
        directory.write_state({"url": "http://127.0.0.1:8000"})

        kept = RunDir(tmp_path).state()
        directory.forget_run()

        assert kept == {"url": "http://127.0.0.1:8000"}
        assert directory.state() == {}


class TestLogStream:
    def test_merges_and_keeps_apart(self, tmp_path: Path) -> None:
        out = io.StringIO()
        stream = log_stream.LogStream(tmp_path, out)

        stream.take("orders", "one")
        stream.take("gateway", "two")
        stream.close()

        assert out.getvalue() == "orders        one\ngateway       two\n"
        assert (tmp_path / "orders.log").read_text() == "one\n"

    def test_a_long_log_is_begun_anew(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(log_stream, "LOG_BYTES_MAX", 8)
        stream = log_stream.LogStream(tmp_path, io.StringIO())

        for line in ("12345678", "second"):
            stream.take("orders", line)
        stream.close()

        assert (tmp_path / "orders.log.1").read_text() == "12345678\n"
        assert (tmp_path / "orders.log").read_text() == "second\n"
