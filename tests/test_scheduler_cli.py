"""``foretell schedule``: the plan of a file, explained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from foretell.cli import main
from foretell.config import LAYER_SIZES, Settings
from foretell.errors import ConfigError
from foretell.operators.schedule import Constraints
from foretell.operators.schedule_settings import Scheduling

Capture = pytest.CaptureFixture[str]
EXAMPLE = str(Path(__file__).parent.parent / "examples" / "schedule.json")


def told(capsys: Capture, *arguments: str) -> str:
    assert main(["schedule", *arguments]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    return said.out


def refused(capsys: Capture, *arguments: str) -> tuple[int, str]:
    try:
        code = main(["schedule", *arguments])
    except SystemExit as ended:
        code = int(ended.code or 0)
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("foretell: error: ")
    assert said.err.count("\n") == 1, said.err
    return code, said.err


def file(tmp_path: Path, said: Any) -> str:
    path = tmp_path / "plan.json"
    path.write_bytes(said if isinstance(said, bytes) else orjson.dumps(said))
    return str(path)


def test_the_example_is_planned_and_explained(capsys: Capture) -> None:  # 1-14
    assert "6 of 12 are fetched: 3,025 of 3,500 tokens" in told(capsys, EXAMPLE)
    text = " ".join(told(capsys, EXAMPLE, "--explain").split())
    for word in ("-1 confidence above", "cached already", "being loaded already", "on demand"):
        assert word in text, word
    plan = orjson.loads(told(capsys, EXAMPLE, "--json"))
    first = next(entry for entry in plan["entries"] if entry["taken"])
    assert first["keys"][0].startswith("mira: longsword") and first["strategy"] == "immediate"
    assert first["priority"] == "P0" and first["base"] == "P1"
    assert {entry["why"] for entry in plan["entries"]} > {"confidence is below 0.5"}
    assert plan["tokens"] <= plan["token_budget"] == 3_500


def test_the_documents_own_input_is_understood(
    capsys: Capture, tmp_path: Path
) -> None:  # 1-6 … 1-8
    said = {
        "predictions": {
            "skills": ["debugging", {"key": "testing", "kind": "primary_skill", "confidence": 0.8}],
            "files": [{"key": "auth.py", "kind": "main_file", "confidence": 0.85}],
            "behaviors": [],
            "resources": {"manual": 0.7},
        },
        "constraints": {"token_budget": 10_000, "time_budget_ms": 2_000, "priority_override": None},
        "state": {"cached_items": ["auth.py"], "pending_loads": [], "active_session": {}},
    }
    plan = orjson.loads(told(capsys, file(tmp_path, said), "--json"))
    assert {entry["keys"][0]: entry["priority"] for entry in plan["entries"]} == {
        "auth.py": "P1",
        "testing": "P1",
        "debugging": "P1",
        "manual": "P3",
    }
    assert [entry["keys"] for entry in plan["entries"] if not entry["taken"]] == [["auth.py"]]


def test_budgets_of_the_command_line_come_before_the_files(capsys: Capture) -> None:  # 1-12 1-13
    plan = orjson.loads(told(capsys, EXAMPLE, "--tokens", "700", "--ms", "60", "--json"))
    assert plan["token_budget"] == 700 and plan["tokens"] <= 700 and plan["ms"] <= 60


def test_what_must_be_there_and_is_left_is_said(capsys: Capture, tmp_path: Path) -> None:  # 1-1
    said = {"predictions": [{"key": "rules", "kind": "core", "tokens": 99}]}
    assert "before anything starts" in told(capsys, file(tmp_path, said), "--tokens", "50")
    assert "before anything starts" not in told(capsys, file(tmp_path, said))


def test_names_of_others_command_no_terminal(capsys: Capture, tmp_path: Path) -> None:
    said = {"predictions": [{"key": "\x1b[2J[red]x", "kind": "lore"}]}
    assert "\x1b" not in told(capsys, file(tmp_path, said), "--explain")


LORE = {"key": "a", "kind": "lore"}


@pytest.mark.parametrize("override", ["P0", "P3", "P4"])
def test_a_priority_that_is_set_was_not_clamped(
    tmp_path: Path, capsys: Capture, override: str
) -> None:  # 1-14
    said = {"predictions": [LORE], "constraints": {"priority_override": override}}
    text = " ".join(told(capsys, file(tmp_path, said), "--explain").split())
    assert "lore P3; priority overridden" in text and "no further" not in text


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (b"{", "no JSON"),
        (b"[" * 5_000 + b"]" * 5_000, "no JSON"),
        (b'{"predictions": ' + b"[" * 40 + b"]" * 40 + b"}", "deeper than 12 levels"),
        (b"\xff\xfe", "no JSON"),
        ([], "the file is no object"),
        ({}, "no predictions"),
        ({"predictions": 3}, "predictions is no object"),
        ({"predictions": {"lore": 3}}, "predictions.lore is neither"),
        ({"predictions": {"lore": {"a": None}}}, "predictions.lore.a is no object"),
        ({"predictions": [], "wishes": 1}, "the file has no 'wishes'"),
        ({"predictions": [{"key": "a"}]}, "predictions[0]: give it a key and a kind"),
        ({"predictions": [{**LORE, "weight": 1}]}, "predictions[0] has no 'weight'"),
        (
            {"predictions": [{**LORE, "confidence": 1.4}]},
            "predictions[0]: confidence of 'a' is 1.4",
        ),
        (
            {"predictions": [LORE], "constraints": {"priority_override": {"a": "P0", "lor": "P1"}}},
            "constraints.priority_override: 'lor' is neither a key nor a kind",
        ),
        ({"predictions": [{**LORE, "urgency": "now"}]}, "predictions[0].urgency is 'now'"),
        ({"predictions": [{**LORE, "together": 3}]}, "together of 'a' is 3: choose a text"),
        ({"predictions": [{**LORE, "kind": "wyrm"}]}, "of an unknown kind, 'wyrm'"),
        ({"predictions": [LORE, LORE]}, "two items are called 'a'"),
        ({"predictions": [LORE], "constraints": {"token_budget": -1}}, "token_budget is -1"),
        ({"predictions": [LORE], "constraints": {"priority_override": "P9"}}, "choose P0, P1"),
        ({"predictions": [LORE], "state": {"cached_items": "a"}}, "state.cached_items is no list"),
        ({"predictions": [LORE], "state": {"accessed": {"a": "x"}}}, "accessed 'a' seconds ago"),
        ({"predictions": [LORE], "state": {"learned": {"lore": {"ms": 1}}}}, "not both tokens"),
        ({"predictions": [LORE], "kinds": {"own": {"tokens": 3}}}, "kinds.own.base is 'None'"),
        ({"predictions": [LORE], "kinds": {"own": {"base": "P1", "ms": -3}}}, "ms of the kind own"),
        (b'{"predictions": ["' + b"a" * 4_500_000 + b'"]}', "larger than 4 MiB"),
    ],
)
def test_a_file_that_cannot_be_is_refused_in_one_line(
    capsys: Capture, tmp_path: Path, said: Any, says: str
) -> None:
    path = file(tmp_path, said)
    code, error = refused(capsys, path)
    assert code == 1 and says in error and path in error


def test_a_file_that_is_none_and_a_budget_that_is_none(capsys: Capture, tmp_path: Path) -> None:
    assert "No such file" in refused(capsys, str(tmp_path / "none.json"))[1]
    assert refused(capsys, str(tmp_path))[0] == 1
    assert refused(capsys, EXAMPLE, "--settings", str(tmp_path / "none.toml"))[0] == 2
    for budget in ("-1", "nan", "much", "1e99"):
        assert refused(capsys, EXAMPLE, "--tokens", budget)[0] == 2


DOCUMENT = """
[schedule]
max_immediate_time_ms = 100
max_eager_time_ms = 500
background_start_delay_ms = 50
max_prefetch_tokens = 10000
max_concurrent_fetches = 8
max_background_queue = 20
hot_cache_size = 20
warm_cache_size = 50
cold_cache_size = 100
min_confidence_for_prefetch = 0.5
min_confidence_for_immediate = 0.8
enable_batch_fetching = true
enable_speculative_prefetch = true
cancel_on_context_change = true
"""


def test_every_key_of_the_document_is_a_setting_with_its_default(tmp_path: Path) -> None:
    # 1-49 … 1-62
    path = tmp_path / "campaign.toml"
    path.write_text(DOCUMENT)
    assert Settings.load(path) == Settings() == Settings.load({"schedule": {}})
    for line in DOCUMENT.split("\n")[2:-1]:
        name = line.split(" ")[0]
        with pytest.raises(ConfigError, match=name):
            Settings.load({"schedule": {name: "much"}})


def test_help_has_every_setting_with_its_default(capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        main(["schedule", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    defaults = {name: field.default for name, field in Scheduling.model_fields.items()}
    sizes = {name: Settings.model_fields[name].default for name in LAYER_SIZES}
    for name, default in (defaults | sizes).items():
        shown = str(default).lower() if isinstance(default, bool) else f"{default:g}".lower()
        assert f"{name} [{shown}]" in text, name


def test_sizes_of_layers_may_stand_in_the_section_and_only_once() -> None:  # 1-55 1-56 1-57
    found = Settings.load({"schedule": {"hot_cache_size": 3, "max_eager_time_ms": 70}})
    assert (found.hot_cache_size, found.schedule.max_eager_time_ms) == (3, 70)
    with pytest.raises(ConfigError, match="hot_cache_size stands in the section schedule and"):
        Settings.load({"hot_cache_size": 4, "schedule": {"hot_cache_size": 3}})


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"max_eager_time_ms": 0}, "schedule.max_eager_time_ms"),
        ({"max_prefetch_tokens": -1}, "schedule.max_prefetch_tokens"),
        ({"min_confidence_for_prefetch": float("nan")}, "schedule.min_confidence_for_prefetch"),
        (
            {"max_background_queue": 5, "max_background_pending": 10},
            "max_background_pending is 10, more than max_background_queue, 5",
        ),
        ({"max_concurrent_eager": 9}, "max_concurrent_eager is 9, more than"),
        ({"colour": "red"}, "schedule.colour: unknown setting"),
        ({"max_prefetch_tokens": True}, "max_prefetch_tokens: true is neither a number nor"),
        ({"unused_seconds": True}, "unused_seconds: true is neither"),
        ({"background_start_delay_ms": False}, "background_start_delay_ms: false is neither"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(wrong: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Settings.load({"schedule": wrong})


def test_a_limit_of_all_alone_lowers_the_default_of_a_part() -> None:
    found = Settings.load({"schedule": {"max_concurrent_fetches": 4, "max_background_queue": 6}})
    assert (found.schedule.max_concurrent_eager, found.schedule.max_background_pending) == (4, 6)
    again = Settings.load({"schedule": found.schedule.model_dump()})
    assert again.schedule == found.schedule
    found = Settings.load({"schedule": {"max_concurrent_fetches": 4, "max_concurrent_eager": 2}})
    assert found.schedule.max_concurrent_eager == 2


@pytest.mark.parametrize("name", ["max_prefetch_tokens", "max_variants", "deadline", "seed"])
def test_true_is_no_number(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: true is neither a number nor a text"):
        Settings.load({name: True})
    assert Settings.load({"listen": False}).listen is False
    with pytest.raises(ValueError, match="speculative is neither true nor false"):
        Constraints(speculative=1)  # type: ignore[arg-type]


def test_a_campaigns_settings_are_the_defaults_of_a_plan(capsys: Capture, tmp_path: Path) -> None:
    campaign = tmp_path / "campaign.toml"
    campaign.write_text("[schedule]\nmax_prefetch_tokens = 60\ntime_budget_ms = 900\n")
    said = {"predictions": [LORE], "constraints": {"time_budget_ms": 800}}
    arguments = (file(tmp_path, said), "--settings", str(campaign), "--json")
    plan = orjson.loads(told(capsys, *arguments))
    assert (plan["token_budget"], plan["time_budget_ms"], plan["tokens"]) == (60, 800, 0)
