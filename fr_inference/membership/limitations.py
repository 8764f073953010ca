"""The limits of the figures, one sentence each."""

import collections
from collections.abc import Mapping, Sequence
from typing import Any

from fr_inference.membership.attack import Attack
from fr_inference.membership.comparison import LEAK, Comparison
from fr_inference.membership.views import Views
from fr_inference.metrics import intervals
from fr_inference.models.target import Target

# With fewer people on a side, intervals miss the truth more often than stated: in simulations, a
# third of them did with 2 people, and up to 9 % with 3.
_FEW_PEOPLE = 6
_DOMINATES = 0.25
_FOLDED = 'BatchNorm layers that seem folded'  # how the reader's note begins


def of_views(views: Views) -> list[str]:
    """Returns the limits that follow from what could be measured."""
    found = []
    target = views.target
    if not views.in_target.layers:
        unseen = (
            'calls no flax.linen.BatchNorm that uses its statistics'
            if target.variables.get('batch_stats')
            else 'has no BatchNorm statistics (another normalisation, or folded into the weights)'
        )
        found.append(
            f'{target.name} {unseen}: only attacks that need nothing but embeddings can be run.'
        )
    found += [
        f'{note}. A file that kept their statistics may give away more.'
        for note in target.notes
        if note.startswith(_FOLDED)
    ]
    if target.answers:
        found.append(
            f'The answers of {target.name} are changed ({target.answers}). Somebody who holds the '
            'file can leave that out; audit the backbone without it to see what such a person learns.'
        )
    if views.untrained:
        found.append(
            'The blind control is this backbone with random weights: if members and non-members '
            'were collected in different ways, trained features may tell them apart better than '
            'random ones without having learned anyone. A blind backbone trained on other faces '
            '(blind) rules that out.'
        )
    return found + _of_references(views)


def _of_references(views):
    """How references differ from the target in more than training, or coincide with the control."""
    if not views.references:
        return []
    found = []
    target = views.target
    started = ((target.recipe or {}).get('start') or {}).get('sha256')
    for name, one in views.references.items():
        if one.sha256 and one.sha256 == started:
            continue  # the target's own record says that training started from it
        differs = [
            f'{what} ({mine} and {other})'
            for what, mine, other in (
                ('architecture', target.architecture, one.architecture),
                ('input', target.input.pixels, one.input.pixels),
                ('recipe', _short(target.recipe), _short(one.recipe)),
            )
            if mine != other
        ]
        if differs:
            found.append(
                f'Reference {name} and the target differ in {", ".join(differs)}: differences '
                'between their answers need not come from the members alone.'
            )
    if views.blind_is_reference:
        found.append(
            'A reference is also the blind backbone. It cannot be compared with itself, so attacks '
            'with references have no blind control; give another blind backbone (blind).'
        )
    return found


def _short(recipe):
    """What a recipe says about the training, short enough for a sentence."""
    if not recipe:
        return 'none recorded'
    known = ('epochs', 'learning_rate', 'batch_size')
    return ', '.join(f'{name} {recipe[name]}' for name in known if name in recipe) or 'recorded'


def of_members(members: Mapping[str, Any]) -> list[str]:
    """Returns how many members are not training images, or that the target has no list of them.

    Args:
      members: `data.members` of `audit.json`.
    """
    if 'in_training_list' not in members:
        return [
            'That the members were trained on is taken on trust: the backbone has no list of its '
            'training images.'
        ]
    missing = members['images'] - members['in_training_list']
    if not missing:
        return []
    return [
        f"{missing} of {members['images']} images given as members are not in the target's own list of "
        'training images.'
    ]


def of_largest_person(side: str, identities: Sequence[str]) -> list[str]:
    """Returns the remark that one of eight people or more has over a quarter of a side's photographs.

    Args:
      side: 'members' or 'nonmembers'.
      identities: of its N photographs.
    """
    counts = collections.Counter(identities)
    most = max(counts.values())
    if len(counts) < 8 or most <= _DOMINATES * len(identities):
        return []
    return [
        f'One of the {len(counts)} people of {side} has {most} of their {len(identities)} photographs. '
        'An attack is fitted on one half of the people and judged on the other, which may leave one '
        'half with few photographs: give each person about as many (split_faces --limit_images).'
    ]


def of_shadow(target: Target, start: Target | None) -> str:
    """Returns what was known for training a shadow; an outsider may know less."""
    begin = f'started from {start.name}' if start is not None else 'started from random weights'
    if 'epochs' in (target.recipe or {}):
        return (
            f"The shadow was trained with the target's own recipe and {begin}: an attacker who "
            'does not know the recipe may reach less in the auxiliary setting.'
        )
    return (
        'The target has no record of its recipe; the shadow was trained with the default recipe '
        f'and {begin}: with the right recipe the auxiliary setting may reach more.'
    )


def of_attacks(
    chosen: Sequence[Attack], comparisons: Sequence[Comparison], *, references: bool
) -> list[str]:
    """Returns which of the chosen attacks could not be run, and why.

    Args:
      chosen: the requested attacks.
      comparisons: the results of those that were run.
      references: whether there were reference networks.
    """
    ran = {comparison.attack for comparison in comparisons}
    missing = [
        attack
        for attack in chosen
        if attack.name not in ran
        # Of a backbone without BatchNorm layers the two are the same.
        and not (attack.name == 'people-answers' and 'people' in ran)
    ]
    found = [
        f'{attack.title}: not run; the attack needs {attack.needs}.'
        for attack in missing
        if references or not attack.references
    ]
    if not references and any(attack.references for attack in missing):
        found.append(
            'No reference network was given (references): somebody who has the network that '
            'training started from, or a similar one, may learn more than is shown here.'
        )
    return found


def of_numbers(comparisons: Sequence[Comparison]) -> list[str]:
    """Returns the limits of small samples; rates are those of the first comparison."""
    found = []
    figures = comparisons[0].figures
    unresolved = [rate for rate, value in figures['tpr_at_fpr'].items() if value is None]
    if unresolved:
        percent = ', '.join(f'{100 * float(rate):g} %' for rate in unresolved)
        needed = intervals.RESOLVABLE / float(unresolved[-1])
        found.append(
            f'With {figures["nonmembers"]} non-members in the evaluation, true-positive rates at '
            f'{percent} false positives cannot be resolved ({needed:,.0f} would be needed for the '
            'lowest).'
        )
    few = min(
        min(intervals.people_per_side(scored.identities, scored.member))
        for one in comparisons
        for scored in (one.scored, one.blind_scored, one.null_scored)
        if scored is not None
    )
    if few < _FEW_PEOPLE:
        found.append(
            f'Some comparisons have only {few} people on a side: with fewer than {_FEW_PEOPLE}, '
            'their 95 % intervals contain the truth less often than 95 %.'
        )
    return found


def of_nothing(comparisons: Sequence[Comparison]) -> list[str]:
    """Returns the remark that no leak is no proof; [] if there is a leak or no attack counts."""
    counted = [one for one in comparisons if one.valid]
    if not counted or any(one.kind == LEAK for one in counted):
        return []
    if len(counted) == 1:
        return ['This attack shows no leak; another attack still might.']
    return [f'None of these {len(counted)} attacks shows a leak; another attack still might.']


def of_reach(found: Sequence[Mapping[str, Any]] | None) -> list[str]:
    """Returns the remark that there was no leak to follow.

    Args:
      found: `membership.reach` of `audit.json`, None if it was not requested.
    """
    if found is None or found:
        return []
    return [
        'No attack on photographs that knows some members shows a leak, so there was none to '
        'follow to changed copies (reach).'
    ]
