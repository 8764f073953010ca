"""The audit: checks the inputs, measures, attacks, searches, and records the results.

The programs call `run(open_inputs(...), ...)`; `audit` does the same for a Python user's own module
and arrays. (The module is not called `audit`: the function `fr_inference.audit` would shadow it.)
"""

import dataclasses
import json
import logging
import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from fr_inference import checking, config, files, local_copies, opening, recording, runs, tables
from fr_inference.data import placement
from fr_inference.data.faces import Faces
from fr_inference.inversion import guidance, reconstructions, searches
from fr_inference.inversion.searches import Inversion
from fr_inference.measuring import convention
from fr_inference.membership import limitations, rehearsal, study
from fr_inference.membership.comparison import Comparison
from fr_inference.membership.views import Shadow, measure_views
from fr_inference.models.stylegan2 import Trained
from fr_inference.models.target import Apply, InputSpec
from fr_inference.opening import FacesSource, Opened, TargetSource
from fr_inference.opening import open_inputs as open_inputs
from fr_inference.report import what_helps
from fr_inference.report.verdict import Verdict, verdict
from fr_inference.runs import Progress
from fr_inference.training.shadow import train_shadow

_LOG = logging.getLogger(__name__)

SCHEMA = 2
FILES = (
    *('audit.json', 'scores.csv', 'distances.npz', 'report.html'),
    *('reconstructions.csv', 'reconstructions.png'),
)


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Audit:
    """The result of an audit.

    Attributes:
      record: the contents of `audit.json`.
      comparisons: every attack with its controls, in the order of the report; empty if membership
        inference was not run.
      columns: name -> one value for each of the N images: path, identity, member, evaluation, and a
        logit for each comparison of an attack on images.
      distances: [N, L] float32.
      faces: the N images, for the report's pictures.
      inversion: the reconstructions, if a generator was given.
      pseudonymous: whether people are named by pseudonyms.
    """

    record: dict[str, Any]
    comparisons: Sequence[Comparison]
    columns: dict[str, list[Any]]
    distances: np.ndarray
    faces: Faces
    inversion: Inversion | None = None
    pseudonymous: bool = False

    @property
    def verdict(self) -> Verdict:
        """The verdict: a word, a headline, sentences and reasons."""
        return verdict(self.record)

    def __repr__(self) -> str:
        return f'Audit of {self.record["target"]["name"]}. {self.verdict}'

    @runs.first_only
    def save(
        self,
        folder: str | os.PathLike,
        *,
        thumbnails: bool | None = None,
        advice: str | os.PathLike | None = None,
    ) -> None:
        """Writes audit.json, scores.csv, distances.npz and report.html, and the reconstructions.

        With several processes, only process 0 writes.

        Args:
          folder: created if it does not exist.
          thumbnails: whether the report shows the faces of the most exposed people; by default it
            does, unless people are named by pseudonyms: a face identifies its person.
          advice: study.json of a study of defences, which the report quotes.

        Raises:
          InputError: of 'advice', for a file that is not a study.
        """
        from fr_inference.report import page  # imported here because matplotlib takes a second

        study = None if advice is None else what_helps.read(advice)
        folder = local_copies.here(folder, 'folder')
        record = json.dumps(self.record, indent=1, allow_nan=False) + '\n'
        files.write_text(folder / 'audit.json', record)
        rows = zip(*self.columns.values(), strict=True)
        tables.write(folder / 'scores.csv', self.columns, rows)
        with files.replacing(folder / 'distances.npz') as file:
            np.savez_compressed(
                file,
                distances=self.distances,
                layers=np.array(self.record['target']['norm_layers'], np.str_),
                paths=np.array(self.columns['path'], np.str_),
            )
        if self.inversion is not None:
            reconstructions.save(self.inversion, folder)
        shown = not self.pseudonymous if thumbnails is None else thumbnails
        html = page.render(self, thumbnails=shown, study=study)
        # Names of files need not be UTF-8.
        files.write_text(folder / 'report.html', html, errors='backslashreplace')


