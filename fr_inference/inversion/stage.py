"""Stage 2 as a whole: the search, the same without each of its parts, and what an evaluator says of all.

The attack that guides is fitted on half of the people; whom it was fitted on is in no gallery.
"""

import dataclasses
import os
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from fr_inference import checkpoint, checks, rng
from fr_inference.data.faces import Faces, concat, from_arrays
from fr_inference.inversion import evaluate, search
from fr_inference.inversion import objective as objectives
from fr_inference.inversion import scene as scenes
from fr_inference.inversion.evaluate import Gallery, Judged
from fr_inference.inversion.objective import Objective
from fr_inference.inversion.optimize import Constants, Plan
from fr_inference.inversion.search import Found
from fr_inference.membership import attack as attacks
from fr_inference.membership import distances, protocol
from fr_inference.membership import stage as membership
from fr_inference.membership.protocol import Labelled
from fr_inference.metrics import images as image_metrics
from fr_inference.models.stylegan2 import Trained
from fr_inference.models.target import Target

Progress = Callable[..., None]

_LATENTS = 2048  # random latents that the prior is measured on


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How stage 2 is done.

    Attributes:
      plan: of the search.
      objective: what is maximised.
      space: of the latents, in `scene.SPACES`.
      psi: truncation of the latents that the search starts from.
      scaling: of the distances.
      seed: of the half that the attack is fitted on, galleries and permutations.
      untrained: whether the control with an untrained target is run, which takes as long again.
    """

    plan: Plan = dataclasses.field(default_factory=Plan)
    objective: Objective = dataclasses.field(default_factory=Objective)
    space: str = 'w'
    psi: float = 1.0
    scaling: str = 'variance'
    seed: int = 0
    untrained: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inversion:
    """The result.

    Attributes:
      record: what `audit.json` holds under 'inversion'.
      found: the reconstructions, the best first.
      judged: what the evaluator says of them.
      gallery: whom they were compared with, by the evaluator.
    """

    record: dict[str, Any]
    found: Found
    judged: Judged
    gallery: Gallery


@dataclasses.dataclass(frozen=True)
class _Side:
    """A backbone to be inverted, and what was measured of it."""

    target: Target
    labelled: Labelled
    guide: Any
    scene: scenes.Scene


def invert(
    generator: Trained,
    target: Target,
    evaluator: Target,
    members: Faces,
    nonmembers: Faces,
    *,
    settings: Settings,
    blind: Target | None = None,
    skip_bad: bool = False,
    workdir: str | os.PathLike | None = None,
    progress: Progress | None = None,
) -> Inversion:
    """Searches for faces that `target` was trained on, and measures what was found.

    Args:
      generator: trained on none of the people.
      target: the backbone.
      evaluator: a backbone of another architecture and other training people.
      members: images that the target was trained on.
      nonmembers: images of other people of the same source.
      settings: how.
      blind: a backbone that never saw the members; the target with random weights when None.
      skip_bad: leave unreadable images out.
      workdir: where the searches keep their state.
      progress: called as progress(label, done, total).

    Raises:
      InputError: one line, for anything that is wrong with the input.
    """
    checks.require(
        distances.layer_names(target),
        f'{target.name}: has no BatchNorm statistics, which guide the search; only the targeted mode '
        'can invert it',
    )
    faces = concat([members, nonmembers], 'members and non-members')
    workdir = pathlib.Path(workdir) if workdir is not None else None

    def measured(backbone, label):
        return distances.measure(
            backbone,
            faces,
            scaling=settings.scaling,
            skip_bad=skip_bad,
            label=label,
            progress=progress,
        )

    def labelled(backbone, label):
        found = measured(backbone, label)
        return Labelled(measured=found, member=found.index < len(members))

    own = labelled(target, 'target')
    fit = protocol.fit_half(own.measured.identities, own.member, settings.seed)
    side = _side(generator, target, own, fit, settings)
    seen = measured(evaluator, 'evaluator')
    checks.require(
        np.array_equal(seen.index, own.measured.index),
        'evaluator: it could not read the same images as the target',
    )

    def gallery(of):
        names = [own.measured.identities[row] for row in np.flatnonzero(~fit)]
        return evaluate.gallery(of[~fit], names, own.member[~fit], seed=settings.seed)

    by_evaluator, by_target = gallery(seen.embeddings), gallery(own.measured.embeddings)

    def look(found):
        pictures = from_arrays(found.images, range(len(found.images)), 'reconstructions')
        shown = distances.measure(evaluator, pictures, label='judging').embeddings
        claims = evaluate.claim(found.embeddings, by_target)
        judged = evaluate.judge(shown, by_evaluator, claims)
        return judged, evaluate.figures(judged, by_evaluator, seed=settings.seed), shown

    def searched(name, side, plan):
        return search.run(
            side.scene,
            plan,
            settings.objective,
            Constants(
                generator=generator.variables,
                target=side.target.variables,
                guide=side.guide,
                wanted=np.zeros(own.measured.embeddings.shape[1], np.float32),
                key=jax.random.key(0),
            ),
            generator.module.z_dim,
            workdir=workdir / name if workdir is not None else None,
            run={
                'generator': checkpoint.digest(generator.variables),
                'target': checkpoint.digest(side.target.variables),
                'guide': checkpoint.digest(side.guide),
            },
            label=name,
            progress=progress,
        )

    plan = settings.plan
    found = searched('search', side, plan)
    judged, figures, shown = look(found)
    still = dataclasses.replace(plan, steps=0)
    small = dataclasses.replace(still, draws=plan.keep, candidates=plan.keep, apart=1.0)
    others = {'random_latents': (side, small), 'selected_only': (side, still)}
    if settings.untrained:
        backbone = membership.blind_backbone(
            target, blind, faces, own, fit, seed=settings.seed, skip_bad=skip_bad
        )
        unlearned = labelled(backbone, 'untrained target')
        others['untrained_target'] = (
            _side(generator, backbone, unlearned, fit, settings),
            plan,
        )
    controlled = {}
    for name, (other, how) in others.items():
        _, controlled[name], _ = look(searched(name, other, how))
    outside = judged.matched & ~by_evaluator.member[judged.nearest]
    controlled['nonmember_gallery'] = {'hit_rate': float(outside.mean())}
    strongest = max(controlled, key=lambda name: controlled[name]['hit_rate'])
    real = seen.embeddings[own.member & ~fit]
    record = {
        'candidates': plan.candidates,
        'draws': plan.draws,
        'steps': plan.steps,
        **figures,
        'evaluator': {'name': evaluator.name, 'threshold': by_evaluator.threshold},
        'gallery': {'members': int(by_evaluator.member.sum())},
        'generator': {'name': generator.name, 'sha256': generator.sha256},
        'controls': controlled,
        'excess': {
            'hit_rate': figures['hit_rate'] - controlled[strongest]['hit_rate'],
            'over': strongest,
            'p_value': figures['p_value'],
        },
        'median_logit': float(np.median(found.logits)),
        'members_median_logit': float(side.guide.level),
        'realism': _realism(real, shown, evaluator.name),
        'objective': dataclasses.asdict(settings.objective),
        'plan': dataclasses.asdict(plan),
        'space': settings.space,
        'psi': settings.psi,
        'candidate_steps_per_second': (
            found.candidate_steps / found.seconds if found.candidate_steps else None
        ),
    }
    return Inversion(record=record, found=found, judged=judged, gallery=by_evaluator)


def _side(generator, target, labelled, fit, settings):
    """Fits the attack on the `fit` half and measures what guides."""
    fitted, _ = protocol.partial(labelled, fit, attacks.Options(seed=settings.seed))
    scene = scenes.make(
        generator.module,
        target,
        space=settings.space,
        psi=settings.psi,
        scaling=settings.scaling,
    )
    draw = rng.numpy_generator(settings.seed, 'latents')
    z = draw.standard_normal((_LATENTS, generator.module.z_dim), np.float32)
    to_latents = jax.jit(jax.vmap(scene.to_latent, in_axes=(None, 0)))
    latents = np.asarray(to_latents(generator.variables, z))
    guide = objectives.make_guide(
        fitted,
        labelled.features[fit & labelled.member],
        latents.reshape(_LATENTS, -1, latents.shape[-1])[:, 0],  # in w+ all layers start alike
    )
    return _Side(target, labelled, guide, scene)


def _realism(real, shown, name):
    neighbours = 5
    if min(len(real), len(shown)) <= neighbours:
        return None
    return {
        'embedding': name,
        'frechet_distance': image_metrics.frechet_distance(real, shown),
        **image_metrics.coverage(real, shown, neighbours),
    }
