"""Sizes of content as it is compressed for storage and for the wire."""

import lzma
import zlib


def deflated_bytes(content: bytes) -> int:
    """Return the size after deflate at zlib's level 9, without a container's header."""
    deflate = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return len(deflate.compress(content)) + len(deflate.flush())


def xz_bytes(content: bytes) -> int:
    """Return the size after xz at preset 6, which is how a push sends files.

    >>> xz_bytes(bytes(100_000)) < 200
    True
    """
    return len(lzma.compress(content, preset=6))
