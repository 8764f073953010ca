"""Whether images fit the input convention of a backbone: colour order, mean and std.

A backbone with the wrong order or range still tells people apart, but gives away less of its
training. The convention in use is compared with every plausible one on the same images, by one of
two figures (`convention_figures`). The thresholds were set on these misfits of 64 images:

| backbone, images | right convention | best wrong one |
|---|---|---|
| MobileFaceNet trained on CASIA, LFW | 0.010 to 0.013 | 0.35 (BGR) |
| MobileFaceNet trained on MS1M, LFW | 0.015 to 0.021 | 0.095 (BGR) |
| the same two, 8 to 32 images | 0.008 to 0.036 | 0.080 (BGR) |
| the four embedded backbones, faces drawn alike | 0.001 to 0.011 | 0.19 (BGR) |
| two of them, faces drawn otherwise | 0.027 to 0.036 | 0.26 (BGR) |
| the real two, LFW with half its saturation | 0.050 to 0.053 | 0.068 (BGR) |
| the real two, LFW with a blue or red cast | 0.085 to 0.115 | 0.034 (BGR, blue cast) |
| the real two, drawn faces; embedded ones, LFW | 0.14 to 0.24 | 0.22 (BGR) |

Separations are used if no layer is near the images. On LFW with the real two and on drawn faces
with three embedded backbones, in 60 draws each of 12 to 128 people, no wrong convention was judged
better than the right one, and one was accepted only if its separation was less than 7 % smaller.
With 64 people BGR was detected in 15 to 100 of 100 draws, depending on the backbone; in most others
the answer is `UNKNOWN`.

With misfits the rare ones of `plausible_inputs` are tried too: on LFW with the real two
(2026-11-27), the right convention was never rejected in 60 draws of 12 to 64 images, and each wrong
one was detected in 6 of 6 draws (BGR of the MS1M network in 5). With separations they are not
tried: a random network was rejected for one of them.
"""

import dataclasses
import logging
from typing import Any

import jax
import numpy as np

from fr_inference import errors, rng
from fr_inference.data.faces import Faces
from fr_inference.measuring import convention_figures, plausible_inputs
from fr_inference.models.target import InputSpec, Target

FITS, OTHER, NONE, UNKNOWN = 'fits', 'other', 'none', 'unknown'
"""The result of a check: the convention in use fits; another fits clearly better; none fits; unknown."""

IMAGES = 64  # images whose statistics are used
PEOPLE = 64  # people of whom two photographs each are compared
LEAST_PEOPLE = 8

# A convention fits up to this misfit. On photographs without a colour cast the right ones are below it.
_MISFIT = 0.1
# Another one fits clearly better if its misfit is smaller by this factor and difference. A blue cast
# makes a wrong order look better by a factor of 2.5; right ones were better by 3.5 or more.
_FACTOR, _DIFFERENCE = 3.0, 0.05
# Tails of the bootstrap; another convention is not better below this log ratio of separations.
_TAIL, _ALIKE = 0.005, 0.1

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit:
    """What the check of a target's input convention says.

    Attributes:
      state: `FITS`, `OTHER`, `NONE` or `UNKNOWN`.
      by: 'misfit' or 'separation', the figure that was used.
      specs: the convention in use, then all others.
      figures: the figure of each convention; empty if none could be computed.
      best: position in `specs` of the best one.
      images: number of images that were used.
      layer: whose statistics, '' for a separation.
      trained: whether that layer holds other statistics than those a network starts with.
      trusted: whether an audit may end in an all-clear: the convention fits, or it is a known one,
        the check is inconclusive, and no other one looks better.
      remark: the result in a sentence.
    """

    state: str
    by: str
    specs: tuple[InputSpec, ...]
    figures: tuple[float, ...] = ()
    best: int = 0
    images: int = 0
    layer: str = ''
    trained: bool = True
    trusted: bool = False
    remark: str = ''

    def to_json(self) -> dict[str, Any]:
        """Returns what `audit.json` holds as `input.check`."""
        record = {
            name: getattr(self, name) for name in ('state', 'by', 'images', 'trusted', 'remark')
        }
        if self.layer:
            record |= {'layer': self.layer, 'trained': self.trained}
        record['conventions'] = [
            {'colour': spec.colour, 'mean': list(spec.mean), 'std': list(spec.std), self.by: figure}
            for spec, figure in zip(self.specs, self.figures, strict=False)
        ]
        return record


