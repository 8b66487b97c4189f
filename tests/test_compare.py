"""One night under several policies: how they are said, what is shown, and the picture of it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from foretell import Settings, replay
from foretell.cli import main
from foretell.errors import ConfigError
from foretell.operators.predict import Intensity
from foretell.sinks.ledger import prices
from foretell.streams.narrator.limits import Slots
from foretell.testing import LogBuilder
from foretell.whatif import compare, plot, policy

STATE: dict[str, Any] = {
    "mode": "combat",
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "goblin-1": {"name": "Goblin 1", "side": "foes", "hp": 12, "max_hp": 12},
        "goblin-2": {"name": "Goblin 2", "side": "foes", "hp": 12, "max_hp": 12},
    },
}


def night(session: str = "night") -> LogBuilder:
    """A hit, one in flight, and a miss nobody foresaw."""
    log = LogBuilder(session).state(STATE).wait(1).turn("mira")
    log.wait(2).action("mira", "longsword", target="goblin-1").wait(20).outcome("hit", damage=3)
    log.wait(8).action("mira", "longsword", target="goblin-2").wait(1.5).outcome("miss")
    return log.wait(8).undeclared("goblin-1", "dance", "success").wait(30)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return night().write(tmp_path / "night.jsonl")


def compared(path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> Any:
    assert main(["replay", str(path), "--json", *options]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    return orjson.loads(told.out)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit code and the one line of a command that could not do its work."""
    try:
        code = main(list(arguments))
    except SystemExit as ended:
        code = int(ended.code or 0)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("foretell: error: ") and told.err.count("\n") == 1
    return code, told.err


# --- how policies are said


BASE = Settings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("off,conservative", [{"intensity": "off"}, {}]),
        ("off, conservative ; aggressive", [{"intensity": "off"}, {}, {"intensity": "aggressive"}]),
        ("conservative;conservative,max_variants=3", [{}, {"max_variants": 3}]),
        ("conservative,max_variants=3,off", [{"max_variants": 3}, {"intensity": "off"}]),
        ("max_variants=3;max_variants=4", [{"max_variants": 3}, {"max_variants": 4}]),
        ("off;profile=local-8b", [{"intensity": "off"}, {"narrator_profile": "local-8b"}]),
        ("off;model=m-1,seed=7", [{"intensity": "off"}, {"main_model": "m-1", "seed": 7}]),
        ("off;intensity=aggressive", [{"intensity": "off"}, {"intensity": "aggressive"}]),
        ("quiet=0.1,max_wait=1;off", [{"quiet": 0.1, "max_wait": 1.0}, {"intensity": "off"}]),
        (
            'off;style="short, dry; plain"',
            [{"intensity": "off"}, {"style": "short, dry; plain"}],
        ),
        (
            'off;volatile=["/x", "/y"],effort=none',
            [{"intensity": "off"}, {"volatile": ("/x", "/y"), "effort": None}],
        ),
    ],
)
def test_a_policy_is_an_intensity_and_settings(text: str, said: list[dict[str, Any]]) -> None:
    found = policy.parse(text, BASE)
    assert [each.settings for each in found] == [
        Settings.load({**BASE.model_dump(), **each}) for each in said
    ]
    again = policy.parse(";".join(each.name for each in found), BASE)
    assert again == found


