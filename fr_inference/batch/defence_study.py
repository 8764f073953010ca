"""A study of defences: audits every unfinished row and compares the rows."""

import dataclasses
import datetime
import functools
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from fr_inference import auditing, checking, config, errors, files, provenance, runs
from fr_inference.batch import defence_cells, row_folder
from fr_inference.batch.defence_rows import UNDEFENDED, DefenceRow, accesses_bound
from fr_inference.cli import bars
from fr_inference.data import pseudonyms
from fr_inference.data.faces import concat
from fr_inference.defending import defences
from fr_inference.measuring import measurements
from fr_inference.measuring.distances import layer_names
from fr_inference.membership import study
from fr_inference.membership.labelled import fit_half
from fr_inference.membership.views import Shadow, untrained
from fr_inference.metrics import verification
from fr_inference.opening import Opened
from fr_inference.report import defence_page, what_helps
from fr_inference.training.shadow import train_shadow

FILES = ('study.json', 'study.html')
_PAIRS = (
    'verification.npz'  # in a row's folder: pairs of strangers, and which were judged correctly
)


class Study:
    """The rows and their results."""

    def __init__(
        self,
        rows: Sequence[DefenceRow],
        out: pathlib.Path,
        *,
        scores: str | None = None,
        command: str = '',
    ):
        """Takes the rows, the undefended backbone first.

        Args:
          rows: by `defence_rows.rows`.
          out: the study's folder.
          scores: folder of earlier measurements; a sub-folder of the study's when None.
          command: the command to record.
        """
        self.rows, self.out, self.command = rows, out, command
        self.scores = scores or str(out / 'scores')
        self._base: dict[str, Any] = {}  # audit.json of the undefended backbone

    def run(self) -> dict[str, Any]:
        """Audits every unfinished row, then writes study.json and returns its contents.

        A row that cannot be audited is recorded with the reason, and the others continue. Only the
        audit of the undefended backbone must succeed.

        Raises:
          InputError: for errors in the inputs of the study itself.
          Stopped: when that was asked for; the same call continues the study.
        """
        if (key := self.rows[0].inputs.pseudonyms) is not None:
            pseudonyms.check_apart(key, self.out)
        entries: list[dict[str, Any]] = []
        for number, row in enumerate(self.rows):
            bars.progress('audits', number, len(self.rows))
            try:
                entries.append(self._entry(number, row))
            except errors.InputError as error:
                if row.name == UNDEFENDED:
                    raise
                entries.append(
                    self._described(row) | {'status': 'not run', 'why': _why(row, error)}
                )
            said = entries[-1].get('why') or entries[-1]['headline']
            bars.say(f'{row.label}, {row.case.attacker}: {said}')
        bars.progress('audits', len(self.rows), len(self.rows))
        record = self._record(entries)
        self._write(record)
        return record

    def _entry(self, number, row):
        if row.not_run:
            return self._described(row) | {'status': 'not run', 'why': row.not_run}
        folder = self.out / row.name
        record = runs.by_first(lambda: row_folder.finished(folder, row))
        if record is None:
            record = self._audit(number, row, folder)
        if row.name == UNDEFENDED:
            self._base = record
        found = defence_cells.cells(record, accesses_bound(row.case.defence))
        return self._described(row) | {
            'status': 'done',
            'report': f'{row.name}/report.html',
            'headline': record['headline'],
            'kind': record['verdict'],
            'cells': found,
            **defence_cells.reconstructed(record),
            'verification': record['input'].get('verification'),
            'remarks': record.get('defence', {}).get('remarks', []),
            'target_sha256': record['provenance']['target_sha256'],
            'seconds': record['provenance']['seconds'],
        }

    def _described(self, row):
        seed = row.settings.seed
        likewise = row.case.attacker == 'adaptive' and bool(row.case.defence)
        return {
            'name': row.name,
            'label': row.label,
            'defence': row.case.defence,
            'attacker': row.case.attacker,
            'binds': list(accesses_bound(row.case.defence)),
            'seed': seed,
            'attacker_seed': _attackers(seed) if likewise else None,
        }

    def _audit(self, number, row, folder):
        runs.stop_point()
        run = runs.by_first(lambda: row_folder.claim(folder, row))
        opened, remarks = self._opened(row)
        guided = row.search is not None and row.search.goal == 'membership'
        # No statistics are left that could guide a search.
        if guided and not layer_names(opened.target):
            opened = dataclasses.replace(
                opened, generator=None, evaluator=None, second_evaluator=None, strangers=None
            )
        label = f'{number + 1} {row.name[:24]}: '

        def shown(name, done, total, **metrics):
            bars.progress(f'{label}{name}', done, total, keep=False, **metrics)

        try:
            result = auditing.run(
                opened,
                row.settings,
                row.search if opened.generator is not None else None,
                workdir=folder,
                scores=self.scores,
                command=self.command,
                progress=shown,
            )
        finally:
            bars.drop(label)
        if row.case.defence:
            said = {'defence': row.case.defence, 'seed': row.settings.seed, 'remarks': remarks}
            result = dataclasses.replace(result, record={**result.record, 'defence': said})
        result.save(folder, thumbnails=row.report.thumbnails)
        self._keep_pairs(row, opened, folder)
        row_folder.close(folder, run)
        return result.record

    @functools.cached_property
    def _undefended(self) -> Opened:
        """The inputs of the undefended backbone's audit; a shadow that was not given is trained."""
        row = self.rows[0]
        opened = auditing.open_inputs(row.inputs)
        if opened.blind is None:
            opened = dataclasses.replace(opened, blind=self._untrained(opened, row.settings))
        if not checking.shadow_is_missing(opened, row.settings, membership=True):
            return opened
        faces, _ = checking.checked_faces(opened, row.settings)
        trained, digests = train_shadow(
            opened.target,
            faces['auxiliary'],
            seed=row.settings.seed,
            start=opened.shadow_init,
            workdir=self.out / row.name / 'shadow',
            skip_bad=row.settings.skip_bad,
            progress=bars.progress,
        )
        return dataclasses.replace(
            opened, shadow=Shadow(target=trained, digests=digests), shadow_init=None
        )

    def _untrained(self, opened, settings):
        """The blind control of the undefended backbone's audit, which all rows share.

        With separate controls, rows would also differ by the chance in their controls.
        """
        faces, _ = checking.checked_faces(opened, settings)
        everyone = concat([faces['members'], faces['nonmembers']], 'members and non-members')
        measured = self._measured(opened.target, everyone, settings)
        member = measured.index < len(faces['members'])
        fit = fit_half(measured.identities, member, settings.seed)
        return untrained(opened.target, everyone, measured, fit, settings)

    def _measured(self, target, faces, settings):
        return measurements.measure(
            target,
            faces,
            features=study.features_of(settings),
            batch_size=settings.batch_size,
            decoders=settings.decoders,
            skip_bad=settings.skip_bad,
            scores=self.scores,
            label='backbone',
            progress=bars.progress,
        )

    def _opened(self, row) -> tuple[Opened, list[str]]:
        """The inputs of a row's audit, and the remarks of its defence."""
        base, case, seed = self._undefended, row.case, row.settings.seed
        if row.name == UNDEFENDED:
            return base, []
        if not case.defence:  # trained so
            shadow = base.shadow if row.inputs.shadow == self.rows[0].inputs.shadow else None
            own = auditing.open_inputs(
                config.replace(row.inputs, shadow=None, shadow_init=None) if shadow else row.inputs
            )
            alike = len(layer_names(own.target)) == len(layer_names(base.target))
            return dataclasses.replace(
                own, shadow=shadow or own.shadow, blind=base.blind if alike else own.blind
            ), []
        wanted, reading = defences.parse(case.defence), row.inputs
        target, remarks = defences.defend(base.target, wanted, seed=seed, reading=reading)
        opened = dataclasses.replace(base, target=target)
        if case.attacker == 'adaptive':
            opened = _likewise(opened, wanted, _attackers(seed), reading)
        return opened, remarks

    def _keep_pairs(self, row, opened, folder):
        """Stores which pairs of strangers were judged correctly; the measurements are already stored."""
        found = self._measured(opened.target, opened.faces['nonmembers'], row.settings)
        judged = verification.judged(found.embeddings, found.identities, seed=row.settings.seed)
        if judged is not None:
            _save(folder / _PAIRS, judged)

    def _pairs(self, name):
        path = self.out / name / _PAIRS
        if not path.exists():
            return None
        with np.load(path) as kept:
            return verification.Judged(
                **{one: kept[one] for one in ('right', 'first', 'second')}, folds=int(kept['folds'])
            )

    def _record(self, entries):
        first = self._base
        settings = self.rows[0].settings
        how = {'seed': settings.seed, 'replicates': settings.replicates}
        entries = runs.by_first(lambda: [self._compared(one, entries[0], how) for one in entries])
        record = {
            'schema': what_helps.SCHEMA,
            'study': what_helps.STUDY,
            'provenance': {
                **provenance.describe(self.command),
                'date': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
                'seed': settings.seed,
                'settings': dataclasses.asdict(settings),
                'target_sha256': first['provenance']['target_sha256'],
            },
            'target': {name: first['target'][name] for name in ('name', 'architecture')},
            'data': {
                name: {key: side[key] for key in ('source', 'people', 'images')}
                for name, side in first['data'].items()
            },
            'references': [one['name'] for one in first['provenance']['references']],
            'rows': entries,
        }
        return record | {'recommendation': what_helps.recommendation(entries)}

    def _compared(self, entry, base, how):
        """The entry with the changes by its defence."""
        if entry is base or entry['status'] != 'done':
            return entry
        folders = (self.out / entry['name'], self.out / base['name'])
        changed = defence_cells.differences(
            entry['cells'], folders[0], base['cells'], folders[1], **how
        )
        found = {**entry, 'cells': changed}
        pairs = [self._pairs(one['name']) for one in (entry, base)]
        if None not in pairs:
            found['verification_difference'] = verification.difference(*pairs, **how)
        return found

    @runs.first_only
    def _write(self, record):
        text = json.dumps(record, indent=1, allow_nan=False) + '\n'
        files.write_text(self.out / FILES[0], text)
        files.write_text(
            self.out / FILES[1], defence_page.render(record), errors='backslashreplace'
        )


def _why(row, error):
    if row.inputs.pseudonyms is None:
        return str(error)
    bars.say(f'{row.label}: {error}')
    return 'see the output of the study (an error may name people, so it is not stored)'


@runs.first_only
def _save(path, judged):
    with files.replacing(path) as file:
        np.savez_compressed(file, **dataclasses.asdict(judged))


def _attackers(seed):
    """The seed of the attacker's noise; only the defender knows the defender's seed."""
    return (seed + 1) % 2**31


def _likewise(opened, wanted, seed, reading):
    """The same inputs with the attacker's own networks defended in the same way."""
    shadow, references = opened.shadow, {}
    if shadow is not None:
        made = _defended(shadow.target, wanted, seed, reading, 'shadow')
        shadow = dataclasses.replace(shadow, target=made)
    for number, (name, one) in enumerate(opened.references.items(), start=1):
        references[name] = _defended(
            one, wanted, (seed + number) % 2**31, reading, f'reference {name}'
        )
    return dataclasses.replace(opened, shadow=shadow, references=references)


def _defended(network, wanted, seed, reading, called):
    try:
        return defences.defend(network, wanted, seed=seed, reading=reading)[0]
    except errors.InputError as error:
        raise error.within(f'adaptive attack, {called}') from error
