"""A report names the papers of the attacks that it ran, and no others."""

from fr_inference.membership import attacks
from fr_inference.report import citations
from tests.report.comparisons import brightness, comparison, further


def test_papers_of_the_attacks_that_were_run_with_what_they_support():
    found = dict(citations.of({}, [comparison(), further(), brightness()]))
    assert found['Huang et al. 2024, arXiv 2401.13719'] == "The paper's attack: BatchNorm distances"
    norm = attacks.get('norm').source
    assert found[norm[:1].upper() + norm[1:]] == 'The norm'
    assert not any('SD-MI' in cited for cited in found)
    assert all(clause and not clause.endswith('.') for clause in found.values())


def test_a_search_alone_cites_what_bears_on_searches():
    assert [cited for cited, _ in citations.of({'inversion': {}}, [])] == ['arXiv 2505.03519']
