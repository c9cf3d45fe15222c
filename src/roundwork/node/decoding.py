"""Long texts of strangers are decoded beside the node's loop, one at a time: nothing else waits for them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

SHORT_BYTES = 64 * 1024
"""What is not longer is decoded at once: it takes a few milliseconds, whatever it holds."""

_THREAD = ThreadPoolExecutor(1, "decoding")
"""Of this node. A flood of long texts takes one thread, and no place of those that read files and blobs."""


async def run_if_long(size: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`function(*args)`, which decodes `size` bytes: here if they are few, else in the thread for long texts.

    Raises what the function raises.
    """
    if size <= SHORT_BYTES:
        return function(*args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_THREAD, lambda: function(*args, **kwargs))
