"""What a leaked template gives away: from a stored embedding to a face like that person.

`reconstruct` makes the faces; `run` does so for members of an audit, with controls.
"""

import dataclasses
import os
import pathlib
import tokenize
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fr_inference import config, errors, rng, tables
from fr_inference.config import Search
from fr_inference.data.faces import Faces, from_arrays
from fr_inference.inversion import goals, judge, pictures, search, subject
from fr_inference.inversion.evaluator import Evaluator
from fr_inference.inversion.guidance import Side
from fr_inference.inversion.outcome import Outcome
from fr_inference.inversion.search import Found
from fr_inference.inversion.subject import Progress, Subject
from fr_inference.measuring import distances, measurements
from fr_inference.metrics import intervals
from fr_inference.models.stylegan2 import Trained
from fr_inference.models.target import Target

_CANDIDATES = 4  # for each template of an audit; the best is kept


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reconstructed:
    """Faces of P people from an embedding of each.

    Attributes:
      found: the reconstructions, one for each template, in their order.
      columns: what `reconstructions.csv` holds: column -> P values. 'template' names it, 'similarity' is
        the target's cosine with it, 'evaluator_similarity', where there is an evaluator, the cosine of
        reconstruction and photograph to it.
    """

    found: Found
    columns: Mapping[str, list[Any]]

    def save(self, directory: str | os.PathLike) -> None:
        """Writes reconstructions.csv, reconstructions.png and reconstructions/NNNN.png.

        Args:
          directory: exists. Of several processes one alone calls this.

        Raises:
          InputError: where there is a file of that name already.
        """
        path = pathlib.Path(directory) / 'reconstructions.csv'
        tables.write(path, self.columns, zip(*self.columns.values(), strict=True))
        pictures.save(self.found.images, directory)


def reconstruct(
    target: Target,
    generator: Trained,
    templates: np.ndarray,
    *,
    seed: int,
    how: Search | None = None,
    names: Sequence[str] | None = None,
    workdir: str | os.PathLike | None = None,
    progress: Progress | None = None,
) -> Reconstructed:
    """Makes a face for each stored embedding; the target needs no BatchNorm layers.

    Args:
      target: the backbone that made the embeddings.
      generator: whose latents are searched.
      templates: [P, D] embeddings, of any length above 0.
      seed: of every draw.
      how: each template has `candidates` of its own, of which the best is kept (`keep` and `apart` do
        not count); four candidates by default.
      names: of the P templates; their numbers by default.
      workdir: keeps random latents and the state, so that a stopped search goes on.
      progress: called as progress(label, done, total).

    Raises:
      InputError: for embeddings of another length than the target's, or where nothing finite is found.
      Stopped: when that was asked for.
    """
    how = config.replace(how or Search(candidates=_CANDIDATES, keep=1), keep=1, apart=1.0)
    folder = pathlib.Path(workdir) if workdir is not None else None
    made = subject.prepare(
        target,
        generator,
        how,
        seed=seed,
        workdir=folder and folder / 'random_faces',
        progress=progress,
    )
    goal = goals.templates(templates, strength=how.strength, prior=how.prior)
    found = search.run(made, goal, how, workdir=folder, label='reconstructing', progress=progress)
    similarity = (found.embeddings * judge.unit(templates)).sum(1)
    return Reconstructed(
        found=found,
        columns={
            'template': list(names)
            if names is not None
            else [str(n) for n in range(len(templates))],
            'similarity': similarity.tolist(),
        },
    )


