"""`cutover eval`: an option of one evaluation is refused by the others."""

from __future__ import annotations

import pytest

from services import cli, cli_eval_day


@pytest.mark.parametrize("option", cli_eval_day.OPTIONS)
@pytest.mark.parametrize("subject", ["rag", "ner"])
def test_an_option_of_the_days_work_is_refused_by_the_others(
    subject: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would change nothing, and whoever wrote it meant something by it."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["eval", subject, f"--{option}", "5"])
    assert ended.value.code == 64
    said = capsys.readouterr().err
    assert f"--{option}: only `eval services` counts by it; leave it out of `eval {subject}`" in said


def test_the_days_work_takes_them_all() -> None:
    for option in cli_eval_day.OPTIONS:
        assert cli_eval_lacks("eval", "services", f"--{option}", "5") is None


def cli_eval_lacks(*argv: str) -> str | None:
    return cli.LACKS["eval"](cli.parser().parse_args(argv))
