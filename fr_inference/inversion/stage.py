"""Stage 2 as a whole: the search, its controls, and what an evaluator says of all of them."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from fr_inference import errors, processes
from fr_inference.config import Settings as AuditSettings
from fr_inference.data.faces import Faces
from fr_inference.inversion import centres, evaluate, guidance, targeted
from fr_inference.inversion.evaluate import Gallery, Judged
from fr_inference.inversion.objective import Objective
from fr_inference.inversion.optimize import Plan
from fr_inference.inversion.pool import Progress
from fr_inference.inversion.search import Found
from fr_inference.inversion.study import Study
from fr_inference.membership.views import Views
from fr_inference.models.stylegan2 import Trained
from fr_inference.models.target import Target

_CONTROLS = ('random_latents', 'selected_only', 'untrained_target')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How stage 2 is done.

    Attributes:
      plan: of the search.
      objective: what is maximised.
      space: of the latents, in `scene.SPACES`.
      psi: truncation of the latents that the search starts from.
      untrained: whether the control with an untrained target is run, which takes as long again.
      centres: class centres that are estimated (`centres`); the most reliable, at most as many as are
        kept, are searched for, each with its own share of the reconstructions; 0 for the paper's search,
        which the membership attack guides.
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
        errors.require(self.centres >= 0, f'centres: found {self.centres}, expected 0 or more')
        errors.positive('psi', self.psi)
        names = [_sweep_name(strength) for strength in self.strengths]
        errors.require(
            len(set(names)) == len(names), f'strengths: found {names}, expected different ones'
        )
        for strength in self.strengths:
            errors.require(
                np.isfinite(strength) and strength >= 0,
                f'strengths: found {strength}, expected 0 or more',
            )
        errors.require(self.targeted >= 0, f'targeted: found {self.targeted}, expected 0 or more')


def _sweep_name(strength):
    return f'strength_{strength:g}'


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


def invert(
    measured: Views,
    request: Request,
    *,
    settings: AuditSettings,
    workdir: str | os.PathLike | None = None,
    progress: Progress | None = None,
) -> Inversion:
    """Searches for faces that the target was trained on, and measures what was found.

    The attack of the auxiliary setting guides where there is a shadow: it knows nobody, so that all can
    be in the gallery. Without one the partial setting's guides, and whom it was fitted on is in no
    gallery.

    Args:
      measured: target, controls and faces, by `measure_views`.
      request: generator, evaluator and how.
      settings: of stage 1.
      workdir: where the searches keep their state.
      progress: called as progress(label, done, total).

    Raises:
      InputError: one line, for anything that is wrong with the input.
    """
    how = request.settings
    errors.require(
        measured.in_target.layers,
        f'{measured.target.name}: has no BatchNorm statistics, which guide the search; only templates '
        'can be inverted (experiments.reconstruct)',
    )
    evaluate.check_evaluator(request.evaluator, measured.target)
    folder = pathlib.Path(workdir) if workdir is not None else None
    plan = dataclasses.replace(how.plan, seed=settings.seed)

    def side(name, blind):
        return guidance.side(
            measured,
            request.generator,
            plan,
            blind=blind,
            settings=settings,
            space=how.space,
            psi=how.psi,
            workdir=folder / f'random_faces_{name}' if folder is not None else None,
            progress=progress,
        )

    seen = measured.measure(request.evaluator, measured.faces, 'evaluator')
    errors.require(
        np.array_equal(seen.index, measured.in_target.index),
        'evaluator: it could not read the same images as the target',
    )
    sides = {'target': side('target', blind=False)}
    if how.untrained:
        sides['untrained_target'] = side('untrained_target', blind=True)
    study = Study(
        measured=measured,
        evaluator=request.evaluator,
        seen=seen.embeddings,
        # Estimated centres know nobody, as the auxiliary setting's attack.
        judging=~sides['target'].known | bool(how.centres),
        seed=settings.seed,
        workdir=folder,
        progress=progress,
    )
    outcomes = _searches(study, sides, plan, request)
    main, drawn = outcomes['search'], outcomes['random_latents']
    record = _record(study, sides['target'], plan, request, outcomes)
    from_templates = None
    if how.targeted:
        from_templates = targeted.run(study, sides, drawn.shown, people=how.targeted, plan=plan)
        record['targeted'] = from_templates.record
    strangers = ~measured.in_target.member & study.judging
    return Inversion(
        record=record,
        found=main.found,
        judged=main.judged,
        gallery=study.gallery,
        alike=np.stack(
            [
                evaluate.most_alike(main.shown, study.photographs, rows)
                for rows in (study.members, strangers)
            ],
            axis=1,
        ),
        curves={
            name: outcomes[name].found.curve for name in ('search', *_CONTROLS) if name in outcomes
        },
        targeted=from_templates,
    )


def _searches(study, sides, plan, request):
    """Returns name -> outcome: the search, its controls, and 'strength_S' of the sweep."""
    how, side = request.settings, sides['target']
    objective, each = _objective(how), plan
    wanted = _wanted(study, side, request)
    if how.centres:
        # Every centre has its share of what is kept.
        each = dataclasses.replace(
            plan,
            candidates=plan.candidates // len(wanted),
            keep=plan.keep // len(wanted),
            apart=1.0,
        )

    def look(name, side, plan, objective, wanted):
        return study.look(side, study.search(name, side, plan, objective, wanted))

    found = {'search': look('search', side, each, objective, wanted)}
    count = len(found['search'].found.scores)
    unmoved = dataclasses.replace(each, steps=0)
    some = dataclasses.replace(unmoved, draws=count, candidates=count, keep=count, apart=1.0)
    found['random_latents'] = look(
        'random_latents', side, some, how.objective, np.zeros_like(wanted[:1])
    )
    found['selected_only'] = look('selected_only', side, unmoved, objective, wanted)
    if 'untrained_target' in sides:
        untrained = sides['untrained_target']
        found['untrained_target'] = look(
            'untrained_target', untrained, each, objective, _wanted(study, untrained, request)
        )
    for strength in how.strengths:
        # Whichever of the two guides.
        weaker = dataclasses.replace(
            objective,
            strength=strength,
            match=targeted.OBJECTIVE.match * strength * bool(how.centres),
        )
        name = _sweep_name(strength)
        if weaker != objective and name not in found:
            found[name] = look(name, side, each, weaker, wanted)
    return found


def _objective(how):
    """What is maximised: the match guides where there are centres to be matched."""
    if not how.centres:
        return how.objective
    match = targeted.OBJECTIVE.match * how.objective.strength
    return dataclasses.replace(how.objective, membership='none', match=match)


def _wanted(study, side, request):
    """What the search of a backbone looks for: [G, D], one row of zeros where an attack guides it."""
    count = request.settings.centres
    if not count:
        return np.zeros((1, side.pool.embeddings.shape[1]))
    embeddings = side.pool.embeddings
    if request.strangers is not None:
        embeddings = study.measured.measure(side.target, request.strangers, 'strangers').embeddings
    # Of several hosts, whose rounding may differ, one decides what all of them look for.
    return processes.from_first(
        lambda: centres.estimate(embeddings, count, seed=study.seed)[: request.settings.plan.keep]
    )


def _record(study, side, plan, request, outcomes):
    """What `audit.json` says."""
    how, generator, gallery = request.settings, request.generator, study.gallery
    main = outcomes['search']
    controlled = {name: outcomes[name].figures for name in _CONTROLS if name in outcomes}
    outside = main.judged.matched & ~gallery.member[main.judged.nearest]
    controlled['nonmember_gallery'] = {'hit_rate': float(outside.mean())}
    compared = {name: outcomes[name].judged for name in _CONTROLS if name in outcomes}
    record = {
        'guidance': 'centres' if how.centres else side.setting,
        'knowledge': side.setting,
        'candidates': plan.candidates,
        'draws': plan.draws,
        'steps': plan.steps,
        **main.figures,
        'evaluator': {
            'name': study.evaluator.name,
            'sha256': study.evaluator.sha256,
            'threshold': gallery.threshold,
            'false_matches': evaluate.FALSE_MATCHES,
        },
        'gallery': {
            'members': int(gallery.member.sum()),
            'nonmembers': int((~gallery.member).sum()),
        },
        'generator': {'name': generator.name, 'sha256': generator.sha256},
        'controls': controlled,
        'excess': _excess(
            main.judged, {**compared, 'nonmember_gallery': None}, gallery, study.seed
        ),
        'members_median_logit': float(side.constants.guide.level),
        'objective': dataclasses.asdict(_objective(how)),
        'plan': dataclasses.asdict(plan),
        'centres': how.centres,
        'strangers': request.strangers.name if request.strangers is not None else None,
        'space': how.space,
        'psi': how.psi,
        'candidate_steps_per_second': main.found.rate,
    }
    if how.strengths:
        swept = {how.objective.strength: main} | {
            strength: outcomes[name]
            for strength in how.strengths
            if (name := _sweep_name(strength)) in outcomes
        }
        record['sweep'] = [
            {'strength': strength, **swept[strength].figures} for strength in sorted(swept)
        ]
    return record


def _excess(judged, controls, gallery, seed):
    """What is left after the control that leaves least, and the largest p-value that any leaves."""
    left = {
        name: evaluate.excess(judged, control, gallery, seed=seed)
        for name, control in controls.items()
    }
    least = min(left, key=lambda name: left[name]['hit_rate'])
    return {
        **left[least],
        'over': least,
        'p_value': max(found['p_value'] for found in left.values()),
    }
