"""The verdict of an audit: one word, its reasons, and any caution that comes first.

docs/verdicts.md has the rules. Membership inference and model inversion each have a verdict
(`membership_verdict`, `inversion_verdict`), and so has the audit as a whole. If the figures may
answer another question than the one that was asked, the verdict says so first.
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
"""The labels of sentences: a sentence may begin with one of them and a colon."""


@dataclasses.dataclass(frozen=True)
class Verdict(Ruling):
    """The verdict of an audit, with which its report begins.

    Attributes:
      kind: 'leak', 'clear', 'open' or 'invalid': the one word.
      headline: one sentence.
      sentences: what was asked, what was found, how sure, what it means.
      reasons: why it is this word.
    """

    def __str__(self) -> str:
        return '\n'.join([f'Verdict: {self.kind}. {self.headline}', *self.sentences])

    def to_json(self) -> dict[str, Any]:
        """Returns the verdict as fields of `audit.json`."""
        return {
            'verdict': self.kind,
            'headline': self.headline,
            'reasons': [dataclasses.asdict(reason) for reason in self.reasons],
        }


def verdict(record: Mapping[str, Any]) -> Verdict:
    """Returns the verdict on the contents of `audit.json`.

    A leak in either part is a leak. The audit is clear only if every part is clear. If no member is
    a training image, the audit is invalid whatever it found. If the input does not fit, it is
    invalid unless it shows a leak.
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
      kind: the verdict that this doubt leads to, 'invalid' or 'open', unless a leak is found.
      code: the code of the reason.
      headline: the headline of that verdict.
      text: the sentence that the verdict begins with.
      advice: what to do about it.
    """

    kind: str = INVALID
    code: str
    headline: str
    text: str
    advice: str

    @property
    def reason(self) -> Reason:
        """The doubt as a reason."""
        return Reason(self.code, self.text)

    @property
    def said(self) -> str:
        """The doubt as a sentence with its label."""
        return f'Why: {self.text}'


def _doubted(doubt, kind, parts):
    """The verdict on an audit that shows no leak, but may not have been able to show one."""
    kind = INVALID if INVALID in (doubt.kind, kind) else OPEN
    said = tuple(text for part in parts for text in _found_so_far(part.sentences))
    return Verdict(kind, doubt.headline, (doubt.said, *said, doubt.advice), (doubt.reason,))


def _found_so_far(sentences):
    """Drops the sentences on what the findings mean and what would settle the question."""
    last = next((n for n, text in enumerate(sentences) if text.startswith('How sure: ')), 0)
    return sentences[: last + 1]


_MISFIT = (
    'What it means: with the right input the backbone may give away more than was found here, so this '
    'audit is no reason to release it. Audit again with the colour order and range it was trained '
    'with. Only that audit can say how many people an answer takes.'
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
                headline='The images may not have been given to the backbone as it expects them',
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
            headline = 'The images were not given to the backbone as it expects them'
            plain = 'Another order or range of the colours fits clearly better.'
        else:
            headline = 'The images do not fit the backbone'
            plain = 'No order or range of the colours that was tried fits them.'
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


# If the target lists its training images, an all-clear needs this share of the members in the list.
_LISTED = 0.9


def _unfounded(record):
    """Returns why the audit could have missed any leak, None if nothing speaks against an all-clear."""
    if (doubt := _overlapping(record) or _unlisted(record) or _beside(record)) is not None:
        return doubt
    found = record.get('input', {}).get('verification')
    if found is not None and found['accuracy_ci95'][0] <= 0.5:
        return Doubt(
            kind=OPEN,
            code='recognition',
            headline='No leak is shown, but the backbone recognises nobody',
            text='With this input, the backbone is no better than guessing at telling whether two '
            f'photographs of strangers show the same person ({100 * found["accuracy"]:.0f} of 100 '
            'pairs right).',
            advice='What it means: a backbone that does not work, or gets the wrong input, has '
            'nothing to give away. Check the checkpoint and its input with verify.',
        )
    return None


def _overlapping(record):
    """Returns a doubt if people or images are on both sides (which was then allowed), else None."""
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
    """Returns a doubt if many members are not in the target's own list of training images, else None."""
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
    """Returns a doubt if a shadow, control or evaluator may have had the wrong input, else None."""
    misfits = record.get('misfits')
    if not misfits:
        return None
    return Doubt(
        kind=OPEN,
        code='input-beside',
        headline='No leak is shown, but another backbone of this audit may have been given the '
        'wrong input',
        text=capital(' '.join(misfits.values())),
        advice='What it means: an attack learns less from a shadow with the wrong input, and a '
        'control or an evaluator may see nothing, so the question stays open. State the input '
        'convention of that backbone.',
    )


def _wrong_members(record):
    """Returns a doubt if no member is in the target's own list of training images, else None."""
    members = record.get('data', {}).get('members', {})
    if members.get('in_training_list') != 0:
        return None
    return Doubt(
        code='members',
        headline='Wrong images: no image given as a member is in the list of training images',
        text=f"None of the {members['images']:,} images given as members is in the backbone's own list "
        'of training images.',
        advice='What it means: nothing was tested, and this audit is no reason to release the file. '
        'Give the original files that the backbone was trained on: a file that was saved again '
        'counts as a different image.',
    )


def comparisons(record: Mapping[str, Any]) -> list[Comparison]:
    """Returns the comparisons of an `audit.json`; none if membership inference was not run."""
    found = record.get('membership', {}).get('comparisons', ())
    return [Comparison.from_json(entry) for entry in found]


def collection(record: Mapping[str, Any]) -> str:
    """Returns how much of a collection was used for training, or why that is not known.

    Args:
      record: the contents of `audit.json`.

    Returns:
      A sentence; '' if no collection was given.
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
    """Returns why the question about a given collection has no answer; else ''.

    Args:
      record: the contents of `audit.json`.
    """
    membership = record.get('membership', {})
    given = record.get('data', {}).get('collection', {})
    if not membership or membership.get('collection') or not (given or 'collection' in membership):
        return ''
    by = first_of(comparisons(record), 'image')
    if by is None:
        return 'no attack on photographs that knows some members was run'
    if not by.valid:
        return f'the attack that would look for them is {wording.NOT_COUNTED}'
    if by.kind != LEAK:
        return 'the attack that would look for them shows no leak'
    people = given.get('people', usage.LEAST_PEOPLE)
    if people < usage.LEAST_PEOPLE:
        return f'the collection holds {people} people, and {usage.LEAST_PEOPLE} are needed'
    return 'the attack takes members for members hardly more often than strangers'
