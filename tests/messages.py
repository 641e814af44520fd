"""Messages to a person, judged by the facts that they hold and not by their wording."""

import re


def line_with(text: str, *facts: str) -> bool:
    """Return whether one line of a text holds each of the facts, in this order.

    Examples
    --------
    >>> line_with("error: train.mixup must be 0 or more; got -1.", "train.mixup", "got -1")
    True
    >>> line_with("train.mixup\\ngot -1", "train.mixup", "got -1")
    False
    """
    return re.search(".*".join(map(re.escape, facts)), text) is not None
