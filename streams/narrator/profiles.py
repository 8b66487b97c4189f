"""How fast the narrator pretends to be: latency profiles, with the source of their figures."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["PROFILES", "Profile", "profile", "profile_of"]


@dataclass(frozen=True, slots=True)
class Profile:
    """The speed of a model and its server.

    :param source: where the figures come from, and which are assumptions.
    :param ttft: seconds from taking a request up to its first token, besides prefill.
    :param uncached_prefill_tps: prompt tokens read per second; shared by the requests that are
        being read at that moment where ``shared_tokens_per_second`` is finite.
    :param cached_prefill_tps: the same for tokens found in the prompt cache.
    :param tokens_per_second: output tokens per second of one stream, at most.
    :param shared_tokens_per_second: output tokens per second of all open streams together.
    :param slots: requests worked on at once; others wait in line.
    :param requests_per_minute: above it the answer is 429; ``None`` for no limit.
    :param tokens_per_minute: the same for uncached input and output tokens together.
    :param jitter: relative spread of times, drawn from the seed and the prompt: 0.1 is ±10 %.
    :param min_cached_tokens: a shorter prefix is never cached, whatever was asked.
    """

    name: str
    source: str
    uncached_prefill_tps: float
    cached_prefill_tps: float
    ttft: float
    tokens_per_second: float
    shared_tokens_per_second: float = math.inf
    slots: int = 64
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    jitter: float = 0.0
    min_cached_tokens: int = 0

    @property
    def instant(self) -> bool:
        """Whether nothing ever waits."""
        return self.ttft == 0 and math.isinf(self.tokens_per_second)


_HOSTED = (
    "Prefill speed, slots, rate limits, the 1,024 tokens a cached prefix must have and the jitter "
    "of 15 % are assumptions, in the order of what hosted services state for large accounts."
)

PROFILES: dict[str, Profile] = {
    p.name: p
    for p in (
        Profile(
            name="hosted-large",
            source="First token after 1.8 s and 63 tokens/s: published figures for Claude Sonnet "
            f"4.5 (Artificial Analysis). {_HOSTED}",
            uncached_prefill_tps=20_000,
            cached_prefill_tps=200_000,
            ttft=1.8,
            tokens_per_second=63,
            requests_per_minute=4_000,
            tokens_per_minute=2_000_000,
            jitter=0.15,
            min_cached_tokens=1_024,
        ),
        Profile(
            name="hosted-small",
            source="First token after 0.6 s and about 150 tokens/s: a blog's measurements of a "
            f"small hosted model, March 2026. {_HOSTED}",
            uncached_prefill_tps=40_000,
            cached_prefill_tps=400_000,
            ttft=0.6,
            tokens_per_second=150,
            requests_per_minute=4_000,
            tokens_per_minute=4_000_000,
            jitter=0.15,
            min_cached_tokens=1_024,
        ),
        Profile(
            name="local-8b",
            source="First chunk after 0.27 s and about 30 ms a token: an 8B model on a GTX 1660 Ti "
            "(AstraWeave's report). Prefill speed, the 4 slots, the total of 50 tokens/s shared by "
            "parallel streams and the jitter of 10 % are assumptions.",
            uncached_prefill_tps=2_000,
            cached_prefill_tps=100_000,
            ttft=0.27,
            tokens_per_second=33.3,
            shared_tokens_per_second=50,
            slots=4,
            jitter=0.1,
        ),
        Profile(
            name="instant",
            source="No waiting at all: for tests.",
            uncached_prefill_tps=math.inf,
            cached_prefill_tps=math.inf,
            ttft=0.0,
            tokens_per_second=math.inf,
            slots=1_000_000,
        ),
    )
}


SMALL = {"hosted-large": "hosted-small"}
"""The profile of a small model beside a large one, by the large one's."""

SMALL_MODELS = ("claude-haiku-",)
"""How the names of small models begin."""


def profile_of(model: str, usual: Profile) -> Profile:
    """The profile at which a model speaks: the one it names, or ``usual``.

    A small model beside a hosted one speaks at a small hosted one's pace. Any other profile is
    one machine, on which all speak alike.
    """
    name = model.removeprefix("narrator-")
    if name.startswith(SMALL_MODELS):
        name = SMALL.get(usual.name, usual.name)
    return PROFILES.get(name, usual)


def profile(name: str) -> Profile:
    """A profile by its name.

    :raises ValueError: for a name that is none, with those that are.
    """
    try:
        return PROFILES[name]
    except KeyError:
        raise ValueError(f"no profile {name!r}; there are {', '.join(PROFILES)}") from None
