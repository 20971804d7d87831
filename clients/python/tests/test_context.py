"""Where calls go: what is given, the environment, and the contexts of `muster login`; TLS and tokens."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import muster
import pytest
from conftest import BOUND_SECONDS, LocalCluster, eventually, program


class SecureMaster:
    """A master beyond loopback as it makes itself: with a CA of its own, over TLS, asking for credentials."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "master"
        address_file = folder / "address"
        command = [program("muster-master"), "--listen", "0.0.0.0:0", "--state-dir", str(self.state)]
        command += ["--address-file", str(address_file)]
        self.log = folder / "master.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

        def address() -> str | None:
            assert self.process.poll() is None, self.log.read_text()
            return address_file.read_text().strip() if address_file.exists() else None

        self.address = "127.0.0.1:" + eventually("its address", address).rpartition(":")[2]
        self.ca = self.state / "pki" / "ca.crt"
        self.token = (self.state / "pki" / "admin.token").read_text().strip()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(BOUND_SECONDS)


@pytest.fixture(scope="module")
def secure(home: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureMaster]:
    master = SecureMaster(tmp_path_factory.mktemp("secure"))
    yield master
    master.stop()


def test_a_token_over_tls(secure: SecureMaster) -> None:
    client = muster.Client(secure.address, ca_file=secure.ca, token=secure.token)
    assert client.submit(["/bin/true"], id="over-tls").id == "over-tls"


def test_no_token_and_a_wrong_one_are_refused_in_words(secure: SecureMaster) -> None:
    with pytest.raises(muster.UnauthenticatedError, match="asks for a credential") as nobody:
        muster.Client(secure.address, ca_file=secure.ca).cluster()
    assert nobody.value.reason == "NO_CREDENTIAL"
    wrong = secure.token[:-4] + "aaaa"
    with pytest.raises(muster.UnauthenticatedError) as stranger:
        muster.Client(secure.address, ca_file=secure.ca, token=wrong).cluster()
    assert wrong not in str(stranger.value) and stranger.value.reason == "BAD_CREDENTIAL"


def test_the_environment_says_what_is_not_given(secure: SecureMaster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_MASTER", secure.address)
    monkeypatch.setenv("MUSTER_CA_FILE", str(secure.ca))
    monkeypatch.setenv("MUSTER_TOKEN", secure.token)
    assert muster.Client().cluster().uid
    monkeypatch.setenv("MUSTER_CA_FILE", "/nowhere")
    with pytest.raises(ValueError, match="MUSTER_CA_FILE, /nowhere, makes no sense"):
        muster.Client()


def test_a_login_is_remembered(secure: SecureMaster, shared: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not below the folder of the tests: the contexts are this test's alone.
    with tempfile.TemporaryDirectory() as home:
        monkeypatch.setenv("XDG_CONFIG_HOME", home)
        token_file = Path(home) / "token"
        token_file.write_text(secure.token)
        login = [program("muster"), "login", secure.address, "--ca", str(secure.ca)]
        login += ["--token-file", str(token_file), "--context", "secure"]
        subprocess.run(login, check=True, capture_output=True, timeout=BOUND_SECONDS, env=dict(os.environ))
        chosen = muster.Client()
        assert chosen.masters == secure.address and chosen.cluster().uid
        assert muster.Client(context="secure").cluster().uid == chosen.cluster().uid
        # The context that has the address is found by it; another address is another cluster.
        assert muster.Client(secure.address).cluster().uid == chosen.cluster().uid
        assert muster.Client(shared.address).cluster().uid != chosen.cluster().uid
        with pytest.raises(ValueError, match='no context "nobody"'):
            muster.Client(context="nobody")
        (Path(home) / "muster" / "contexts.toml").chmod(0o644)
        with pytest.raises(ValueError, match="chmod 600"):
            muster.Client()


def test_a_driver_is_told_who_it_is(client: muster.Client) -> None:
    driver = client.submit(["/usr/bin/env"], id="told", cores=1, memory="64M")
    client.wait(driver.id)
    lines = b"".join(client.logs(driver.id)).decode().splitlines()
    context = muster.Context.from_env(dict(line.split("=", 1) for line in lines if "=" in line))
    assert (context.driver, context.attempt, context.cores, context.memory_bytes) == ("told", 1, 1, 64 << 20)
    assert context.in_driver and not context.in_executor and context.work_dir is not None
    assert not muster.Context.from_env({}).in_driver
    with pytest.raises(ValueError, match="MUSTER_ATTEMPT='x' is no number"):
        muster.Context.from_env({"MUSTER_ATTEMPT": "x"})
