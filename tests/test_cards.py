"""What `--provider cuda` needs: each thing that is missing has its sentence, and nothing goes on without it."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

import pytest

from gigastt import doctor
from gigastt.cards import ask_driver, check_build, find_cards, require_cards
from gigastt.cli.main import run_command
from gigastt.config import Settings, find_mistakes
from gigastt.errors import ProviderMissing
from gigastt.model_loading import require_provider

pytestmark = pytest.mark.slow


def answering(answer: object) -> list[str]:
    return [sys.executable, "-c", f"print({json.dumps(answer)!r})"]


def test_one_build_of_onnxruntime_is_as_it_should_be() -> None:
    assert check_build({"onnxruntime-gpu": "1.32.0"}.get) == "1.32.0"


@pytest.mark.parametrize(
    ("packages", "sentence"),
    [
        ({"onnxruntime": "1.32.0"}, "needs the package onnxruntime-gpu"),
        ({"onnxruntime": "1.32.0", "onnxruntime-gpu": "1.32.0"}, "both installed"),
    ],
)
def test_the_build_for_processors_is_noticed_and_how_to_be_rid_of_it(packages: dict[str, str], sentence: str) -> None:
    with pytest.raises(ProviderMissing, match=sentence) as raised:
        check_build(packages.get)
    assert "pip uninstall --yes onnxruntime onnxruntime-gpu" in str(raised.value)


def test_the_driver_names_its_cards() -> None:
    assert ask_driver(answering(["A", "B"])) == ["A", "B"]


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (answering("there is no card"), "there is no card"),
        ([sys.executable, "-c", "print('rubbish')"], "gives no answer"),
        (["/nowhere/python"], "gives no answer"),
    ],
)
def test_without_cards_there_is_a_sentence(command: list[str], sentence: str) -> None:
    with pytest.raises(ProviderMissing, match=sentence) as raised:
        ask_driver(command)
    assert "Install NVIDIA's driver" in str(raised.value)


def test_a_driver_that_is_not_there_is_named() -> None:
    assert find_cards("libnowhere.so.1") == "there is no libnowhere.so.1"


def test_each_worker_has_a_card_of_its_own() -> None:
    require_cards(2, ["A", "B"])
    with pytest.raises(ProviderMissing, match=r"--pool-size 2: .* 1 card is here"):
        require_cards(2, ["A"])


def test_there_are_as_many_workers_as_cards_unless_the_user_says_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        cards = len(ask_driver())
    except ProviderMissing:
        cards = 1  # what is missing is said when the server starts
    for flags, workers in (([], cards), (["--pool-size", "3"], 3)):
        assert run_command(["config", "show", "--provider", "cuda", *flags]) == 0
        assert tomllib.loads(capsys.readouterr().out)["pool-size"] == workers


def test_a_machine_without_the_build_refuses_before_anything_starts(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_command(["serve", "--provider", "cuda", "--model", "demo", "--port", "0"]) == ProviderMissing.exit_code
    said = capfd.readouterr()
    assert "onnxruntime-gpu" in said.err + said.out
    with pytest.raises(ProviderMissing):
        require_provider(Settings(provider="cuda"))


def test_a_card_loads_sixteen_bits_unless_told_otherwise_and_never_eight() -> None:
    assert Settings(provider="cuda").encoder == "fp16"
    assert Settings(provider="cuda", precision="fp32").encoder == "fp32"
    assert Settings().encoder == "auto"
    assert any(
        "--precision int8" in mistake.text for mistake in find_mistakes(Settings(provider="cuda", precision="int8"))
    )


def test_the_doctor_names_each_thing_that_is_missing(tmp_path: Path) -> None:
    def no_cards() -> list[str]:
        return ask_driver(answering("there is no libcuda.so.1"))

    build, cards = doctor.check_cards({"onnxruntime": "1.32.0"}.get, no_cards)
    assert (build.verdict, "pip install" in build.mend) == ("broken", True)
    assert (cards.verdict, cards.text) == ("broken", "there is no libcuda.so.1")
    assert cards.mend.startswith("Install NVIDIA's driver")
    assert [finding.verdict for finding in doctor.check_model("demo", tmp_path, "fp16", "cuda")][-1] == "broken"


def test_the_doctor_finds_all_that_is_needed() -> None:
    findings = doctor.check_cards({"onnxruntime-gpu": "1.32.0"}.get, lambda: ["NVIDIA H100"])
    assert [finding.verdict for finding in findings] == ["ok", "ok"]
