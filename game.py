"""The game: one per process, it owns the door to models and the sessions."""

from __future__ import annotations

import asyncio
import inspect
import os
import time
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from os import PathLike
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo

from .config import ELSEWHERE, Settings
from .errors import ConfigError, StateError
from .named import named
from .operators.classify import DEFAULT_RULES, Rule
from .operators.guarding import Guard
from .operators.narration import Narration, schema_of, schema_of_tails
from .operators.plans.registry import Registry
from .operators.preload import PRELOADS, Preload
from .operators.prompts import DefaultPrompts, Prompts
from .operators.rules import Rules, SrdRules
from .operators.views import ContentView, View
from .session import Session
from .sinks.budget import Budgets
from .sinks.ledger import Price
from .sinks.store_cold import Cold, MemoryCold
from .sinks.store_layers import Limits, Room
from .sinks.store_near import Near
from .sinks.variant_store import Make, VariantStore
from .streams.clock import VirtualLoop
from .streams.content import ContentMapping, ContentSource
from .streams.content_folder import JsonFolder
from .streams.gate import Gate, gate_to
from .streams.lane import Lane
from .streams.log_schema import RECORDING
from .streams.models import Message, Model, ModelUnavailable, Request
from .streams.plain import PlainFallback
from .streams.said import brief
from .streams.traced import TracedModel

__all__ = ["Game", "narrator"]

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    from .prefetch.accesses import Accesses
    from .sinks.plan_metrics import PlanMetrics

    M = TypeVarWithDefault("M", bound=BaseModel, default=Narration)
else:
    M = TypeVar("M", bound=BaseModel)

LONGEST = 20.0
"""Seconds a model may take to show that it is there."""

KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL")


