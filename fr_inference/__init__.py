"""Does a face-recognition backbone still give away the faces it was trained on?"""

from fr_inference.auditing import Audit, Settings, Shadow, audit
from fr_inference.errors import InputError
from fr_inference.models.target import InputSpec, Target

__version__ = '0.1.0'

__all__ = ['Audit', 'InputError', 'InputSpec', 'Settings', 'Shadow', 'Target', 'audit']
