"""What each blow did to whom: a state may show it before its outcome, with it, or after it.

Of each actor two accounts are kept until they meet: the damage that outcomes have told of and no
state has shown yet (*owed*), and the changes of health that states have shown and no outcome has
told of yet (*falls*).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .events import Outcome, Result
from .footprint import Path, targets_of
from .health import GONE, VITAL, Vitals, number, vitals_of

if TYPE_CHECKING:
    from .world import Declared, World

__all__ = [
    "HARMFUL",
    "KILL",
    "NOTHING",
    "Account",
    "Blow",
    "Fall",
    "Habits",
    "friends",
    "health_left",
    "laid_low",
    "left_of",
    "seen",
    "sum_of",
    "told",
    "turned",
]

KILL = "kill"
"""The name of a variant in which the target falls, whatever the roll was called."""
HARMFUL = ("hit", "critical", "failure")
HARMLESS = ("miss", "resisted", "concealed")
"""Results that leave the target's health as it was, if no damage is said."""
HEALS = ("healing", "healed", "heal")
HEALED = -math.inf
"""Owed by who was healed, nobody knows how much."""

ACTORS: Path = ("actors",)
MAX_ACTORS = 1024
MAX_FALLS = 16
TOGETHER = 0.05
"""Seconds between a state and the outcome it comes with: a frame or three."""
SOON = 1.0
"""Seconds within which an outcome is of the blow it may be of, if nobody declared it, or if the
game has always told so soon."""
HABIT = 12
"""Outcomes for which a game is expected to do again as it did, however long they take."""
AT_ONCE = 10.0
"""Seconds within which several outcomes may be told of one state, turns and all."""


class Fall(NamedTuple):
    """A change of an actor's health that a state has shown, and no outcome has told of yet.

    ``action`` is the id of the one that was named as the reason, if any was; ``before`` and
    ``after`` are the health, where it is known, and ``lost`` how much went, buffers included.
    ``other`` is true where nothing of this happened, though the action is named as the reason of
    other changes: that may be all it did, or only a part.
    """

    revision: int
    action: str | None
    before: float | None
    after: float | None
    lost: float
    t: float = 0.0
    other: bool = False

    def shows(self, damage: float) -> bool:
        """Whether a blow of so much may be what it shows."""
        same = math.isclose(self.lost, damage, rel_tol=1e-9, abs_tol=1e-6)
        return same or (self.after == 0 and self.lost <= damage)


class Account(NamedTuple):
    """What is open of an actor: damage told, by action; and falls that were shown.

    ``named`` are actions of which something is owed though a state has come that named them.
    """

    owed: tuple[tuple[str, float], ...] = ()
    falls: tuple[Fall, ...] = ()
    named: tuple[str, ...] = ()


class Habits(NamedTuple):
    """When a game last did what it may do always, by the number of outcomes before that.

    ``tells``: a state showed a blow that had been told; ``names``: a state that showed a blow named
    its action as the reason; ``shows``: an outcome came of a blow that a state had shown unnamed,
    at most ``lag`` seconds before it, of late.
    """

    tells: float = -math.inf
    names: float = -math.inf
    shows: float = -math.inf
    lag: float = 0.0
    outcomes: int = 0
    """So many came so far."""

    def does(self, last: float) -> bool:
        """Whether it is to be expected of what was done last then."""
        return self.outcomes - last <= HABIT


Accounts = Mapping[str, Account]
NOTHING = Account()


class Blow(NamedTuple):
    """One result of an outcome, and what it did.

    ``after`` is the target's health then, where it is known. ``sure`` is false where nobody can
    tell what it did; ``down`` is true of one who lay there before.
    """

    result: Result
    after: float | None = None
    sure: bool = True
    down: bool = False


