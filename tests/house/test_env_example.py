"""`.env.example` is the settings, for people: nothing missing, nothing invented, nothing that works by accident."""

from __future__ import annotations

import re

from services.settings import VARIABLES, load
from tests.house import env_example

SECRETS = ("_TOKEN", "_KEY", "_PASSWORD", "_SECRET")


def assignments() -> dict[str, str]:
    """The file's `#NAME=value` lines."""
    lines = env_example.FILE.read_text(encoding="utf-8").splitlines()
    return dict(re.fullmatch(r"#?([A-Z_]+)=(.*)", line).groups() for line in lines if re.match(r"#?[A-Z_]+=", line))


def test_the_file_is_what_the_settings_render_to() -> None:
    expected = env_example.render(VARIABLES)
    assert env_example.FILE.read_text(encoding="utf-8") == expected, env_example.HEAD


def test_every_variable_is_there_with_its_meaning() -> None:
    assert list(assignments()) == [v.name for v in VARIABLES]
    assert not [v.name for v in VARIABLES if len(v.meaning.split()) < 3]


def test_secrets_have_no_default() -> None:
    assert not [name for name, value in assignments().items() if value and name.endswith(SECRETS)]


def test_the_values_shown_are_the_defaults() -> None:
    """With every `#` taken off, the settings are those of an empty environment."""
    assert load(assignments()) == load({})
