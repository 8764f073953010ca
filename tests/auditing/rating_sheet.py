"""Do people recognise the reconstructions? A blinded sheet to fill in, and its evaluation.

  python -m tests.auditing.rating_sheet make --faces=FACES --reconstructions=OUT --out=SHEET
  python -m tests.auditing.rating_sheet evaluate --key=SHEET/key.csv FILLED.csv [FILLED.csv ...]

OUT is what `experiments.reconstruct --photographs=...` wrote. Each question shows a photograph of a
person and a picture, in random order one of three: another photograph of the same person ('real'), the
reconstruction from that other photograph ('reconstruction'), or the reconstruction of somebody else
('control'). All are scaled to one size. SHEET/sheet.html saves the answers as a file; sheet.csv serves
without a browser. Keep key.csv from those who rate. 1 stands for surely another person, 5 for surely the
same.
"""

import argparse
import base64
import csv
import dataclasses
import io
import json
import pathlib

import numpy as np
from PIL import Image

from fr_inference import errors, rng, tables
from fr_inference.data import sources
from fr_inference.metrics import intervals

KINDS = ('real', 'reconstruction', 'control')
_SAME = 4  # from this rating on a picture is taken for the person
_REPLICATES = 2000
_SIZE = 128  # pixels of a side that are shown

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Rating sheet</title>
<meta name="viewport" content="width=device-width">
<style>body{font:16px sans-serif;max-width:46em;margin:2em auto;padding:0 1em}
img{width:45%;max-width:160px;margin-right:1em}
fieldset{border:0;border-top:1px solid #999;padding:1em 0}fieldset:focus-within{background:#eef}
label{display:inline-block;padding:.6em .3em}
footer{position:sticky;bottom:0;background:#fff;padding:1em 0}
</style>
<h1>The same person?</h1>
<p>Rate each pair from 1 (surely two people) to 5 (surely the same person). The keys 1 to 5 rate a pair
and go to the next. Save at the end: the answers are lost when the page is closed.</p>
<form id="f">QUESTIONS</form>
<footer><button onclick="save()">Save answers</button> <output></output></footer>
<script>
const count = COUNT, form = document.getElementById('f'), said = document.querySelector('output');
const pairs = [...form.querySelectorAll('fieldset')];
let saved = true;
const left = () => pairs.filter(pair => !pair.querySelector(':checked'));
function say() {
  const open = left();
  said.textContent = `${count - open.length} of ${count} rated` +
    (open.length && open.length < 10
      ? ', left: ' + open.map(pair => pairs.indexOf(pair) + 1).join(', ') : '');
}
form.onchange = () => { saved = false; say(); };
onkeydown = event => {
  if (!['1', '2', '3', '4', '5'].includes(event.key)) return;
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const pair = document.activeElement.closest('fieldset') || left()[0];
  if (!pair) return;
  pair.querySelector(`[value="${event.key}"]`).click();
  const next = pairs[pairs.indexOf(pair) + 1];
  if (next) next.scrollIntoView({block: 'center'});
  const to = next ? next.querySelector(':checked') || next.querySelector('input')
    : document.querySelector('button');
  to.focus({preventScroll: true});
};
onbeforeunload = event => { if (!saved) event.preventDefault(); };
function save() {
  const data = new FormData(form);
  let text = 'number,rating\\n';
  for (let i = 0; i < count; i++) text += i + ',' + (data.get('q' + i) || '') + '\\n';
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], {type: 'text/csv'}));
  link.download = 'filled.csv';
  link.click();
  saved = true;
}
say();
</script>
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """One pair.

    Attributes:
      person: row of the person whose photograph is shown.
      kind: in `KINDS`.
      shows: row of the person whose photograph or template is behind the picture.
    """

    person: int
    kind: str
    shows: int


def questions(people: int, *, seed: int) -> list[Question]:
    """Returns three questions for each person in random order; a control shows somebody else."""
    draw = rng.numpy_generator(seed, 'rating sheet')
    order = draw.permutation(people)
    other = np.empty(people, int)
    other[order] = np.roll(order, 1)
    asked = [
        Question(person=row, kind=kind, shows=int(other[row]) if kind == 'control' else row)
        for row in range(people)
        for kind in KINDS
    ]
    return [asked[i] for i in draw.permutation(len(asked))]


def page(asked: list[Question], references, photographs, reconstructions) -> str:
    """Returns the sheet as one HTML file; the pictures say nothing of their kind.

    Args:
      asked: the questions.
      references: for each person an image [H, W, 3] uint8 that every question shows.
      photographs: the same of another photograph, which the template was made of.
      reconstructions: from that template.
    """
    parts = []
    for number, question in enumerate(asked):
        shown = photographs if question.kind == 'real' else reconstructions
        pair = (references[question.person], shown[question.shows])
        images = ''.join(f'<img alt="" src="{_uri(image)}">' for image in pair)
        marks = ''.join(
            f'<label><input type="radio" name="q{number}" value="{mark}">{mark}</label>'
            for mark in range(1, 6)
        )
        parts.append(
            f'<fieldset><legend>Pair {number + 1}</legend>{images}'
            f'<div>different {marks} same</div></fieldset>'
        )
    return _PAGE.replace('COUNT', str(len(asked))).replace('QUESTIONS', ''.join(parts))


