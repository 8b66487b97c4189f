from .partial_parser import PartialParser
from .partial_patches import Patch
from .partial_reading import Step

def derive(
    parser: type[PartialParser], patch: type[Patch], states: tuple[Step, ...], /
) -> type[PartialParser]: ...