def seen(
    world: World,
    state: Mapping[str, Any],
    paths: Sequence[Path],
    because: str | None,
    t: float,
) -> tuple[Accounts, Habits]:
    """The accounts once a state has come, and what it shows of the game's habits.

    :param paths: where it differs from the world's.
    :param because: the id of the action named as its reason.
    :param t: when it came, in seconds.
    """
    hurt: dict[str, None] = {}
    for path in paths:
        if len(path) < 2:
            if path in ((), ACTORS):
                hurt |= dict.fromkeys(world.actors)
        elif path[0] == "actors" and (len(path) == 2 or path[2] in VITAL):
            hurt[path[1]] = None
    meant: tuple[str, ...] = ()
    if (
        because is not None
        and because in world.actions
        and (not paths or world.footprint.lasting(paths))
    ):
        meant = targets_of(world.actions[because].action)  # if only to say that nothing changed
    if not (hurt or meant):
        return world.accounts, world.habits
    habits = world.habits
    accounts = dict(world.accounts)
    for each in {**hurt, **dict.fromkeys(meant)}:
        was, now = vitals_of(world.state, each), vitals_of(state, each) or GONE
        if was is None:  # of one who is new, nothing has changed
            accounts.pop(each, None)
        elif was != now or each in meant:
            account = accounts.pop(each, NOTHING)
            lost = math.nan if was.pool is None or now.pool is None else was.pool - now.pool
            absorbed = lost > 0 or math.fsum(was.shields) > math.fsum(now.shields)
            other = bool(paths) and was.health == now.health and not absorbed
            revision = world.revision + 1
            fall = Fall(revision, because, was.health, now.health, lost, t, other)
            before, account = account, _seen(account, fall, was)
            settled = len(account.owed) < len(before.owed) and account.falls == before.falls
            if lost > 0 and settled and because is None:
                habits = habits._replace(tells=habits.outcomes)
            elif lost > 0 and each in meant:
                habits = habits._replace(names=habits.outcomes)
            if account != NOTHING:
                accounts[each] = account
    return _bounded(accounts), habits


def _seen(account: Account, fall: Fall, was: Vitals) -> Account:
    owed, because, lost = account.owed, fall.action, fall.lost
    if because is not None:
        own = sum_of(damage for action, damage in owed if action == because)
        if not any(action == because for action, _ in owed):
            if fall.after == 0 and left_of(was, account) == 0:  # what was told had felled it before
                owed, fall = (), fall._replace(before=0, lost=0)
            falls = (*account.falls, fall)[-MAX_FALLS:]
            both = lost > 0 and any(map(fall.shows, _owing(owed)))  # what was told, or its own
            return Account(((because, math.nan),) if both else owed, falls)
        if fall.other:
            return account if fall.after is None else _naming(account, because)
        left = tuple(each for each in owed if each[0] != because)
        return account._replace(owed=left if fall.shows(own) else ())
    for count, damage in enumerate(_owing(owed), 1):
        if fall.shows(damage):
            return account._replace(owed=owed[count:])
    if not owed:
        return account._replace(falls=(*account.falls, fall)[-MAX_FALLS:])
    known = sum_of(damage for _, damage in owed)
    if not known > HEALED or (math.isnan(lost) and fall.after == 0):  # nobody knows whose this is
        return Account((), (*account.falls, fall)[-MAX_FALLS:])
    if lost > known and was.health is not None:  # and another's blow, that is told of later
        fall = fall._replace(before=left_of(was, account), lost=lost - known)
        return Account((), (*account.falls, fall)[-MAX_FALLS:])
    return account._replace(owed=())


def _naming(account: Account, action: str) -> Account:
    return account._replace(named=tuple(dict.fromkeys((*account.named, action))))


def turned(accounts: Accounts) -> Accounts:
    """The accounts at the end of a turn: what a state has named, and none has shown, was not done.

    So it is with who is immune, whatever was rolled. While the turn lasts, a state that names an
    action may show a part of what it did, and another the rest.
    """
    if not any(account.named for account in accounts.values()):
        return accounts
    found = {}
    for each, account in accounts.items():
        owed = tuple(owing for owing in account.owed if owing[0] not in account.named)
        if owed or account.falls:
            found[each] = Account(owed, account.falls)
    return found


def _owing(owed: Sequence[tuple[str, float]]) -> list[float]:
    """The damage of the first that is owed, of the first two, and so on."""
    return [sum_of(damage for _, damage in owed[: count + 1]) for count in range(len(owed))]


