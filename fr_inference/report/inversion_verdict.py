"""The verdict of model inversion: the search beside its strongest control, and what it may miss."""

from collections.abc import Mapping
from typing import Any

from fr_inference import errors
from fr_inference.inversion.outcome import Outcome
from fr_inference.membership.comparison import CLEAR, LEAK, NEGLIGIBLE, OPEN
from fr_inference.metrics import power
from fr_inference.report import wording
from fr_inference.report.ruling import Reason, Ruling, percent, two_digits

SIGNIFICANT = 0.01
"""Largest p-value of a recovery."""


def of(inversion: Mapping[str, Any]) -> Ruling:
    """Returns the verdict of model inversion.

    A recovery is claimed only if the interval of the hit rate's excess over the strongest control
    lies above 0 and the p-values of that excess and of the relabelled gallery are below
    `SIGNIFICANT`. Otherwise the question stays open if there are more hits than chance and every
    control explain, or if the nearest person is a member more often than they explain. It also
    stays open if the search may have been unable to find anybody: too few reconstructions, a
    control that was not run, or a generator that is not known to be able to draw such people.

    Args:
      inversion: `inversion` of `audit.json`.
    """
    search = Outcome.from_json(inversion)
    if search.excess is None:
        raise errors.InputError('inversion', 'a search without an excess', 'one over its controls')
    said = [_asked(inversion), _finding(search, inversion), _sure(search)]
    if 'targeted' in inversion:
        said.append(_from_templates(inversion['targeted']))
    state, reasons = _state(search, inversion)
    headline, meaning = _STATES[state]
    if reasons:
        said.append(' '.join(reason.text for reason in reasons))
    kind = {'recovered': LEAK, 'nothing': CLEAR}.get(state, OPEN)
    if kind == OPEN:
        said.append(f'What would settle it: {_needed(search, inversion)}')
    if kind != OPEN:
        reasons = (Reason('inversion', headline), *reasons)
    return Ruling(kind, headline, (*said, f'What it means: {meaning}'), reasons)


def _state(search, inversion):
    """Returns (key of `_STATES`, reasons for an open verdict)."""
    figures, excess = search.figures, search.excess
    left, most = excess['hit_rate_ci95']
    by_chance = figures['p_value'] >= SIGNIFICANT
    if left > 0 and excess['p_value'] < SIGNIFICANT and not by_chance:
        return 'recovered', _not_run(search)
    if (excess['hit_rate'] > 0 and not by_chance) or (
        figures['nearest_p_value'] < SIGNIFICANT
        and figures['nearest_is_member_ci95'][0] > _nearest(search)
    ):
        return 'leaning', (_leaning(search), *_blind_spots(search, inversion), _power(excess))
    reasons = _blind_spots(search, inversion)
    if most > NEGLIGIBLE:
        reason = _power(excess)
        state = 'more' if excess['hit_rate'] > 0 else 'blind' if reasons else 'few'
        return state, (*reasons, reason)
    return ('blind', reasons) if reasons else ('nothing', ())


def _power(excess):
    least, most = power.smallest_excess(*excess['hit_rate_ci95']), excess['hit_rate_ci95'][1]
    return Reason(
        'power',
        f'Up to {percent(max(most, 0))} of the reconstructions may match members beyond the controls. '
        f'A difference below {percent(min(least, 1))} could have been missed.',
    )


def _leaning(search):
    return Reason(
        'inversion',
        'Without any threshold, the nearest person is a member for '
        f'{percent(search.figures["nearest_is_member"])} of the reconstructions (controls: up to '
        f'{percent(_nearest(search))}).',
    )


def _needed(search, inversion):
    """What would settle an open question."""
    spots = {reason.code for reason in _blind_spots(search, inversion)}
    steps = []
    if 'generator' in spots:
        steps.append(
            'a generator that is shown to draw such people (--targeted, with all people there are)'
        )
    if 'no-control' in spots:
        steps.append('the control with an untrained backbone (--untrained)')
    people = inversion['gallery']['members']
    low, high = search.excess['hit_rate_ci95']
    most = power.people_needed(low, high, people, NEGLIGIBLE)
    if most > people:
        faces = two_digits(search.figures['reconstructions'] * most / people)
        steps.append(
            f'about {two_digits(most):,} members, the same number of strangers, and {faces:,} '
            f'reconstructions (here {people:,} and {search.figures["reconstructions"]:,}): then a '
            f'difference of {100 * NEGLIGIBLE:g} points would be found in 9 of 10 audits'
        )
    return f'{"; ".join(steps) or "another search, with other people"}.'


def _not_run(search):
    """The reason for a control that was left out on request."""
    if 'untrained_target' in search.controls:
        return ()
    text = 'The control with an untrained backbone was not run (--untrained).'
    return (Reason('no-control', text),)


