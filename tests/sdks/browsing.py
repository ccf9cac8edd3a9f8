"""A real Chromium whose visitors meet SDKs on pages of a shop, with the collector on another host, both behind TLS."""

from __future__ import annotations

import datetime
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.real.product import Product
from tests.sdks.story import end, until_line

DRIVER = Path(__file__).parent / "node" / "browse.mjs"
SHOP, COLLECTOR = "shop.example.com", "collect.example.com"
LEFT_S = 60.0


class Browsing:
    """`visits` say for each page its name, and either `entry`, a file of `node/pages`, with the key, the member's id
    and the further `arguments` that it is given, or `stdin`, a script that does all by itself."""

    def __init__(self, product: Product, visits: Sequence[Mapping[str, Any]]) -> None:
        browser = shutil.which("chromium") or shutil.which("chromium-browser")
        assert browser, "Install Chromium, as Debian's package `chromium` does."
        certificate, key = _certificate()
        told = {
            "collectorPort": product.collector_port,
            "certificate": certificate,
            "privateKey": key,
            "browser": browser,
            "visits": visits,
        }
        self._process = subprocess.Popen(
            ["node", str(DRIVER)],
            cwd=DRIVER.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._say(json.dumps(told))

    def __enter__(self) -> Browsing:
        return self

    def __exit__(self, *_: object) -> None:
        end(self._process)

    def until_half(self) -> None:
        """Wait until all visitors have looked around and logged in."""
        until_line(self._process, "half")

    def go_on(self) -> None:
        """Let all visitors book."""
        self._say("")
        until_line(self._process, "told")

    def leave(self) -> dict[str, dict[str, Any]]:
        """Let all visitors leave: for each page the hosts that it asked and the errors that it met."""
        printed, _ = self._process.communicate("\n", timeout=LEFT_S)
        assert self._process.returncode == 0, printed
        asked: dict[str, dict[str, Any]] = json.loads(printed.splitlines()[-1])
        return asked

    def _say(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()


def _certificate() -> tuple[str, str]:
    """One that nobody signed, for both hosts, and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, SHOP)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(SHOP), x509.DNSName(COLLECTOR)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM).decode(), private.decode()
