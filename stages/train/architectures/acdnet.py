"""ACDNet: raw audio to classes in 4,735,378 trainable parameters, for 50 classes and 30,225 samples.

Its published 544,422,040 operations count, besides the multiply-adds that `stages.core.litert.flops` counts
(541,869,356), one for every position of a pooling's window, every ReLU, bias and output of the softmax.

References
----------
Mohaimenuzzaman et al., "Environmental Sound Classification on the Edge", Pattern Recognition 133 (2023), section 3.
"""

from dataclasses import dataclass
from typing import ClassVar

from stages.train.architectures import _acdnet

build = _acdnet.build


@dataclass(frozen=True)
class Config(_acdnet.Config):
    """Those of `_acdnet.Config`; the defaults are the published ones."""

    NAME: ClassVar[str] = "acdnet"

    channels: tuple[int, ...] = (8, 64, 32, 64, 64, 128, 128, 256, 256, 512, 512)