def check(
    target: Target,
    faces: Faces,
    *,
    seed: int,
    same: np.ndarray | None = None,
    skip_bad: bool = False,
) -> Fit:
    """Checks the input convention of a target on some images.

    Args:
      target: the backbone.
      faces: images of people it was not trained on.
      seed: of the choice of images.
      same: [P, 2] positions of two photographs of one person, another one in each row; drawn by the
        identities of the faces when None.
      skip_bad: leave unreadable images out.

    Raises:
      BadImageError: at an unreadable image, unless `skip_bad`.
      InputError: for an `apply` that cannot be measured at all.
    """
    specs = plausible_inputs.of(target.input)
    try:
        layer = convention_figures.near_layer(target)
        if layer is not None:
            specs = plausible_inputs.of(target.input, rare=True)
            found = _by_misfit(target, faces, specs, layer, seed, skip_bad)
        else:
            same = _twins(faces, seed) if same is None else same
            found = _by_separation(target, faces, specs, same, seed, skip_bad)
    except jax.errors.UnexpectedTracerError:  # `measurements.measure` says what to do about it
        found = Fit(state=UNKNOWN, by='misfit', specs=specs, remark='its layers are out of sight')
    known = _origins(target)
    # Separations are only relative: even the best of those tried may be wrong.
    sure = found.state == FITS and found.by == 'misfit'
    doubtful = 'assumed' in known or (found.state == UNKNOWN and _looks_better(found))
    trusted = sure or (found.state in (FITS, UNKNOWN) and not doubtful)
    return dataclasses.replace(found, remark=_remark(found, target), trusted=trusted)


def _by_misfit(target, faces, specs, layer, seed, skip_bad):
    drawn = rng.numpy_generator(seed, 'input convention').permutation(len(faces))[:IMAGES]
    index, figures, trained = convention_figures.misfits(
        target, faces, np.sort(drawn), specs, skip_bad=skip_bad
    )
    found = Fit(state=UNKNOWN, by='misfit', specs=specs, layer=layer, images=len(index))
    if not len(index):
        return found
    best = int(np.argmin(figures))
    used, least = float(figures[0]), float(figures[best])
    better = least * _FACTOR <= used and least + _DIFFERENCE <= used and least <= _MISFIT
    state = OTHER if better else FITS if used <= _MISFIT else NONE
    state = state if trained else NONE
    return dataclasses.replace(
        found, state=state, figures=tuple(figures.tolist()), best=best, trained=trained
    )


def _twins(faces, seed):
    """Draws two photographs of each of `PEOPLE` people at most: [P, 2] positions."""
    order = rng.numpy_generator(seed, 'input convention').permutation(len(faces))
    by_person: dict[str, list[int]] = {}
    for position in order.tolist():
        by_person.setdefault(faces.identities[position], []).append(position)
    pairs = [positions[:2] for positions in by_person.values() if len(positions) > 1]
    return np.array(pairs[:PEOPLE], int).reshape(-1, 2)


def _by_separation(target, faces, specs, same, seed, skip_bad):
    found = Fit(state=UNKNOWN, by='separation', specs=specs)
    if len(same) < LEAST_PEOPLE:
        return found
    index, embedded = convention_figures.embeddings(
        target, faces, np.unique(same), specs, skip_bad=skip_bad
    )
    row = {position: number for number, position in enumerate(index.tolist())}
    pairs = [(row[a], row[b]) for a, b in same.tolist() if a in row and b in row]
    if len(pairs) < LEAST_PEOPLE:
        return found
    unit = embedded / np.maximum(np.linalg.norm(embedded, axis=-1, keepdims=True), 1e-12)
    first, second = (np.swapaxes(unit[list(side)], 0, 1) for side in zip(*pairs, strict=True))
    figures, sample = convention_figures.resampled(first @ np.swapaxes(second, 1, 2), seed=seed)
    best = int(np.argmax(figures))
    found = dataclasses.replace(
        found, figures=tuple(figures.tolist()), best=best, images=len(index)
    )
    # A separation that may be 0 or less has no logarithm and cannot be compared.
    if np.quantile(sample[:, best], _TAIL) <= 0:
        return dataclasses.replace(found, state=NONE)
    logs = np.log(np.maximum(sample, 1e-3))
    low, high = np.quantile(logs - logs[:, :1], [_TAIL, 1 - _TAIL], axis=0)
    if low[best] > 0:
        return dataclasses.replace(found, state=OTHER)
    alike = bool((np.delete(high, 0) < _ALIKE).all())
    return dataclasses.replace(found, state=FITS if alike else UNKNOWN)


