"""Parameters of training: optimizer, learning rate, and on-the-fly augmentation."""

import itertools
from dataclasses import dataclass
from typing import ClassVar, Literal

from stages.core.project.errors import require


@dataclass(frozen=True)
class BetweenClass:
    """Between-class learning: train on blends of two clips of different classes.

    Both clips are stretched along time and cropped (or padded, if they became too short). They are blended so that the
    A-weighted loudness of each is in proportion to its share of the target. The loss is the cross-entropy; its
    gradients equal those of the published Kullback-Leibler divergence, which differs by the targets' entropy, a
    constant.

    Attributes
    ----------
    stretch : float
        Largest factor of the time stretch, drawn log-uniformly from [1 / stretch, stretch]; 1 is off.
    gain_db : float
        Largest gain of the blend, drawn uniformly from [-gain_db, gain_db] (dB).
    window_s : float
        Length of a frame for measuring loudness (seconds), rounded to a power of two of samples; the loudest frame
        counts. Waveforms only.

    References
    ----------
    Tokozume, Ushiku, Harada, "Learning from Between-class Examples for Deep Sound Recognition", ICLR 2018, section 3.2.
    The stretch and the gain are those of the code published with it and of ACDNet's.
    """

    stretch: float = 1.25
    gain_db: float = 6.0
    window_s: float = 0.1

    def __post_init__(self) -> None:
        """Check the ranges."""
        owner = "between_class"
        require(1 <= self.stretch <= 4, f"{owner}.stretch", "be in [1, 4]", self.stretch, "1 leaves the time as it is.")
        require(0 <= self.gain_db <= 40, f"{owner}.gain_db", "be in [0, 40] dB", self.gain_db)
        require(0 < self.window_s <= 10, f"{owner}.window_s", "be above 0 and at most 10 s", self.window_s)


@dataclass(frozen=True)
class SpectrogramAugment:
    """On-the-fly augmentation of features that are levels in dB, each transform with probability p.

    Attributes
    ----------
    p : float
        Probability of each transform, in [0, 1].
    stretch : float
        Largest factor of the time stretch, drawn log-uniformly from [1 / stretch, stretch]; 1 is off.
    bands : float
        Largest shift along frequency in bands, either way; on a mel scale nearly a change of pitch. 0 is off.
    gain_db : float
        Largest gain, drawn uniformly from [-gain_db, gain_db] (dB).
    noise_db : tuple[float, float] or None
        Lowest and highest distance of white noise below the clip's peak (dB); None is off.
    warp : float
        Largest change of the vocal tract's length (or the instrument's size), as a fraction: bands are spread by a
        factor drawn log-uniformly from [exp(-warp), exp(warp)]. 0 is off.
    room : float
        Longest reverberation time, as a fraction of the clip's length; 0 is off.
    filter_db : float
        Standard deviation of the gains of a random smooth filter, as microphones differ (dB); 0 is off.
    background_db : tuple[float, float] or None
        Lowest and highest signal-to-noise ratio at which another clip of the training split is heard (dB); None is off.
    background : str or None
        Label of the clips that are heard so, such as that of a class of background sounds; None: any clip.
    """

    p: float = 0.7
    stretch: float = 1.25
    bands: float = 4.0
    gain_db: float = 6.0
    noise_db: tuple[float, float] | None = (20.0, 60.0)
    warp: float = 0.0
    room: float = 0.0
    filter_db: float = 0.0
    background_db: tuple[float, float] | None = None
    background: str | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        owner = "vary"
        require(0 <= self.p <= 1, f"{owner}.p", "be in [0, 1]", self.p)
        require(1 <= self.stretch <= 4, f"{owner}.stretch", "be in [1, 4]", self.stretch, "1 leaves the time as it is.")
        require(0 <= self.bands <= 64, f"{owner}.bands", "be in [0, 64]", self.bands, "0 leaves the pitch as it is.")
        require(0 <= self.gain_db <= 40, f"{owner}.gain_db", "be in [0, 40] dB", self.gain_db)
        noise = self.noise_db
        rises = noise is None or (len(noise) == 2 and 0 <= noise[0] <= noise[1])
        require(rises, f"{owner}.noise_db", "be the least and the most dB below the peak", noise, "Write [20, 60].")
        require(0 <= self.warp <= 1, f"{owner}.warp", "be in [0, 1]", self.warp, "0.15 spans most adults.")
        require(0 <= self.room <= 4, f"{owner}.room", "be in [0, 4] clip lengths", self.room, "0 is off.")
        require(0 <= self.filter_db <= 20, f"{owner}.filter_db", "be in [0, 20] dB", self.filter_db, "0 is off.")
        snr = self.background_db
        rises = snr is None or (len(snr) == 2 and -20 <= snr[0] <= snr[1])
        require(rises, f"{owner}.background_db", "be the least and the most dB, from -20 on", snr, "Write [5, 40].")
        rule = "be left out where background_db is, as nothing is heard in the background"
        require(self.background is None or snr is not None, f"{owner}.background", rule, self.background)

    @property
    def has_surroundings(self) -> bool:
        """Whether speaker, room, microphone or background vary (`stages.core.training.surroundings`)."""
        return bool(self.warp or self.room or self.filter_db or self.background_db)


