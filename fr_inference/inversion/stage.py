"""Stage 2 as a whole: the search, its controls, and what an evaluator says of all of them."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from fr_inference import checkpoint, checks
from fr_inference.data.faces import Faces, from_arrays
from fr_inference.inversion import centres, evaluate, guidance, search, targeted
from fr_inference.inversion.evaluate import Gallery, Judged
from fr_inference.inversion.objective import Objective
from fr_inference.inversion.optimize import Constants, Plan
from fr_inference.inversion.search import Found
from fr_inference.membership.measured import Measured
from fr_inference.membership.measured import Settings as MembershipSettings
from fr_inference.metrics import images as image_metrics
from fr_inference.models.stylegan2 import Trained
from fr_inference.models.target import Target

Progress = Callable[..., None]
_NEIGHBOURS = 5  # of precision, recall, density and coverage


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How stage 2 is done.

    Attributes:
      plan: of the search.
      objective: what is maximised.
      space: of the latents, in `scene.SPACES`.
      psi: truncation of the latents that the search starts from.
      untrained: whether the control with an untrained target is run, which takes as long again.
      centres: class centres that are estimated and searched for (`centres`), each with its own share of
        the reconstructions; 0 for the paper's search, which the membership attack guides.
      strengths: further strengths of the guidance, each of which takes as long again.
      targeted: people whose stored template is inverted, beside the search; 0 for none.
    """

    plan: Plan = dataclasses.field(default_factory=Plan)
    objective: Objective = dataclasses.field(default_factory=Objective)
    space: str = 'w'
    psi: float = 1.0
    untrained: bool = True
    centres: int = 0
    strengths: tuple[float, ...] = ()
    targeted: int = 0

    def __post_init__(self):
        checks.require(self.centres >= 0, f'centres: found {self.centres}, expected 0 or more')
        checks.require(
            not self.centres or self.plan.keep >= self.centres,
            f'centres: found {self.centres}, expected at most keep={self.plan.keep}',
        )
        for strength in self.strengths:
            checks.require(
                np.isfinite(strength) and strength >= 0,
                f'strengths: found {strength}, expected 0 or more',
            )
        checks.require(self.targeted >= 0, f'targeted: found {self.targeted}, expected 0 or more')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What an audit needs for stage 2.

    Attributes:
      generator: trained on none of the people.
      evaluator: a backbone of another architecture and other training people.
      strangers: faces of anybody else, from whose embeddings class centres are estimated; pictures of
        random latents when None.
      evaluator_digests: SHA-256 of its training images, where they are known.
      settings: how.
    """

    generator: Trained
    evaluator: Target
    strangers: Faces | None = None
    evaluator_digests: Sequence[str] | None = None
    settings: Settings = dataclasses.field(default_factory=Settings)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inversion:
    """The result.

    Attributes:
      record: what `audit.json` holds under 'inversion'.
      found: the reconstructions, the best first.
      judged: what the evaluator says of them.
      gallery: whom they were compared with, by the evaluator.
      alike: [M, 2] rows, among the images that were measured, of the most similar photographs of a
        member and of a non-member.
      curves: search -> [steps, 2] mean objective and mean membership logit.
      targeted: the reconstructions from templates, where there are any.
    """

    record: dict[str, Any]
    found: Found
    judged: Judged
    gallery: Gallery
    alike: np.ndarray
    curves: dict[str, np.ndarray]
    targeted: targeted.Reconstructed | None


@dataclasses.dataclass(frozen=True)
class _Looked:
    """Reconstructions and what the evaluator says of them."""

    found: Found
    shown: np.ndarray
    judged: Judged
    figures: dict[str, Any]


def invert(
    measured: Measured,
    request: Request,
    *,
    settings: MembershipSettings,
    workdir: str | os.PathLike | None = None,
    progress: Progress | None = None,
) -> Inversion:
    """Searches for faces that the target was trained on, and measures what was found.

    The attack of the auxiliary setting guides where there is a shadow: it knows nobody, so that all can
    be in the gallery. Without one the partial setting's guides, and whom it was fitted on is in no
    gallery.

    Args:
      measured: target, controls and faces, by `measure_all`.
      request: generator, evaluator and how.
      settings: of stage 1.
      workdir: where the searches keep their state.
      progress: called as progress(label, done, total).

    Raises:
      InputError: one line, for anything that is wrong with the input.
    """
    how, generator, evaluator = request.settings, request.generator, request.evaluator
    checks.require(
        measured.labelled.measured.layers,
        f'{measured.target.name}: has no BatchNorm statistics, which guide the search; only templates '
        'can be inverted (experiments.reconstruct)',
    )
    workdir = pathlib.Path(workdir) if workdir is not None else None
    plan = dataclasses.replace(how.plan, seed=settings.seed)

    def make_side(blind):
        return guidance.side(
            measured, generator, blind=blind, settings=settings, space=how.space, psi=how.psi
        )

    side = make_side(blind=False)
    # Estimated centres know nobody, as the auxiliary setting's attack.
    rest = ~side.known | bool(how.centres)
    seen = measured.measure(evaluator, measured.faces, 'evaluator')
    own = measured.labelled
    checks.require(
        np.array_equal(seen.index, own.measured.index),
        'evaluator: it could not read the same images as the target',
    )

    def gallery(embeddings):
        names = [own.measured.identities[row] for row in np.flatnonzero(rest)]
        return evaluate.gallery(embeddings[rest], names, own.member[rest], seed=settings.seed)

    by_evaluator = gallery(seen.embeddings)
    photographs = evaluate.unit(seen.embeddings)

    def show(images):
        pictures = from_arrays(images, range(len(images)), 'reconstructions')
        return measured.measure(evaluator, pictures, 'judging').embeddings

    def constants(side):
        return Constants(
            generator=generator.variables,
            target=side.target.variables,
            guide=side.guide,
            key=jax.random.key(0),
        )

    def searched(name, side, plan, objective, wanted):
        return search.run(
            side.scene,
            plan,
            objective,
            constants(side),
            generator.module.z_dim,
            wanted,
            workdir=workdir / name if workdir is not None else None,
            run={
                'generator': checkpoint.digest(generator.variables),
                'target': checkpoint.digest(side.target.variables),
                'guide': checkpoint.digest(side.guide),
                'wanted': checkpoint.digest(wanted),
                'space': how.space,
                'psi': how.psi,
            },
            label=name.replace('_', ' '),
            progress=progress,
        )

    members = own.member & rest & np.isin(own.measured.identities, by_evaluator.names)

    def aims(side):
        """What the search of a backbone looks for: [G, D]."""
        if not how.centres:
            return np.zeros((1, own.measured.embeddings.shape[1]))
        if request.strangers is not None:
            found = measured.measure(side.target, request.strangers, 'strangers').embeddings
            return centres.estimate(found, how.centres, seed=settings.seed)
        drawn = search.embeddings_of_draws(
            side.scene,
            plan,
            how.objective,
            constants(side),
            generator.module.z_dim,
            label='random faces',
            progress=progress,
        )
        return centres.estimate(drawn, how.centres, seed=settings.seed)

    def look(name, side, plan, objective, wanted):
        if wanted.any():
            objective = dataclasses.replace(
                objective, membership='none', match=targeted.OBJECTIVE.match * objective.strength
            )
            plan = dataclasses.replace(
                plan,
                candidates=plan.candidates // how.centres,
                keep=plan.keep // how.centres,
                apart=1.0,
            )
        found = searched(name, side, plan, objective, wanted)
        shown = show(found.images)
        # Whom a backbone takes a face for is said by its own embeddings of the gallery.
        by_itself = measured.labelled if side.target is measured.target else measured.control
        claims = evaluate.claim(found.embeddings, gallery(by_itself.measured.embeddings))
        judged = evaluate.judge(shown, by_evaluator, claims)
        figures = evaluate.figures(judged, by_evaluator, seed=settings.seed) | {
            'median_logit': float(np.median(found.logits)),
            'realism': _realism(photographs[members], shown, evaluator.name),
        }
        return _Looked(found, shown, judged, figures)

    wanted = aims(side)
    main = look('search', side, plan, how.objective, wanted)
    still = dataclasses.replace(plan, steps=0)
    count = len(main.found.scores)
    small = dataclasses.replace(still, draws=count, candidates=count, keep=count, apart=1.0)
    controlled = {
        'random_latents': look(
            'random_latents', side, small, how.objective, np.zeros_like(wanted[:1])
        ),
        'selected_only': look('selected_only', side, still, how.objective, wanted),
    }
    if how.untrained:
        unlearned = make_side(blind=True)
        controlled['untrained_target'] = look(
            'untrained_target', unlearned, plan, how.objective, aims(unlearned)
        )
    sweep = {how.objective.strength: main}
    for strength in how.strengths:
        if strength not in sweep:
            objective = dataclasses.replace(how.objective, strength=strength)
            sweep[strength] = look(f'strength_{strength:g}', side, plan, objective, wanted)
    outside = main.judged.matched & ~by_evaluator.member[main.judged.nearest]
    figures = {name: control.figures for name, control in controlled.items()}
    figures['nonmember_gallery'] = {'hit_rate': float(outside.mean())}
    record = {
        'guidance': 'centres' if how.centres else side.setting,
        'knowledge': side.setting,
        'candidates': plan.candidates,
        'draws': plan.draws,
        'steps': plan.steps,
        **main.figures,
        'evaluator': {
            'name': evaluator.name,
            'threshold': by_evaluator.threshold,
            'false_matches': evaluate.FALSE_MATCHES,
        },
        'gallery': {
            'members': int(by_evaluator.member.sum()),
            'nonmembers': int((~by_evaluator.member).sum()),
        },
        'generator': {'name': generator.name, 'sha256': generator.sha256},
        'controls': figures,
        'excess': _excess(main.figures, figures),
        'members_median_logit': float(side.guide.level),
        'objective': dataclasses.asdict(how.objective),
        'plan': dataclasses.asdict(plan),
        'centres': how.centres,
        'space': how.space,
        'psi': how.psi,
        'candidate_steps_per_second': main.found.rate,
    }
    if how.strengths:
        record['sweep'] = [
            {'strength': strength, **sweep[strength].figures} for strength in sorted(sweep)
        ]
    from_templates = None
    if how.targeted:
        from_templates = targeted.run(
            measured,
            seen.embeddings,
            controlled['random_latents'].shown,
            {'target': side} | ({'untrained_target': unlearned} if how.untrained else {}),
            people=how.targeted,
            plan=plan,
            searched=searched,
            show=show,
            seed=settings.seed,
        )
        record['targeted'] = from_templates.record
    return Inversion(
        record=record,
        found=main.found,
        judged=main.judged,
        gallery=by_evaluator,
        alike=np.stack(
            [
                evaluate.most_alike(main.shown, photographs, rows)
                for rows in (members, ~own.member & rest)
            ],
            axis=1,
        ),
        curves={'search': main.found.curve}
        | {name: control.found.curve for name, control in controlled.items()},
        targeted=from_templates,
    )


def _excess(figures, controlled):
    """What is left after the control that comes closest."""
    strongest = max(controlled, key=lambda name: controlled[name]['hit_rate'])
    return {
        'hit_rate': figures['hit_rate'] - controlled[strongest]['hit_rate'],
        'over': strongest,
        'p_value': figures['p_value'],
    }


def _realism(real, shown, name):
    """How far the pictures look like the members' photographs, in the evaluator's eyes."""
    if min(len(real), len(shown)) <= _NEIGHBOURS:
        return None
    unit = evaluate.unit(shown)
    return {
        'embedding': name,
        'frechet_distance': image_metrics.frechet_distance(real, unit),
        **image_metrics.coverage(real, unit, _NEIGHBOURS),
        'nearest_training_image_distance': float(np.median(1 - (unit @ real.T).max(1))),
    }