def _blind_spots(search, inversion):
    """Why this search may have missed faces that the backbone gives away."""
    found = []
    drawn = inversion.get('targeted', {}).get('controls', {}).get('nonmembers')
    if drawn is None:
        found.append(
            Reason(
                'generator',
                'Whether this generator can draw such people was not tested. --targeted tests it: '
                'it draws people whom the backbone never saw from their stored embeddings.',
            )
        )
    elif drawn['top1_ci95'][0] <= 0.5:
        low, high = drawn['top1_ci95']
        found.append(
            Reason(
                'generator',
                'This generator is not shown to be able to draw such people: drawn from their '
                f'stored embeddings, people are recognised in {percent(drawn["top1"])} of the cases '
                f'({percent(low)} to {percent(high)}).',
            )
        )
    return (*found, *_not_run(search))


def _nearest(search):
    return max(control.get('nearest_is_member', 0.0) for control in search.controls.values())


def _asked(inversion):
    return (
        'Asked: can faces of training people be made from it with a face generator, '
        f'{wording.knowing(inversion["setting"])}?'
    )


def _finding(search, inversion):
    figures, excess = search.figures, search.excess
    low, high = figures['hit_rate_ci95']
    left, most = excess['hit_rate_ci95']
    people = figures['distinct_identities']
    points = 100 * abs(excess['hit_rate'])
    difference = (
        'the same'
        if round(points) == 0
        else f'{points:.0f} points {"above" if excess["hit_rate"] > 0 else "below"} it'
    )
    judges = (
        'two further backbones, which had to agree and which the search never used'
        if 'second_evaluator' in inversion
        else 'a second backbone that the search never used'
    )
    return (
        f'Found: of {figures["reconstructions"]} reconstructions, {percent(figures["hit_rate"])} match '
        f'a member (95 % interval {percent(low)} to {percent(high)}; {people} '
        f'{"person" if people == 1 else "people"} in all), judged by {judges}. '
        f'The strongest control, {wording.SEARCH_CONTROLS[excess["over"]]}, reaches '
        f'{percent(search.controls[excess["over"]]["hit_rate"])}: the search is {difference} '
        f'(interval of the difference {100 * left:+.0f} to {100 * most:+.0f}).'
    )


def _sure(search):
    figures = search.figures
    return (
        'How sure: if members and strangers were assigned at random, this many matches would occur '
        f'with probability {_probability(figures["p_value"])}; if the search were no better than its '
        'controls, a difference this large would occur with probability '
        f'{_probability(search.excess["p_value"])} or less.'
    )


def _from_templates(targeted):
    """The sentence on the attack on stored templates: its controls by strength, and what follows."""
    search = Outcome.from_json(targeted)
    low, high = search.figures['top1_ci95']
    by_strength = sorted(search.controls.items(), key=lambda item: -item[1]['top1'])
    controls = ', '.join(
        f'{wording.TEMPLATE_CONTROLS[name]} {percent(found["top1"])}' for name, found in by_strength
    )
    others = search.controls.get('nonmembers')
    if others is None:
        meaning = (
            'Whether people it never saw are drawn equally well was not tested, so this says '
            'nothing about training.'
        )
    elif low > others.get('top1_ci95', [others['top1']])[-1]:
        meaning = 'Members are drawn better than people it never saw.'
    elif others['top1'] < search.figures['top1']:
        meaning = 'That is no sign of training: people it never saw may be drawn equally well.'
    else:
        meaning = 'That is no sign of training: people it never saw are drawn equally well.'
    return (
        'Also asked: can a face be made from the stored embedding of a member? '
        f'{targeted["people"]} were tried. In {percent(search.figures["top1"])} of the cases '
        f'({percent(low)} to {percent(high)}), the face is more like that person than like any other '
        f'of {targeted["gallery"]} people. The controls, the strongest first: {controls}. {meaning}'
    )


# State of a search -> (headline, what it means).
_STATES = {
    'recovered': (
        'Faces of people in the training set can be reconstructed from this backbone',
        'anyone who holds this file and a face generator can make faces that resemble people of the '
        'training set. They are likenesses, not photographs.',
    ),
    'leaning': (
        'Reconstructions lean towards members, but no match is certain',
        'too few reconstructions match a member to stand out from every control, but together they lean '
        'towards members. That is a hint, not a finding: the question stays open, and this audit is no '
        'reason to release the file.',
    ),
    'more': (
        'Reconstructions match members more often than the controls do, but the difference could be '
        'chance',
        'the question stays open, and this audit is no reason to release the file.',
    ),
    'few': (
        'Reconstructions do not match members more often than the controls do, but a difference cannot '
        'be excluded',
        'the question stays open, and this audit is no reason to release the file.',
    ),
    'blind': (
        'Nobody is recovered, but this search may have been unable to find anybody',
        'nothing follows from that, and it is no reason to release the file: a search with a '
        'generator that cannot draw these people finds nobody, whatever the backbone holds.',
    ),
    'nothing': (
        'Nothing recovered: no face of a person in the training set is shown',
        'with this search and this generator, which can draw people like these, reconstructions match '
        'members no more often than the controls do. Another search may find more.',
    ),
}


def _probability(value: float) -> str:
    return f'{value:.4f}' if value < 0.01 else f'{value:.2f}'
