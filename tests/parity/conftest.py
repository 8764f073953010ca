"""Keeps pytest from importing, for doctests, the modules that need torch where it is absent."""

import importlib.util

collect_ignore = (
    []
    if importlib.util.find_spec('torch')
    else [
        'oracle.py',
        'oracle_attention.py',
        'oracle_inception.py',
        'oracle_mobile.py',
        'oracle_parts.py',
        'oracle_residual.py',
        'make_fixtures.py',
        'worst.py',
        'stylegan2_oracle.py',
    ]
)