def reconstruct_photographs(
    target: Target,
    generator: Trained,
    faces: Faces,
    *,
    seed: int,
    evaluator: Target | None = None,
    how: Search | None = None,
    workdir: str | os.PathLike | None = None,
    progress: Progress | None = None,
) -> Reconstructed:
    """Embeds photographs, reconstructs from the embeddings alone, and compares with the photographs.

    Args:
      target: the backbone that embeds.
      generator: whose latents are searched.
      faces: P photographs.
      seed: of every draw.
      evaluator: another backbone, which compares; None compares in the target's eyes only.
      how: as in `reconstruct`.
      workdir: as in `reconstruct`.
      progress: called as progress(label, done, total).

    Raises:
      InputError: as `reconstruct`, and for the target itself as evaluator.
    """
    if evaluator is not None:
        judge.check_evaluator(evaluator, target)

    def embed(backbone, images, label):
        return measurements.measure(backbone, images, label=label, progress=progress)

    measured = embed(target, faces, 'photographs')
    made = reconstruct(
        target,
        generator,
        measured.embeddings,
        seed=seed,
        how=how,
        names=[str(faces.paths[row]) for row in measured.index],
        workdir=workdir,
        progress=progress,
    )
    if evaluator is None:
        return made
    images = from_arrays(made.found.images, range(len(made.found.images)), 'reconstructions')
    both = [
        judge.unit(embed(evaluator, some, 'evaluator').embeddings)
        for some in (images, faces.select(measured.index))
    ]
    similar = {'evaluator_similarity': (both[0] * both[1]).sum(1).tolist()}
    return dataclasses.replace(made, columns={**made.columns, **similar})


_DAMAGED = (
    *(OSError, ValueError, EOFError, OverflowError, TypeError, MemoryError, RecursionError),
    *(SyntaxError, tokenize.TokenError),  # of NumPy's reader of headers
)


