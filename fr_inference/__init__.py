"""Audits whether a face-recognition backbone gives away the faces it was trained on.

`audit` runs the whole audit in one call. Every step can also be called by itself:

>>> import fr_inference as fr
>>> from fr_inference.training import recognizer
>>> input = fr.InputSpec(height=16, width=16)
>>> target = recognizer.fresh_target('tiny', {}, input, seed=0)  # or open_target('backbone.pth')
>>> faces = {
...     'members': fr.open_faces('procedural:easy,images=2,size=16,people=8'),
...     'nonmembers': fr.open_faces('procedural:easy,images=2,size=16,people=8,first=8'),
... }
>>> measured = fr.measure(target, faces['members'], batch_size=16)
>>> measured.embeddings.shape
(16, 32)
>>> settings = fr.Settings(replicates=100, batch_size=16)
>>> views = fr.measure_views(target, faces, settings=settings)  # in the target and its blind control
>>> attack = fr.attacks.get('bn-distance')
>>> trial = fr.run_attack(attack, views.in_target, views.fit, settings.seed)  # the attack alone
>>> trial.logits.shape
(32,)
>>> comparison, _ = fr.compare(attack, 'partial', views, settings)  # beside its controls
>>> comparison.key, comparison.blind is not None, comparison.null is not None
('bn-distance/partial', True, True)

A search for faces is `search_faces(target, generator, goals.centres(...), seed=0)`; `Audit.save` writes
the report.

Names are imported when they are first used, so that importing the package is fast.
"""

import importlib
import importlib.metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fr_inference.auditing import Audit as Audit
    from fr_inference.auditing import audit as audit
    from fr_inference.auditing import run as run
    from fr_inference.config import Inputs as Inputs
    from fr_inference.config import Search as Search
    from fr_inference.config import Settings as Settings
    from fr_inference.data.faces import Faces as Faces
    from fr_inference.data.faces import from_arrays as from_arrays
    from fr_inference.data.sources import open_faces as open_faces
    from fr_inference.errors import InputError as InputError
    from fr_inference.inversion import goals as goals
    from fr_inference.inversion.searches import search_faces as search_faces
    from fr_inference.measuring.features import Feature as Feature
    from fr_inference.measuring.measurements import Measurements as Measurements
    from fr_inference.measuring.measurements import measure as measure
    from fr_inference.membership import attacks as attacks
    from fr_inference.membership.attack import Attack as Attack
    from fr_inference.membership.comparing import compare as compare
    from fr_inference.membership.comparing import run_attack as run_attack
    from fr_inference.membership.comparison import Comparison as Comparison
    from fr_inference.membership.views import Shadow as Shadow
    from fr_inference.membership.views import Views as Views
    from fr_inference.membership.views import measure_views as measure_views
    from fr_inference.models.target import InputSpec as InputSpec
    from fr_inference.models.target import Target as Target
    from fr_inference.opening import Opened as Opened
    from fr_inference.opening import open_inputs as open_inputs
    from fr_inference.weights.generators import open_generator as open_generator
    from fr_inference.weights.targets import open_target as open_target

_HOME = {
    'auditing': ('Audit', 'audit', 'run'),
    'config': ('Inputs', 'Search', 'Settings'),
    'data.faces': ('Faces', 'from_arrays'),
    'data.sources': ('open_faces',),
    'errors': ('InputError',),
    'inversion': ('goals',),
    'inversion.searches': ('search_faces',),
    'measuring.features': ('Feature',),
    'measuring.measurements': ('Measurements', 'measure'),
    'membership': ('attacks',),
    'membership.attack': ('Attack',),
    'membership.comparing': ('compare', 'run_attack'),
    'membership.comparison': ('Comparison',),
    'membership.views': ('Shadow', 'Views', 'measure_views'),
    'models.target': ('InputSpec', 'Target'),
    'opening': ('Opened', 'open_inputs'),
    'weights.generators': ('open_generator',),
    'weights.targets': ('open_target',),
}
_NAMESPACES = ('attacks', 'goals')
_MODULES = {name: module for module, names in _HOME.items() for name in names}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name == '__version__':
        return importlib.metadata.version('fr_inference')
    if name not in _MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    module = f'{__name__}.{_MODULES[name]}'
    importlib.import_module(f'{module}.{name}' if name in _NAMESPACES else module)
    found = getattr(importlib.import_module(module), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return [*globals(), *__all__, '__version__']