def told(
    world: World, event: Outcome, done: Declared, name: str
) -> tuple[tuple[Blow, ...], Accounts, Habits]:
    """What an outcome of the action of this id did, and the accounts and habits after it."""
    results = event.results or (Result("unknown"),)
    if len(results) == 1 and results[0].target is None:
        only, targets = results[0], targets_of(done.action)
        results = tuple(Result(only.result, each, only.values) for each in targets) or results
    accounts, habits = dict(world.accounts), world.habits
    found: dict[int, Blow] = {}
    for target in dict.fromkeys(each.target for each in results):
        places = [place for place, each in enumerate(results) if each.target == target]
        if target is None:
            found |= {place: Blow(results[place]) for place in places}
            continue
        reckoning = _Reckoning(world, done, name, target, accounts.pop(target, NOTHING))
        found |= zip(places, reckoning.of([results[place] for place in places]), strict=True)
        if reckoning.account != NOTHING:
            accounts[target] = reckoning.account
        if (lag := reckoning.lag) is not None:
            before = habits.lag if habits.does(habits.shows) else 0.0
            habits = habits._replace(shows=habits.outcomes, lag=max(lag, before))
    habits = habits._replace(outcomes=habits.outcomes + 1)
    return tuple(found[place] for place in range(len(results))), _bounded(accounts), habits


