"""Records a training: the recipe in the target, the training images, and chosen epochs."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from fr_inference import checkpointing, config, errors, runs
from fr_inference.config import Recipe
from fr_inference.data import overlap
from fr_inference.data.faces import Faces
from fr_inference.models import registry
from fr_inference.models.target import Target
from fr_inference.training import margin as margins
from fr_inference.training.private import Plan
from fr_inference.training.recognizer_step import State
from fr_inference.weights import native_targets


def recorded_recipe(record: Mapping[str, Any] | None, *, seed: int) -> Recipe:
    """Returns the recipe that a checkpoint records, under another seed.

    None, or a record without any setting of a recipe, gives the default recipe. Earlier versions
    recorded the margin as its four numbers. A private recipe takes the recorded noise, with draws by
    the seed: a shadow has to resemble the target, and protects nobody.

    Raises:
      InputError: for settings that this version does not have.
    """
    known = config.options_of(Recipe)
    values = {name: value for name, value in (record or {}).items() if name in known}
    try:
        if isinstance(values.get('margin'), Mapping):
            values |= margins.options_of(margins.Margin(**values['margin']))
        if isinstance(privacy := (record or {}).get('privacy'), Mapping):
            noise = privacy.get('noise_multiplier')
            values |= {'epsilon': None, 'noise_multiplier': noise, 'noise_seed': seed}
        return Recipe(**{**values, 'seed': seed})
    except (TypeError, errors.InputError) as error:
        raise errors.InputError(
            'target',
            f'a recorded recipe that is not of this version ({error})',
            hint='train a shadow yourself and give it as shadow',
        ) from error


def training_members(faces: Faces, *, skip_bad: bool = False) -> list[tuple[str, str, str]]:
    """Returns (path, identity, SHA-256 of the content) of images; `skip_bad` omits unreadable ones."""
    if skip_bad:
        faces = overlap.readable(faces, skip_bad=True)
    mended: list[str] = []
    digests = overlap.content_digests(faces, mended=mended)
    overlap.tell('faces', overlap.remarks(faces, digests, mended))
    return list(zip(faces.paths, faces.identities, digests, strict=True))


@dataclasses.dataclass(frozen=True)
class Record:
    """A training run; `trained` and `save_epoch` record its progress.

    Attributes:
      recipe: of the training.
      target: the backbone that it started from.
      faces: the training images.
      per_epoch: steps in an epoch.
      plan: of a private training, else None.
    """

    recipe: Recipe
    target: Target
    faces: Faces
    per_epoch: int
    plan: Plan | None = None

    def trained(self, state: State, epochs: int) -> Target:
        """Returns the target after some epochs, with its variables on the host."""
        variables: dict[str, Any] = {'params': state.params}
        if state.batch_stats:
            variables['batch_stats'] = state.batch_stats
        variables = jax.device_get(variables)
        # A private training records neither, because no noise protects them.
        shown = epochs and self.plan is None
        return registry.make_target(
            self.target.architecture,
            variables,
            config=self.target.config,
            input=self.target.input,
            origins=self.target.origins,
            name=self.target.name,
            sha256=checkpointing.digest(variables),
            recipe={
                **dataclasses.asdict(self.recipe),
                'trained_epochs': epochs,
                'faces': self.faces.name,
                'images': len(self.faces),
                'identities': len(set(self.faces.identities)),
                'start': {'sha256': self.target.sha256, 'recipe': self.target.recipe},
                'loss': float(state.totals[0]) / self.per_epoch if shown else None,
                'accuracy': float(state.totals[1]) / self.per_epoch if shown else None,
                **self._privacy(epochs),
            },
        )

    def _privacy(self, epochs):
        if self.plan is None:
            return {}
        return {'privacy': self.plan.guarantee(epochs * self.per_epoch)}

    def save_epoch(self, workdir: pathlib.Path, state: State, epoch: int) -> None:
        """Writes the native checkpoint `workdir`/epoch_NNN."""
        members = training_members(self.faces) if epoch else []
        target = self.trained(state, epoch)
        native_targets.save_target(_folder(workdir, epoch), target, members=members)

    def check_epochs(
        self, workdir: pathlib.Path | None, save_epochs: Sequence[int], done: float
    ) -> None:
        """Raises InputError for epochs beyond the last one, and past ones that are absent or damaged.

        Args:
          workdir: the folder for the states.
          save_epochs: the epochs to save.
          done: number of epochs so far.
        """
        beyond = [epoch for epoch in save_epochs if not 0 <= epoch <= self.recipe.epochs]
        if beyond:
            raise errors.InputError(
                'save_epochs', beyond, f'0 to {self.recipe.epochs}, the last epoch'
            )
        if workdir is None:
            return
        past = [epoch for epoch in save_epochs if epoch < done]
        lost = runs.by_first(
            lambda: [n for n in past if not native_targets.is_target(_folder(workdir, n))]
        )
        hint = f'choose another folder than {workdir}, or leave them out'
        if lost:
            found = f'epochs {lost}, which are over and were not saved'
            raise errors.InputError('save_epochs', found, hint=hint)
        damaged = runs.by_first(
            lambda: [why for n in past if (why := _damage(_folder(workdir, n)))]
        )
        if damaged:
            found = f'epochs that are over and cannot be read ({"; ".join(damaged)})'
            raise errors.InputError('save_epochs', found, hint=hint)


def _damage(folder):
    """Returns what is wrong with a native checkpoint, None for an intact one."""
    try:
        native_targets.load_target(folder)
        native_targets.read_member_rows(folder)
    except errors.InputError as error:
        return f'{error.field}: {error.found}'
    return None


def _folder(workdir, epoch):
    return workdir / f'epoch_{epoch:03d}'