def _uri(image):
    small = Image.fromarray(np.asarray(image)).resize((_SIZE, _SIZE), Image.Resampling.BILINEAR)
    made = io.BytesIO()
    small.save(made, 'PNG')
    return 'data:image/png;base64,' + base64.b64encode(made.getvalue()).decode()


def evaluate(key: list[Question], ratings: np.ndarray, *, seed: int) -> dict[str, dict]:
    """Returns how often pictures of each kind are taken for the person, and how much more than controls.

    The interval resamples people, whose questions of all raters go together.

    Args:
      key: the N questions.
      ratings: [raters, N] of 1 to 5, NaN where a question was left out.
      seed: of the resamples.
    """
    people = np.array([question.person for question in key])
    kinds = np.array([question.kind for question in key])
    given = np.isfinite(ratings)
    same = given & (np.nan_to_num(ratings) >= _SAME)
    count = people.max() + 1
    totals = {
        kind: np.stack(
            [
                np.bincount(people, (counted & (kinds == kind)).sum(0), count)
                for counted in (same, given)
            ]
        )
        for kind in KINDS
    }
    draw = rng.numpy_generator(seed, 'raters').integers(count, size=(_REPLICATES, count))

    def share(kind):
        hits, asked = totals[kind]
        return hits.sum() / asked.sum(), hits[draw].sum(1) / np.maximum(asked[draw].sum(1), 1)

    control, of_control = share('control')
    found = {}
    for kind in KINDS:
        value, sample = share(kind)
        ends = intervals.percentiles(sample, count)
        found[kind] = {'same': float(value), 'same_ci95': [float(end) for end in ends]}
        if kind != 'control':
            ends = intervals.percentiles(sample - of_control, count)
            found[kind]['over_control'] = float(value - control)
            found[kind]['over_control_ci95'] = [float(end) for end in ends]
    return found


def read(path: pathlib.Path, count: int) -> np.ndarray:
    """Returns the ratings [count] of a filled sheet, NaN where a question was left out."""
    ratings = np.full(count, np.nan)
    for row in csv.DictReader(path.read_text().splitlines()):
        if row['rating']:
            number, rating = int(row['number']), int(row['rating'])
            if not (0 <= number < count and 1 <= rating <= 5):
                found = f'question {number} rated {rating}'
                raise errors.InputError(str(path), found, f'0 to {count - 1} rated 1 to 5')
            ratings[number] = rating
    return ratings


def _make(given):
    faces = sources.open_faces(given.faces, 'faces')
    made = pathlib.Path(given.reconstructions)
    rows = list(csv.DictReader((made / 'reconstructions.csv').read_text().splitlines()))
    place = {str(path): row for row, path in enumerate(faces.paths)}
    of_person: dict[str, list[int]] = {}
    for row, name in enumerate(faces.identities):
        of_person.setdefault(name, []).append(row)
    references, photographs, reconstructions = [], [], []
    for number, entry in enumerate(rows):
        row = place.get(entry['template'])
        if row is None:
            raise errors.InputError('faces', f'no {entry["template"]}', 'the photographs of OUT')
        others = [one for one in of_person[faces.identities[row]] if one != row]
        if others:
            references.append(faces.read(others[0]))
            photographs.append(faces.read(row))
            with Image.open(made / 'reconstructions' / f'{number:04d}.png') as image:
                reconstructions.append(np.asarray(image.convert('RGB')))
    asked = questions(len(references), seed=given.seed)
    out = pathlib.Path(given.out)
    out.mkdir(parents=True)
    (out / 'sheet.html').write_text(page(asked, references, photographs, reconstructions))
    numbers = range(len(asked))
    tables.write(out / 'sheet.csv', ('number', 'rating'), ((n, '') for n in numbers))
    key = ((n, asked[n].person, asked[n].kind, asked[n].shows) for n in numbers)
    tables.write(out / 'key.csv', ('number', 'person', 'kind', 'shows'), key)
    print(f'{len(asked)} questions: {out}/sheet.html')


def _evaluate(given):
    rows = csv.DictReader(pathlib.Path(given.key).read_text().splitlines())
    key = [
        Question(person=int(row['person']), kind=row['kind'], shows=int(row['shows']))
        for row in rows
    ]
    ratings = np.stack([read(pathlib.Path(path), len(key)) for path in given.filled])
    print(json.dumps(evaluate(key, ratings, seed=given.seed), indent=1))


def main():
    flags = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    modes = flags.add_subparsers(required=True)
    make = modes.add_parser('make')
    for name in ('faces', 'reconstructions', 'out'):
        make.add_argument(f'--{name}', required=True)
    judge = modes.add_parser('evaluate')
    judge.add_argument('--key', required=True)
    judge.add_argument('filled', nargs='+')
    for mode, run in ((make, _make), (judge, _evaluate)):
        mode.add_argument('--seed', type=int, default=0)
        mode.set_defaults(run=run)
    given = flags.parse_args()
    given.run(given)


if __name__ == '__main__':
    main()