class _Reckoning:
    """What the results of one outcome did to one target, one after the other."""

    def __init__(
        self, world: World, done: Declared, name: str, target: str, account: Account
    ) -> None:
        now = vitals_of(world.state, target)
        if now is None and vitals_of(done.state, target) is not None:
            now = GONE  # so games do with the slain
        self.account = account
        self.lag: float | None = None
        self._now = now
        self._name = name
        self._t = world.t
        self._patience = math.inf if done.event is not None else SOON
        habits = world.habits
        if habits.does(habits.shows):
            self._patience = min(self._patience, max(SOON, 2 * habits.lag))
        if habits.does(habits.tells):
            self._patience = TOGETHER
        self._names = done.event is not None and habits.does(habits.names)
        self._helps = _helps(world, done, target)
        self._before_it = done.event is None or vitals_of(done.state, target) is not None
        since = [fall for fall in account.falls if fall.revision > done.since]
        self._since = since
        self._own = [fall for fall in since if fall.action == name and not fall.other]
        self._partly = any(  # with the outcome came a state that may show it, or a part of it
            fall.action == name and fall.other and fall.revision == world.revision - 1
            for fall in since
            if world.t - fall.t <= TOGETHER
        )
        self._just_now = [
            fall
            for fall in account.falls
            if (fall.action == name and not fall.other)
            or (
                fall.action is None
                and fall.revision <= done.since
                and world.t - fall.t <= AT_ONCE
                and done.event is None
            )
        ]
        self._risen = any(damage == HEALED for _, damage in account.owed)  # perhaps
        self._felled = [fall for fall in account.falls if fall.after == 0 and fall.before != 0]
        """What felled it, of which nobody has told yet."""
        open_ones = world.actions.keys() - {name}
        self._rivals = 1 + sum(  # ints
            not each.resolved and key != name and target in targets_of(each.action)
            for key, each in world.actions.items()
        )
        self._free = [
            fall for fall in since if fall.action != name and fall.action not in open_ones
        ]
        if done.event is None:  # blows of a frame, or of one before it
            earlier = [each for each in self._just_now if each.action is None and each.lost > 0]
            self._free = earlier + self._free

    def of(self, results: Sequence[Result]) -> list[Blow]:
        """What each did."""
        damages = [max(0, number(each.values.get("damage")) or 0) for each in results]
        total = sum_of(damages)
        fitting = [fall for fall in self._free if total and fall.shows(total)]
        alien = bool(fitting) and self._alien(fitting[0])
        if (alien or len(fitting) > self._rivals) and not self._own:  # poison, or somebody else
            self._settle(fitting[:1])
            return [self._unclear(each) for each in results]
        claimed = self._claimed(total)
        if claimed is not None:
            if total and claimed[0].action is None:
                self.lag = self._t - claimed[0].t
            return self._as_shown(results, damages, claimed)
        unknown = self._partly or (self._now is not None and not self._before_it)
        larger = [fall for fall in self._free if fall.lost > total > 0]
        if larger and not unknown:
            self._share(larger[0], total)
            return [self._unclear(each) for each in results]
        if total and (self._free or unknown):  # its own and partly taken up, or another's
            self._settle(self._free)
            self._owe(math.nan)
            return [self._unclear(each) for each in results]
        return [self._as_told(each, damage) for each, damage in zip(results, damages, strict=True)]

    def _claimed(self, total: float) -> list[Fall] | None:
        """The falls that are this outcome's; ``None`` if no state has shown it yet."""
        own, free = self._own, self._free
        if own:
            follows = bool(free) and free[-1].after == own[0].before == own[-1].after
            if follows and (not total or free[-1].lost <= total) and not self._alien(free[-1]):
                return [free[-1], *own]  # it was shown, then named
            return own
        if total:
            for place, fall in enumerate(free):
                if fall.shows(total) and not any(later.lost < 0 for later in free[place:]):
                    return [fall]
                if fall.lost > total:  # this may be a part of it
                    break
            if free:
                whole = free[0]._replace(
                    after=free[-1].after, lost=sum_of(fall.lost for fall in free)
                )
                if whole.shows(total):
                    return free
            for fall in self._just_now:
                if not free and fall.shows(total):
                    return [fall]
        return None

    def _as_shown(
        self, results: Sequence[Result], damages: Sequence[float], claimed: list[Fall]
    ) -> list[Blow]:
        before, after = claimed[0].before, claimed[-1].after
        whole = claimed[-1]._replace(lost=sum_of(fall.lost for fall in claimed))
        fits = whole.shows(sum_of(damages))
        exact = fits and before is not None
        if before is not None and after is not None:  # what took a part of it up is not told apart
            exact = fits and math.isclose(before - after, whole.lost)
        self._settle(claimed)
        if self._own and self.account.owed and not fits:  # it shows what was told of another, too
            self._owe(math.nan)
        found: list[Blow] = []
        for place, (result, damage) in enumerate(zip(results, damages, strict=True)):
            down = before is not None and before <= 0
            last = place == len(results) - 1
            if last:
                left = after
            else:
                left = max(0, before - damage) if exact and before is not None else None
            now = None if self._now is None else self._now.health
            if self._is_help(result):
                found.append(self._blow(result, left, down=False))
            elif last and left is not None and (left == 0) != (now == 0):  # fell, or rose, since
                found.append(self._blow(result, left, down)._replace(sure=False))
            elif left is None and after == 0 and not last:  # which of them felled it?
                found.append(self._unclear(result))
            else:
                found.append(self._blow(result, left, down))
            before = left
        return found

    def _as_told(self, result: Result, damage: float) -> Blow:
        before = self._reckoned()
        if before is not None and math.isnan(before):
            return self._unclear(result)
        lies = before is not None and before <= 0
        down = lies and not self._felled  # else it may be this that felled it, or not yet
        said = number(result.values.get("target_hp"))
        given = number(result.values.get("damage")) is not None
        if said is not None:
            damage = self._damage_to(max(0, said), damage)
        elif result.result == KILL:
            damage = self._damage_to(0, damage or math.inf)
        if damage and self._now is not None and not down:
            self._owe(damage)
        nothing = not damage and (given or result.result in HARMLESS) and not self._open()
        healed = not damage and self._is_help(result)
        left = self._reckoned() if damage or (nothing and not healed) else None
        if damage and damage < math.inf and said is None and self._now and any(self._now.shields):
            return Blow(result, None, before is not None and before > damage, down)
        if healed:
            if said is not None:
                self._stands_at(said)
            elif self._now is not None and any(result.values.get(each) for each in HEALS):
                self._owe(HEALED)  # how much of it there was room for, no state has shown
            return self._blow(result, left, down=False)
        if lies and self._felled:
            return self._unclear(result)
        return self._blow(result, left, down)

    def _damage_to(self, left: float, said: float) -> float:
        """How much was done to one who has so much health left, buffers included."""
        now, account = self._now, self.account
        if now is None or now.pool is None:
            return 0 if left else math.inf
        owing = account._replace(owed=(*account.owed, (self._name, said)))
        if left_of(now, owing) == left:
            return said
        return max(0, now.pool - left - sum_of(damage for _, damage in account.owed))

    def _stands_at(self, left: float) -> None:
        """Whatever is owed, this is the health it comes to."""
        now = self._now
        if now is None or now.health is None or now.pool is None:
            return
        owed = now.pool - left if left < now.health else now.health - left
        if owed < 0 and now.pool > now.health:  # what goes before the health is not healed
            owed = HEALED
        self.account = self.account._replace(owed=((self._name, owed),) if owed else ())

    def _alien(self, fall: Fall) -> bool:
        """Whether it came too early, or is a death that the game would have named."""
        unnamed = self._names and fall.action is None and fall.after == 0
        return unnamed or self._t - fall.t > self._patience

    def _mine(self, fall: Fall) -> bool:
        """Whether it may be this outcome's, as far as who named it tells."""
        return fall.action == self._name or (fall.action is None and not self._alien(fall))

    def _open(self) -> bool:
        """Whether a state shows a blow already that may be another's, and is told of later."""
        others = (fall for fall in self._since if fall.action != self._name)
        return any(others) or bool(self._just_now)

    def _is_help(self, result: Result) -> bool:
        heals = any(result.values.get(each) for each in HEALS)
        return heals or (result.result == "success" and self._helps)

    def _blow(self, result: Result, left: float | None, down: bool) -> Blow:
        said = number(result.values.get("target_hp"))
        if said is not None:
            left = max(0, said)
            lies = self._now is not None and self._now.health == 0 and left > 0
            return Blow(result, left, not (down or lies), down and left <= 0)
        return Blow(result, left, not down, down)

    def _unclear(self, result: Result) -> Blow:
        said = number(result.values.get("target_hp"))
        lies = self._now is not None and self._now.health == 0 and not self._risen
        if said is not None:
            down = lies and not any(map(self._mine, self._felled))
            sure = not down and (said <= 0 or not lies)
            if self._risen:
                self._stands_at(max(0, said))
            return Blow(result, max(0, said), sure, down and said <= 0)
        return Blow(result, None, False, lies and not self._felled)

    def _reckoned(self) -> float | None:
        """The health after all that is owed."""
        return left_of(self._now, self.account)

    def _owe(self, damage: float) -> None:
        account, name = self.account, self._name
        named = tuple(each for each in account.named if each != name)
        account = Account((*account.owed, (name, damage)), account.falls, named)
        self.account = _naming(account, name) if self._partly else account

    def _share(self, fall: Fall, damage: float) -> None:
        """One state may show what several outcomes do: what is left of it is theirs who follow."""
        before = fall.before
        if before is not None:
            buffer = 0 if fall.after is None else max(0, fall.lost - (before - fall.after))
            before = max(0, before - max(0, damage - buffer))
        rest = fall._replace(before=before, lost=fall.lost - damage)
        falls = tuple(rest if each == fall else each for each in self.account.falls)
        self.account = self.account._replace(falls=falls)

    def _settle(self, falls: Sequence[Fall]) -> None:
        left = tuple(fall for fall in self.account.falls if fall not in falls)
        self.account = self.account._replace(falls=left)


