"""A fuzzer of everything that reads a file: `python -m tests.formats.fuzz --inputs=100000 --seed=0`.

Input number n of a seed is always the same: an honest file, changed. A reader may read it or refuse it
with one line. It may not run code, raise anything else, or take 10 seconds or 500 MB. A changed file
of our own is read as what was written, or refused.
"""
