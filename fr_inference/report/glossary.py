"""The terms of a report, each in one sentence: shown on hover and focus, and listed at the end."""

import re

import markupsafe

TERMS = {
    'accuracy': (
        'accuracy',
        'The share of right answers, averaged over members and strangers: 0.5 is guessing.',
    ),
    'auc': (
        'AUC',
        'Of all pairs of one member and one stranger (or of the two groups that a row names), the '
        'share in which the first has the higher logit: 0.5 is guessing, 1 is never wrong.',
    ),
    'backbone': (
        'backbone',
        'The part of a face-recognition model that turns a photograph into an embedding; it is '
        'what was audited.',
    ),
    'batchnorm': (
        'BatchNorm layer',
        'A layer that keeps the mean and the variance of what passed through it in training; the '
        'attack measures how far an image lies from them.',
    ),
    'blind': (
        'blind control',
        'The same attack on a backbone that never saw these people: what it reaches there has '
        'nothing to do with training.',
    ),
    'centre': (
        'class centre',
        'The embedding that the training drew all photographs of one person towards.',
    ),
    'control': (
        'control',
        'A check of the attack: the same attack where there is nothing to find, so that what it finds '
        'there is no leak.',
    ),
    'cosine': (
        'cosine',
        'How alike two faces are to a backbone: 1 where their embeddings point the same way, 0 '
        'where they have nothing in common.',
    ),
    'coverage': (
        'coverage',
        'The share of photographs with at least one reconstruction among their neighbours.',
    ),
    'density': (
        'density',
        'How many photographs a reconstruction has around it, where 1 is as many as a photograph '
        'has.',
    ),
    'embedding': (
        'embedding',
        'The list of numbers that a backbone makes of a face; photographs of one person get '
        'similar ones.',
    ),
    'evaluator': (
        'evaluator',
        'A second backbone, which judges the reconstructions and which the search never used.',
    ),
    'excess': (
        'excess',
        'The figure of the attack less that of its control: what the training on these people '
        'adds.',
    ),
    'fpr': (
        'false-positive rate',
        'The share of strangers whom the attack wrongly takes for members.',
    ),
    'frechet': (
        'Fréchet distance',
        'How differently two sets of faces are spread in the embedding: 0 where means and '
        'covariances agree.',
    ),
    'further': (
        'further attack',
        'One that was not chosen beforehand: the best of them counts only by an interval that holds for '
        'all of them together (max-T).',
    ),
    'gallery': (
        'gallery',
        'The people among whom the evaluator looks for the one most like a reconstruction: the '
        'members, and as many strangers.',
    ),
    'generator': (
        'generator',
        'A program that draws faces of nobody; a search steers it towards people whom the backbone was '
        'trained on.',
    ),
    'hit': (
        'hit',
        'A reconstruction whose nearest person in the gallery is a member, with a cosine that '
        "passes the evaluator's threshold.",
    ),
    'interval': (
        '95 % interval',
        'Where the true value lies by this audit: of 100 such intervals, from other people of the '
        'same kind, about 95 contain it.',
    ),
    'logit': (
        'logit',
        'What the attack says of a photograph or a person as a number: above 0 "member", below 0 '
        '"stranger", and the further from 0 the surer.',
    ),
    'member': (
        'member',
        'A photograph, or a person, that the backbone was trained on.',
    ),
    'null': (
        'null control',
        'The same attack on strangers only, half of whom are called members: there is nothing to '
        'find, so its interval should include 0.5.',
    ),
    'p': (
        'relabelling p',
        'The share of random relabellings of the gallery, as members and strangers, with at least '
        'as many hits: a small p means that chance does not explain the hits.',
    ),
    'pictures': (
        'pictures alone',
        'Plain statistics of the pictures, such as their brightness, in place of the backbone: where '
        'they tell the sides apart as well, the attack shows nothing about training.',
    ),
    'precision': (
        'precision',
        'The share of reconstructions that lie where photographs lie.',
    ),
    'recall': (
        'recall',
        'The share of photographs that lie where reconstructions lie.',
    ),
    'sha256': (
        'SHA-256',
        'A fingerprint of a file: two files with the same one are the same.',
    ),
    'stranger': (
        'stranger',
        'A photograph, or a person, that the backbone was not trained on.',
    ),
    'template': (
        'stored template',
        "A person's embedding as a recognition system keeps it.",
    ),
    'top1': (
        'Top-1',
        'The share of reconstructions whose person the evaluator finds again as the most alike of '
        'all members.',
    ),
    'top5': (
        'Top-5',
        'The share of reconstructions whose person the evaluator finds again among the five most '
        'alike members.',
    ),
    'tpr': (
        'found at 1 %',
        'The share of members that are found by an attack so strict that it takes only 1 % of the '
        'strangers for members (10 % and 0.1 % likewise).',
    ),
}
"""Key -> (term, what it means)."""

SENTENCES = {
    'interval': '95.%.interval',
    'control': 'controls?',
    'generator': 'face generator',
    'template': 'stored embedding',
    'backbone': 'backbone',
    'stranger': 'strangers?',
    'member': 'members?',
}
"""Key -> its words in a verdict's sentences, but within another word or the name of a flag."""
_PATTERN = re.compile(
    '|'.join(rf'(?<![\w-])(?P<{key}>{words})(?![\w-])' for key, words in SENTENCES.items())
)


class Glossary:
    """Marks the terms of one page, and keeps those that occurred.

    Attributes:
      used: (key, term, what it means), in the order of the alphabet.
    """

    def __init__(self) -> None:
        self._keys: set[str] = set()

    def term(self, key: str, text: str = '') -> markupsafe.Markup:
        """Returns the term as a link to its entry, with what it means as `data-tip`.

        Args:
          key: of `TERMS`.
          text: in place of the term.
        """
        self._keys.add(key)
        name, meaning = TERMS[key]
        return markupsafe.Markup(
            '<a class="term" href="#term-{0}" aria-describedby="term-{0}" data-tip="{1}">{2}</a>'
        ).format(key, meaning, text or name)

    def explained(self, text: str) -> markupsafe.Markup:
        """Returns a text in which the first of each of its terms that the page holds is a link."""
        parts, end = [], 0
        for found in _PATTERN.finditer(text):
            key = found.lastgroup
            if key is None or key in self._keys:
                continue
            parts += [markupsafe.escape(text[end : found.start()]), self.term(key, found[0])]
            end = found.end()
        return markupsafe.Markup('').join([*parts, text[end:]])

    @property
    def used(self) -> list[tuple[str, str, str]]:
        """What the list at the end of the page holds."""
        found = [(key, *TERMS[key]) for key in self._keys]
        return sorted(found, key=lambda entry: entry[1].casefold())
