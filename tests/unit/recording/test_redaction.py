"""Redaction: what has the shape of an address, a number or a secret is gone, wherever it stands; the rest stays."""

from __future__ import annotations

import base64
import re
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.recording.redaction import MAX_MATCHES, PatternError, Redactor, TooMuch, checked
from services.recording.rules import is_card, is_iban

WORDS = st.lists(st.text("abcdefghijklmnopqrstuvwxyzäéß ,.;!?", min_size=0, max_size=20), max_size=4).map(" ".join)
ALNUM = string.ascii_letters + string.digits
DIGITS = string.digits


def with_check_digit(digits: str) -> str:
    return next(digits + c for c in DIGITS if is_card(digits + c))


def with_iban_check(country: str, account: str) -> str:
    return next(f"{country}{n:02d}{account}" for n in range(2, 99) if is_iban(f"{country}{n:02d}{account}"))


def mixed(alphabet: str, low: int, high: int) -> st.SearchStrategy[str]:
    """Random text as keys are: both cases and digits in it."""
    found = st.text(alphabet, min_size=low, max_size=high)
    return found.map(lambda t: f"aB3{t}7x")


EMAILS = st.builds(
    "{}@{}.{}".format,
    st.text(ALNUM + "._+-", min_size=1, max_size=20),
    st.text(ALNUM + "-", min_size=1, max_size=15).map(lambda t: f"h{t}"),
    st.sampled_from(["de", "com", "co.uk", "intern"]),
)
CARDS = st.text(DIGITS, min_size=15, max_size=15).map(with_check_digit)
SPACED_CARDS = CARDS.map(lambda c: " ".join(c[i : i + 4] for i in range(0, len(c), 4)))
IBANS = st.builds(with_iban_check, st.sampled_from(["DE", "NO", "PT"]), st.text(DIGITS, min_size=18, max_size=18))
SPACED_IBANS = IBANS.map(lambda i: " ".join(i[k : k + 4] for k in range(0, len(i), 4)))
IPV4 = st.ip_addresses(v=4).map(str)
IPV6 = st.ip_addresses(v=6).map(lambda a: a.exploded)
JWTS = st.builds(lambda p, s: f"eyJhbGciOiJIUzI1NiJ9.{p}.{s}", mixed(ALNUM, 10, 60), mixed(ALNUM + "-_", 10, 40))
HEX = st.binary(min_size=16, max_size=40).map(bytes.hex)
BASE64 = st.binary(min_size=24, max_size=60).map(lambda b: "aB39" + base64.b64encode(b).decode())
API_KEYS = st.builds("{}{}".format, st.sampled_from(["sk-", "ghp_", "hf_", "xoxb-", "AKIA"]), mixed(ALNUM, 16, 40))
PASSWORDS = st.text(string.ascii_letters + "!#$%&", min_size=5, max_size=16)
URLS = st.builds("https://{}:{}@db.intern/x".format, st.text(ALNUM, min_size=1, max_size=8), mixed(ALNUM, 4, 12))
TOKEN_URLS = st.builds("https://host/p?a=1&access_token={}".format, mixed(ALNUM, 3, 12))
PHONES = st.builds(
    lambda sep, digits: sep.join(["+49", digits[:3], digits[3:]]),
    st.sampled_from(["", " ", "-", "/", "."]),
    st.text(DIGITS, min_size=8, max_size=11),
)
LOCAL_PHONES = st.builds(
    "0{}/{}".format, st.text(DIGITS, min_size=3, max_size=4), st.text(DIGITS, min_size=5, max_size=8)
)

