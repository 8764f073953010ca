"""The verdict of an audit: one word, why it is this one, and what is said first.

The rules stand in docs/verdicts.md. Membership inference and model inversion have one each
(`membership_verdict`, `inversion_verdict`), and the audit has one. What makes the figures answer another
question than the one that was asked is said first.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from fr_inference.membership import usage
from fr_inference.membership.comparison import CLEAR, INVALID, LEAK, OPEN, Comparison, first_of
from fr_inference.report import inversion_verdict, membership_verdict, wording
from fr_inference.report.ruling import Reason, Ruling, capital

MEANS = 'What it means'
LABELS = (
    'Why',
    'Caution',
    'Asked',
    'Found',
    'To whom',
    'How sure',
    'Also asked',
    'What would settle it',
    MEANS,
)
"""Some sentences begin with one of these and a colon."""


@dataclasses.dataclass(frozen=True)
class Verdict(Ruling):
    """What is said first.

    Attributes:
      kind: 'leak', 'clear', 'open' or 'invalid': the one word.
      headline: one sentence.
      sentences: what was asked, what was found, how sure, what it means.
      reasons: why it is this word and no other.
    """

    def __str__(self) -> str:
        return '\n'.join([f'Verdict: {self.kind}. {self.headline}', *self.sentences])

    def to_json(self) -> dict[str, Any]:
        """Returns the fields of `audit.json` that it is."""
        return {
            'verdict': self.kind,
            'headline': self.headline,
            'reasons': [dataclasses.asdict(reason) for reason in self.reasons],
        }


def verdict(record: Mapping[str, Any]) -> Verdict:
    """Returns the verdict on the contents of `audit.json`.

    A leak that either part shows is a leak. It is clear only where every part is. Members who are not
    the training images make everything invalid; an input that does not fit, everything but a leak.
    """
    wrong, doubt = _wrong_members(record), doubt_of(record)
    if wrong is not None:
        return Verdict(INVALID, wrong.headline, (wrong.said, wrong.advice), (wrong.reason,))
    parts: list[Ruling] = []
    if 'membership' in record:
        parts.append(
            membership_verdict.of(
                comparisons(record),
                record['membership'].get('populations', {}),
                data=record.get('data'),
            )
        )
    if 'inversion' in record:
        parts.append(inversion_verdict.of(record['inversion']))
    kind = next(kind for kind in (LEAK, INVALID, OPEN, CLEAR) if kind in [p.kind for p in parts])
    if doubt is not None and kind != LEAK:
        return _doubted(doubt, kind, parts)
    if kind == CLEAR and (unfounded := _unfounded(record)) is not None:
        return _doubted(unfounded, kind, parts)
    headline = next(part.headline for part in parts if part.kind == kind)
    if [part.kind for part in parts] == [LEAK, LEAK]:
        headline = f'{headline}, and faces of training people can be reconstructed'
    said = sum((part.sentences for part in parts), ())
    reasons = sum((part.reasons for part in parts if part.kind == kind), ())
    if kind == LEAK:
        doubts = (doubt, _overlapping(record), _unlisted(record), _beside(record))
        cautions = [found for found in doubts if found]
        said = (*(f'Caution: {caution.text}' for caution in cautions), *said)
        reasons = (*reasons, *(caution.reason for caution in cautions))
    return Verdict(kind, headline, said, reasons)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Doubt:
    """Why the figures may answer another question than the one that was asked.

    Attributes:
      kind: of a verdict that would be less bad without it.
      code: of the reason.
      headline: of that verdict.
      text: the first sentence.
      advice: what to do about it.
    """

    kind: str = INVALID
    code: str
    headline: str
    text: str
    advice: str

    @property
    def reason(self) -> Reason:
        """The same as a reason."""
        return Reason(self.code, self.text)

    @property
    def said(self) -> str:
        """The same as a sentence with its label."""
        return f'Why: {self.text}'


def _doubted(doubt, kind, parts):
    """The verdict on an audit that shows no leak, and may not have been able to show one."""
    kind = INVALID if INVALID in (doubt.kind, kind) else OPEN
    said = tuple(text for part in parts for text in _found_so_far(part.sentences))
    return Verdict(kind, doubt.headline, (doubt.said, *said, doubt.advice), (doubt.reason,))


def _found_so_far(sentences):
    """Without what they would mean, and what would settle a question that was not asked rightly."""
    last = next((n for n, text in enumerate(sentences) if text.startswith('How sure: ')), 0)
    return sentences[: last + 1]


_MISFIT = (
    'What it means: with the right input the backbone may give away more than was found here, so this '
    'audit is no reason to release it. Audit again with the order and range of colours it was trained '
    'with; how many people that takes can be said only then.'
)


def doubt_of(record: Mapping[str, Any]) -> Doubt | None:
    """Returns why the images may not be what the backbone expects, None where they fit."""
    found = record.get('input', {})
    check, alignment = found.get('check'), found.get('alignment', {})
    if check is not None and not check['trusted']:
        if check.get('state') in ('unknown', 'fits'):
            return Doubt(
                kind=OPEN,
                code='input-unknown',
                headline='The images may not have been fed as the backbone expects',
                text=check['remark'],
                advice=_MISFIT,
            )
        if not check.get('trained', True):
            return Doubt(
                code='input',
                headline='The BatchNorm statistics of the backbone are untrained',
                text=check['remark'],
                advice='What it means: nothing was tested. Give the trained checkpoint, with its '
                'statistics (running_mean, running_var).',
            )
        if check.get('state') == 'other':
            headline = 'The images were not fed as the backbone expects'
            plain = 'Their colours fit another order or range clearly better.'
        else:
            headline = 'The images do not fit the backbone'
            plain = 'Their colours fit no order or range that was tried.'
        return Doubt(
            code='input', headline=headline, text=f'{plain} {check["remark"]}', advice=_MISFIT
        )
    loose = [
        name for name, score in alignment.get('scores', {}).items() if score < alignment['least']
    ]
    if loose:
        sides = ' and '.join(name.replace('_', ' ') for name in loose)
        return Doubt(
            code='alignment',
            headline='The images are not cropped as the backbone expects',
            text=f'The images of {sides} do not look aligned.',
            advice='What it means: a backbone recognises faces only in the crop it was trained on, so '
            'this audit is no reason to release it. Align the photographs (--align or align_faces).',
        )
    return None


_LISTED = 0.9  # an all-clear needs this share of the members in the target's list, where it has one


def _unfounded(record):
    """Returns why nothing would have been found whatever leaks, None where an all-clear is founded."""
    if (doubt := _overlapping(record) or _unlisted(record) or _beside(record)) is not None:
        return doubt
    found = record.get('input', {}).get('verification')
    if found is not None and found['accuracy_ci95'][0] <= 0.5:
        return Doubt(
            kind=OPEN,
            code='recognition',
            headline='No leak is shown, but the backbone recognises nobody',
            text='As it was fed, the backbone tells whether two photographs of strangers show one '
            f'person no better than guessing ({100 * found["accuracy"]:.0f} of 100 pairs right).',
            advice='What it means: a backbone that does not work, or is fed wrong, has nothing to give '
            'away. Check the checkpoint and its input with verify.',
        )
    return None


def _overlapping(record):
    """Says that people or images are on two sides, where that was allowed; else None."""
    overlaps = record.get('overlaps')
    if not overlaps:
        return None
    return Doubt(
        kind=OPEN,
        code='overlap',
        headline='No leak is shown, but the two sides overlap',
        text=capital(overlaps[0]),
        advice='What it means: images that are on both sides can hide a leak, so the question stays '
        'open. Separate the two sides.',
    )


def _unlisted(record):
    """Says that many members are not in the target's own list of training images; else None."""
    members = record.get('data', {}).get('members', {})
    listed = members.get('in_training_list')
    if listed is None or listed >= _LISTED * members['images']:
        return None
    return Doubt(
        kind=OPEN,
        code='members',
        headline='No leak is shown, but many of the images given as members were not trained on',
        text=f'Only {listed:,} of the {members["images"]:,} images given as members are in the '
        "backbone's own list of training images.",
        advice='What it means: images that were not trained on can hide a leak of the others, so '
        'the question stays open. Give training images only.',
    )


