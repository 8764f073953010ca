"""Runs the user's own attacks on made-up measurements first, so that a typo costs only seconds.

Errors that may depend on the values of real measurements are ignored here; they are reported when
the attack is run.
"""

import collections
from collections.abc import Mapping, Sequence

import numpy as np

from fr_inference import errors, rng
from fr_inference.data.faces import Faces
from fr_inference.measuring import distances, features
from fr_inference.measuring.measurements import Measurements
from fr_inference.membership import labelled, trials
from fr_inference.membership.attack import Attack
from fr_inference.membership.labelled import Labelled
from fr_inference.models.target import Target

# Other errors, such as a singular matrix, may be due to the made-up values.
_FAULTS = (AttributeError, ImportError, LookupError, NameError, OSError, TypeError)
_PEOPLE, _IMAGES = 32, 8  # largest numbers of people on a side, and of images per person


def check(
    wanted: Sequence[Attack],
    target: Target,
    faces: Mapping[str, Faces],
    *,
    seed: int,
    blind: Target | None = None,
    references: Mapping[str, Target] | None = None,
) -> None:
    """Calls the user's own attacks once.

    Args:
      wanted: of `attacks.chosen`.
      target: the backbone, which names the layers and the length of the embeddings.
      faces: 'members' and 'nonmembers', whose people and positions are used.
      seed: of the values, and of the halves.
      blind: a blind backbone; an untrained copy of the target when None.
      references: name -> reference networks.

    Raises:
      InputError: with the field 'attacks' for an attack that fails or does not return examples;
        with 'features' for a feature of the wrong shape.
    """
    own = [attack for attack in wanted if attack.own]
    if not own:
        return
    names = (*faces['members'].identities, *faces['nonmembers'].identities)
    member = np.arange(len(names)) < len(faces['members'])
    rows = np.array([*_some(names, np.flatnonzero(member)), *_some(names, np.flatnonzero(~member))])
    people, member = tuple(names[row] for row in rows), member[rows]
    fit = labelled.fit_half(people, member, seed)
    beside = {name: _made_up(one, people, rows, seed) for name, one in (references or {}).items()}
    unseen = _made_up(blind or target, people, rows, seed + 1)
    for attack in own:
        try:
            measured = _made_up(target, people, rows, seed + 2, attack.measured)
            images = Labelled.of(measured, member, beside, unseen)
            # As in a real run: without labels that the attacker does not know.
            seen = images if attack.unit == 'person' else images.relabelled(member & fit)
            found = attack.examples(seen, fit, seed)
        except errors.InputError:
            raise
        except Exception as error:  # any error of the user's code
            if not isinstance(error, _FAULTS):
                continue
            raise errors.InputError(
                'attacks',
                f'{type(error).__name__}: {error}',
                'examples of made-up measurements',
                inside=attack.name,
            ) from error
        if found is not None:
            trials.checked(attack, found, len(images))


def _some(names, rows):
    """Rows of the first people, some images of each."""
    seen: collections.Counter[str] = collections.Counter()
    chosen = []
    for row in rows.tolist():
        name = names[row]
        if (seen[name] or len(seen) < _PEOPLE) and seen[name] < _IMAGES:
            seen[name] += 1
            chosen.append(row)
    return chosen


def _made_up(backbone, people, rows, seed, measured=()):
    """Measurements of the right shapes, with values that a backbone could give."""
    generator = rng.numpy_generator(seed, 'rehearsal')
    layers = distances.layer_names(backbone)
    widths, _ = features.described(measured, backbone)

    def normal(width):
        return generator.standard_normal((len(rows), width), np.float32)

    return Measurements(
        layers=layers,
        distances=np.exp(normal(len(layers))),
        embeddings=normal(distances.embedding_size(backbone)),
        identities=people,
        index=rows.astype(np.int32),
        extra={one.name: normal(width) for one, width in zip(measured, widths, strict=True)},
    )
