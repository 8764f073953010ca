"""The variables of a module, worked out once for all test files."""

import functools

from fr_inference.models import registry

abstract_variables = functools.cache(registry.abstract_variables)
