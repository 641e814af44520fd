"""On-the-fly augmentation of levels in dB by speaker, microphone, room and background, a batch at a time.

Each transform is drawn for every clip with probability `SpectrogramAugment.p`; one that is off draws nothing, so that
it changes no other draw.
"""

import numpy as np
import scipy.signal

from stages.core.training.params import SpectrogramAugment

KNOTS = 5
"""Frequencies at which a random filter's gains are drawn; between them it is linear."""


def surrounded(x: np.ndarray, others: np.ndarray, rule: SpectrogramAugment, rng: np.random.Generator) -> np.ndarray:
    """Return clips as other speakers, rooms, microphones and backgrounds would have made them.

    Parameters
    ----------
    x : np.ndarray, shape (n, n_steps, n_bands, ...), float32
        Levels in dB of the density of power.
    others : np.ndarray, same shape
        Clips to be heard in the background.
    rule : SpectrogramAugment
        `warp`, `room`, `filter_db` and `background_db` apply, in this order.
    rng : np.random.Generator

    Returns
    -------
    np.ndarray, same shape, float32

    Examples
    --------
    >>> clips = np.zeros((2, 8, 4), np.float32)
    >>> rule = SpectrogramAugment(p=1.0, filter_db=3.0)
    >>> varied = surrounded(clips, clips, rule, np.random.default_rng(0))
    >>> bool((varied == varied[:, :1]).all()), bool((varied[0] == varied[1]).any())
    (True, False)
    """
    n, shape = len(x), x.shape
    x = x.reshape(*shape[:3], -1)

    def drawn() -> np.ndarray:
        return rng.uniform(size=n) < rule.p

    if rule.warp:
        x = warped(x, np.where(drawn(), np.exp(rng.uniform(-1, 1, n) * rule.warp), 1.0))
    if rule.room:
        steps = rng.uniform(0.1, 1.0, n) * rule.room * shape[1]
        x = reverberated(x, steps, np.where(drawn(), rng.uniform(0.0, 1.0, n), 0.0))
    if rule.filter_db:
        gains = rng.normal(size=(n, KNOTS)) * rule.filter_db * drawn()[:, np.newaxis]
        x = filtered(x, gains)
    if rule.background_db is not None:
        snr = np.where(drawn(), rng.uniform(*rule.background_db, n), np.inf)
        x = with_background(x, others.reshape(x.shape), snr)
    return np.asarray(x, np.float32).reshape(shape)


def warped(x: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Stretch clips along frequency as a vocal tract of another length does, linearly interpolated; edges repeat.

    Parameters
    ----------
    x : np.ndarray, shape (n, n_steps, n_bands, n_channels)
    factors : np.ndarray, shape (n,)
        Band b of the result is band b * factor of the clip.

    References
    ----------
    Jaitly, Hinton, "Vocal Tract Length Perturbation (VTLP) improves speech recognition", ICML workshop on deep learning
    for audio, speech and language processing, 2013; here on the mel scale.
    """
    top = x.shape[2] - 1
    at = np.clip(np.arange(x.shape[2]) * factors[:, np.newaxis], 0, top)
    below = at.astype(int)
    part = (at - below)[:, np.newaxis, :, np.newaxis].astype(np.float32)

    def taken(bands: np.ndarray) -> np.ndarray:
        return np.take_along_axis(x, bands[:, np.newaxis, :, np.newaxis], axis=2)

    return taken(below) * (1 - part) + taken(np.minimum(below + 1, top)) * part


def reverberated(x: np.ndarray, steps: np.ndarray, wet: np.ndarray) -> np.ndarray:
    """Add what a room sends back: power that decays exponentially after each step.

    Parameters
    ----------
    x : np.ndarray, shape (n, n_steps, n_bands, n_channels)
    steps : np.ndarray, shape (n,)
        Reverberation time (until 60 dB below), in steps.
    wet : np.ndarray, shape (n,)
        Power of the reverberation of a steady sound, relative to that sound; 0 leaves a clip as it is.
    """
    power = 10.0 ** (x / 10)
    for i in np.flatnonzero(wet):
        decay = 10 ** (-6 / max(steps[i], 1.0))
        power[i] += scipy.signal.lfilter([0.0, wet[i] * (1 - decay)], [1.0, -decay], power[i], axis=0)
    return np.where((wet > 0)[:, np.newaxis, np.newaxis, np.newaxis], 10 * np.log10(power), x)


def filtered(x: np.ndarray, gains_db: np.ndarray) -> np.ndarray:
    """Add the frequency response of a microphone.

    Parameters
    ----------
    x : np.ndarray, shape (n, n_steps, n_bands, n_channels)
    gains_db : np.ndarray, shape (n, n_knots)
        At equally spaced bands, the first and the last among them.
    """
    at = np.linspace(0, gains_db.shape[1] - 1, x.shape[2])
    below = np.minimum(at.astype(int), gains_db.shape[1] - 2)
    part = at - below
    response = gains_db[:, below] * (1 - part) + gains_db[:, below + 1] * part
    return np.asarray(x + response[:, np.newaxis, :, np.newaxis].astype(np.float32))


def with_background(x: np.ndarray, others: np.ndarray, snr_db: np.ndarray) -> np.ndarray:
    """Add other clips in power, at a signal-to-noise ratio of the clips' mean powers.

    Parameters
    ----------
    x, others : np.ndarray, shape (n, n_steps, n_bands, n_channels)
    snr_db : np.ndarray, shape (n,)
        Infinity leaves a clip as it is.
    """
    power, theirs = 10.0 ** (x / 10), 10.0 ** (others / 10)
    axes = (1, 2, 3)
    gains = power.mean(axes) / theirs.mean(axes) * 10.0 ** (-snr_db / 10)
    mixed = 10 * np.log10(power + theirs * gains[:, np.newaxis, np.newaxis, np.newaxis])
    return np.where(np.isinf(snr_db)[:, np.newaxis, np.newaxis, np.newaxis], x, mixed)
