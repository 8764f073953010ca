"""What a leaked template gives away: given somebody's stored embedding, a face like them.

The same search with another objective: the cosine with the template, in the target's eyes.
"""

import dataclasses
from typing import Any

import numpy as np

from fr_inference import errors, rng
from fr_inference.inversion import evaluate
from fr_inference.inversion.guidance import Side
from fr_inference.inversion.objective import Objective
from fr_inference.inversion.optimize import Plan
from fr_inference.inversion.search import Found
from fr_inference.inversion.study import Study
from fr_inference.metrics import intervals

OBJECTIVE = Objective(membership='none', match=10.0, prior=0.3)
_CANDIDATES = 4  # for each template; the best is kept


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reconstructed:
    """Reconstructions of P members from one template each.

    Attributes:
      record: what `audit.json` holds under 'targeted'.
      found: the reconstructions.
      photographs: [P] row of the image behind each template, among those that were measured.
      similarity: [P] cosine, by the evaluator, with other photographs of the same person.
      rank: [P] 0 where that person is the most similar of all members.
    """

    record: dict[str, Any]
    found: Found
    photographs: np.ndarray
    similarity: np.ndarray
    rank: np.ndarray


def plan_for(plan: Plan) -> Plan:
    """Returns how one template is searched for, given how a search without one is done."""
    few = min(_CANDIDATES, plan.candidates)
    return dataclasses.replace(plan, candidates=few, keep=1, apart=1.0)


def run(
    study: Study, sides: dict[str, Side], random: np.ndarray, *, people: int, plan: Plan
) -> Reconstructed:
    """Reconstructs members from the embedding of one of their photographs each.

    The evaluator compares with their other photographs only. Controls: random latents; the best random
    latent for each template, without any step; the same search against an untrained target; and
    templates of non-members, looked for among non-members, which tells whether training matters.

    Args:
      study: faces, evaluator and where to keep state.
      sides: 'target', and 'untrained_target' for that control.
      random: [M, D] embeddings of random latents' pictures, by the evaluator.
      people: members to reconstruct, at most; they need two photographs.
      plan: of the search without templates.

    Raises:
      InputError: when nobody has two photographs.
    """
    measured, seed = study.measured, study.seed
    own, seen = measured.in_target, study.seen
    names = np.array(own.identities)
    rows = {
        'members': _templates(names, own.member, people, seed),
        'nonmembers': _templates(names, ~own.member, people, seed),
    }
    others = np.ones(len(names), bool)
    others[np.concatenate(list(rows.values()))] = False
    gallery = evaluate.gallery(seen[others], names[others].tolist(), own.member[others], seed=seed)
    among = {
        'members': gallery,
        'nonmembers': dataclasses.replace(gallery, member=~gallery.member),
    }
    place = {name: position for position, name in enumerate(gallery.names)}
    rows = {side: [row for row in found if names[row] in place] for side, found in rows.items()}

    def attack(name, plan, side='members', backbone='target'):
        embeddings = own if backbone == 'target' else measured.in_blind
        wanted = evaluate.unit(embeddings.embeddings[rows[side]])
        found = study.search(name, sides[backbone], plan, OBJECTIVE, wanted)
        claims = np.array([place[names[row]] for row in rows[side]])
        judged = evaluate.judge(study.show(found.images), among[side], claims)
        return found, judged, _figures(judged, gallery.threshold)

    plan = plan_for(plan)
    found, judged, figures = attack('templates', plan)
    still = dataclasses.replace(plan, steps=0)
    controls = {
        'selected_only': attack('templates_selected', still)[2],
        'nonmembers': attack('templates_nonmembers', plan, side='nonmembers')[2],
    }
    if 'untrained_target' in sides:
        controls['untrained_target'] = attack(
            'templates_untrained', plan, backbone='untrained_target'
        )[2]
    # Every random latent is taken for a reconstruction of every member.
    count = len(rows['members'])
    claims = np.array([place[names[row]] for row in rows['members']])
    anybody = evaluate.judge(
        np.repeat(random, count, axis=0), gallery, np.tile(claims, len(random))
    )
    controls['random_latents'] = {
        'top1': float((anybody.rank == 0).mean()),
        'top5': float((anybody.rank < 5).mean()),
        'accepted': float((anybody.own_similarity >= gallery.threshold).mean()),
    }
    return Reconstructed(
        record={
            'people': count,
            'gallery': int(gallery.member.sum()),
            'candidates': plan.candidates,
            'steps': plan.steps,
            'objective': dataclasses.asdict(OBJECTIVE),
            **figures,
            'controls': controls,
        },
        found=found,
        photographs=np.array(rows['members'], int),
        similarity=judged.own_similarity,
        rank=judged.rank,
    )


def _templates(names, side, people, seed):
    """One row for each of so many people who have two or more on that side."""
    first: dict[str, int] = {}
    several = set()
    for row in np.flatnonzero(side):
        if first.setdefault(names[row], int(row)) != row:
            several.add(names[row])
    errors.require(several, 'targeted: found nobody with two photographs, one to be the template')
    order = rng.numpy_generator(seed, 'templates').permutation(sorted(several))
    return sorted(first[name] for name in order[:people])


def _figures(judged, threshold):
    """Shares of the templates, each of another person, with Wilson's intervals."""
    shares = {
        'top1': judged.rank == 0,
        'top5': judged.rank < 5,
        'accepted': judged.own_similarity >= threshold,
    }
    figures: dict[str, Any] = {}
    for name, values in shares.items():
        figures[name] = float(values.mean())
        figures[f'{name}_ci95'] = list(intervals.wilson(figures[name], len(values)))
    return figures
