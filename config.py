"""Settings of a game: a TOML or JSON file, a mapping, or keyword arguments."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from .errors import ConfigError
from .operators.budget_settings import Budgeting
from .operators.overlap import Overlap, Overlaps
from .operators.plans.settings import Plans
from .operators.predict import Intensity
from .operators.schedule_settings import Scheduling, no_truth
from .streams.footprint import VOLATILE
from .streams.said import brief

__all__ = ["ELSEWHERE", "LIVE", "WRITTEN", "Settings", "how"]

MONTH = 30 * 24 * 3600.0
LAYER_SIZES = ("hot_cache_size", "warm_cache_size", "cold_cache_size")
ELSEWHERE = frozenset(
    (
        *("api_key", "base_url", "log_dir", "cache_url", "cache_timeout", "content"),
        *("rules_module", "guard_module", "usage_dir"),
    )
)
"""Settings that say where, not how: a replay asks no server for them, and writes no log."""
WRITTEN = frozenset(
    ("main_model", "small_model", "effort", "thinking", "style", "tone", "language", "length")
)
"""What another text would be written for."""
LIVE = WRITTEN | frozenset(
    (
        *("max_tokens", "intensity", "main_from", "spend", "dollars_per_second", "overlap"),
        *("max_prefetch_tokens", "memory_tokens", "summary_tokens", "budget", "variants"),
        *("refine", "refine_limit", "select", "select_limit"),
    )
)
"""What a running game can change; see :meth:`foretell.Game.apply`."""
LEAST_PER_SENTENCE = 40
"""Tokens a sentence is given room for, with the form it is sent in."""
CACHES = ("redis://", "rediss://", "memcached://")


class Settings(BaseModel):
    """All settings, with their defaults. Times are in seconds, sizes in tokens unless they say so.

    ``base_url``: where the Messages API is served; with none, and no key in the environment, the
    built-in narrator speaks (a grammar, not a language model). ``api_key``: the key for it, where
    it comes neither from ``ANTHROPIC_API_KEY`` nor from ``Game(api_key=…)``, which is better than
    in a file; it is never shown and never recorded.
    ``effort`` and ``thinking`` are sent as they are, and low by default, for thinking delays the
    first word; a server that refuses them is asked without.
    ``style``, ``tone``, ``language``: of the default prompts, in words of your own, such as
    ``language = "German"``; what is prepared in another language is not told. ``length``: about how
    many sentences a full telling has, by default two to four.
    ``rules_module``: ``"package.module:Name"`` of your own :class:`~foretell.Rules`, for the odds
    of what may come of an action. It is imported, so name what you trust; no recording names it.
    ``guard_module``: ``"package.module:name"`` of your own guard, in the same way; see
    :class:`~foretell.Game`. ``guard_limit``: seconds it may take for a text; what it has said
    nothing of by then is refused.
    ``main_from``: the small model prepares what is less likely than this, and what the main model
    would be too late for; with 0, or a main model that costs nothing, the main model writes all.
    ``spend``: what a night may cost, as a multiple of what it costs with nothing prepared; with
    ``"none"`` it is not looked at. The default goes by the intensity: 1.35 at conservative, 3.9 at
    aggressive; at auto nothing is bounded but what each is worth.
    ``dollars_per_second``: at ``auto``, what a second less of waiting is worth.
    ``variants``: what may come of an action is prepared as ``"separate"`` texts side by side, or as
    a ``"trunk"``: one text that begins it, and a tail for each thing it may come to.
    ``max_speculations``: what a session prepares at once. ``max_speculations_process``: how many
    streams all sessions of the process may have open at one server, those a player waits for
    included, for another to be prepared; where as many are open, a player's stream closes the least
    valuable speculation of any session. A server of your own: what it answers at once.
    ``overlap``: what becomes of an outcome that comes while another is told: it is told with all
    that come meanwhile (``"conflate"``), in its turn by itself (``"queue"``), or ends the other
    (``"interrupt"``). A table has one by the context in which it comes:
    ``{combat = "conflate", dialogue = "interrupt"}``; what it does not name conflates.
    ``variant_limit``: seconds within which a text that is prepared must be whole, or it is closed.
    ``refine``: whether the small model says what a prepared text has no room for, behind it: an
    effect, a number nobody foresaw, a blow heavier than usual; without it, such a text is not told.
    ``refine_limit``: seconds it may take.
    ``select``: whether the small model is asked which prepared text tells a result of a name that
    nobody prepared; ``select_limit``: seconds it may take.
    ``memory_tokens``: about how much of what was told last a prompt has. ``summary_tokens``: about
    how much of it sums up what was told before; the small model writes that, each time as much
    was told as is remembered, when nothing else is to be done. With 0 there is none.
    ``listen``: whether what is said and typed at the table points to what is prepared.
    ``volatile``: names of fields, of actors and of the place, that change all the time and that no
    text speaks of, such as a clock that ticks: such a change takes back nothing that is prepared.
    ``log_dir``: where session logs are written; with none, nothing is. ``log_flush``: what of one
    a killed process may lose: ``"line"``, next to nothing; ``"second"``, or seconds, so much;
    ``"end"``, all since the last full MiB. ``log_rotate``: bytes its file may have before it is set
    aside as a compressed part, and a new one begun; with none, it is one file.
    ``history_bytes``: about how much is kept of the past, to rewind to and to tell again; with a
    log, what lies further back is read from it.
    ``hot_cache_size``, ``…_seconds`` and the like: entries a layer of the store of variants has,
    and how long one stays that is not used. ``cache_ttl``: how long a prepared text is kept beyond
    its turn. ``cache_entry_bytes``: the largest entry. ``cache_url``: a Redis or Memcached as the
    cold layer, shared by processes, ``?name=…`` at its end keeps games on one server apart;
    ``cache_timeout``: what a look-up there may take.
    ``near_tolerance``: by how much the numbers under ``near_fields`` may differ for two states to
    share what was computed for one; those under ``near_bands`` count by band, each so wide; see
    :class:`~foretell.sinks.store_near.Near`.
    ``usage_dir``: a folder where each look-up of the game's store is recorded, for predictions of
    what will be asked of it; see :meth:`foretell.Game.expected`. With none, nothing is.
    ``content``: a folder of JSON files with stat blocks, spells, lore and the like; see
    :class:`~foretell.streams.content_folder.JsonFolder`.
    ``budget``: the section of hard caps; see
    :class:`~foretell.operators.budget_settings.Budgeting`.
    ``plans``: the section of plans for those whom nobody plays; see
    :class:`~foretell.operators.plans.settings.Plans`.
    ``schedule``: the section of prefetching; see
    :class:`~foretell.operators.schedule_settings.Scheduling`. ``hot_cache_size`` and its like may
    stand in it as well.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str | None = None
    api_key: SecretStr | None = None
    main_model: str = "claude-sonnet-5-5"
    small_model: str = "claude-haiku-5-5"
    effort: Literal["low", "medium", "high"] | None = "low"
    thinking: dict[str, Any] | None = {"type": "disabled"}
    max_tokens: int = Field(default=400, ge=16, le=32_000)
    style: str = ""
    tone: str = ""
    language: str = ""
    length: int | None = Field(default=None, ge=1, le=20)
    rules_module: str | None = None
    guard_module: str | None = None
    guard_limit: float = Field(default=2.0, gt=0, allow_inf_nan=False)
    output: Literal["json", "text"] = "json"

    intensity: Intensity = Intensity.CONSERVATIVE
    main_from: float = Field(default=0.25, ge=0, le=1)
    spend: Literal["default", "none"] | Annotated[float, Field(ge=0, allow_inf_nan=False)] = (
        "default"
    )
    dollars_per_second: float = Field(default=0.002, ge=0, allow_inf_nan=False)
    listen: bool = True
    select: bool = True
    select_limit: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    refine: bool = True
    refine_limit: float = Field(default=3.0, gt=0, allow_inf_nan=False)
    overlap: Overlaps = Overlap.CONFLATE
    deadline: float = Field(default=20.0, gt=0)
    variant_limit: float = Field(default=30.0, gt=0, allow_inf_nan=False)
    quiet: float = Field(default=0.05, ge=0)
    max_wait: float = Field(default=0.25, ge=0)
    teardown_limit: float = Field(default=1.0, gt=0)
    max_speculations: int = Field(default=8, ge=1, le=64)
    max_speculations_process: int = Field(default=256, ge=1, le=100_000)
    max_variants: int = Field(default=8, ge=1, le=64)
    variants: Literal["separate", "trunk"] = "separate"
    max_prefetch_tokens: int | None = Field(default=None, ge=0)
    memory_tokens: int = Field(default=160, ge=0)
    summary_tokens: int = Field(default=80, ge=0, le=4000)
    max_state_bytes: int = Field(default=4 * 1024 * 1024, ge=1024, le=32 * 1024 * 1024)
    volatile: tuple[str, ...] = VOLATILE
    history_bytes: int = Field(default=128 * 1024, ge=0)

    hot_cache_size: int = Field(default=20, ge=1, le=100_000)
    warm_cache_size: int = Field(default=50, ge=1, le=100_000)
    cold_cache_size: int = Field(default=100, ge=1, le=100_000)
    hot_cache_seconds: float = Field(default=300.0, gt=0, le=MONTH)
    warm_cache_seconds: float = Field(default=900.0, gt=0, le=MONTH)
    cold_cache_seconds: float = Field(default=3600.0, gt=0, le=MONTH)
    cache_ttl: float = Field(default=60.0, gt=0, le=MONTH)
    cache_entry_bytes: int = Field(default=64 * 1024, ge=1024, le=16 * 1024 * 1024)
    cache_url: str | None = None
    cache_timeout: float = Field(default=0.04, gt=0, le=1)
    near_tolerance: float = Field(default=2.0, ge=0, le=5)
    near_fields: tuple[str, ...] = ("pos", "position", "x", "y", "z")
    near_bands: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(
        default_factory=lambda: {"damage_taken": 200.0}
    )

    usage_dir: str | None = None

    content: str | None = None

    schedule: Scheduling = Field(default_factory=Scheduling)
    budget: Budgeting = Field(default_factory=Budgeting)
    plans: Plans = Field(default_factory=Plans)

    narrator_profile: str = "hosted-large"
    seed: int = 0
    log_dir: str | None = None
    log_flush: Literal["line", "second", "end"] | Annotated[float, Field(ge=0)] = "line"
    log_rotate: int | None = Field(default=None, ge=64 * 1024)

    _numbers = field_validator("*", mode="before")(no_truth)

    @field_validator("base_url", "main_model", "small_model", "rules_module", "guard_module")
    @classmethod
    def _named(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and not value.strip():
            raise ValueError(f"it is empty: leave {info.field_name} out for the default")
        return value

    @field_validator("spend", mode="before")
    @classmethod
    def _bounded(cls, value: Any) -> Any:
        return "none" if value is None else value

    @model_validator(mode="before")
    @classmethod
    def _sizes_of_the_section(cls, values: Any) -> Any:
        """The sizes of the layers are the store's; the document has them in the section."""
        section = values.get("schedule") if isinstance(values, dict) else None
        if not isinstance(section, dict):
            return values
        sizes = [name for name in LAYER_SIZES if name in section]
        if twice := [name for name in sizes if name in values]:
            raise ValueError(f"{twice[0]} stands in the section schedule and outside it: say once")
        rest = {name: value for name, value in section.items() if name not in sizes}
        return {**values, "schedule": rest} | {name: section[name] for name in sizes}

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.quiet > self.max_wait:
            raise ValueError(f"quiet is {self.quiet:g}, more than max_wait, {self.max_wait:g}")
        if self.length is not None and self.length * LEAST_PER_SENTENCE > self.max_tokens:
            room = self.length * LEAST_PER_SENTENCE
            raise ValueError(
                f"length {self.length} has no room in max_tokens {self.max_tokens}: use {room}"
            )
        if self.variants == "trunk" and self.output == "text":
            raise ValueError('variants = "trunk" is JSON: it cannot be had with output = "text"')
        if self.cache_url is not None and not self.cache_url.startswith(CACHES):
            raise ValueError(f"cache_url is not the URL of a cache: begin it {', '.join(CACHES)}")
        return self

    @property
    def writers(self) -> tuple[str, ...]:
        """The models of which either writes what is prepared, whichever would be asked now."""
        return (self.main_model, self.small_model) if self.main_from else ()

    def changed(self, source: Source) -> Settings:
        """These, with other values for those that are named.

        :raises ConfigError: as :meth:`load`, and where one is another that cannot change while a
            game runs.
        """
        where, values = _said(source)
        found = _checked(where, {**self.model_dump(), **values})
        for name in self.differences(found):
            if name not in LIVE:
                raise ConfigError(f"{where}: {name} cannot change while the game runs")
        return found

    def differences(self, other: Settings) -> dict[str, Any]:
        """The values that another has otherwise, as plain JSON."""
        names = {
            name for name in Settings.model_fields if getattr(self, name) != getattr(other, name)
        }
        return other.model_dump(mode="json", include=names)

    @staticmethod
    def load(source: Source) -> Settings:
        """Settings from a file, a mapping, or nothing (the defaults).

        A file whose name ends in ``.json`` is JSON, any other TOML.

        :raises ConfigError: a file that is missing or cannot be read, a setting that is unknown or
            out of range; the message names it.
        """
        if isinstance(source, Settings):
            return source
        return _checked(*_said(source))


Source = Settings | Mapping[str, Any] | str | PathLike[str] | None
"""What settings are loaded from."""


def _said(source: Source) -> tuple[str, Mapping[str, Any]]:
    """Where settings stand, and what they say, not checked yet."""
    if isinstance(source, Settings):
        return "settings", source.model_dump(exclude_unset=True)
    if source is None or isinstance(source, Mapping):
        return "settings", source or {}
    try:
        path = fspath(source)
    except TypeError:
        kind = type(source).__name__
        raise ConfigError(f"settings are a file or a mapping, not {kind}") from None
    read = orjson.loads if path.endswith(".json") else tomllib.loads
    try:
        found = read(Path(path).read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # what both parsers raise is a ValueError
        raise ConfigError(f"{path}: {error}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: settings are an object of names and values, not {brief(found)}")
    return path, found


def _checked(where: str, values: Mapping[str, Any]) -> Settings:
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        hint = "; see foretell.Settings for the settings there are"
        unknown = first["type"] == "extra_forbidden"
        reason = f"unknown setting{hint}" if unknown else first["msg"]
        reason = reason.removeprefix("Value error, ")
        raise ConfigError(": ".join(filter(None, (where, name, reason)))) from None


def how(path: str) -> dict[str, Any]:
    """What a file of settings says; not where things are, for a replay leaves these alone.

    :raises ConfigError: as :meth:`Settings.load` does.
    """
    return Settings.load(path).model_dump(exclude_unset=True, exclude=set(ELSEWHERE))
