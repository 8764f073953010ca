"""A search's figures together with the controls that would expose a false finding.

It is stored in the record; the verdict, the page and the batch page read the search and its
controls as this type. Nothing else pairs a search with a control.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from fr_inference.inversion import judge
from fr_inference.inversion.judge import Gallery, Judged

CONTROLS = (
    'random_latents',
    'selected_only',
    'untrained_target',
    'nonmember_gallery',
    'nonmembers',
)
"""Random faces; the best of them, not improved; the same search against an untrained backbone; the
non-members that the search shows; templates of non-members."""

_SHARES = ('hit_rate', 'nearest_is_member', 'top1', 'top5', 'accepted')
FIGURES = (
    'reconstructions',
    *(name for share in _SHARES for name in (share, f'{share}_ci95')),
    *('sar_at_fmr', 'sar_at_fmr_ci95', 'distinct_identities'),
    *('p_value', 'nearest_p_value', 'median_logit', 'realism'),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """A search with its own controls.

    Attributes:
      figures: the figures of the search, named as in `FIGURES`.
      controls: name -> figures, of `CONTROLS`; one that was not run is absent.
      excess: hit rate minus that of the strongest control: 'hit_rate', 'hit_rate_ci95', 'over'
        (that control) and 'p_value' (the largest over the controls). None for a search from
        templates, which has no hit rate.
    """

    figures: Mapping[str, Any]
    controls: Mapping[str, Mapping[str, Any]]
    excess: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the outcome as part of `audit.json`: figures, then 'controls' and 'excess'."""
        entry = {
            **self.figures,
            'controls': {name: dict(one) for name, one in self.controls.items()},
        }
        return entry | ({'excess': dict(self.excess)} if self.excess is not None else {})

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> 'Outcome':
        """Returns the outcome from a part of `audit.json`, ignoring other entries."""
        figures = {name: entry[name] for name in FIGURES if name in entry}
        return cls(figures=figures, controls=entry['controls'], excess=entry.get('excess'))


def outcome(
    judged: Judged,
    figures: Mapping[str, Any],
    controls: Mapping[str, tuple[Judged, Mapping[str, Any]]],
    gallery: Gallery,
    *,
    seed: int,
) -> Outcome:
    """Pairs a search with its controls.

    Args:
      judged: the reconstructions of the search.
      figures: of the search.
      controls: name -> (judged, figures) of the same number of other reconstructions. The control
        'nonmember_gallery' is added: the non-members that the search itself shows.
      gallery: the gallery for all of them.
      seed: of intervals and permutations.
    """
    outside = judged.matched & ~gallery.member[judged.nearest]
    compared: dict[str, Judged | None] = {name: other for name, (other, _) in controls.items()}
    compared['nonmember_gallery'] = None
    left = {
        name: judge.excess(judged, other, gallery, seed=seed) for name, other in compared.items()
    }
    least = min(left, key=lambda name: left[name]['hit_rate'])
    return Outcome(
        figures=figures,
        controls={
            **{name: of_control for name, (_, of_control) in controls.items()},
            'nonmember_gallery': {'hit_rate': float(outside.mean())},
        },
        excess={
            **left[least],
            'over': least,
            'p_value': max(found['p_value'] for found in left.values()),
        },
    )
