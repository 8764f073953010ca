"""Without torch its modules cannot be looked into for examples."""

import importlib.util

collect_ignore = []
if importlib.util.find_spec('torch') is None:
    collect_ignore = ['torch_search.py', 'torch_timed.py']