def audit(
    target: TargetSource | Apply,
    variables: Any = None,
    *,
    members: FacesSource,
    nonmembers: FacesSource,
    input: InputSpec | None = None,
    name: str = 'custom model',
    member_identities: FacesSource | None = None,
    shift: FacesSource | None = None,
    collection: FacesSource | None = None,
    auxiliary: FacesSource | None = None,
    shadow: Shadow | None = None,
    shadow_init: TargetSource | None = None,
    blind: TargetSource | None = None,
    references: Sequence[TargetSource] = (),
    generator: Trained | str | os.PathLike | None = None,
    evaluator: TargetSource | None = None,
    second_evaluator: TargetSource | None = None,
    strangers: FacesSource | None = None,
    settings: config.Settings | None = None,
    search: config.Search | None = None,
    workdir: str | os.PathLike | None = None,
    scores: str | os.PathLike | None = None,
    pseudonyms: str | os.PathLike | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Audits a backbone: a checkpoint, or any function that calls a Linen module.

    >>> import jax, numpy as np, flax.linen as nn
    >>> class Backbone(nn.Module):
    ...     @nn.compact
    ...     def __call__(self, x):
    ...         x = nn.BatchNorm(use_running_average=True)(nn.Conv(4, (3, 3), strides=4)(x))
    ...         return nn.Dense(8)(x.mean((1, 2)))
    >>> images = np.random.default_rng(0).integers(0, 256, (128, 16, 16, 3), np.uint8)
    >>> people = np.arange(128) // 2
    >>> variables = Backbone().init(jax.random.key(0), images[:1].astype(np.float32))
    >>> found = audit(
    ...     Backbone().apply,
    ...     variables,
    ...     members=(images[:64], people[:64]),
    ...     nonmembers=(images[64:], people[64:]),
    ...     input=InputSpec(height=16, width=16),
    ...     settings=config.Settings(replicates=100),
    ... )
    >>> [comparison.key for comparison in found.comparisons if 'combined' in comparison.key]
    ['combined-file/partial', 'combined-answers/partial', 'combined-answers/strangers']
    >>> found.comparisons[0].kind  # untrained: nothing can have leaked
    'open'

    Args:
      target: a path or the name of an embedded target, a `Target`, or a function
        `apply(variables, images)`: [N, H, W, 3] float32 normalised -> [N, D] embeddings, with
        `use_running_average=True`. Only the statistics of `flax.linen.BatchNorm` are seen (not those of
        a compiled export).
      variables: of the function: {'params': ..., 'batch_stats': ...}. Without BatchNorm layers
        (none, or folded into the weights) {'params': ...} with any pytree of arrays: then only
        attacks on embeddings can be run.
      members: training images. Folders and files are resized to the input; arrays must have its size.
      nonmembers: images from the same source, of people who were not trained on.
      input: size, order of colours and normalisation of the images that a function expects. A
        checkpoint has its own. By default a warning is logged, and the size of the members' arrays
        (112x112 for files), RGB and (v - 127.5) / 127.5 are assumed.
      name: the name of a function's model in the report.
      member_identities: other images of the members' people.
      shift: faces of another source.
      collection: faces that may or may not have been trained on; the audit estimates how many were.
      auxiliary: faces of people who are neither members nor non-members, for the setting without any
        known member.
      shadow: a backbone trained on part of `auxiliary`; for a registered architecture one is trained
        when None.
      shadow_init: the checkpoint that its training starts from; random weights when None.
      blind: a backbone that never saw the members nor the non-members; the target with random weights
        when None.
      references: networks that the training may have started from, or that resemble the target; none of
        them may have seen the members.
      generator: a StyleGAN2 trained on none of these people, whose latents are searched for members.
      evaluator: a backbone with another architecture, trained on other people, which judges the search.
      second_evaluator: another such backbone; a reconstruction counts only if both agree.
      strangers: faces of other people, from which the search estimates class centres.
      settings: how the audit is run.
      search: how the search is done.
      workdir: folder for the state of shadow trainings and searches, from which they resume.
      scores: folder of measurements shared among audits; `workdir`/scores by default.
      pseudonyms: file with a secret key (created if it does not exist); people and images are named
        by a hash under that key (`data.pseudonyms`).
      progress: called as progress(label, done, total).

    Raises:
      InputError: for anything that is wrong with the input.
    """
    backbone = opening.as_backbone(target, variables, input, name, members)
    given = {
        'members': members,
        'nonmembers': nonmembers,
        'auxiliary': auxiliary,
        'member_identities': member_identities,
        'shift': shift,
        'collection': collection,
    }
    opened = Opened(
        target=backbone,
        faces={
            field: opening.as_faces(source, field, backbone.input)
            for field, source in given.items()
            if source is not None
        },
        shadow=shadow,
        shadow_init=opening.as_target(shadow_init, 'shadow_init'),
        blind=opening.as_target(blind, 'blind'),
        references=opening.as_references(references),
        generator=opening.as_generator(generator),
        evaluator=opening.as_target(evaluator, 'evaluator'),
        second_evaluator=opening.as_target(second_evaluator, 'second_evaluator'),
        strangers=None
        if strangers is None
        else opening.as_faces(strangers, 'strangers', backbone.input),
        trained_on=opening.training_lists(
            dict(zip(opening.LISTED, (target, blind, evaluator, second_evaluator), strict=True)),
            references,
        ),
    )
    return run(
        opening.under_pseudonyms(opened, pseudonyms),
        settings or config.Settings(),
        search,
        workdir=workdir,
        scores=scores,
        progress=progress,
    )


def run(
    opened: Opened,
    settings: config.Settings,
    search: config.Search | None = None,
    *,
    membership: bool = True,
    workdir: str | os.PathLike | None = None,
    scores: str | os.PathLike | None = None,
    command: str = '',
    progress: Progress | None = None,
) -> Audit:
    """Audits a backbone: membership inference, and inversion if a generator was opened.

    Args:
      opened: by `open_inputs`.
      settings: how.
      search: how the generator is searched; the defaults when None.
      membership: whether to report membership inference; inversion needs only its measurements.
      workdir: where the training of a shadow (`shadow/`) and searches (`search/`) keep their state.
      scores: folder for measurements, which audits may share; `workdir`/scores by default.
      command: the command to record.
      progress: called as progress(label, done, total).

    Raises:
      InputError: for anything that is wrong with the input.
      Stopped: when a stop was requested; finished work is kept in `workdir`.
    """
    started = time.monotonic()
    folder = local_copies.here(workdir, 'workdir') if workdir is not None else None
    search = checking.wanted_search(opened, search, membership)
    checking.check_reach(settings, membership)
    if membership:
        checking.check_attacks(opened, settings, search)
    alignment, unaligned = placement.check(opened.faces, opened.target.input)
    faces, overlaps = checking.checked_faces(opened, settings)
    fit = convention.check(
        opened.target, faces['nonmembers'], seed=settings.seed, skip_bad=settings.skip_bad
    )
    limits = [*overlaps, *convention.demand(opened.target, fit, allow=settings.allow_misfit)]
    misfits = checking.misfits(opened, faces, settings)
    if membership:
        rehearsal.check(
            study.chosen(settings),
            opened.target,
            faces,
            seed=settings.seed,
            blind=opened.blind,
            references=opened.references,
        )
    limits += misfits.values()
    for side in ('members', 'nonmembers'):
        uneven = limitations.of_largest_person(side, faces[side].identities)
        for remark in uneven:
            _LOG.warning('%s', remark)
        limits += uneven
    shadow = opened.shadow
    if checking.shadow_is_missing(opened, settings, membership=membership):
        shadow = _trained_shadow(opened, faces, settings, folder, progress)
        limits.append(limitations.of_shadow(opened.target, opened.shadow_init))
    if 'auxiliary' in faces and shadow is None and membership:
        limits.append(
            'The auxiliary faces were not used for membership inference: without BatchNorm statistics, '
            'a shadow is trained only for a registered architecture and for attacks that can use '
            'it. You can give one that you trained yourself (shadow).'
        )
    views = measure_views(
        opened.target,
        faces,
        settings=settings,
        features=study.features_of(settings),
        shadow=shadow,
        blind=opened.blind,
        references=opened.references,
        scores=scores if scores is not None else folder and folder / 'scores',
        progress=progress,
    )
    trained = recording.trained_people(opened, faces)
    found = (
        study.run(views, faces, settings=settings, trained=trained)
        if membership
        else study.nothing(views)
    )
    inverted = None
    if search is not None:
        inverted = searches.invert(
            guidance.audited(views),
            _request(opened, search),
            seed=settings.seed,
            workdir=folder and folder / 'search',
            progress=progress,
        )
    subject = recording.subject(opened, views, faces)
    limits += limitations.of_members(subject['data']['members'])
    if opened.pseudonymous:
        limits.append(
            'People and images are named by a keyed hash; the owner of the key can look them up. '
            'Further columns of the manifests are kept unchanged, unless they contain the name of '
            'somebody.'
        )
    record = {
        'schema': SCHEMA,
        'provenance': recording.provenance_of(opened, views, settings, command, started),
        **subject,
        'input': recording.fed(opened.target, views, settings, fit, alignment),
        **({'overlaps': overlaps} if overlaps else {}),
        **({'misfits': misfits} if misfits else {}),
        **({'membership': found.membership} if membership else {}),
        **({'inversion': inverted.record} if inverted is not None else {}),
        'limits': [*unaligned, *limits, *found.limits],
    }
    return Audit(
        record=recording.judged(record, found.exposed),
        comparisons=found.comparisons,
        columns=recording.columns(views, found),
        distances=views.in_target.distances,
        faces=views.faces.select(views.in_target.index),
        inversion=inverted,
        pseudonymous=opened.pseudonymous,
    )


def _trained_shadow(opened, faces, settings, folder, progress):
    trained, trained_on = train_shadow(
        opened.target,
        faces['auxiliary'],
        seed=settings.seed,
        start=opened.shadow_init,
        workdir=folder and folder / 'shadow',
        skip_bad=settings.skip_bad,
        progress=progress,
    )
    return Shadow(target=trained, digests=trained_on)


def _request(opened, search):
    """The inputs of the search."""
    return searches.Request(
        generator=opened.generator,
        evaluator=opened.evaluator,
        second_evaluator=opened.second_evaluator,
        search=search,
        strangers=opened.strangers,
    )