def read(path: str | os.PathLike, target: Target, *, field: str = 'templates') -> np.ndarray:
    """Reads embeddings [P, D] from a .npy file, without running anything in it.

    Args:
      path: finite numbers, written by `numpy.save`.
      target: whose embeddings they are.
      field: the argument that named the file.

    Returns:
      [P, D] float32; the length of a row has no meaning.

    Raises:
      InputError: for another file, embeddings of another length than the target's, and rows that are
        zero or not finite.
    """
    path = pathlib.Path(path)
    expected = 'numbers [P, D] written by numpy.save'
    if not path.is_file():  # a pipe would be waited for
        found = 'something other than a file' if path.exists() else 'no such file'
        raise errors.InputError(field, found, expected, inside=str(path))
    try:
        stored = np.lib.format.open_memmap(path, mode='r')  # holds numbers or nothing
    except _DAMAGED as error:
        said = ' '.join(str(error).split())[:300]
        raise errors.InputError(
            field, f'a damaged file ({said})', expected, inside=str(path)
        ) from error
    width = distances.embedding_size(target)
    shape = list(stored.shape)
    if not (shape[1:] == [width] and shape[0] > 0 and stored.dtype.kind in 'fiu'):
        found = f'{stored.dtype} {shape}'
        raise errors.InputError(field, found, f'numbers [P, {width}]', inside=str(path))
    values = np.asarray(stored, np.float64)
    largest = np.abs(values).max(1)
    bad = np.flatnonzero(~(np.isfinite(largest) & (largest > 0)))
    if len(bad):
        raise errors.InputError(
            field,
            f'{len(bad)} rows that are zero or not finite, such as number {bad[0]}',
            'embeddings',
            inside=str(path),
        )
    # The direction alone counts, and squares of the smallest and largest numbers do not exist.
    return np.asarray(values / largest[:, None], np.float32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FromTemplates:
    """Reconstructions of P members of an audit, from one template each.

    Attributes:
      record: what `audit.json` holds under 'targeted'.
      found: the reconstructions.
      photographs: [P] row, among the audit's images, of the image behind each template.
      similarity: [P] cosine, by the evaluator, with other photographs of the same person.
      rank: [P] 0 where that person is the most similar of all members.
    """

    record: dict[str, Any]
    found: Found
    photographs: np.ndarray
    similarity: np.ndarray
    rank: np.ndarray


def run(
    judges: Evaluator,
    sides: Mapping[str, Side],
    subjects: Mapping[str, Subject],
    how: Search,
    *,
    random: np.ndarray,
    workdir: pathlib.Path | None = None,
    progress: Progress | None = None,
) -> FromTemplates:
    """Reconstructs members from the embedding of one of their photographs each.

    The evaluator compares with their other photographs only. Controls: random latents; the best random
    latent for each template, without any step; the same search against an untrained target; and
    templates of non-members, looked for among non-members, which tells whether training matters.

    Args:
      judges: the evaluator.
      sides: 'target', and 'untrained_target' for that control.
      subjects: the same, to be searched.
      how: the options of the audit; `targeted` members are reconstructed at most.
      random: [M, D] embeddings of random latents' images, by the evaluator.
      workdir: where the searches keep their states.
      progress: called as progress(label, done, total).

    Raises:
      InputError: when nobody has two photographs.
    """
    audited, seed = judges.audited, judges.seed
    names, member = audited.identities, audited.member
    rows = {
        'members': _templates(names, member, how.targeted, seed),
        'nonmembers': _templates(names, ~member, how.targeted, seed),
    }
    others = np.ones(len(names), bool)
    others[np.concatenate(list(rows.values()))] = False
    gallery = judge.gallery(
        judges.embeddings[others], names[others].tolist(), member[others], seed=seed
    )
    among = {
        'members': gallery,
        'nonmembers': dataclasses.replace(gallery, member=~gallery.member),
    }
    place = {name: position for position, name in enumerate(gallery.names)}
    rows = {side: [row for row in found if names[row] in place] for side, found in rows.items()}
    claims = {side: np.array([place[names[row]] for row in found]) for side, found in rows.items()}
    each = config.replace(how, candidates=min(_CANDIDATES, how.candidates), keep=1, apart=1.0)

    def attack(name, how, people='members', side='target'):
        goal = goals.templates(sides[side].embeddings[rows[people]])
        found = search.run(
            subjects[side],
            goal,
            how,
            workdir=workdir and workdir / name,
            label=name.replace('_', ' '),
            progress=progress,
        )
        judged = judge.judge(judges.embed(found.images), among[people], claims[people])
        return found, judged, _figures(judged, gallery.threshold)

    found, judged, figures = attack('templates', each)
    controls = {
        'selected_only': attack('templates_selected', config.replace(each, steps=0))[2],
        'nonmembers': attack('templates_nonmembers', each, people='nonmembers')[2],
    }
    if 'untrained_target' in sides:
        controls['untrained_target'] = attack('templates_untrained', each, side='untrained_target')[
            2
        ]
    # Every random latent is taken for a reconstruction of every member.
    count = len(rows['members'])
    anybody = judge.judge(
        np.repeat(random, count, axis=0), gallery, np.tile(claims['members'], len(random))
    )
    controls['random_latents'] = {
        name: float(values.mean()) for name, values in _shares(anybody, gallery.threshold).items()
    }
    return FromTemplates(
        record={
            'people': count,
            'gallery': int(gallery.member.sum()),
            'candidates': each.candidates,
            'steps': each.steps,
            **Outcome(figures=figures, controls=controls).to_json(),
        },
        found=found,
        photographs=np.array(rows['members'], int),
        similarity=judged.own_similarity,
        rank=judged.rank,
    )


def _templates(names, side, people, seed):
    """One row for each of at most `people` identities that have two or more images on that side."""
    first: dict[str, int] = {}
    several = set()
    for row in np.flatnonzero(side):
        if first.setdefault(names[row], int(row)) != row:
            several.add(names[row])
    if not several:
        raise errors.InputError(
            'targeted', 'nobody with two photographs', 'two, one of which is the template'
        )
    order = rng.numpy_generator(seed, 'templates').permutation(sorted(several))
    return sorted(first[name] for name in order[:people])


def _shares(judged, threshold):
    return {
        'top1': judged.rank == 0,
        'top5': judged.rank < 5,
        'accepted': judged.own_similarity >= threshold,
    }


def _figures(judged, threshold):
    """Shares of the templates, each of another person, with Wilson's intervals."""
    figures: dict[str, Any] = {}
    for name, values in _shares(judged, threshold).items():
        figures[name] = float(values.mean())
        figures[f'{name}_ci95'] = list(intervals.wilson(figures[name], len(values)))
    return figures
