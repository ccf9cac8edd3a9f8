"""Make values of identifiers comparable: one way to write each, or None where there is nothing to compare.

Normalising never guesses: a value that looks wrong but may be real (a VIN without a true check digit, a number no
plan knows) is kept and called doubtful. Whether a value may link is the policy's question, not asked here.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import phonenumbers

MAX_LENGTH = 256
"""Characters; longer values are no identifiers but something that went wrong in the sender."""
CACHE_VALUES = 65_536

_CHINESE_MOBILE = re.compile(r"(?:\+?86|0086)?(1[3-9]\d{9})")
_FORMAT_SIGNS = re.compile(r"[\s\-().\u200b-\u200f\u202a-\u202e\u2060\ufeff]+")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_VIN = re.compile(r"[A-HJ-NPR-Z0-9]{17}")
_ID_CARD = re.compile(r"\d{17}[\dX]|\d{15}")
_PLATE = re.compile(r"[A-Z0-9\u4e00-\u9fff]{4,10}")
_CHINESE_PLATE = re.compile(r"[\u4e00-\u9fff][A-Z][A-Z0-9]{4,6}[\u4e00-\u9fff]?")
_CHINESE_NAME_GAP = re.compile(r"(?<=[\u4e00-\u9fff])\s+(?=[\u4e00-\u9fff])")


@lru_cache(CACHE_VALUES)
def normalise(kind: str, value: str, *, region: str = "CN") -> str | None:
    """The one way to write this value; None where it is empty, too long, not printable or not of its kind.

    `region` is the numbering plan of phone numbers without a country code. Normalising twice changes nothing.
    """
    if len(value) > MAX_LENGTH:
        return None
    if kind == "phone":
        return _phone(value, region)
    value = value.strip()
    if not value or not value.isprintable():
        return None
    special = _BY_KIND.get(kind)
    return special(value) if special is not None else value


@lru_cache(CACHE_VALUES)
def doubtful(kind: str, value: str) -> str | None:
    """Why a normalised value is probably a slip, or None. Doubtful values are shown as such and link all the same."""
    if kind == "phone" and not _is_valid_phone(value):
        return "no numbering plan has this number"
    if kind == "vin" and _vin_check_digit(value) != value[8]:
        return "the check digit is wrong, as with many cars built outside North America"
    if kind == "id_card" and _id_card_check_digit(value[:17]) != value[17]:
        return "the check digit is wrong"
    if kind == "plate" and not _CHINESE_PLATE.fullmatch(value):
        return "not a plate of mainland China"
    return None


def _phone(value: str, region: str) -> str | None:
    text = _FORMAT_SIGNS.sub("", value if value.isascii() else unicodedata.normalize("NFKC", value))
    mobile = _CHINESE_MOBILE.fullmatch(text)
    # A bare eleven digits are a Chinese mobile only where the plan at hand is the Chinese one.
    if mobile is not None and (region == "CN" or text != mobile[1]) and text.isascii():
        return f"+86{mobile[1]}"
    try:
        number = phonenumbers.parse(f"+{text[2:]}" if text.startswith("00") else text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _is_valid_phone(value: str) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(value))
    except phonenumbers.NumberParseException:
        return False


def _email(value: str) -> str | None:
    value = unicodedata.normalize("NFKC", value).strip().lower()
    return value if _EMAIL.fullmatch(value) else None


def _vin(value: str) -> str | None:
    value = unicodedata.normalize("NFKC", value).upper().replace(" ", "").replace("-", "")
    return value if _VIN.fullmatch(value) else None


def _id_card(value: str) -> str | None:
    value = unicodedata.normalize("NFKC", value).upper().replace(" ", "").replace("-", "")
    if not _ID_CARD.fullmatch(value) or not value.isascii():
        return None
    if len(value) == 18:
        return value
    # Cards before 1999 left out the century and the check digit; both forms name the same person.
    full = f"{value[:6]}19{value[6:]}"
    return full + _id_card_check_digit(full)


def _plate(value: str) -> str | None:
    value = re.sub(r"[\s·•.\-]+", "", unicodedata.normalize("NFKC", value).upper())
    return value if _PLATE.fullmatch(value) else None


def _openid(value: str) -> str | None:
    appid, _, openid = value.rpartition("/")
    return f"{appid or '-'}/{openid}" if openid else None


def _name(value: str) -> str | None:
    value = " ".join(unicodedata.normalize("NFKC", value).split()).casefold()
    return _CHINESE_NAME_GAP.sub("", value) or None


_BY_KIND = {"email": _email, "vin": _vin, "id_card": _id_card, "plate": _plate, "wx_openid": _openid, "name": _name}

_VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_VIN_LETTERS = dict(
    zip("ABCDEFGHJKLMNPRSTUVWXYZ", (1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 7, 9, 2, 3, 4, 5, 6, 7, 8, 9), strict=True)
)


def _vin_check_digit(vin: str) -> str:
    """ISO 3779 as North America uses it: the weighted sum modulo 11, 10 written X."""
    values = (_VIN_LETTERS[sign] if sign in _VIN_LETTERS else int(sign) for sign in vin)
    rest = sum(value * weight for value, weight in zip(values, _VIN_WEIGHTS, strict=True)) % 11
    return "X" if rest == 10 else str(rest)


def _id_card_check_digit(first_17: str) -> str:
    """ISO 7064 MOD 11-2, as GB 11643 asks."""
    return "10X98765432"[sum(int(digit) * pow(2, 17 - index, 11) for index, digit in enumerate(first_17)) % 11]
