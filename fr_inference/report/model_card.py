"""The privacy section of a model card: Markdown that begins with Hugging Face's `model-index` metadata.

It states the attacks with their access, their results beside the controls, and the verdict. It
holds counts, but no name, path or picture of anybody: sentences that may quote those are left out.

Source of the format: huggingface/hub-docs, modelcard.md; `model-index` is the format of Papers with
Code.
"""

import functools
import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from fr_inference import errors, files, local_copies, runs
from fr_inference.inversion.outcome import Outcome
from fr_inference.membership.comparison import INVALID, Comparison, decisive, weighed
from fr_inference.report import wording
from fr_inference.report.ruling import capital, percent
from fr_inference.report.verdict import comparisons, verdict

_MARK = '<!-- written by fr_inference -->'
_MEANS = {
    'leak': 'the backbone gives something away, and neither chance nor a control explains it',
    'clear': 'the attacks learn next to nothing, and would have found a leak that matters',
    'open': 'neither a leak nor its absence is shown',
    'invalid': 'the figures do not answer the question, and are left out',
}


def check(path: str | os.PathLike) -> None:
    """Raises `InputError` of 'card' unless a card can be written there; overwrites only a card."""
    runs.by_first(functools.partial(_check, path))


def _check(path):
    path = local_copies.here(path, 'card')
    if path.is_dir():
        raise errors.InputError('card', f'{path}, a folder', 'a file')
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            ours = _MARK in file.read(1 << 16)
    except FileNotFoundError:
        return
    except OSError as error:
        raise errors.InputError('card', f'{path}: {error.strerror}', 'a file') from error
    if not ours:
        found = f'{path}, which was not written by an audit'
        raise errors.InputError('card', found, 'a new file', 'copy its parts into the card by hand')


@runs.first_only
def write(record: Mapping[str, Any], path: str | os.PathLike) -> None:
    """Writes the card of an audit; with several processes, only the first writes.

    Args:
      record: the contents of `audit.json`.
      path: a file that `check` accepts.

    Raises:
      InputError: of 'card', if the path holds a file that no audit wrote, or cannot be written.
    """
    _check(path)
    try:
        files.write_text(local_copies.here(path, 'card'), render(record))
    except OSError as error:
        raise errors.InputError('card', f'{path}: {error.strerror}', 'a file') from error


def render(record: Mapping[str, Any]) -> str:
    """Returns the card of an audit: the metadata between lines of `---`, then the section.

    Args:
      record: the contents of `audit.json`.
    """
    said = verdict(record)
    model = pathlib.PurePath(errors.shown(record['target']['name'])).name or 'backbone'
    head: dict[str, Any] = {'tags': ['face-recognition', 'membership-inference-audit']}
    if said.kind != INVALID and (results := list(_results(record, said))):
        head['model-index'] = [{'name': model, 'results': results}]
    made, data = record['provenance'], record['data']
    return '\n'.join(
        [
            '---',
            *_yaml(head),
            '---',
            _MARK,
            '',
            '## Privacy',
            '',
            f'**Verdict: {said.kind}** ({_MEANS[said.kind]}). {_text(said.headline)}.',
            '',
            'The audit asked whether this backbone gives away the faces that it was trained on. It was '
            f'given {_count(data["members"])} as training images, and {_count(data["nonmembers"])} as '
            f'strangers.{_trust(data["members"])}',
            *(['', *_table(record)] if said.kind != INVALID else []),
            '',
            f'Audited with fr_inference {_version(made)} on {made["date"][:10]}, seed {made["seed"]}; '
            f'SHA-256 of the audited backbone `{made["target_sha256"]}`. An attack that finds nothing '
            'proves nothing about other attacks. Intervals are 95 % and resample people.',
            '',
        ]
    )


def _trust(members):
    if 'in_training_list' in members:
        return ''
    return ' That it was trained on the former is taken on trust: it has no list of its training images.'


def _version(made):
    return made['versions'].get('fr_inference') or 'of an unknown version'


def _count(side):
    return f'{side["images"]:,} images of {side["people"]:,} people'


def _shown(record) -> list[Comparison]:
    """The decisive attack first, then the others that the verdict may rest on."""
    found = comparisons(record)
    if not found:
        return []
    first = decisive(found)
    return [first, *(one for one in weighed(found) if one is not first)]


