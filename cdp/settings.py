"""The one set of settings: read once from the environment and a TOML file, checked, handed on as small values.

The environment wins over the file named by XUNJI_CONFIG, which wins over the defaults. What nobody should see in the
environment may stand in a file of its own, which XUNJI_…_FILE names. A wrong setting raises ConfigurationError, whose
sentence names the setting, what came and what is allowed.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import os
import re
import secrets
import socket
import tomllib
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

import isodate
import phonenumbers
from pydantic import BeforeValidator, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from cdp.errors import ConfigurationError

PREFIX = "XUNJI_"
SECRET_BYTES = 32
SECRET_FIELDS = frozenset({"admin_key", "secret", "vault_keys"})

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _duration(value: Any) -> Any:
    """PT0.5S, P14D and the like; years and months are no fixed length and refused."""
    if not isinstance(value, str):
        return value
    try:
        parsed = isodate.parse_duration(value)
    except isodate.ISO8601Error as error:
        raise ValueError("an ISO 8601 duration such as PT0.5S or P14D") from error
    if not isinstance(parsed, timedelta) or parsed < timedelta(0):
        raise ValueError("an ISO 8601 duration in weeks, days, hours, minutes or seconds, such as P14D")
    return parsed


def _comma_list(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_list)]
Port = Annotated[int, Field(ge=0, le=65_535)]


class Settings(BaseSettings):
    """What each means stands in docs/settings.md, and `cdp config show` prints where each value came from."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True, env_ignore_empty=True)

    data_dir: Path = Path("./data")
    log_url: str = "sqlite:///{data}/log/"
    graph_url: str = "sqlite:///{data}/graph.db"
    events_url: str = "chdb:///{data}/events"
    records_url: str = "sqlite:///{data}/records.db"
    host: str = "127.0.0.1"
    port: Port = 8000
    collector_port: Port = 8001
    collector_processes: Annotated[int, Field(ge=1, le=64)] = 1
    health_port: Port = 0
    admin_key: str = ""
    secret: str = ""
    vault_keys: Names = ()
    log_retention: Duration = timedelta(days=14)
    spool_limit: Annotated[int, Field(ge=0)] = 1024 * 1024 * 1024
    events_retention: Duration | None = None
    capture_events: Names = ("lead_submitted", "test_drive_requested")
    topics: Path | None = None
    policy: Path | None = None
    trusted_proxies: Names = ()
    lead_wait: Duration = timedelta(seconds=0.5)
    region: str = "CN"
    tz: str = "Asia/Shanghai"
    url: str = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("admin_key")
    @classmethod
    def _key_is_long_enough(cls, value: str) -> str:
        if value and not re.fullmatch(r"[\x21-\x7e]{16,}", value):
            raise ValueError("16 printable characters or more, without spaces")
        return value

    @field_validator("secret")
    @classmethod
    def _secret_is_32_bytes(cls, value: str) -> str:
        if value:
            _decode_secret(value)
        return value

    @field_validator("vault_keys")
    @classmethod
    def _keys_are_32_bytes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for part in value:
            _decode_secret(part)
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for part in value:
            try:
                ipaddress.ip_network(part, strict=False)
            except ValueError as error:
                raise ValueError("addresses or networks such as 10.0.0.0/8, with commas between") from error
        return value

    @field_validator("region")
    @classmethod
    def _has_a_numbering_plan(cls, value: str) -> str:
        if value not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError("two capital letters of a country with a numbering plan, such as CN")
        return value

    @field_validator("tz")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("a name of the IANA time zone database, such as Asia/Shanghai")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # The caller's keywords are the values of files, so the environment goes before them.
        return env_settings, init_settings

    @cached_property
    def data(self) -> Path:
        return self.data_dir.expanduser().resolve()

    def resolved(self, url: str) -> str:
        """A store's URL with {data} filled in."""
        return url.replace("{data}", str(self.data))

    @cached_property
    def secret_bytes(self) -> bytes:
        """The deployment's secret; made and kept in {data}/secret.key when there is none."""
        return _decode_secret(self.secret or _kept(self.data / "secret.key", _new_secret))

    @cached_property
    def vault_key_bytes(self) -> tuple[bytes, ...]:
        """The keys of the vault, the sealing one first; none where the deployment's secret does that too."""
        return tuple(map(_decode_secret, self.vault_keys))

    @cached_property
    def admin(self) -> str:
        """The admin key; made and kept in {data}/admin.key when there is none."""
        return self.admin_key or _kept(self.data / "admin.key", lambda: secrets.token_urlsafe(32))

    @cached_property
    def place(self) -> str:
        """A name for the data folder that no other has, whatever its machine is called later."""
        return _kept(self.data / "place", lambda: f"{socket.gethostname()}-{secrets.token_hex(3)}")

    @cached_property
    def proxies(self) -> tuple[Network, ...]:
        return tuple(ipaddress.ip_network(part, strict=False) for part in self.trusted_proxies)

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.tz)


def load_settings() -> Settings:
    """Read environment and file. Raises ConfigurationError for the first wrong or unknown setting."""
    try:
        return Settings(**_file_values() | _values_in_own_files())
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        came = "a secret that cannot be used" if name in SECRET_FIELDS else repr(first["input"])
        allowed = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        raise ConfigurationError(PREFIX + name.upper(), came=came, allowed=allowed) from None


def origin_of(name: str) -> str:
    """Where the value of a setting came from: environment, file or default."""
    if os.environ.get(PREFIX + name.upper()):
        return "environment"
    return "file" if name in _file_values() | _values_in_own_files() else "default"


def _values_in_own_files() -> dict[str, str]:
    """The content of the files that XUNJI_…_FILE name, as containers are handed their secrets."""
    values = {}
    for name in Settings.model_fields:
        setting = PREFIX + name.upper()
        path = os.environ.get(f"{setting}_FILE")
        if not path:
            continue
        if os.environ.get(setting):
            raise ConfigurationError(f"{setting}_FILE", came=f"set beside {setting}", allowed="one of the two")
        try:
            values[name] = Path(path).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            came = f"{path!r} ({getattr(error, 'strerror', None) or 'no text'})"
            raise ConfigurationError(f"{setting}_FILE", came=came, allowed="a readable file of text") from None
    return values


def _file_values() -> dict[str, Any]:
    path = os.environ.get(PREFIX + "CONFIG")
    if not path:
        return {}
    try:
        values = tomllib.loads(Path(path).read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(
            PREFIX + "CONFIG", came=f"{path!r} ({error})", allowed="a readable TOML file"
        ) from None
    named = {key.lower().removeprefix(PREFIX.lower()): value for key, value in values.items()}
    unknown = sorted(set(named) - set(Settings.model_fields))
    if unknown:
        allowed = ", ".join(sorted(Settings.model_fields))
        raise ConfigurationError(
            PREFIX + "CONFIG", came=f"a file with the unknown setting {unknown[0]!r}", allowed=allowed
        )
    return named


def _kept(path: Path, make: Any) -> str:
    """The content of a file that only its owner may read, made by the first process that asks for it."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_text(make() + "\n")
        try:
            # A link fails where another process was first, so that all of them use one key.
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text().strip()


def _new_secret() -> str:
    return base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def _decode_secret(value: str) -> bytes:
    try:
        decoded = base64.b64decode(value, validate=True)
    except binascii.Error:
        decoded = b""
    if len(decoded) != SECRET_BYTES:
        raise ValueError("32 bytes in base64")
    return decoded
