"""A search of a backbone with its controls, and the evaluator's judgement of all of them.

`search_faces` runs one search on its own; `invert` is the model inversion of an audit.
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from fr_inference import config, errors, runs
from fr_inference.config import Search
from fr_inference.data.faces import Faces
from fr_inference.inversion import (
    centres,
    framing,
    from_templates,
    goals,
    judge,
    outcome,
    search,
    subject,
)
from fr_inference.inversion import evaluator as evaluators
from fr_inference.inversion.evaluator import Evaluator, Verdicts
from fr_inference.inversion.from_templates import FromTemplates
from fr_inference.inversion.goals import Goal
from fr_inference.inversion.guidance import Audited, Guide, Side
from fr_inference.inversion.judge import Gallery, Judged
from fr_inference.inversion.search import Found
from fr_inference.inversion.subject import Subject
from fr_inference.models.stylegan2 import Trained
from fr_inference.models.target import Target
from fr_inference.runs import Progress


def search_faces(
    target: Target,
    generator: Trained,
    goal: Goal,
    how: Search | None = None,
    *,
    seed: int,
    guide: Guide | None = None,
    workdir: str | os.PathLike | None = None,
    progress: Progress | None = None,
) -> Found:
    """Searches a generator's latents for faces, without controls and without an evaluator.

    Args:
      target: the backbone; any backbone for `goals.centres` and `goals.templates`.
      generator: whose latents are searched.
      goal: the objective, from `goals`.
      how: numbers and steps; each wanted embedding gets `candidates` and `keep` of its own.
      seed: of every draw.
      guide: the membership attack on the target, which `goals.membership` needs.
      workdir: keeps random latents and states, so that a stopped search can continue.
      progress: called as progress(label, done, total).

    Raises:
      InputError: for a goal that lacks what it needs, or if no finite result is found.
      Stopped: when a stop was requested.

    One face for each of two embeddings, with a backbone and a generator of random weights:

    >>> import jax, jax.numpy as jnp
    >>> from fr_inference.config import Search
    >>> from fr_inference.inversion import goals
    >>> from fr_inference.models import stylegan2
    >>> from fr_inference.models.target import InputSpec
    >>> from fr_inference.training import recognizer
    >>> spec = InputSpec(height=16, width=16)
    >>> backbone = recognizer.fresh_target('tiny', {'width': 4, 'embedding': 8}, spec, 0)
    >>> module = stylegan2.Generator(
    ...     4, z_dim=4, w_dim=4, channel_base=16, channel_max=4, mapping_layers=1
    ... )
    >>> variables = jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, 4)))
    >>> made = stylegan2.Trained(name='random', module=module, variables=variables)
    >>> few = Search(draws=8, candidates=2, keep=1, steps=2, pictures=2)
    >>> found = search_faces(backbone, made, goals.templates(np.eye(8)[:2]), few, seed=0)
    >>> found.images.shape, found.group.tolist()
    ((2, 4, 4, 3), [0, 1])
    """
    how = how or Search()
    folder = pathlib.Path(workdir) if workdir is not None else None
    found = subject.prepare(
        target,
        generator,
        how,
        seed=seed,
        guide=guide,
        workdir=folder and folder / 'random_faces',
        progress=progress,
    )
    return search.run(found, goal, how, workdir=folder and folder / 'search', progress=progress)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """The inputs of model inversion in an audit.

    Attributes:
      generator: trained on none of the people.
      evaluator: a backbone with another architecture, trained on other people.
      second_evaluator: another such backbone, which must agree.
      search: how.
      strangers: faces of other people, from whose embeddings class centres are estimated; images of
        random latents when None.
    """

    generator: Trained
    evaluator: Target
    second_evaluator: Target | None = None
    search: Search = dataclasses.field(default_factory=Search)
    strangers: Faces | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inversion:
    """The result of model inversion.

    Attributes:
      record: `inversion` of `audit.json`.
      found: the reconstructions, for each wanted embedding the best first.
      judged: the evaluator's results for them.
      gallery: the gallery that they were compared with, by the evaluator.
      alike: [M, 2] rows, among the audit's images, of the most similar photographs of a member and of a
        non-member.
      curves: search -> [steps, 2] mean objective and mean membership logit.
      from_templates: the reconstructions from stored templates, if any.
    """

    record: dict[str, Any]
    found: Found
    judged: Judged
    gallery: Gallery
    alike: np.ndarray
    curves: Mapping[str, np.ndarray]
    from_templates: FromTemplates | None


def invert(
    audited: Audited,
    request: Request,
    *,
    seed: int,
    workdir: str | os.PathLike | None = None,
    progress: Progress | None = None,
) -> Inversion:
    """Searches for faces that the target was trained on, and judges the results.

    People used to fit the attack are left out of the gallery. With class centres no member is needed, so
    the gallery holds everyone.

    Args:
      audited: the audit's images, in the target and in its control, by `guidance.audited`.
      request: generator, evaluator and how.
      seed: of every draw, split and interval.
      workdir: where the searches keep their states.
      progress: called as progress(label, done, total).

    Raises:
      InputError: one line, for anything that is wrong with the input.
      Stopped: when a stop was requested.
    """
    how = request.search
    target = audited.target
    if how.goal == 'membership' and target.guide is None:
        raise errors.InputError(
            'target',
            f'{target.target.name} without BatchNorm statistics',
            'BatchNorm statistics, for a search that the membership attack guides',
            'search for centres, or reconstruct from templates',
        )
    judges = evaluators.evaluator(
        request.evaluator,
        audited,
        judging=~target.fitted_on | (how.goal == 'centres'),
        seed=seed,
        second=request.second_evaluator,
    )
    sides = {'target': target} | ({'untrained_target': audited.untrained} if how.untrained else {})
    shared = _Shared(
        request=request,
        audited=audited,
        judges=judges,
        sides=sides,
        seed=seed,
        folder=pathlib.Path(workdir) if workdir is not None else None,
        progress=progress,
    )
    main, controls = _controlled(shared)
    found = outcome.outcome(
        main.judged,
        main.figures,
        {name: (one.judged, one.figures) for name, one in controls.items()},
        judges.gallery,
        seed=seed,
    )
    record = _record(shared, found, main)
    attack = None
    if how.targeted:
        attack = from_templates.run(
            judges,
            sides,
            shared.subjects,
            how,
            random=controls['random_latents'].embeddings,
            workdir=shared.folder,
            progress=progress,
        )
        record['targeted'] = attack.record
    alike = [
        judge.most_alike(main.embeddings[0], judges.units, rows)
        for rows in (judges.members, judges.nonmembers)
    ]
    return Inversion(
        record=record,
        found=main.found,
        judged=main.judged,
        gallery=judges.gallery,
        alike=np.stack(alike, axis=1),
        curves={name: one.found.curve for name, one in {'search': main, **controls}.items()},
        from_templates=attack,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Shared:
    """Shared by all searches of one audit.

    Attributes:
      request: generator, evaluator and how.
      audited: the audit's images.
      judges: the evaluator.
      sides: 'target', and 'untrained_target' for that control.
      seed: of every draw.
      folder: for the states of searches, each in a sub-folder of its name.
      progress: called as progress(label, done, total).
    """

    request: Request
    audited: Audited
    judges: Evaluator
    sides: Mapping[str, Side]
    seed: int
    folder: pathlib.Path | None
    progress: Progress | None

    @functools.cached_property
    def subjects(self) -> dict[str, Subject]:
        """The backbones with their random latents."""
        return {
            name: subject.prepare(
                side.target,
                self.request.generator,
                self.request.search,
                seed=self.seed,
                guide=side.guide,
                workdir=self.folder and self.folder / 'random_faces',
                label=f'random faces in the {side.label}',
                progress=self.progress,
            )
            for name, side in self.sides.items()
        }

    @functools.cached_property
    def goals(self) -> dict[str, Goal]:
        """The goal for each backbone."""
        return {name: self._goal(name) for name in self.sides}

    def _goal(self, name):
        how, strangers, side = self.request.search, self.request.strangers, self.sides[name]
        if how.goal == 'membership':
            return goals.membership(how.membership, strength=how.strength, prior=how.prior)
        embeddings = self.subjects[name].pool.embeddings
        if strangers is not None:
            embeddings = self.audited.embed(side.target, strangers, 'strangers')
        # Hosts may round differently, so all use the estimate of process 0.
        wanted = runs.by_first(
            lambda: centres.estimate(embeddings, how.centres, seed=self.seed)[: how.keep]
        )
        return goals.centres(wanted, strength=how.strength, prior=how.prior)

    def each(self, goal: Goal) -> Search:
        """Returns the options of the search for each wanted embedding; it keeps its share of `keep`."""
        how = self.request.search
        if goal.wanted is None:
            return how
        count = len(goal.wanted)
        return config.replace(
            how, candidates=how.candidates // count, keep=how.keep // count, apart=1.0
        )

    def look(self, name: str, goal: Goal, how: Search, side: str = 'target') -> Verdicts:
        """Searches and judges; `name` is the name of the folder."""
        found = search.run(
            self.subjects[side],
            goal,
            how,
            workdir=self.folder and self.folder / name,
            label=name.replace('_', ' '),
            progress=self.progress,
        )
        return self.judges.look(self.sides[side], found)


def _controlled(shared):
    """Returns (the search, name -> control), each with the same number of reconstructions."""
    goal = shared.goals['target']
    how = shared.each(goal)
    main = shared.look('search', goal, how)
    count = len(main.found.objective)
    still = config.replace(how, steps=0)
    # All are kept, so their ranking by the goal does not matter.
    random = config.replace(still, draws=count, candidates=count, keep=count, apart=1.0)
    anybody = dataclasses.replace(goal, wanted=None)
    controls = {
        'random_latents': shared.look('random_latents', anybody, random),
        'selected_only': shared.look('selected_only', goal, still),
    }
    if 'untrained_target' in shared.sides:
        name = 'untrained_target'
        controls[name] = shared.look(name, shared.goals[name], how, name)
    return main, controls


def _swept(shared, main):
    """Returns the figures at every strength, including the search's own, the weakest first."""
    how, goal = shared.request.search, shared.goals['target']
    found = {how.strength: main.figures}
    for strength in how.sweep:
        if strength not in found:
            other = goal.at(strength)
            found[strength] = shared.look(
                f'strength_{strength:g}', other, shared.each(goal)
            ).figures
    return [{'strength': strength, **found[strength]} for strength in sorted(found)]


def _record(shared, found, main):
    """Returns `inversion` of `audit.json`, without the templates."""
    request, judges, target = shared.request, shared.judges, shared.audited.target
    how, inside = request.search, judges.gallery.member
    record = {
        'goal': how.goal,
        'setting': 'strangers' if how.goal == 'centres' else target.setting,
        **found.to_json(),
        **{
            name: {
                'name': one.backbone.name,
                'sha256': one.backbone.sha256,
                'threshold': one.gallery.threshold,
                'false_matches': judge.FALSE_MATCHES,
            }
            for name, one in zip(('evaluator', 'second_evaluator'), judges.all, strict=False)
        },
        'gallery': {'members': int(inside.sum()), 'nonmembers': int((~inside).sum())},
        'generator': {
            'name': request.generator.name,
            'sha256': request.generator.sha256,
            'framing': framing.of(how.framing, request.generator.module.resolution),
        },
        'strangers': request.strangers.name if request.strangers is not None else None,
        'settings': dataclasses.asdict(how),
        'candidate_steps_per_second': main.found.rate,
    }
    if target.guide is not None:
        record['members_median_logit'] = float(target.guide.level)
    if how.sweep:
        record['sweep'] = _swept(shared, main)
    return record