SHAPES = {
    "EMAIL": EMAILS, "CARD": CARDS | SPACED_CARDS, "IBAN": IBANS | SPACED_IBANS, "IP": IPV4 | IPV6, "JWT": JWTS,
    "HEX": HEX, "BASE64": BASE64, "KEY": API_KEYS, "URL": URLS | TOKEN_URLS, "PHONE": PHONES | LOCAL_PHONES,
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@settings(deadline=None)
@given(data=st.data())
def test_a_planted_secret_is_gone(shape: str, data: st.DataObject) -> None:
    """Between any words, and nothing of four characters or more of it is left behind in one piece."""
    secret = data.draw(SHAPES[shape])
    before, after = data.draw(WORDS), data.draw(WORDS)
    redacted = Redactor().text(f"{before} {secret} {after}")

    assert secret not in redacted
    assert "<" in redacted
    left = redacted.replace(before, "", 1)
    assert not [
        secret[i : i + 6]
        for i in range(len(secret) - 5)
        if secret[i : i + 6] in left and secret[i : i + 6] not in after
    ]


@settings(deadline=None)
@given(word=st.sampled_from(["password", "Passwort", "api_key", "API key", "token", "secret"]), secret=PASSWORDS)
def test_what_stands_behind_the_word_is_gone(word: str, secret: str) -> None:
    """A password has no shape of its own, its place has."""
    redacted = Redactor().text(f"the {word}: {secret} and so on")

    assert secret not in redacted
    assert redacted.startswith(f"the {word}: <")


@settings(deadline=None)
@given(text=st.text(max_size=400))
def test_any_text_is_redacted_or_refused(text: str) -> None:
    """No input breaks it; half a surrogate pair is no text."""
    try:
        Redactor().text(text)
    except UnicodeEncodeError:
        assert re.search("[\ud800-\udfff]", text)


@settings(deadline=None)
@given(secrets=st.lists(st.one_of(*SHAPES.values()), max_size=5), words=WORDS)
def test_what_was_redacted_once_stays_as_it_is(secrets: list[str], words: str) -> None:
    """Placeholders have no shape that a rule knows."""
    once = Redactor().text(f" {words} ".join(["", *secrets, ""]))

    assert Redactor().text(once) == once


@settings(deadline=None)
@given(text=st.text("abcdefghijklmnopqrstuvwxyz ABCDEF.,:;!?'()\n", max_size=300))
def test_plain_words_stay(text: str) -> None:
    """No digits, no @: nothing to take out, unless a word says that a secret follows."""
    if re.search(r"pass|pwd|kennwort|pin|secret|token|key|auth|bearer|basic|::|[a-f]:", text, re.IGNORECASE):
        return
    assert Redactor().text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "The nightly backup starts at 02:40 and takes 35 minutes.",
        "Meeting on 2026-08-22, moved from 05.03.2026 to 11/12/2026 10:30.",
        "A new compressor for 18,400 euros, 2.5 kW, -40 °C to +85 °C.",
        "See https://intranet/wiki/Backups?page=3 and section 4.1.2.",
        "Lubrex 40, KN95, rack 7, 1536 dimensions, 20,000 characters, 3/4 of 100 %",
    ],
)
def test_dates_amounts_and_plain_links_stay(text: str) -> None:
    assert Redactor().text(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mail zoë.quill@example.org now", "mail <EMAIL_1> now"),
        ("root@heron and root@heron, not me@heron", "<EMAIL_1> and <EMAIL_1>, not <EMAIL_2>"),
        ("Telefon: 48 63 52", "Telefon: <PHONE_1>"),
        ("call (415) 555-2671", "call <PHONE_1>"),
        ("born 1980-02-03, insurance 123-45-6789", "born 1980-02-03, insurance <NUMBER_1>"),
        ("account 4417123456789112, wrong check digit", "account <NUMBER_1>, wrong check digit"),
        ("host fe80::1ff:fe23:4567:890a up", "host <IP_1> up"),
        ("id 6f1c2d3e-1111-4222-8333-abcdefabcdef", "id <ID_1|ID_1|ID_1|ID_1|ID_1|ID_1>"),
        ("Authorization: Bearer abcdefgh12345678", "Authorization: <SECRET_1> <SECRET_2>"),
        ("on 05.03.2026 0176 1234567 rang", "on 05.03.2026 <PHONE_1> rang"),
    ],
)
def test_shapes_become_placeholders(text: str, expected: str) -> None:
    """The same value always the same one."""
    assert Redactor().text(text) == expected


@pytest.mark.parametrize("length", [26, 40, 100, 300, 3000])
def test_a_long_secret_leaves_a_long_placeholder(length: int) -> None:
    """So that a prompt keeps about its tokens; only the class of the length is told."""
    placeholder = Redactor().text("a1" * (length // 2))

    assert length / 3 <= len(placeholder) <= length + 12


def test_a_private_key_goes_with_all_its_lines() -> None:
    begin, end = (f"-----{word} RSA PRIVATE KEY-----" for word in ("BEGIN", "END"))
    text = f"key:\n{begin}\nabc\ndef\n{end}\nthanks"
    redacted = Redactor().text(text)

    assert "abc" not in redacted and "def" not in redacted
    assert redacted.endswith("\nthanks")


def test_numbers_and_options_of_a_body_stay() -> None:
    """Every text of it is redacted, however deep."""
    body: dict[str, Any] = {"text": "a@b.de", "max_tokens": 123456789012, "stream": True, "k": 2.5, "none": None}
    nested = {**body, "inner": [{"note": "c@d.de"}, 4]}

    assert Redactor().body(nested) == {
        **body, "text": "<EMAIL_1>", "inner": [{"note": "<EMAIL_2>"}, 4],
    }  # fmt: skip


def test_a_person_adds_patterns_that_come_first() -> None:
    """Their own names and codes, and whatever overlaps with a shape goes with it."""
    redactor = Redactor([r"(?i)\bquill\b", r"PRJ-\d+"])

    assert redactor.text("Mara Quill (quill@tessel.de) on PRJ-77") == "Mara <CUSTOM_1> (<CUSTOM_2>) on <CUSTOM_3>"
    assert redactor.counts == {"CUSTOM": 3}


@pytest.mark.parametrize("pattern", ["(", r"(a)\1", "(?=a)b", "a*", "", "x" * 501, r"(?:\p{L}{1000}){100}"])
def test_a_pattern_that_has_no_bound_or_no_sense_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        checked([pattern])


def test_a_catastrophic_pattern_takes_its_time_from_the_text_alone() -> None:
    """Backtracking engines need 2^n steps for this one, and would never return from this test."""
    assert Redactor([r"(a+)+$", r"(x|x)*y"]).text("a" * 20_000 + "b" + "x" * 20_000) != ""


def test_more_matches_than_can_be_bounded_are_refused() -> None:
    with pytest.raises(TooMuch):
        Redactor(["z"]).text("z " * (MAX_MATCHES + 1))