class Game(Generic[M]):
    """The door to models, the settings, and the sessions. An async context manager.

    :param settings: a TOML file, a mapping, :class:`~foretell.Settings`, or nothing.
    :param prompts: your own prompts, in the place of the default ones; a class is instantiated.
    :param narration: your own pydantic model of a telling; default :class:`~foretell.Narration`.
    :param model: your own model, in the place of the one the settings name; the caller closes it.
    :param api_key: the key of the Messages API; default: that of the settings, or the
        environment's.
    :param rules: what makes a state combat, exploration or dialogue, in the place of the default
        ones; see :func:`foretell.operators.classify.classify`.
    :param odds: your own :class:`~foretell.Rules`, for the odds of what may come of an action, in
        the place of :class:`~foretell.SrdRules`; a class is instantiated.
    :param view: what a viewer may know, a function of the state and the viewer: a prompt for those
        whom an outcome names in ``to`` holds what it shows to each of them, and a prompt for all
        what it shows to ``None``. Default: all of the state to everybody. See ``docs/views.md``.
    :param content_view: what a viewer may know of content, a function of its kind, its name or whom
        it is about, its value, and the viewer. Default: all; with a ``view``, nothing.
    :param guard: asked about each text before a viewer has it, as moderation is: ``None`` lets it
        through, a reason does not. A plain function, called in a thread, or an async one. Default:
        the one the settings name, if any. See ``docs/telling.md``.
    :param price_list: dollars per million tokens by model; default: the list that ships.
    :param content: where stat blocks, spell lists, lore and the like come from: a
        :class:`~foretell.ContentSource`, or a mapping by kind and name; default: the folder the
        settings name, if any.
    :param preloads: what of it is loaded ahead, when, in the place of ``foretell.PRELOADS``.
    :param tracer: an OpenTelemetry tracer; each request to a model is a span of its own, within
        which the spans of the SDK and of HTTP stand. See ``docs/metrics.md``.
    :param tools: what plans are made of: a :class:`~foretell.Registry`, a mapping or a JSON file;
        default: those that ship which the settings name. See ``docs/plans.md``.
    :raises ConfigError: from bad settings, a narration model with no text field, or a guest that is
        none.
    """

    def __init__(
        self,
        settings: Settings | Mapping[str, Any] | str | PathLike[str] | None = None,
        *,
        prompts: Prompts | type[Prompts] | None = None,
        narration: type[M] = Narration,  # type: ignore[assignment]
        model: Model | None = None,
        api_key: str | None = None,
        rules: Sequence[Rule] = DEFAULT_RULES,
        odds: Rules | type[Rules] | None = None,
        view: View | None = None,
        content_view: ContentView | None = None,
        guard: Guard | None = None,
        price_list: Mapping[str, Price] | None = None,
        content: ContentSource | Mapping[str, Any] | None = None,
        preloads: Sequence[Preload] = PRELOADS,
        tools: Registry | Mapping[str, Any] | str | PathLike[str] | None = None,
        tracer: Any = None,
    ) -> None:
        self.settings = Settings.load(settings)
        shipped = Registry.core() if self.settings.plans.tools == "core" else Registry.full()
        self.registry = shipped if tools is None else Registry.of(tools)
        self.own_tools = None if self.registry == shipped else self.registry.as_json()
        self.content = _content(content, self.settings.content)
        given: Any = preloads
        if not isinstance(given, Sequence) or not all(isinstance(each, Preload) for each in given):
            raise ConfigError(f"preloads must be a list of Preload, not {brief(given)}")
        self.preloads = preloads
        self.narration = narration
        given = narration
        if not (isinstance(given, type) and issubclass(given, BaseModel)):
            raise ConfigError(f"narration must be a pydantic model, not {brief(given)}")
        own = prompts() if isinstance(prompts, type) else prompts
        for name, guest in (("prompts", own), ("view", view), ("content_view", content_view)):
            call = getattr(guest, "__call__", None)  # noqa: B004  # an object with an async one
            if inspect.iscoroutinefunction(guest) or inspect.iscoroutinefunction(call):
                raise ConfigError(
                    f"{name} {brief(guest)} must be a plain function, not an async one"
                )
            if name != "prompts" and not (guest is None or callable(guest)):
                raise ConfigError(f"{name} must be a function, not {brief(guest)}")
        if own is not None and not callable(own):
            raise ConfigError(
                f"prompts must be a function or a class of them, not {brief(prompts)}"
            )
        self._own_prompts = own
        self.prompts: Prompts = self.prompts_for(self.settings)
        given = rules
        if not isinstance(given, Sequence) or not all(isinstance(each, Rule) for each in given):
            raise ConfigError(f"rules must be a list of Rule, not {brief(given)}")
        self.rules = rules
        if not (model is None or callable(getattr(model, "stream", None))):
            raise ConfigError(f"model must have a method stream, not {brief(model)}")
        if odds is None and self.settings.rules_module is not None:
            odds = named("rules_module", self.settings.rules_module)
        made = odds() if isinstance(odds, type) else odds
        if made is not None and not all(
            callable(getattr(made, each, None)) for each in ("odds", "damage")
        ):
            raise ConfigError(f"odds must have methods odds and damage, not {brief(odds)}")
        self.odds: Rules = made or SrdRules()
        if guard is None and self.settings.guard_module is not None:
            guard = named("guard_module", self.settings.guard_module)
        given = guard
        if not (given is None or callable(given)) or isinstance(given, type):
            raise ConfigError(f"guard must be a function, not {brief(guard)}")
        self.guard = guard
        self.view = view
        self.content_view = content_view
        self.price_list = price_list
        self.schema = schema_of(narration) if self.settings.output == "json" else None
        self.tails_schema = None if self.schema is None else schema_of_tails(narration)
        self.text_field = _text_field(narration, self.schema)
        if api_key is None and self.settings.api_key is not None:
            api_key = self.settings.api_key.get_secret_value()
        self._door = PlainFallback(_open_model(self.settings, api_key)) if model is None else None
        self.model: Model = self._door if model is None else model  # type: ignore[assignment]
        if tracer is not None and not callable(getattr(tracer, "start_span", None)):
            raise ConfigError(f"tracer must be one of OpenTelemetry, not {brief(tracer)}")
        self._asked = self.model
        if tracer is not None:
            self.model = TracedModel(self.model, tracer)
        self._store: VariantStore | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._cold: Cold | None = None
        self._named_in_cache: str | None = None  # in a replay: as the recorded session was
        self._accesses: Accesses | None = None
        self._sessions: dict[str, Session[M]] = {}
        self.budgets = Budgets(self.settings.budget)
        self._gate: Gate | None = None
        self.metrics: PlanMetrics | None = None  # what a monitor reads, once it is wanted
        self._opening: set[str] = set()
        self._closed = False
        self.lane = Lane()

    async def session(
        self, session_id: str, *, header: Mapping[str, Any] | None = None, owner: str = ""
    ) -> Session[M]:
        """Open a session.

        With ``log_dir`` set, its recording is begun, or continued where it ended.

        :param session_id: letters, digits, ``-``, ``_`` and ``.``; at most 128 of them.
        :param header: further fields of the recording's first line.
        :param owner: whose budget it is under, if the settings have one for owners.
        :raises StateError: if a session of this id is open already, or the id is not usable.
        :raises LogError: if its recording cannot be read or written.
        """
        if self._closed:
            raise StateError("the game is closed; make another one")
        if not isinstance(session_id, str):
            raise StateError(
                f"session id {brief(session_id)} is not usable: letters, digits or both"
            )
        if session_id in self._sessions or session_id in self._opening:
            raise StateError(f"session {session_id!r} is already open in this game")
        self._opening.add(session_id)
        try:
            if self._door is not None:
                await self._door.warm()
            if not isinstance(asyncio.get_running_loop(), VirtualLoop):  # which waits for no thread
                await asyncio.to_thread(MemoryCold.warm)
            session: Session[M] = Session(self, session_id, header=header, owner=owner)
            self._sessions[session_id] = session
        finally:
            self._opening.remove(session_id)
        return session

    def apply(self, settings: Settings | Mapping[str, Any] | str | PathLike[str]) -> None:
        """Change settings while sessions run. From any thread; in each it takes effect at once.

        What is being told goes on as it was begun; what was prepared with another model or in
        another voice is prepared anew. What a session has changed for itself stays, unless it is
        changed here.

        :param settings: a file, or a mapping; what it does not name stays as it is.
        :raises ConfigError: from bad settings, and for a change of what only a new game can have;
            nothing is changed then.
        """
        before, after = self.settings, self.settings.changed(settings)
        changed = before.differences(after)
        for session in [*self._sessions.values()]:
            session.settings.changed(changed)  # raises before anything is changed
        self.settings = after
        self.prompts = self.prompts_for(self.settings)
        self.budgets.apply(self.settings.budget)
        for session in [*self._sessions.values()] if changed else ():
            session.apply(changed)

    def prompts_for(self, settings: Settings) -> Prompts:
        """The game's own prompts, or the default ones as the settings want them."""
        return self._own_prompts or DefaultPrompts(
            settings.style, settings.tone, settings.language, settings.length
        )

    def described(self) -> dict[str, Any]:
        """What a recording keeps of it, so that a replay can be the same: no key, no address."""
        from . import __version__

        guests = {
            name: f"{maker.__module__}:{maker.__qualname__}"
            for name, guest in (
                ("prompts", self.prompts),
                ("view", self.view),
                ("content_view", self.content_view),
                ("guard", self.guard),
            )
            if guest is not None and not isinstance(guest, DefaultPrompts)
            for maker in (guest if inspect.isroutine(guest) else type(guest),)
        }
        if self.narration is not Narration:
            guests["narration"] = f"{self.narration.__module__}:{self.narration.__qualname__}"
        if self.rules is not DEFAULT_RULES:
            guests["rules"] = "own"
        if type(self.odds) is not SrdRules:
            guests["odds"] = f"{type(self.odds).__module__}:{type(self.odds).__qualname__}"
        if self.preloads is not PRELOADS and self.content is not None:
            guests["preloads"] = "own"
        return {
            "version": __version__,
            "recording": RECORDING,
            "settings": self.settings.model_dump(
                mode="json",
                exclude_defaults=True,
                exclude=set(ELSEWHERE),
            ),
            **({"guests": guests} if guests else {}),
        }

    async def check(self) -> None:
        """Ask the main model for a word, to see that it can be reached and takes the key.

        :raises ModelError: if not, or not within 20 s; the message says what to do.
        """
        word = Request(self.settings.main_model, (Message("user", "Say: ready."),), max_tokens=64)
        try:
            async with asyncio.timeout(LONGEST), aclosing(self.model.stream(word)) as events:
                async for _ in events:
                    pass
        except TimeoutError:
            at = self.settings.base_url or "the API"
            raise ModelUnavailable(f"{at} gave no answer in {LONGEST:g} s; is it busy?") from None

    def content_changed(self, kind: str | None = None, name: str | None = None) -> None:
        """The content is another: what sessions have of it is loaded anew. From any thread.

        What was prepared with it is prepared again; what is being told stays. Of :attr:`store`
        goes what has the tag ``content:KIND:NAME``.

        :param kind: of this kind only; ``name``: and only what is called so.
        """
        self.content_noticed("" if kind is None else kind if name is None else f"{kind}:{name}")
        for session in [*self._sessions.values()]:
            session.content_changed(kind, name)

    def content_noticed(self, what: str) -> None:
        """Content of a kind, of ``kind:name``, or all of it (an empty text) is another.

        What of :attr:`store` has come from it goes. Sessions whose source says so hear it of that.
        """
        self._invalidate(":".join(filter(None, ("content", what, "" if ":" in what else "*"))))

    def _invalidate(self, pattern: str) -> None:
        """Of the store, at once; from another thread, as soon as its loop comes to it."""
        if self._store is None or self._loop is None or self._closed:
            return
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self._store.invalidate(pattern)
        else:
            self._loop.call_soon_threadsafe(self._store.invalidate, pattern)

    def variant_store(
        self, session_id: str, clock: Callable[[], float] | None = None
    ) -> VariantStore:
        """A store of the sizes and times the settings name.

        :param clock: seconds; with one, the store is swept by hand.
        """
        settings = self.settings
        limits = Limits(
            Room(settings.hot_cache_size, settings.hot_cache_seconds, "lru"),
            Room(settings.warm_cache_size, settings.warm_cache_seconds, "lfu"),
            Room(settings.cold_cache_size, settings.cold_cache_seconds, "ttl"),
            settings.cache_entry_bytes,
        )
        near = Near(settings.near_tolerance, settings.near_fields, widths=settings.near_bands)
        return VariantStore(
            limits,
            clock=clock,
            cold=self.shared_cache() if clock is None else None,
            session=self._named_in_cache or session_id,
            near=near,
            by_hand=clock is not None,
        )

    def gate(self) -> Gate:
        """Where all sessions of the running loop that ask this server let players go first."""
        self._gate = gate_to(self._asked)  # held, for a pause outlasts the sessions
        return self._gate

    def shared_cache(self) -> Cold | None:
        """The cache that the settings name."""
        if self._cold is None and self.settings.cache_url is not None:
            from .sinks.store_server import MOST_BYTES
            from .sinks.store_shared import SharedCold

            self._cold = SharedCold(
                self.settings.cache_url,
                wall=time.time,
                limit=self.settings.cache_timeout,
                most=MOST_BYTES + 2 * self.settings.cache_entry_bytes,
            )
        return self._cold

    @property
    def store(self) -> VariantStore:
        """What all sessions share that is computed for a state: plans, content.

        See :meth:`~foretell.sinks.variant_store.VariantStore.get_or_compute`. With ``cache_url``
        other processes share it too.
        """
        if self._store is None:
            self._store = self.variant_store("game")
            self._loop = asyncio.get_running_loop()
            if self.settings.usage_dir is not None:
                from .prefetch.accesses import Accesses

                clock = asyncio.get_running_loop().time
                folder, near = self.settings.usage_dir, self._store.near
                self._accesses = Accesses(folder, near, clock, time.time)
                self._store.learns = self._accesses.heard
        return self._store

    async def expected(self, scope: str | None = None) -> list[Any]:
        """What is probably asked of :attr:`store` soon, by what was asked of it before.

        The likeliest first, and no more than ``foretell prefetch-config`` of the folder
        ``usage_dir`` allows: what it would warm up. Cancelled, it changes nothing.

        :param scope: the snapshots that ``get_or_compute`` was asked for in this scope, for
            :meth:`warm_up`; none: keys.
        :raises ConfigError: if the settings name no ``usage_dir``, or its configuration cannot be
            used.
        :raises UsageError: if the history cannot be read.
        """
        folder = self.settings.usage_dir
        if folder is None:
            raise ConfigError("nothing is known of what will be asked: set usage_dir to a folder")
        from .prefetch.accesses import expected

        if self._accesses is not None:
            await self._accesses.flush()
        return await expected(folder, time.time(), scope)

    async def warm_up(
        self,
        source: str | PathLike[str] | Iterable[Any] | AsyncIterable[Any],
        make: Make | None = None,
        *,
        scope: str = "",
    ) -> int:
        """Fill :attr:`store` with common scenarios; how many there are now of them.

        :param source: a file of scenarios (JSON Lines; see ``docs/store.md``), which holds the
            variants; or snapshots, the likeliest first, or a session log, whose moments they
            are: then ``make`` computes them.
        :param make: the variants for a snapshot.
        :raises ScenarioError: for a file that is none.
        :raises ConfigError: for snapshots with no ``make``, or what gives no snapshots.
        """
        from .sinks import store_scenarios

        if isinstance(source, str | PathLike):
            from .streams.log import is_log
            from .streams.log_inputs import LogInputs

            if not is_log(source):
                known = [*store_scenarios.scenarios(source)]  # all are good, or none is stored
                return await store_scenarios.fill(self.store, known)
            moments = store_scenarios.moments(LogInputs(source), self.store.near)
            source = [moment for moment, _ in moments]
        if make is None:
            raise ConfigError("warm_up: snapshots say what to prepare, not the words: give make")
        given: Any = source
        if not isinstance(given, Iterable | AsyncIterable):
            raise ConfigError(f"warm_up: a file or snapshots are wanted, not {brief(given)}")
        most = self.settings.warm_cache_size
        return await store_scenarios.compute(self.store, source, make, scope=scope, most=most)

    def forget(self, session_id: str) -> None:
        """A session has closed; its id is free again."""
        self._sessions.pop(session_id, None)

    async def aclose(self, drain: float = 5.0) -> None:
        """Close all sessions together (see :meth:`Session.close`), then the door to models.

        :param drain: seconds for all of them, not for each.
        """
        self._closed = True
        try:
            closing = [session.close(drain) for session in self._sessions.values()]
            for ended in await asyncio.gather(*closing, return_exceptions=True):
                if isinstance(ended, BaseException):
                    raise ended
        finally:
            if self._store is not None:
                await self._store.aclose()
            if self._accesses is not None:
                await self._accesses.aclose()
            if self._cold is not None:
                await self._cold.aclose()
            if self._door is not None:
                await self._door.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _content(given: Any, folder: str | None) -> ContentSource | None:
    if given is None:
        return None if folder is None else JsonFolder(folder)
    if isinstance(given, Mapping):
        return ContentMapping(given)
    if isinstance(given, type) or not inspect.iscoroutinefunction(getattr(given, "find", None)):
        raise ConfigError(
            f"content is a mapping by kind and name, or has a method `async find(ask)`: not "
            f"{brief(given)}"
        )
    return given  # type: ignore[no-any-return]


