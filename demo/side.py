"""One side of the race: a session at the table, and what it has told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from ..config import Settings
from ..errors import ForetellError, TellingError
from ..game import Game
from ..operators.narrative import Ended, Narrative, Patched, Served
from ..operators.predict import Intensity
from ..session import Action, Session
from ..sinks.telling import Telling
from ..streams.models import Model
from .table import Beat, Rolled
from .watched import Draft, Stage, Watched

__all__ = ["Side", "Tale", "racing"]


@dataclass(slots=True)
class Tale:
    """A beat as one side tells it. ``first`` is the seconds to its first word.

    ``undone``: the table has taken back what it tells. ``note``: what this side did about it.
    """

    title: str
    text: str = ""
    undone: bool = False
    note: str = ""
    first: float | None = None
    served: Served | None = None


class Side:
    """One of the two: a session, and what it has told."""

    def __init__(self, name: str, session: Session[Any], model: Watched) -> None:
        self.name = name
        self.session = session
        self.model = model
        self.tales: list[Tale] = []
        self._action: Action[Any] | None = None
        self._telling: Telling[Any] | None = None
        self._asked = 0.0
        self._before = 0
        session.subscribe(self._on_event)

    def begin(self, title: str, actor: str, state: dict[str, Any]) -> None:
        """The actor's turn begins."""
        self.tales.append(Tale(title))
        self.model.drafts.clear()
        self.session.update({**state, "turn": actor})
        self.session.begin_turn(actor)

    def declare(self, beat: Beat, targets: Sequence[str], odds: dict[str, Any]) -> None:
        """The action is aimed; again, if it had been aimed elsewhere."""
        self._action = self.session.declare(
            beat.actor,
            beat.action,
            target=targets[0] if len(targets) == 1 else targets,
            odds=odds,
            action_id=self._action.id if self._action is not None else None,
        )

    def tell(self, beat: Beat, rolled: Rolled, state: dict[str, Any]) -> None:
        """The dice have landed."""
        self._before = self.session.world.revision
        after = {**state, "turn": beat.actor}
        self._asked = asyncio.get_running_loop().time()
        if self._action is None:
            target = rolled.results[0]["target"]
            self._telling = self.session.outcome(
                beat.actor, beat.action, target=target, results=rolled.results, state=after
            )
        else:
            self._telling = self._action.outcome(results=rolled.results, state=after)
        self._action = None
        self.session.end_turn()

    def take_back(self) -> list[Draft]:
        """The last outcome, and all that was said after it, never was; what was ready for more."""
        drafts = [draft for draft in self.model.drafts if draft.stage is not Stage.CLOSED]
        self.model.drafts.clear()
        self.session.rewind(self._before)
        self.tales[-2].undone = True
        self._action = None
        return drafts

    async def told(self) -> None:
        """Wait until the telling is over.

        :raises ForetellError: if the model failed.
        """
        assert self._telling is not None
        try:
            await self._telling
        except TellingError as error:
            raise ForetellError(f"{self.name}: {error}") from None

    @property
    def figures(self) -> dict[str, Any]:
        """The session's report."""
        return self.session.report()

    def _on_event(self, event: Narrative) -> None:
        tale = self.tales[-1]
        if isinstance(event, Patched) and event.text:
            tale.text += event.text
            if tale.first is None:
                tale.first = asyncio.get_running_loop().time() - self._asked
        if isinstance(event, Ended):
            tale.first, tale.served = event.latency[0], event.served[0]


@asynccontextmanager
async def racing(
    model: Model, settings: Settings, name: str, clock: str = "human"
) -> AsyncGenerator[tuple[Side, Side], None]:
    """Both sides, with one door to one model; the right one is recorded as ``settings`` say.

    :param clock: whose time the recording keeps, ``human`` or ``engine``.
    """
    without = settings.model_copy(update={"intensity": Intensity.OFF, "log_dir": None})
    header = {"source": "foretell demo", "clock": clock}
    async with AsyncExitStack() as stack:
        sides = []
        for label, each in (("without Foretell", without), ("with Foretell", settings)):
            watched = Watched(model)
            game: Game[Any] = Game(each, model=watched)
            stack.push_async_callback(game.aclose, 0.0)
            session = await game.session(name, header=header)
            sides.append(Side(label, session, watched))
        left, right = sides
        yield left, right