def test_what_a_policy_does_not_say_is_as_the_options_say() -> None:
    base = Settings(intensity=Intensity.AGGRESSIVE, narrator_profile="instant", seed=4)
    first, second = policy.parse("max_variants=2;off", base)
    assert first.settings == base.model_copy(update={"max_variants": 2})
    assert second.settings == base.model_copy(update={"intensity": Intensity.OFF})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not two policies"),
        ("off", "not two policies"),
        (";;", "not two policies"),
        ("off,loud", "'loud' is neither an intensity (off, conservative, aggressive"),
        ("off;max_variantz=3", "unknown setting 'max_variantz'; known: main_model, "),
        ("off;base_url=http://x", "unknown setting 'base_url'"),
        ("off;log_dir=x", "unknown setting 'log_dir'"),
        ("off;max_variants=0", "max_variants=0: max_variants: "),
        ("off;max_variants=lots", "max_variants=lots: max_variants: "),
        ("off;quiet=9", "quiet is 9, more than max_wait"),
        ("off;intensity=loud", "intensity=loud: intensity: "),
        ("off;profile=gpu", "no profile 'gpu'; there are hosted-large"),
        ("max_variants=3,max_variants=4;off", "max_variants is set twice"),
        ("conservative,intensity=off;off", "intensity is set twice"),
        ("max_variants=3,aggressive", "put 'aggressive' before 'max_variants=3'"),
        ("off,conservative,off", "'off' and 'off' are the same policy"),
        ("conservative;max_variants=8", "'conservative' and 'max_variants=8' are the same"),
        ("off;prices=nowhere.json", "nowhere.json: no such file"),
    ],
)
def test_a_policy_that_cannot_be_is_one_line_and_2(
    text: str, says: str, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = refused(capsys, "replay", str(log), "--compare", text)
    assert code == 2 and says in told


def test_help_shows_how_policies_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["replay", "--help"])
    assert "--compare off,conservative,aggressive --plot" in capsys.readouterr().out


PRICE = {"input": 2.0, "output": 10.0, "cache_read": 0.1, "cache_write": 2.5}


