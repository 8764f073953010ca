"""The report's words for an attack, its settings and its failed controls.

The verdict, tables, figures and batch page all use them, so that they say the same. They are made from
the fields of a `Comparison`, so a new attack needs no words of its own.
"""

from collections.abc import Mapping
from typing import Any

from fr_inference.inversion.outcome import Outcome
from fr_inference.membership import attacks
from fr_inference.membership.comparison import CLEAR, INVALID, LEAK, OPEN, Comparison
from fr_inference.report.ruling import hundred

# What the attacker knows: within a sentence, as a label, and after the word 'knows'.
_SETTINGS = {
    'partial': ('knowing some of the training images', 'some members known', 'some members'),
    'auxiliary': ('knowing none of the training images', 'no member known', 'a shadow, no member'),
    'strangers': ('knowing images of strangers only', 'strangers known only', 'strangers only'),
}
# What is judged: within a sentence, and as a label.
_UNITS = {
    'image': ('photographs', 'photographs'),
    'person': ('people with several photographs', 'people'),
}

# (what the attacker sees, whether it has reference networks) -> the attacker within a sentence, and
# the attacks that need no more than that.
_SEEN = {
    ('answers', False): (
        'somebody who only receives embeddings',
        'on the embeddings',
    ),
    ('answers', True): (
        'somebody who receives embeddings and has a reference network',
        'on the embeddings and a reference',
    ),
    ('file', False): ('somebody who holds the file', 'on the file'),
    ('file', True): (
        'somebody who holds the file and a reference network',
        'on the file and a reference',
    ),
}
_KINDS = {LEAK: 'leak', CLEAR: 'no leak', OPEN: 'open', INVALID: 'not counted'}
PAPER = 'bn-distance'
"""The attack of the paper that this project started from."""

CONTROL_FAILED = 'a control failed'
NOT_COUNTED = f'not counted because {CONTROL_FAILED}'
NO_FIGURE = 'not counted because the audit is invalid'

AUC_AXIS = 'AUC: how often a member scores above a stranger (0.5 is guessing)'
"""The axis of every figure of AUCs."""

SEARCH_CONTROLS = {
    'random_latents': 'random faces',
    'selected_only': 'the best random faces, not improved',
    'untrained_target': 'the same search against an untrained backbone',
    'nonmember_gallery': 'people who are not members',
}
"""Controls of an inversion, as the report calls them."""

TEMPLATE_CONTROLS = SEARCH_CONTROLS | {'nonmembers': 'templates of people who are not members'}
"""Controls of the inversion of stored templates."""


def searches(search: Outcome, controls: Mapping[str, str]) -> list[tuple[str, Mapping[str, Any]]]:
    """Returns (label, figures) of a search and its controls; `controls` holds the controls' labels."""
    found = [(controls[name], figures) for name, figures in search.controls.items()]
    return [('the search', search.figures), *found]


def knowing(setting: str) -> str:
    """Returns what the attacker knows.

    >>> knowing('partial')
    'knowing some of the training images'
    """
    return _SETTINGS[setting][0]


def holding(one: Comparison) -> str:
    """Returns what an attacker knows, and for attacks on people that they use several photographs."""
    several = 'from several photographs of a person, ' if one.unit == 'person' else ''
    return f'{several}{knowing(one.setting)}'


def judged(unit: str) -> str:
    """Returns what an attack judges.

    >>> judged('person')
    'people with several photographs'
    """
    return _UNITS[unit][0]


def details(one: Comparison) -> str:
    """Returns the label below an attack's title, such as 'photographs, some members known'."""
    return f'{_UNITS[one.unit][1]}, {_SETTINGS[one.setting][1]}'


def label(one: Comparison) -> str:
    """Returns the label of an attack in one line."""
    return f'{name(one)} ({details(one)})'


def name(one: Comparison) -> str:
    """Returns the name of an attack; the paper's attack is marked as such."""
    if combines(one):
        return f'All attacks {seen(one.access, one.references)} together'
    return f"The paper's attack: {one.title}" if one.attack == PAPER else one.title


def knows(setting: str) -> str:
    """Returns what the attacker knows, as it follows the word 'knows'.

    >>> knows('auxiliary')
    'a shadow, no member'
    """
    return _SETTINGS[setting][2]


def somebody(access: str, references: bool) -> str:
    """Returns the attacker with this access, within a sentence."""
    return _SEEN[access, references][0]


def word(kind: str) -> str:
    """Returns the result of a comparison in a word or two.

    >>> word('clear')
    'no leak'
    """
    return _KINDS[kind]


def combines(one: Comparison) -> bool:
    """Returns whether this is the combination of all attacks with one access."""
    return one.attack in attacks.names() and attacks.get(one.attack).combines


def combination(one: Comparison) -> str:
    """Returns a combined attack within a sentence: 'the combination of all attacks on the file'."""
    return f'the combination of all attacks {seen(one.access, one.references)}'


def called(one: Comparison) -> str:
    """Returns the name of an attack within a sentence."""
    return combination(one) if combines(one) else f'the attack "{one.title}"'


def seen(access: str, references: bool = False) -> str:
    """Returns what an attack sees, within a sentence.

    >>> seen('file')
    'on the file'
    """
    return _SEEN[access, references][1]


def source(name: str) -> str:
    """Returns the paper that an attack is from, '' for an attack of the user's own."""
    return attacks.get(name).source if name in attacks.names() else ''


def not_counted(one: Comparison, *, short: bool = False) -> str:
    """Returns why an attack is not counted, '' for a valid one.

    These words stand beside the attack's figures wherever they are shown. The short form leaves out the
    figures of the control.
    """
    if one.valid:
        return ''
    if short:
        return NOT_COUNTED
    picks = []
    if one.null_failed:
        assert one.null is not None
        low, high = one.null['auc_ci95']
        said = (
            'among strangers only, where there is nothing to find and 50 would be right, it picks '
            f'{cases(one.null)}'
        )
        if low <= 0.5 <= high:
            least, most = (hundred(end) for end in one.figures['auc_ci95'])
            said += (
                f', and {hundred(one.null["auc"])} is not below the range in which it picks members '
                f'({least} to {most})'
            )
        picks.append(said)
    if one.blind_reversed:
        picks.append(
            'on a backbone that never saw the members the attack works the other way round, as if '
            f'that backbone had been trained on the strangers: it picks {cases(one.blind)}'
        )
    elif one.blind_failed:
        picks.append(f'on a backbone that never saw these people it picks {cases(one.blind)}')
    if one.pictures_failed:
        picks.append(
            'plain statistics of the pictures (colour, contrast, sharpness), without any backbone, pick '
            f'{cases(one.pictures)}'
        )
    return f'{NOT_COUNTED}: {"; ".join(picks)}'


def cases(block: Mapping[str, Any] | None) -> str:
    """Returns an AUC for readers who do not know the term, such as '88 of 100 (57 to 100)'."""
    if block is None:
        return 'unknown'
    low, high = block['auc_ci95']
    return f'{hundred(block["auc"])} of 100 ({hundred(low)} to {hundred(high)})'


def share(block: Mapping[str, Any]) -> str:
    """Returns an AUC in short, after one that was given in full by `cases`: '88 (57 to 100)'."""
    return cases(block).replace(' of 100', '')


def auc(block: Mapping[str, Any] | None) -> str:
    """Returns an AUC with its 95 % interval, such as '0.875 (0.574 to 1.000)'."""
    if block is None:
        return 'unknown'
    low, high = block['auc_ci95']
    return f'{block["auc"]:.3f} ({low:.3f} to {high:.3f})'
