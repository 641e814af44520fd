"""Micro-ACDNet: ACDNet as its authors' pruning left it, 131,474 trainable parameters for 50 classes and 30,225 samples.

References
----------
Mohaimenuzzaman et al., "Environmental Sound Classification on the Edge", Pattern Recognition 133 (2023), section 4.
"""

from dataclasses import dataclass
from typing import ClassVar

from stages.train.architectures import _acdnet

build = _acdnet.build


@dataclass(frozen=True)
class Config(_acdnet.Config):
    """Those of `_acdnet.Config`; the defaults are the published ones."""

    NAME: ClassVar[str] = "micro_acdnet"

    channels: tuple[int, ...] = (7, 20, 10, 14, 22, 31, 35, 41, 51, 67, 69, 48)