def _table(record) -> Iterator[str]:
    shown = _shown(record)
    if shown:
        yield '| attack | by whom | AUC | backbone that never saw them | among strangers only | says |'
        yield '|---|---|---|---|---|---|'
    for one in shown:
        says = wording.word(one.kind)
        if not one.valid:
            says = f'{says}: {wording.CONTROL_FAILED}'
        cells = (
            f'{wording.name(one)}, on {wording.judged(one.unit)}',
            f'{wording.somebody(one.access, one.references)}, {wording.knowing(one.setting)}',
            wording.auc(one.figures),
            wording.auc(one.blind) if one.blind else 'not run',
            wording.auc(one.null) if one.null else 'not run',
            says,
        )
        yield f'| {" | ".join(capital(_text(cell)) for cell in cells)} |'
    if shown:
        yield ''
        yield (
            'AUC: how often a member scores above a stranger; 0.5 is guessing. The next two '
            'columns are controls: their intervals should include 0.5.'
        )
    if 'inversion' in record:
        search = Outcome.from_json(record['inversion'])
        if shown:
            yield ''
        yield _inverted(search)


def _inverted(search):
    """Model inversion in one sentence."""
    low, high = search.figures['hit_rate_ci95']
    controls = ', '.join(
        f'{wording.SEARCH_CONTROLS[name]} {percent(found["hit_rate"])}'
        for name, found in search.controls.items()
        if name in wording.SEARCH_CONTROLS
    )
    return (
        f'Model inversion: {percent(search.figures["hit_rate"])} ({percent(low)} to {percent(high)}) of '
        f'{search.figures["reconstructions"]:,} reconstructed faces show a member. Controls: {controls}.'
    )


def _results(record, said) -> Iterator[dict[str, Any]]:
    """Yields the results of `model-index`, without attacks whose control failed."""
    common = {
        'verdict': said.kind,
        'reasons': [reason.code for reason in said.reasons],
        'fr_inference': _version(record['provenance']),
        'date': record['provenance']['date'][:10],
    }
    data = record['data']
    faces = {
        'type': 'private',
        'name': f'{_count(data["members"])}, and {_count(data["nonmembers"])} not trained on',
    }
    for one in _shown(record):
        if not one.valid:
            continue
        controls = {'blind_auc': one.blind, 'null_auc': one.null, 'pictures_auc': one.pictures}
        known: dict[str, Any] = {
            'attack': errors.shown(one.attack),
            'access': one.access,
            'references': one.references,
            'knows': one.setting,
            'judges': one.unit,
            'ci95': _rounded(one.figures['auc_ci95']),
            **{name: _rounded([block['auc']])[0] for name, block in controls.items() if block},
            **({'excess_ci95': _rounded(one.excess['auc_ci95'])} if one.excess else {}),
            'says': one.kind,
        }
        name = f'Membership inference AUC ({errors.shown(wording.label(one))})'
        yield {
            'task': {'type': 'membership-inference', 'name': 'Membership inference (privacy)'},
            'dataset': faces,
            'metrics': [
                {
                    'type': 'roc_auc',
                    'value': _rounded([one.figures['auc']])[0],
                    'name': name,
                    'args': known | common,
                }
            ],
        }
    if 'inversion' in record:
        search = Outcome.from_json(record['inversion'])
        known = {'ci95': _rounded(search.figures['hit_rate_ci95'])}
        known |= {
            f'{name}_hit_rate': _rounded([found['hit_rate']])[0]
            for name, found in search.controls.items()
            if 'hit_rate' in found
        }
        yield {
            'task': {'type': 'model-inversion', 'name': 'Model inversion (privacy)'},
            'dataset': faces,
            'metrics': [
                {
                    'type': 'hit_rate',
                    'value': _rounded([search.figures['hit_rate']])[0],
                    'name': 'Reconstructions that show a member',
                    'args': known | common,
                }
            ],
        }


def _rounded(values):
    return [round(float(value), 4) for value in values]


def _text(text):
    """Escapes a text from outside for Markdown: it can hold no markup and no column separator."""
    for character in '\\`*_[]<>|#':
        text = text.replace(character, f'\\{character}')
    return errors.shown(text)


def _yaml(value: Any, indent: str = '') -> Iterator[str]:
    """Yields the lines of a mapping or a list in block style, with flat values as JSON.

    JSON without control characters is valid YAML for any text; `errors.shown` removes them.
    """
    for key, one in value.items():
        nested = isinstance(one, dict) or (
            isinstance(one, list) and any(isinstance(part, dict) for part in one)
        )
        if not nested:
            yield f'{indent}{key}: {json.dumps(one, ensure_ascii=False)}'
            continue
        yield f'{indent}{key}:'
        if isinstance(one, dict):
            yield from _yaml(one, f'{indent}  ')
            continue
        for part in one:
            first, *rest = _yaml(part, f'{indent}  ')
            yield f'{indent}- {first.lstrip()}'
            yield from rest
