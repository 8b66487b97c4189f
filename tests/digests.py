"""Prints the digests of simulated worlds, for another Python to compare: ``digests.py SEED…``."""

from __future__ import annotations

import sys

from foretell.testing import draw, play

for seed in sys.argv[1:]:
    sys.stdout.write(f"{play(draw(int(seed))).digest}\n")
