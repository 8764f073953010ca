"""Ten reports to read without knowing what they are of: `python -m tests.auditing.reading FOLDER`.

Writes FOLDER/1 to FOLDER/10 (report.html and the rest), from small audits whose answer is known, and
prints nothing that gives it away. tests/auditing/reading.md has the questions, the answers and what
readers said.
"""

import pathlib
import sys

from tests.auditing.test_situations import SITUATIONS

READ = (
    'nothing leaks, few people',
    'a person leaks',
    'members who were not trained on, and a difference',
    'nothing leaks, many people, all in the list',
    'an attack is not counted, the other is open',
    'a photograph leaks, not the person',
    'wrong range, allowed',
    'nothing leaks, half of them are in the list',
    'a leak, and only half of the members are in the list',
    'members are of another source',
)
"""In the order of the folders."""


def main():
    folder = pathlib.Path(sys.argv[1])
    for number, name in enumerate(READ, 1):
        SITUATIONS[name][0]().save(folder / str(number))


if __name__ == '__main__':
    main()