def _open_model(settings: Settings, api_key: str | None) -> Model:
    if settings.base_url or api_key or any(os.environ.get(name) for name in KEYS):
        from .streams.anthropic_model import AnthropicModel

        return AnthropicModel(base_url=settings.base_url, api_key=api_key)
    return narrator(settings)


def narrator(settings: Settings) -> Model:
    """The built-in narrator, in process, with the profile and seed of the settings."""
    from .streams.narrator.engine import Engine
    from .streams.narrator.model import NarratorModel
    from .streams.narrator.profiles import profile

    try:
        speed = profile(settings.narrator_profile)
    except ValueError as error:
        raise ConfigError(f"settings: narrator_profile: {error}") from None
    return NarratorModel(Engine(speed, settings.seed))


def _text_field(narration: type[BaseModel], schema: Mapping[str, Any] | None) -> str:
    """The JSON name of the field that is the text: the one called so, else the first string."""
    fields = narration.model_fields
    strings = [name for name, field in fields.items() if field.annotation is str]
    name = "text" if "text" in fields else next(iter(strings), None)
    found = None if name is None else _json_name(name, fields[name])
    asked = {} if schema is None else schema.get("properties", {}).get(found, {})
    if found is None or asked.get("type", "string") != "string":
        raise ConfigError(
            f"narration model {narration.__name__} has no text: give it a field of type str"
        )
    return found


def _json_name(name: str, field: FieldInfo) -> str:
    """What a field is called in JSON: by its alias, if it has one."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        alias = next((each for each in alias.choices if isinstance(each, str)), None)
    return alias if isinstance(alias, str) else name
