"""One audit as plain values, named as their flags: what a command line or a row of a table asks for."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from experiments import cli
from experiments.search import Search
from fr_inference import auditing, config, errors
from fr_inference.config import Settings
from fr_inference.measuring.measurements import Progress

REQUIRED = ('target', 'members', 'nonmembers')
BACKBONES = ('target', 'shadow', 'shadow_init', 'blind')
FACES = ('members', 'nonmembers', 'auxiliary', 'member_identities', 'shift')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """What one audit is asked to do; the flags of `experiments.audit` say what each value is."""

    target: str
    members: str
    nonmembers: str
    auxiliary: str | None
    shadow: str | None
    shadow_init: str | None
    blind: str | None
    dtype: str | None
    seed: int
    batch_size: int
    decoders: int
    skip_bad: bool
    allow_overlap: bool
    thumbnails: bool
    identity_key: str | None = None
    data_dir: str | None = None
    member_identities: str | None = None
    shift: str | None = None
    search: Search | None = None

    def __post_init__(self):
        _ = self.settings  # checks them

    @property
    def reading(self) -> dict[str, str | None]:
        """How its faces are opened."""
        return {'identity_key': self.identity_key, 'data_dir': self.data_dir}

    @property
    def settings(self) -> Settings:
        """How it is done."""
        return Settings(
            seed=self.seed,
            batch_size=self.batch_size,
            decoders=self.decoders,
            skip_bad=self.skip_bad,
            allow_overlap=self.allow_overlap,
        )


def of_values(values: Mapping[str, Any]) -> Job:
    """Returns the job of `values`, by the names of their flags; values of no audit are left out.

    Raises:
      InputError: for a value out of its range, and for one that lacks another.
    """
    search = None
    if values['generator'] is not None:
        search = Search(**_of(Search, values))
    else:
        errors.require(values['evaluator'] is None, '--evaluator: found without --generator')
    return Job(**_of(Job, values), search=search)


def _of(kind, values):
    return {
        field.name: values[field.name]
        for field in dataclasses.fields(kind)
        if field.name in values and field.name != 'search'
    }


def run(
    job: Job,
    folder: str,
    *,
    command: str,
    membership: bool = True,
    scores: str | os.PathLike | None = None,
    progress: Progress | None = None,
) -> auditing.Audit:
    """Opens what the job names, audits, and writes the results.

    Args:
      job: what to do.
      folder: for the results, and the state that lets an interrupted audit go on.
      command: for the record.
      membership: whether the first stage's figures are wanted.
      scores: folder of what was measured before, shared among audits; below `folder` by default.
      progress: called as progress(label, done, total).

    Raises:
      InputError: one line, for anything that is wrong with the input.
    """
    opened = auditing.open_inputs(_inputs(job))
    out = cli.make_folder(pathlib.Path(folder), '--out', auditing.FILES)
    if scores is not None:
        cli.make_folder(scores, '--scores')
    result = auditing.run(
        opened,
        job.settings,
        job.search.config if job.search is not None else None,
        membership=membership,
        workdir=out,
        scores=scores,
        command=command,
        progress=progress,
    )
    result.save(out, thumbnails=job.thumbnails)
    return result


def _inputs(job):
    names = {field.name for field in dataclasses.fields(config.Inputs)}
    values = dataclasses.asdict(job)
    values |= values.pop('search') or {}
    given: Any = {name: values[name] or None for name in names & set(values)}
    return config.Inputs(**given)