def priced(path: Path, models: Any) -> str:
    path.write_bytes(orjson.dumps({"models": models}))
    return str(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is not a price list"),
        (b"[]", "is not a price list"),
        (b'{"models": []}', "names no model"),
        (b'{"models": {}}', "names no model"),
        (b'{"models": {"m": 3}}', "m: input must be dollars per million tokens"),
        (b'{"models": {"m": {"input": 1, "output": -1}}}', "m: output must be dollars"),
        (b'{"models": {"m": {"input": true}}}', "m: input must be dollars"),
        (b'{"models": {"m": {"input": 1, "output": "2"}}}', "m: output must be dollars"),
    ],
)
def test_a_price_list_that_is_none_is_told(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        policy.load_prices(str(path))


# --- what is compared


def test_each_policy_has_the_figures_of_its_own_replay(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = compared(log, capsys, "--compare", "off,conservative,aggressive", "--seed", "3")
    assert (found["session"], found["events"], found["outcomes"]) == ("night", 7, 3)
    assert [each["policy"] for each in found["policies"]] == ["off", "conservative", "aggressive"]
    for each in found["policies"]:
        alone = replay.report(log, Settings(seed=3, intensity=Intensity(each["policy"])))
        for name in ("served", "hit_rate", "latency_ms", "tokens", "stale", "untrue", "cancelled"):
            assert each[name] == alone[name], name
        assert each["cost_usd"] == alone["cost_usd"]["with"]
        assert each["trace_sha256"] == alone["trace_sha256"]
        assert each["settings"] == {"intensity": each["policy"]}


def ran(latencies: dict[int, float], usd: float, tokens: int, hit_rate: float | None) -> replay.Run:
    used = {"prefetch": tokens, "refine": 0, "foreground": 100}
    report = {"cost_usd": usd, "tokens": used, "hit_rate": hit_rate, "ledger": [], "unpriced": []}
    return replay.Run(report, "", "", latencies, {}, 0.0, 0.0)


def test_what_differs_is_counted_over_what_both_have_told() -> None:
    first = ran({1: 2.0, 2: 2.0, 3: 2.0, 4: 2.0, 9: 50.0}, 0.1, 0, None)
    other = ran({1: 0.5, 2: 2.05, 3: 1.95, 4: 2.5, 7: 50.0}, 0.3, 900, 0.75)
    assert compare.against(first, other) == {
        "latency_s": -0.25,
        "latency_reduction": 0.125,
        "sooner": 1,
        "later": 1,
        "same": 2,
        "hit_rate": 0.75,
        "tokens": 900,
        "usd": 0.2,
        "usd_ratio": 3.0,
        "usd_per_second_saved": 0.2,
    }
    back = compare.against(other, first)
    assert (back["latency_s"], back["usd"]) == (0.25, -0.2)
    assert back["usd_per_second_saved"] is None
    nothing = compare.against(first, ran({}, 0.1, 0, None))
    assert nothing["latency_s"] is nothing["latency_reduction"] is None


def test_every_policy_but_the_first_is_set_against_it(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    several = "off;conservative;conservative,profile=hosted-small"
    policies = compared(log, capsys, "--compare", several)["policies"]
    off, some, small = policies
    assert off["against_first"] is None
    assert some["against_first"]["latency_s"] > small["against_first"]["latency_s"]
    for each in (some, small):
        change = (each["latency_ms"]["mean"] - off["latency_ms"]["mean"]) / 1000
        assert each["against_first"]["latency_s"] == pytest.approx(change, abs=1e-5)
        assert set(each["settings"]) == {"intensity", "narrator_profile"}


def test_another_price_list_changes_the_dollars_alone(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    double = {
        model: {name: 2 * getattr(price, name) for name in PRICE}
        for model, price in prices().items()
    }
    path = priced(tmp_path / "my.json", double)
    both = f"conservative;conservative,prices={path}"
    shipped, own = compared(log, capsys, "--compare", both)["policies"]
    assert own["trace_sha256"] == shipped["trace_sha256"]
    assert own["cost_usd"] == pytest.approx(2 * shipped["cost_usd"], abs=2e-6)
    assert (shipped["own_prices"], own["own_prices"]) == (False, True)


async def test_a_place_given_back_as_its_next_waiter_is_cancelled_goes_to_the_one_after() -> None:
    """The narrator of few slots, as a comparison of latency profiles met it."""
    slots, got = Slots(1), []

    async def use(name: str) -> None:
        async with slots:
            got.append(name)
            await asyncio.sleep(1)

    first, second, third = (asyncio.create_task(use(name)) for name in "abc")
    await asyncio.sleep(0.5)
    first.cancel()  # gives its place back when the second is cancelled, and still in line
    second.cancel()
    for ended in await asyncio.gather(first, second, third, return_exceptions=True):
        assert ended is None or isinstance(ended, asyncio.CancelledError)
    assert got == ["a", "c"] and slots.waiting == 0


def test_the_table_has_a_column_for_each_and_commands_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = night("night\x1b[2J[red]").write(tmp_path / "night.jsonl")
    assert main(["replay", str(path), "--compare", "off;aggressive,max_variants=3"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert "\x1b" not in told.out and "night[2J[red]: 3 outcomes" in told.out
    for words in ("off", "aggressive", "max_variants=3", "95 of 100", "hit rate", "67%", "stale"):
        assert words in told.out, words
    widths = {len(line) for line in told.out.splitlines()[1:] if line.strip()}
    assert len(widths) == 1


def test_a_stale_text_under_any_policy_is_a_failure(
    log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    play = replay.play

    async def stale(*args: Any, **kwargs: Any) -> replay.Run:
        run = await play(*args, **kwargs)
        run.report["stale"] = 1
        return run

    monkeypatch.setattr(compare, "play", stale)
    assert main(["replay", str(log), "--compare", "off,conservative"]) == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--plot", "a.png"], "--plot draws a comparison"),
        (["--compare", "off,conservative", "--plot", "a.gif"], "'a.gif' is no picture"),
        (["--compare", "off,conservative", "--base-url", "http://x"], "goes without --base-url:"),
        (["--compare", "off,conservative", "--speed", "2"], "goes without --speed:"),
        (["--compare", "off,conservative", "--verify"], "goes without --verify:"),
    ],
)
def test_wrong_use_is_one_line_and_2(
    options: list[str], says: str, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = refused(capsys, "replay", str(log), *options)
    assert code == 2 and says in told


def test_a_log_that_is_missing_or_has_nothing_to_compare_is_one_line_and_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = LogBuilder().state(STATE).wait(5).write(tmp_path / "empty.jsonl")
    code, told = refused(capsys, "replay", str(empty), "--compare", "off,conservative")
    assert code == 1 and "empty.jsonl: has no outcomes" in told
    gone = str(tmp_path / "gone.jsonl")
    code, told = refused(capsys, "replay", gone, "--compare", "off,conservative")
    assert code == 1 and "gone.jsonl" in told


# --- the picture


def test_the_same_comparison_gives_the_same_picture(
    log: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.delenv("DISPLAY", raising=False)
    for kind, begins in (("png", b"\x89PNG"), ("SVG", b"<?xml")):
        path = tmp_path / f"night.{kind}"
        drawn = []
        for _ in range(2):  # the second takes the place of the first
            options = ("--compare", "off;aggressive,max_variants=3", "--plot", str(path))
            compared(log, capsys, *options)
            drawn.append(path.read_bytes())
        assert drawn[0] == drawn[1]
        assert drawn[0].startswith(begins) and len(drawn[0]) > 10_000
        for told in (b"<dc:date>", b"tIME", b"matplotlib.org", b"Creation"):
            assert told not in drawn[0]
        compared(log, capsys, "--compare", "off,conservative", "--plot", str(path))
        assert path.read_bytes() != drawn[0]
    assert sorted(each.suffix for each in tmp_path.iterdir()) == [".SVG", ".jsonl", ".png"]


def test_a_picture_takes_any_name_and_outcomes_that_nobody_was_told(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    nothing = dict.fromkeys(
        ("hit", "in_flight", "miss", "failed", "saved", "wasted", "foreground"), 0
    )
    each = {"policy": "style=$x_{$ 龍,\x1bseed=1", "served": nothing, "tokens": nothing}
    found = {"session": "$\\frac{ 夜", "outcomes": 0, "policies": [{**each, "cost_usd": 0.0}] * 12}
    path = tmp_path / "odd.png"
    plot.draw(plot.check(str(path)), found, [[]] * 12)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_it_says_what_to_install(
    log: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    both = ("--compare", "off,conservative")
    code, told = refused(capsys, "replay", str(log), *both, "--plot", str(tmp_path / "night.png"))
    assert code == 1 and 'pip install "foretell[plot]"' in told
    assert compared(log, capsys, *both)["outcomes"] == 3


def test_a_picture_replaces_nothing_but_a_picture(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    precious = tmp_path / "precious.png"
    precious.write_bytes(b"my thesis")
    for path, says in (
        (precious, "holds something that is not a picture"),
        (tmp_path / "nowhere/night.svg", "its folder does not exist"),
    ):
        code, told = refused(
            capsys, "replay", str(log), "--compare", "off,conservative", "--plot", str(path)
        )
        assert code == 1 and says in told
    assert precious.read_bytes() == b"my thesis"


def test_the_recorded_combat_under_three_policies(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fireball.jsonl"
    assert main(["import", "fireball", str(data / "fireball/raw.jsonl"), "-o", str(path)]) == 0
    capsys.readouterr()
    found = compared(path, capsys, "--compare", "off,conservative,aggressive")
    off, some, much = found["policies"]
    assert all(off["latency_ms"]["mean"] > 2 * each["latency_ms"]["mean"] for each in (some, much))
    assert much["served"]["hit"] > some["served"]["hit"]
    assert some["cost_usd"] <= 1.5 * off["cost_usd"] and much["cost_usd"] <= 4 * off["cost_usd"]
    assert [each["against_first"]["usd_ratio"] for each in (some, much)] == [
        round(each["cost_usd"] / off["cost_usd"], 4) for each in (some, much)
    ]
    assert off["small_share"] == 0 < some["small_share"]
    assert [each["stale"] + each["untrue"] for each in found["policies"]] == [0, 0, 0]