def _looks_better(found):
    """Whether another convention separates people better, even if that may be chance."""
    figures = np.maximum(found.figures, 1e-3)
    return bool(len(figures)) and bool(np.log(figures[found.best] / figures[0]) > _ALIKE)


_FIELDS = ('colour', 'mean', 'std')


def _origins(target):
    return [target.convention['origins'][name] for name in _FIELDS]


def _remark(fit, target):
    used = target.input.pixels
    if not fit.figures:
        return (
            f'Whether images fit the input that the backbone expects ({used}) could not be '
            'checked: there is no BatchNorm layer with statistics near the images, and fewer than '
            f'{LEAST_PEOPLE} people have two photographs.'
        )
    if not fit.trained:
        return (
            f'The statistics of {fit.layer} are those that every network starts with (mean 0, variance '
            '1): the network was not trained, or was saved without its statistics.'
        )
    counted = f'{fit.images} images'
    by = f'by the statistics of {fit.layer}' if fit.layer else 'by how well it separates people'
    other = (np.argmin if fit.layer else np.argmax)(fit.figures[1:]) + 1
    found = (
        f'{fit.by} {fit.figures[0]:.3g}, {fit.figures[other]:.3g} with the best other convention'
        + (f' ({fit.specs[other].pixels})' if fit.state in (UNKNOWN, NONE) else '')
    )
    known = (
        '; pass colour, mean and std if you know them'
        if 'assumed' in _origins(target)
        else '; if it is right, verify finds a high accuracy on pairs of faces'
    )
    if fit.state == FITS and fit.layer:
        return f'{counted} fit the input that the backbone expects, {by}: {found}.'
    if fit.state == FITS:
        return (
            f'Of {len(fit.specs)} input conventions that were tried, the backbone separates people best '
            f'with the one in use ({used}): {found}. One that was not tried may still be right{known}.'
        )
    if fit.state == OTHER:
        better = fit.specs[fit.best]
        passed = plausible_inputs.passed(better, _differing(target.input, better))
        return (
            f'{counted} do not fit the input convention in use ({used}), {by}: {found}, '
            f'{better.pixels}: pass {passed}.'
        )
    if fit.state == UNKNOWN:
        return (
            f'{counted} leave it open whether they fit the input that the backbone expects '
            f'({used}), {by}: {found}{known}.'
        )
    return (
        f'{counted} fit no known input convention of the backbone, {by}: {found}. Either it '
        'expects another order or range of colours (colour, mean, std), or it was trained on '
        'different images, or it was not trained.'
    )


def _differing(used, better):
    names = ['colour'] * (better.colour != used.colour)
    if not plausible_inputs.alike(used.changed({'colour': better.colour}), better):
        names += ['mean', 'std']
    return names


def demand(target: Target, fit: Fit, *, allow: bool = False, field: str = 'target') -> list[str]:
    """Raises if another convention fits clearly better; otherwise returns warnings.

    Args:
      target: the backbone.
      fit: the result of `check`.
      allow: warn instead of raising; the result is then not trusted.
      field: the argument that gave the backbone; only a target has options for its convention.

    Returns:
      No sentence if the images fit, else one, which is also logged as a warning.

    Raises:
      InputError: of 'colour' or 'mean' for the target, of `field` for any other backbone; it names
        what fits and what to pass.
    """
    if fit.state == FITS and fit.trusted:
        return []
    better, used = fit.specs[fit.best], target.input
    passed = plausible_inputs.passed
    names = _differing(used, better)
    if fit.state == OTHER and not allow:
        mend = 'convert it with convert_weights and'
        if field == 'target':
            field, mend = names[0], 'pass'
        elif target.architecture == 'onnx':  # which is not converted
            mend = 'export it so that it expects'
        raise errors.InputError(
            field,
            f'{used.pixels} ({fit.by} {fit.figures[0]:.3g})',
            f'{better.pixels} ({fit.figures[fit.best]:.3g}), which {fit.images} images fit best of '
            f'{len(fit.specs)} that were tried',
            f'{mend} {passed(better, names)}; or continue with allow_misfit=True, which rules out '
            'an all-clear',
            inside=target.name,
        )
    _LOG.warning('%s: %s', target.name, fit.remark)
    return [fit.remark]
