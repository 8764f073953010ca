"""The leak of a backbone during training: the cheapest attack of an audit after every few epochs.

The members are people in the training set, about as many as there are people outside it. Epoch 0 is
the backbone before training: a difference between the two there is not due to training.
"""

import functools
import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from fr_inference import errors, files, rng, runs
from fr_inference.cli import bars
from fr_inference.config import Recipe
from fr_inference.data import overlap
from fr_inference.data.faces import Faces, concat
from fr_inference.data.sources import open_faces
from fr_inference.measuring import measurements
from fr_inference.membership import attacks, labelled, trials
from fr_inference.membership.labelled import Labelled
from fr_inference.metrics import intervals, verification
from fr_inference.models.target import Target
from fr_inference.program_config import RecognizerTraining
from fr_inference.report import leak_figure
from fr_inference.training import training_images

FILES = ('leak.json', 'leak.svg')
SCHEMA = 1


class LeakCurve:
    """Rows of leak and verification by epoch, stored in leak.json and drawn in leak.svg."""

    def __init__(
        self,
        members: Faces,
        nonmembers: Faces,
        folder: pathlib.Path,
        *,
        seed: int,
        skip_bad: bool = False,
    ):
        """Selects the people; continues the rows that a stopped training left in the folder.

        Args:
          members: all training images.
          nonmembers: images of people never trained on.
          folder: the folder of the training.
          seed: for the choice of members, the attack's halves, pairs and the bootstrap.
          skip_bad: leave unreadable images out.

        Raises:
          InputError: for too few people on a side, and if leak.json is about other people.
        """
        self.seed, self.skip_bad, self.folder = seed, skip_bad, folder
        people = max(labelled.LEAST_PEOPLE, len(set(nonmembers.identities)))
        members = _some(members, people, seed)
        self.faces = concat([members, nonmembers], 'members and non-members')
        self.members = len(members)
        labelled.fit_half(self.faces.identities, np.arange(len(self.faces)) < self.members, seed)
        self.record: dict[str, Any] = {
            'schema': SCHEMA,
            'members': members.described(),
            'nonmembers': nonmembers.described(),
            'seed': seed,
            'faces': training_images.digest(self.faces),
            'rows': [],
        }
        if (found := runs.by_first(lambda: _read(folder / FILES[0]))) is not None:
            if {**found, 'rows': []} != self.record:
                raise errors.InputError(
                    str(folder / FILES[0]),
                    'measurements of other people, or of another seed',
                    hint='choose another folder, or remove it',
                )
            self.record = found

    def add(self, target: Target, epoch: int) -> None:
        """Measures the backbone after some epochs; prints, stores and draws the result.

        Nothing is measured again if the last row belongs to the same weights.

        Args:
          target: the backbone in its current state.
          epoch: the number of epochs it was trained for.

        Raises:
          Stopped: when a stop was requested.
          InputError: at an unreadable image, unless those are left out.
        """
        rows = [row for row in self.record['rows'] if row['epoch'] <= epoch]
        if rows and (rows[-1]['epoch'], rows[-1]['sha256']) == (epoch, target.sha256):
            return
        row = {'epoch': epoch, 'sha256': target.sha256, **self._measured(target)}
        rows = [one for one in rows if one['epoch'] < epoch]
        self.record = {**self.record, 'rows': [*rows, row]}
        bars.say(sentence(row))
        self._write()

    def _measured(self, target):
        images = measurements.measure(
            target,
            self.faces,
            skip_bad=self.skip_bad,
            label='measuring the leak',
            progress=lambda *call, **metrics: bars.progress(*call, keep=False, **metrics),
        )
        member = images.index < self.members
        attack = attacks.get('bn-distance' if images.layers else 'norm')
        fit = labelled.fit_half(images.identities, member, self.seed)
        trial = trials.run_attack(attack, Labelled.of(images, member), fit, self.seed)
        if trial is None:  # there are enough layers and people
            raise ValueError(f'{attack.name} cannot be run on {target.name}')
        others = measurements.select(images, ~member)
        return {
            'attack': attack.name,
            **intervals.figures(trial.scored, seed=self.seed),
            'verification': verification.of_people(
                others.embeddings, others.identities, seed=self.seed
            ),
        }

    @runs.first_only
    def _write(self):
        text = json.dumps(self.record, indent=1, allow_nan=False) + '\n'
        files.write_text(self.folder / FILES[0], text)
        files.write_text(self.folder / FILES[1], leak_figure.draw(self.record['rows']))


def audits(
    asked: RecognizerTraining,
    how: Recipe,
    members: Faces,
    held_out: Faces | None,
    out: pathlib.Path,
) -> dict[int, Callable[[Target], None]]:
    """Returns the measurement of the leak for each epoch at which it is due; {} if not requested.

    Epochs are 0, every `audit_every` and the last.

    Args:
      asked: the options of the training program.
      how: the recipe.
      members: all training images.
      held_out: people held out of them.
      out: the folder of the training.

    Raises:
      InputError: of 'audit_nonmembers' or 'holdout', for too few people, and for people in the
        training set.
    """
    if not asked.audit_every:
        return {}
    field, others = 'holdout', held_out
    if asked.audit_nonmembers is not None:
        field, others = 'audit_nonmembers', open_faces(asked.audit_nonmembers, reading=asked)
        skip_bad = asked.skip_bad
        digests = (
            overlap.content_digests(members, skip_bad=skip_bad),
            overlap.content_digests(others, skip_bad=skip_bad),
        )
        overlap.check_disjoint(members, others, digests=digests, names=('faces', field))
    if others is None:
        raise errors.InputError('holdout', 'nobody held out', 'people never trained on')
    try:
        curve = LeakCurve(members, others, out, seed=how.seed, skip_bad=asked.skip_bad)
    except errors.InputError as error:
        if error.field not in ('members', 'nonmembers'):
            raise
        wrong = field if error.field == 'nonmembers' else 'faces'
        raise errors.InputError(wrong, error.found, error.expected, error.hint) from error
    epochs = asked.audited_epochs(how.epochs)
    return {epoch: functools.partial(curve.add, epoch=epoch) for epoch in epochs}


def sentence(row: dict[str, Any]) -> str:
    """Returns a row in words.

    >>> row = {'epoch': 3, 'attack': 'norm', 'auc': 0.7, 'auc_ci95': [0.6, 0.8]}
    >>> sentence(row | {'verification': {'accuracy': 0.83, 'accuracy_ci95': [0.8, 0.86]}})
    'epoch 3: AUC of norm 0.700 (0.600 to 0.800), verification 83.0 % (80.0 to 86.0)'
    """
    low, high = row['auc_ci95']
    said = (
        f'epoch {row["epoch"]}: AUC of {row["attack"]} {row["auc"]:.3f} ({low:.3f} to {high:.3f})'
    )
    if (right := row['verification']) is not None:
        low, high = (100 * end for end in right['accuracy_ci95'])
        said += f', verification {100 * right["accuracy"]:.1f} % ({low:.1f} to {high:.1f})'
    return said


def _some(faces, people, seed):
    """The images of that many people, drawn by the seed; of all if there are no more."""
    names = sorted(set(faces.identities))
    order = rng.numpy_generator(seed, 'audited members').permutation(len(names))[:people]
    chosen = {names[position] for position in order}
    return faces.select([row for row, name in enumerate(faces.identities) if name in chosen])


def _read(path):
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except (ValueError, OSError, RecursionError) as error:
        raise errors.InputError(
            str(path), f'a damaged file ({error})', hint='remove it to start over'
        ) from error
