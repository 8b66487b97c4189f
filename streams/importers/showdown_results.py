"""Pokémon Showdown: what came of one move, from the lines that follow it."""

from __future__ import annotations

from typing import Any

from .showdown_field import Field, condition
from .showdown_lines import Ident, Line

__all__ = ["Tally"]

PROTECTIONS = (
    "Protect",
    "Detect",
    "Max Guard",
    "King's Shield",
    "Spiky Shield",
    "Baneful Bunker",
    "Burning Bulwark",
    "Silk Trap",
    "Obstruct",
    "Mat Block",
    "Quick Guard",
    "Wide Guard",
    "Crafty Shield",
)


class Tally:
    """The results of a move, one for each target; the user is one only of a move upon itself.

    Damage with a reason of its own (an item, poison, recoil) is not the move's. A move that did
    some of its harm before it missed or failed has hit.
    """

    def __init__(self, field: Field, actor: str, target: str | None, kind: str) -> None:
        self.field = field
        self.actor = actor
        self.aimed = target
        self.usual = "hit" if kind == "attack" else "success"
        self.whole: str | None = None  # the result for every target that has none of its own
        self.found: dict[str, dict[str, Any]] = {}
        if target is not None:
            self.of(target)

    def of(self, target: str) -> dict[str, Any]:
        """What is known of one target so far."""
        return self.found.setdefault(target, {"result": None, "values": {}})

    def results(self) -> list[dict[str, Any]]:
        """One entry for each target, or one for nobody."""
        entries = []
        for target, known in self.found.items():
            values = known["values"]
            partial = known["result"] in ("miss", "immune", "failure") and "damage" in values
            said = known["result"] if not partial else None
            result = said or ("critical" if "criticals" in values else self.whole) or self.usual
            entry = {"target": target, "result": result, "values": values}
            entries.append(entry if values else {"target": target, "result": result})
        return entries or [{"result": self.whole or self.usual}]

    def read(self, line: Line) -> None:
        """Take a line in, before the field does.

        :raises ValueError: if the line is not as the protocol has it.
        """
        match line.kind:
            case "-fail" | "-notarget" if "from" not in line.tags:
                self._fail(line)
            case "-miss":
                self._is(line.ident(1), "miss")
            case "-immune":
                self._is(line.who, "immune")
            case "-prepare":
                self.whole = "charging"
            case "-anim":  # what was prepared is done at once
                self.whole = None
                if (target := line.ident(2)) and line.ident(2) != line.who:
                    self.of(self.field.known(target))
            case "-block":
                self._is(line.who, "blocked")
            case "-crit" | "-hitcount" | "-supereffective" | "-resisted" | "-activate" | "-end":
                self._detail(line)
            case "-damage" | "-heal" | "-sethp" | "-status" if "from" not in line.tags:
                self._effect(line)

    def _is(self, ident: Ident | None, result: str) -> None:
        target = self.field.known(ident) if ident else self.aimed
        if target is None or target == self.actor != self.aimed:
            self.whole = result
        else:
            self.of(target)["result"] = result

    def _fail(self, line: Line) -> None:
        ident = line.ident()
        if ident is None or self.field.known(ident) not in self.found:
            self.whole = "failure"
        else:
            self._is(ident, "failure")

    def _touched(self, line: Line) -> dict[str, Any] | None:
        """The values of whom the line is about, unless that is a user who aimed elsewhere."""
        target = self.field.known(line.who)
        if target == self.actor and target not in self.found:
            return None
        values: dict[str, Any] = self.of(target)["values"]
        return values

    def _detail(self, line: Line) -> None:
        word = line.arg(1).removeprefix("move: ")
        if line.kind == "-activate":
            if word in PROTECTIONS and "from" not in line.tags:
                self._is(line.who, "blocked")
            if word != "Substitute":
                return
        if line.kind == "-end" and word != "Substitute":
            return
        values = self._touched(line)
        if values is None:
            return
        match line.kind:
            case "-crit":
                values["criticals"] = values.get("criticals", 0) + 1
            case "-hitcount" if word.isascii() and word.isdigit() and len(word) < 4:
                values["hits"] = int(word)
            case "-supereffective" | "-resisted":
                values["effect"] = {"-supereffective": "strong", "-resisted": "weak"}[line.kind]
            case "-activate" | "-end":
                values["substitute"] = "hurt" if line.kind == "-activate" else "broken"

    def _effect(self, line: Line) -> None:
        values = self._touched(line)
        if values is None:
            return
        if line.kind == "-status":
            values["status"] = line.arg(1)
            return
        now, _, _ = condition(line.arg(1))
        before = self.field.actor(self.field.known(line.who))["hp"]
        name = "damage" if now < before or line.kind == "-damage" else "healing"
        values[name] = values.get(name, 0) + abs(before - now)
        values["target_hp"] = now
