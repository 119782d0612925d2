"""The command that repeats one test has what the run had, and that test alone."""

from __future__ import annotations

import pytest

from hil.record.repeat import repeat_command

TEST = "hil/suite/test_model.py::test_outputs[digits-rp2040]"


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        ("pytest --board=rp2040", "pytest --board=rp2040 TEST"),
        ("pytest --board rp2040 hil/suite -q", "pytest --board rp2040 -q TEST"),
        ("pytest -n2 --board=rp2040 --junitxml=r.xml -x", "pytest --board=rp2040 TEST"),
        ("pytest -n 2 -k digits -vv --pyargs hil.suite --board=rp2040", "pytest -vv --pyargs --board=rp2040 TEST"),
        ("pytest -p no:cacheprovider tests/a.py::test_b --hil-model 'my model.tflite'",
         "pytest -p no:cacheprovider --hil-model 'my model.tflite' TEST"),
        ("pytest --hil-update-baseline --hil-nodes=4 .", "pytest --hil-nodes=4 TEST"),
    ],
)  # fmt: skip
def test_options_stay_and_other_tests_go(command: str, wanted: str) -> None:
    assert repeat_command(command, TEST) == wanted.replace("TEST", f"'{TEST}'")


def test_what_is_no_run_of_pytest_is_repeated_as_it_was() -> None:
    command = "hil profile model.tflite --board rp2040"
    assert repeat_command(command, "hil profile model.tflite") == command
    assert repeat_command("pytest 'unclosed", TEST) == "pytest 'unclosed"


def test_a_name_that_a_shell_would_read_is_quoted() -> None:
    assert repeat_command("pytest", "a.py::test[$(reboot)]") == "pytest 'a.py::test[$(reboot)]'"