def _helps(world: World, done: Declared, target: str) -> bool:
    """Whether it is done for a friend, who has not fallen since it was declared."""
    if done.action.get("type") == "attack" or done.action.get("save"):
        return False
    now, before = vitals_of(world.state, target) or GONE, vitals_of(done.state, target)
    if now.health == 0 and before is not None and before.health != 0:
        return False
    return target == done.actor or friends(world, done.actor, target)


def friends(world: World, one: str, other: str | None) -> bool:
    """Whether the state says that both are of one side."""
    side = world.actor(one).get("side")
    return side is not None and side == world.actor(other).get("side")


def laid_low(world: World, declared: Declared, target: str | None) -> bool:
    """Whether a state shows the target of an action that is open fallen, perhaps by it."""
    if declared.event is None or declared.resolved:
        return False
    mine = (None, declared.event.action_id)
    return any(
        fall.after == 0 != fall.before and fall.action in mine and fall.revision > declared.since
        for fall in world.accounts.get(target or "", NOTHING).falls
    )


def health_left(world: World, actor_id: str | None) -> float | None:
    """An actor's health less what was told of it and no state has shown; NaN if nobody can tell."""
    return left_of(vitals_of(world.state, actor_id), world.accounts.get(actor_id or "", NOTHING))


def left_of(now: Vitals | None, account: Account) -> float | None:
    """The same, of one with such health, and this open."""
    if now is None:
        return None
    if not account.owed:
        return None if now.pool is None else now.health
    owed = sum_of(damage for _, damage in account.owed)
    if now.health is None or now.pool is None:
        return 0 if owed == math.inf else None  # of which an outcome said that it fell
    if not owed > HEALED:
        return math.nan
    if owed < 0:  # healed
        return now.health - owed
    return max(0, now.health - max(0, owed - (now.pool - now.health)))


def sum_of(values: Iterable[float]) -> float:
    """The sum, whole if they all are; NaN if nobody can tell."""
    found = list(values)
    if all(isinstance(each, int) for each in found):
        return sum(found)  # ints
    try:
        return math.fsum(found)
    except ValueError:  # felled and healed
        return math.nan


def _bounded(accounts: dict[str, Account]) -> Accounts:
    while len(accounts) > MAX_ACTORS:
        del accounts[next(iter(accounts))]
    return accounts
