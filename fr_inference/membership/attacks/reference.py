"""Changes from a reference network, from which training may have started.

An attacker who only receives embeddings compares them with those of a public network: the change of
direction and of length. An attacker with the file compares the distances of the BatchNorm layers.
The ratios calibrate one signal: the reference tells how unusual a picture is by itself.
"""

import numpy as np

from fr_inference.membership import attack, calibration
from fr_inference.membership.attacks.norm import log_norms
from fr_inference.membership.labelled import Labelled


def _of_answers(images, fit, seed):
    columns = []
    for one in images.references.values():
        longer = log_norms(images.embeddings)[:, 1] - log_norms(one.embeddings)[:, 1]
        columns += [_cosines(images.embeddings, one.embeddings), longer]
    return attack.of_images(images, fit, np.stack(columns, 1)) if columns else None


def _cosines(first, second):
    """[N]; all 0 if the embeddings of the two have different dimensions and cannot be compared."""
    if first.shape != second.shape:
        return np.zeros(len(first))
    first, second = (one.astype(np.float64) for one in (first, second))
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return (first * second).sum(1) / np.maximum(lengths, 1e-12)


def _of_distances(images, fit, seed):
    """The distances, and their differences from the reference's, layer by layer."""
    alike = [one for one in images.references.values() if one.layers == images.layers]
    if not alike or not images.layers:
        return None
    own = images.log_distances
    less = [own - Labelled.of(one, images.member).log_distances for one in alike]
    return attack.of_images(images, fit, np.concatenate([*less, own], axis=1))


def _ratios(images, signals, fit):
    """RMIA's and BASE's scores, of signals [1 + R, N] that strangers of the fit half standardise."""
    if len(signals) < 2:
        return None
    strangers = signals[:, fit & ~images.member]
    spread = np.maximum(strangers.std(1, keepdims=True), 1e-6)
    signals = (signals - strangers.mean(1, keepdims=True)) / spread
    probable = 1 / (1 + np.exp(-signals))
    population = probable[:, fit & ~images.member]
    scores = [
        calibration.rmia(probable[0], probable[1:], population[0], population[1:]),
        calibration.base(signals[0], signals[1:]),
    ]
    return attack.of_images(images, fit, np.stack(scores, 1))


def _ratios_of_answers(images, fit, seed):
    networks = (images, *images.references.values())
    return _ratios(images, np.stack([log_norms(one.embeddings)[:, 1] for one in networks]), fit)


def _ratios_of_distances(images, fit, seed):
    if not images.layers:
        return None
    networks = (images, *(one for one in images.references.values() if one.layers))
    logs = [Labelled.of(one, images.member).log_distances.mean(1) for one in networks]
    return _ratios(images, -np.stack(logs).astype(np.float64), fit)


_CALIBRATION = 'after Watson et al., ICLR 2022, arXiv 2111.08440'
_RATIOS = (
    'after Zarifzadeh et al., RMIA, ICML 2024, arXiv 2312.03262, and Lassila et al., BASE, NeurIPS '
    '2025, arXiv 2505.24089'
)

ATTACKS = (
    attack.Attack(
        name='reference',
        title='Embeddings against a reference',
        source=_CALIBRATION,
        access='answers',
        references=True,
        unit='image',
        needs='a reference network',
        examples=_of_answers,
        settings=('partial', 'auxiliary'),
    ),
    attack.Attack(
        name='reference-distances',
        title='Distances against a reference',
        source=_CALIBRATION,
        access='file',
        references=True,
        unit='image',
        needs='a reference network with the same BatchNorm layers',
        examples=_of_distances,
        layers=True,
        settings=('partial', 'auxiliary'),
    ),
    attack.Attack(
        name='reference-ratio',
        title='Length against a reference',
        source=_RATIOS,
        access='answers',
        references=True,
        unit='image',
        needs='a reference network',
        examples=_ratios_of_answers,
        settings=('partial', 'strangers'),
        signs=(1.0,),
    ),
    attack.Attack(
        name='reference-ratio-distances',
        title='Mean distance against a reference',
        source=_RATIOS,
        access='file',
        references=True,
        unit='image',
        needs='a reference network, and BatchNorm layers that keep statistics in both',
        examples=_ratios_of_distances,
        layers=True,
        settings=('partial',),  # members may be closer or farther, layer by layer
    ),
)