@dataclass(frozen=True)
class FitParams:
    """Parameters that training and fine-tuning share.

    Attributes
    ----------
    optimizer : {"adam", "adamax", "adamw", "rmsprop", "sgd"}
        Optimizer, with the defaults of Keras; ``"sgd"`` has Nesterov momentum 0.9.
    learning_rate : float
        Initial learning rate; for ``"linear"``, the peak rate.
    decay : {"none", "cosine", "linear", "steps"}
        Schedule of the learning rate: to 0 at the last step of the last epoch, or to a tenth at each of `milestones`.
    milestones : tuple[float, ...]
        Increasing fractions of all steps, in (0, 1); ``"steps"`` only.
    warmup_epochs : int
        Warm-up in epochs: at a tenth of the learning rate for ``"steps"``, linear from 0 for ``"linear"``.
    weight_decay : float or None
        Decoupled weight decay: each step subtracts the learning rate times this fraction of each weight (Loshchilov,
        Hutter, "Decoupled Weight Decay Regularization", ICLR 2019). None is Keras' default: 0.004 for ``"adamw"``,
        else 0.
    batch_size : int
        Clips per step; an epoch's last batch may be smaller.
    epochs : int
        Number of epochs.
    class_weights : bool
        Weight targets inversely to the frequency of their class in the training split; in a multi-label task, weight
        presence and absence of each class inversely to their frequencies. Blended clips have a weight for each part.
    mixup : float
        Parameter of Beta(mixup, mixup), the distribution of the weights with which pairs of clips and their targets
        are blended; 0 is off (Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, section 2).
    label_smoothing : float
        Fraction of each target that is spread evenly over the classes; 0 is off (Szegedy et al., "Rethinking the
        Inception Architecture for Computer Vision", CVPR 2016, section 7).
    time_shift : float
        Largest rotation of a clip's features along time, as a fraction of its length, either way; 0 is off.
    vary : SpectrogramAugment or None
        Augmentation of levels in dB, applied before `time_shift` and `mixup`.
    between_class : BetweenClass or None
        Between-class learning, instead of the three above.
    batch_norm_clips : int
        Size of the sample of training clips over which the statistics of batch normalisation are recomputed before each
        validation and after the last step, augmented as in training (`stages.core.training.batch_norm`). 0 keeps
        Keras' moving averages. Networks without batch normalisation ignore it.
    """

    SECTION: ClassVar[str]

    optimizer: Literal["adam", "adamax", "adamw", "rmsprop", "sgd"] = "adam"
    learning_rate: float = 1e-3
    decay: Literal["none", "cosine", "linear", "steps"] = "none"
    milestones: tuple[float, ...] = (0.3, 0.6, 0.9)
    warmup_epochs: int = 0
    weight_decay: float | None = None
    batch_size: int = 32
    epochs: int = 20
    class_weights: bool = True
    mixup: float = 0.0
    label_smoothing: float = 0.0
    time_shift: float = 0.0
    vary: SpectrogramAugment | None = None
    between_class: BetweenClass | None = None
    batch_norm_clips: int = 512

    def __post_init__(self) -> None:
        """Check the ranges."""
        rate = self.learning_rate
        require(0 < rate <= 1, f"{self.SECTION}.learning_rate", "be above 0 and at most 1", rate, "Try 1.0e-4.")
        for name in ("batch_size", "epochs"):
            require(getattr(self, name) >= 1, f"{self.SECTION}.{name}", "be at least 1", getattr(self, name))
        require(self.mixup >= 0, f"{self.SECTION}.mixup", "be 0 (off) or more", self.mixup, "Try 0.2.")
        smoothing = self.label_smoothing
        valid = 0 <= smoothing < 1
        require(valid, f"{self.SECTION}.label_smoothing", "be a fraction in [0, 1)", smoothing, "Try 0.1.")
        clips, rule = self.batch_norm_clips, "be 0 (moving averages) or at least 32 clips"
        require(clips == 0 or clips >= 32, f"{self.SECTION}.batch_norm_clips", rule, clips, "512 is a good start.")
        milestones, owner = (0.0, *self.milestones, 1.0), f"{self.SECTION}.milestones"
        rising = all(low < high for low, high in itertools.pairwise(milestones))
        require(rising, owner, "be rising fractions in (0, 1)", list(self.milestones))
        warmup, owner = self.warmup_epochs, f"{self.SECTION}.warmup_epochs"
        if self.decay == "linear":
            require(0 <= warmup < self.epochs, owner, f"be 0 or more and fewer than the {self.epochs} epochs", warmup)
        else:
            rule = "be 0 or more and end before the first milestone"
            require(0 <= warmup <= milestones[1] * self.epochs, owner, rule, warmup)
        decay = self.weight_decay
        valid = decay is None or 0 <= decay < 1
        require(valid, f"{self.SECTION}.weight_decay", "be a fraction in [0, 1)", decay, "Try 0.01.")
        alone = self.between_class is None or not (self.mixup or self.time_shift or self.vary)
        rule = "not be combined with mixup, time_shift or vary"
        require(alone, f"{self.SECTION}.between_class", rule, "both", "Leave one out.")
        shift, rule = self.time_shift, "be a fraction in [0, 0.5]"
        require(0 <= shift <= 0.5, f"{self.SECTION}.time_shift", rule, shift, "Write 0.1 for 10 %.")