def _beside(record):
    """Says that a backbone given beside the target may have been fed wrong; else None."""
    misfits = record.get('misfits')
    if not misfits:
        return None
    return Doubt(
        kind=OPEN,
        code='input-beside',
        headline='No leak is shown, but a backbone beside this one may have been fed wrong',
        text=capital(' '.join(misfits.values())),
        advice='What it means: an attack learns less from a shadow that is fed wrong, and a control '
        'or an evaluator may see nothing, so the question stays open. Give that backbone its own input.',
    )


def _wrong_members(record):
    """Says that no member is a training image, where the target's own list tells; else None."""
    members = record.get('data', {}).get('members', {})
    if members.get('in_training_list') != 0:
        return None
    return Doubt(
        code='members',
        headline='Wrong images: none of those given as members is in the list of training images',
        text=f"None of the {members['images']:,} images given as members is in the backbone's own list "
        'of training images.',
        advice='What it means: nothing was tested, and this audit is no reason to release the file. '
        'Give the very files that the backbone was trained on: an image that was saved again counts as '
        'another one.',
    )


def comparisons(record: Mapping[str, Any]) -> list[Comparison]:
    """Returns the comparisons of an `audit.json`, none where membership inference was not run."""
    found = record.get('membership', {}).get('comparisons', ())
    return [Comparison.from_json(entry) for entry in found]


def collection(record: Mapping[str, Any]) -> str:
    """Returns how much of a collection was used for training, or why that is not known.

    Args:
      record: the contents of `audit.json`.

    Returns:
      A sentence; '' where no collection was given.
    """
    if why := no_answer(record):
        return (
            f'Collection: how many of its photographs were trained on is not known, because {why}.'
        )
    if used := record.get('membership', {}).get('collection'):
        low, high = used['share_ci95']
        return (
            f'Collection: about {100 * used["share"]:.0f} % of its {used["images"]:,} photographs of '
            f'{used["people"]:,} people were trained on (95 % interval {100 * low:.0f} to '
            f'{100 * high:.0f} %).'
        )
    return ''


def no_answer(record: Mapping[str, Any]) -> str:
    """Returns why a collection that was given has no answer, behind the word 'because'; else ''.

    Args:
      record: the contents of `audit.json`.
    """
    membership = record.get('membership', {})
    given = record.get('data', {}).get('collection', {})
    if not membership or membership.get('collection') or not (given or 'collection' in membership):
        return ''
    by = first_of(comparisons(record), 'image')
    if by is None:
        return 'no attack on photographs was run that knows some members'
    if not by.valid:
        return f'the attack that would look for them is {wording.NOT_COUNTED}'
    if by.kind != LEAK:
        return 'the attack that would look for them shows no leak'
    people = given.get('people', usage.LEAST_PEOPLE)
    if people < usage.LEAST_PEOPLE:
        return f'the collection holds {people} people, and {usage.LEAST_PEOPLE} are needed'
    return 'the attack recognises too few members beyond strangers'
