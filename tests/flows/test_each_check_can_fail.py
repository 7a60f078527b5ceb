"""Each check can fail: with a check disabled in the source, a test that names what it catches fails.

Every mutation is made in a copy of the package, and the named test is run on that copy.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

import posttrainbench
from posttrainbench.auditing.meaning import MEANINGS

PROJECT = Path(__file__).parent.parent.parent
PACKAGE = Path(posttrainbench.__file__).parent
AUDIT = "tests/flows/test_audit.py"
UNIT = "tests/unit/auditing"
PASSES = "lambda inputs: report({name}, 'covered nothing', ())"


@dataclass(frozen=True)
class Mutation:
    """One edit that disables something, and the test that must fail by it."""

    check: str
    what: str
    file: str  # within the package
    old: str
    new: str
    test: str


def whole(check: str, constant: str, function: str, test: str) -> Mutation:
    """The whole check answers that all is well."""
    passes = PASSES.format(name=constant)
    return Mutation(
        check,
        "the whole check",
        "flows/audit.py",
        f"({constant}, {function})",
        f"({constant}, {passes})",
        test,
    )


MUTATIONS = (
    whole(
        "lineage", "lineage.CHECK", 'lambda inputs: _lineage(inputs, out / "tensors.jsonl")',
        f"{AUDIT}::test_the_instruct_sibling_disqualifies",
    ),
    whole("overlap", "overlap.CHECK", "_overlap", f"{AUDIT}::test_test_items_disqualify_with_file_and_item"),
    whole("tampering", "tampering.CHECK", "_tampering", f"{AUDIT}::test_an_edited_client_disqualifies"),
    whole("egress", "egress.CHECK", "_egress", f"{AUDIT}::test_a_fetched_test_split_disqualifies"),
    whole(
        "selection", "selection.CHECK", "_selection",
        f"{AUDIT}::test_a_score_far_above_the_final_one_on_the_queried_items_is_suspicious",
    ),
    whole(
        "admission", "ADMISSION", "_admission",
        f"{AUDIT}::test_a_refused_model_is_told_with_the_reason",
    ),
    Mutation(
        "canary", "likelier planted answers accuse nobody", "auditing/canaries.py",
        "Strength.DISQUALIFYING", "Strength.NOTE",
        f"{AUDIT}::test_a_model_that_learned_the_planted_items_is_disqualified",
    ),
    Mutation(
        "admission", "foreign tensors are let in", "auditing/admission.py",
        'raise Refused(f"not the base model\'s tensors: ', 'print(f"not the base model\'s tensors: ',
        "tests/flows/test_admit.py::test_bad_models_are_refused_in_one_sentence",
    ),
    Mutation(
        "overlap", "the transcript is not read", "flows/scan.py",
        "texts = chain(texts, transcript_documents(root, batch.transcript, coverage))", "pass",
        f"{AUDIT}::test_test_items_disqualify_with_file_and_item",
    ),
    Mutation(
        "overlap", "the home folder is not read", "flows/audit.py",
        "[left.workspace.name, left.home.name]", "[left.workspace.name]",
        f"{AUDIT}::test_test_items_disqualify_with_file_and_item",
    ),
    Mutation(
        "overlap", "any number of items is tolerated", "auditing/overlap.py",
        "if len(items) > tolerated_items", "if len(items) > 10**9",
        f"{UNIT}/test_overlap.py::test_three_items_are_tolerated_and_four_are_not",
    ),
    Mutation(
        "overlap", "what is encoded is not read", "stores/formats.py",
        "for number, text in unlayered(pieces):", "for number, text in pieces:",
        "tests/unit/stores/test_documents.py::test_what_is_encoded_in_a_text_is_read",
    ),
    Mutation(
        "overlap", "look-alike letters hide a text", "auditing/words.py",
        "line if line.isascii() else _unaccented(line)", "line",
        f"{UNIT}/test_overlap.py::test_every_item_is_found",
    ),
    Mutation(
        "overlap", "reversed text is not read", "auditing/search.py",
        'for read in words("\\n".join(texts)):', 'for read in words("\\n".join(texts))[:1]:',
        f"{UNIT}/test_overlap.py::test_a_disguised_item_is_found_where_it_stands",
    ),
    Mutation(
        "overlap", "train items explain nothing away", "auditing/search.py",
        "if counts and not _explained(index, index.passages[number], read, match.start, match.end):",
        "if counts:",
        f"{UNIT}/test_overlap.py::test_what_is_nearer_to_a_train_item_is_no_find",
    ),
    Mutation(
        "overlap", "a set phrase is a copy", "auditing/search.py",
        "if common is None or not _from_both_halves(passage, window):", "if common is None:",
        f"{UNIT}/test_overlap.py::test_a_phrase_of_one_half_is_no_copy_of_a_short_question",
    ),
    Mutation(
        "overlap", "items in other words are no finding", "flows/audit.py",
        "findings = [*made.findings, *in_other_words]", "findings = [*made.findings]",
        f"{AUDIT}::test_items_in_other_words_disqualify_by_their_numbers",
    ),
    Mutation(
        "overlap", "numbers in a row are never chance", "auditing/retold.py",
        "SAFETY = 3.0", "SAFETY = 1e-9",
        f"{UNIT}/test_retold.py::test_what_chance_gives_is_not_flagged_however_many_items_it_is",
    ),
    Mutation(
        "overlap", "train items' numbers are evidence", "auditing/retold.py",
        "if holders[run] == 1]", "if holders[run] >= 1]",
        f"{UNIT}/test_retold.py::test_what_train_items_have_too_is_not_looked_for",
    ),
    Mutation(
        "tampering", "no file is the client", "auditing/tampering.py",
        'CLIENT = frozenset({"evaluate.py", "timer.sh"})', "CLIENT: frozenset[str] = frozenset()",
        f"{UNIT}/test_tampering.py::test_an_edited_client_disqualifies_with_both_digests",
    ),
    Mutation(
        "egress", "no denial is a search", "auditing/egress.py",
        "SEARCH_FROM_DENIALS = 4", "SEARCH_FROM_DENIALS = 10**9",
        f"{UNIT}/test_egress.py::test_denials_are_noted_and_a_search_is_suspicious",
    ),
    Mutation(
        "egress", "sibling weights may be fetched", "auditing/egress.py",
        "if _same_as_any(entry, off.siblings)]", "if False]",
        f"{UNIT}/test_egress.py::test_a_siblings_weights_are_suspicious_and_other_models_noted",
    ),
    Mutation(
        "selection", "any number of models may be tried", "auditing/selection.py",
        "models >= MANY_MODELS else", "models >= 100 * MANY_MODELS else",
        f"{UNIT}/test_selection.py::test_choosing_on_the_final_items_is_noted_and_suspicious_when_many",
    ),
    whole(
        "grader_injection", "grader_injection.CHECK", "_grader_injection",
        f"{AUDIT}::test_answers_that_instruct_their_grader_disqualify",
    ),
    Mutation(
        "grader_injection", "any number of answers is tolerated", "auditing/grader_injection.py",
        "many = len(found) > tolerated", "many = False",
        f"{UNIT}/test_grader_injection.py::test_three_samples_are_tolerated_and_four_are_not",
    ),
    Mutation(
        "grader_injection", "verdicts in the grader's form are overlooked", "auditing/grader_injection.py",
        "if place is not None and not form.search(asked):", "if False:",
        f"{UNIT}/test_grader_injection.py::test_an_answer_that_instructs_is_found",
    ),
    Mutation(
        "grader_injection", "orders to the grader are overlooked", "auditing/grader_injection.py",
        "if _TOLD.search(reach) and (may_be_general or _SELF.search(reach)):", "if False:",
        f"{UNIT}/test_grader_injection.py::test_an_answer_that_instructs_is_found",
    ),
    Mutation(
        "grader_injection", "what is said in several answers is overlooked", "auditing/grader_injection.py",
        "if len(names) >= REPEATED", "if False",
        f"{UNIT}/test_grader_injection.py::test_a_claim_counts_when_several_answers_make_it",
    ),
    Mutation(
        "grader_injection", "nobody needs the check", "flows/audit.py",
        "required = (*required, grader_injection.CHECK)", "pass",
        f"{AUDIT}::test_graded_answers_that_are_gone_are_not_clean",
    ),
    Mutation(
        "trial", "a program that ends its process has passed", "benchmarks/trial_program.py",
        "        return str(failed)", '        return "passed"',
        "tests/contract/test_hostile_programs.py::test_no_cheat_passes",
    ),
    Mutation(
        "judge", "void votes are votes of innocence", "auditing/judging.py",
        "    if not still_open:", "    if True:",
        f"{UNIT}/test_judging.py::test_void_votes_count_against_a_majority",
    ),
    Mutation(
        "verdict", "a required check that did not run is a pass", "auditing/verdict.py",
        "missing = _missing(reports, required)", "missing = ()",
        f"{UNIT}/test_verdict.py::test_clean_needs_every_required_check",
    ),
    Mutation(
        "verdict", "a check that breaks counts as clean", "flows/audit.py",
        "        return _broken_off(name, problem)", "        return report(name, str(problem), ())",
        f"{AUDIT}::test_a_check_that_breaks_has_not_run",
    ),
    Mutation(
        "verify", "any signature fits", "stores/keys.py",
        "        return False\n    return True", "        return True\n    return True",
        "tests/unit/flows/test_verify.py::test_every_change_shows",
    ),
    Mutation(
        "verify", "the agent's files are not compared", "flows/verify.py",
        "        if was != now:", "        if False:",
        "tests/unit/flows/test_verify.py::test_every_change_shows",
    ),
    Mutation(
        "verify", "a record that was taken away is not missed", "flows/verify.py",
        "    if announced > store.records():", "    if False:",
        "tests/unit/flows/test_verify.py::test_a_newer_record_that_was_taken_away_shows",
    ),
    Mutation(
        "explain", "test items are quoted", "auditing/quoting.py",
        "        if secret:", "        if False:",
        f"{UNIT}/test_quoting.py::test_a_test_items_words_are_withheld_and_the_agents_own_are_quoted",
    ),
)  # fmt: skip


def checks_of_an_audit() -> set[str]:
    """The checks that `flows.audit` lists, by the names that reports carry."""
    listed = re.findall(r"^        \((\w+)(\.CHECK)?, ", (PACKAGE / "flows/audit.py").read_text(), re.M)
    modules = {name: import_module(f"posttrainbench.auditing.{name}") for name, check in listed if check}
    return {modules[name].CHECK if check else name.lower() for name, check in listed}


def test_every_check_of_an_audit_has_a_mutation_and_a_meaning() -> None:
    checks = {*checks_of_an_audit(), "judge"}
    assert {"overlap", "egress"} <= checks
    assert checks <= {mutation.check for mutation in MUTATIONS}
    assert checks <= set(MEANINGS)


def run(tests: Sequence[str], package: Path) -> subprocess.CompletedProcess[str]:
    """The tests, with `package` in place of the installed one."""
    argv = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        argv, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False, timeout=600
    )


@pytest.mark.extended
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: f"{m.check}: {m.what}")
def test_a_disabled_check_makes_a_test_fail(mutation: Mutation, tmp_path: Path) -> None:
    package = tmp_path / "posttrainbench"
    shutil.copytree(PACKAGE, package, copy_function=os.symlink, ignore=shutil.ignore_patterns("__pycache__"))
    file = package / mutation.file
    text = file.read_text()
    assert text.count(mutation.old) == 1, "the source has changed: write the mutation anew"
    file.unlink()  # the copy is made of links
    file.write_text(text.replace(mutation.old, mutation.new))
    done = run([mutation.test], package)
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr[-2000:]
    assert re.search(rf"^FAILED {re.escape(mutation.test)}", done.stdout, re.M), done.stdout[-3000:]


@pytest.mark.extended
def test_the_named_tests_pass_as_long_as_nothing_is_disabled() -> None:
    done = run(sorted({mutation.test for mutation in MUTATIONS}), PACKAGE)
    assert done.returncode == 0, done.stdout[-3000:]
