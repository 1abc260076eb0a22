"""How much memory this machine has."""

import os
from functools import cache


@cache
def physical_memory() -> int:
    """Bytes of memory of this machine; where the system does not say, a number without meaning that
    is larger than all."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2**62


def check_memory(need: float, what: str, smaller: str) -> None:
    """Raise ValueError if so many bytes are more than this machine has, before they are taken: many
    systems grant them, and end the program when it writes there."""
    if need > physical_memory():
        raise ValueError(f"{what} needs {need / 2**30:,.1f} GiB of memory, and this machine has "
                         f"{physical_memory() / 2**30:,.1f} GiB: give {smaller}")
