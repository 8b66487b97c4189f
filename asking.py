"""What a model is asked, and whether its answer is what it was asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .config import Settings
from .operators.classify import Scene
from .operators.compose import Composer
from .operators.contents import Contents
from .operators.narration import validate_final
from .operators.prompts import MOST, Account, Prompt, prompted, styled
from .operators.refine import TOKENS, Addition, refinement
from .operators.select import SCHEMA, Offer, selection
from .operators.select import TOKENS as CHOICE_TOKENS
from .operators.summary import CHARS_PER_TOKEN, Summaries, shortened, summary_request
from .operators.tongue import code_of, foreign
from .operators.views import Views
from .operators.wander import way_of
from .sinks.transcript import Transcript
from .streams.footprint import targets_of
from .streams.models import Purpose, Request
from .streams.places import behind
from .streams.world import Declared, World

if TYPE_CHECKING:
    from .game import Game

__all__ = ["Asker", "about"]

EARLIER = "Earlier: "
EACH_FURTHER = 80
"""Tokens a group told together may take for each entry beyond the first."""


class Asker:
    """Makes the request for a text: of the scene, of what was told before, and of the content.

    A text for some of the viewers is asked for with what they may know, and with nothing else.

    :param contents: the content of its scenes, if there is any.
    :param remark: told of a text in another language than it should be.
    """

    def __init__(
        self,
        game: Game[Any],
        transcript: Transcript,
        views: Views,
        contents: Contents | None,
        remark: Callable[[str], None],
        summaries: Summaries,
    ) -> None:
        self._game = game
        self._remark = remark
        self.apply(game.settings)
        self._transcript = transcript
        self._summaries = summaries
        self._views = views
        self._contents = contents

    def apply(self, settings: Settings) -> None:
        """Ask as these say from now on."""
        self._settings = settings
        self._prompts = self._game.prompts_for(settings)
        self._language = code_of(settings.language)

    def request(
        self, scene: Scene, account: Account, purpose: Purpose, place: str | None = None
    ) -> Request:
        """What a model is asked; ``place`` is the telling in whose place a retelling stands."""
        settings = self._settings
        memory = self._memory(account.to, place)
        if place is not None:
            account = replace(account, told=self._transcript.versions(place))
        content: Mapping[str, Any] = {}
        if self._contents is not None:
            content = self._contents.of(
                {each for entry in account.entries for each in about(scene.world, entry.declared)}
            )
            content = self._views.content(scene.world, account, content)
        scene, account = self._views.shown(scene, account)
        declared = account.entries[0].declared
        prompt = prompted(self._prompts, scene, declared, account, memory, content)
        further = len(account.endings) or min(len(account.entries), MOST)
        schema = self._game.tails_schema if account.endings else self._game.schema
        return Request(
            model=settings.main_model,
            messages=tuple(prompt.messages),
            system=prompt.system,
            max_tokens=settings.max_tokens + EACH_FURTHER * (further - 1),
            schema=schema,
            effort=settings.effort,
            thinking=settings.thinking,
            purpose=purpose,
        )

    def selection(self, scene: Scene, offer: Offer) -> Request:
        """What the small model is asked where no variant has the name of what happened.

        Own prompts may have a method ``select``, of a scene and an :class:`Offer`.
        """
        own = getattr(self._prompts, "select", None)
        prompt = selection(scene, offer) if own is None else prompted(own, scene, offer)
        return self._of_small(prompt, CHOICE_TOKENS, SCHEMA)

    def refinement(self, scene: Scene, addition: Addition) -> Request:
        """What the small model is asked for behind a text that is shown.

        Own prompts may have a method ``refine``, of a scene and an :class:`Addition`.
        """
        settings = self._settings
        own = getattr(self._prompts, "refine", None)
        prompt = (
            refinement(scene, addition, styled(settings.style, settings.tone, settings.language))
            if own is None
            else prompted(own, scene, addition)
        )
        return self._of_small(prompt, TOKENS)

    def _of_small(
        self, prompt: Prompt, tokens: int, schema: Mapping[str, Any] | None = None
    ) -> Request:
        settings = self._settings
        return Request(
            model=settings.small_model,
            messages=tuple(prompt.messages),
            system=prompt.system,
            max_tokens=tokens,
            schema=schema,
            effort=settings.effort,
            thinking=settings.thinking,
            purpose=Purpose.REFINE,
        )

    def _memory(self, to: tuple[str, ...], place: str | None) -> str:
        """The summary, which is of what everybody knows, and the end of what those have seen."""
        tokens, most = self._settings.memory_tokens, self._settings.summary_tokens * CHARS_PER_TOKEN
        before = None if place is None else int(place.removeprefix("t"))
        summed = shortened(self._summaries.standing(before).text, most) if most else ""
        told = self._transcript.memory(tokens, to, before=place)
        return "\n".join(filter(None, (summed and f"{EARLIER}{summed}", told)))

    def summary(self, before: str, told: Sequence[str]) -> Request:
        """What a model is asked for the summary of an earlier one, and of what was told since."""
        settings = self._settings
        return summary_request(settings.main_model, settings.summary_tokens, before, told)

    def flawed(self, text: str) -> bool:
        """Whether a finished variant is not what was asked for: told, it would have to fail.

        Or it is in another language: that is remarked, and is no reason to keep a player waiting.
        """
        composer = Composer(self._game.text_field)
        composer.begin({}, last=True)
        composer.feed(text)
        composer.finish()
        unfit = composer.torn or not composer.text.strip()
        if unfit or self.check(composer.value) is not None:
            return True
        return self.foreign(composer.text, "what is prepared")

    def foreign(self, text: str, what: str) -> bool:
        """Whether a text is not in the language of the settings; if so, it is remarked."""
        wrong = foreign(text, self._language)
        if wrong is not None:
            self._remark(f"{what} is not in {self._settings.language}: {wrong}")
        return wrong is not None

    def check(self, value: Any) -> str | None:
        """Why a whole value is no instance of the game's narration; ``None`` if it is one."""
        return validate_final(self._game.narration, value)[1]


def about(world: World, declared: Declared) -> tuple[str, ...]:
    """Whom and what a text about an action is about: a move is of the room it leads to."""
    way = way_of(world, declared.action)
    rooms = () if way is None or way.room is None else (behind(way.room),)
    return declared.actor, *targets_of(declared.action), *rooms
