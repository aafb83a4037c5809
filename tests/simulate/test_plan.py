import pytest

from bids_ai.errors import InputError
from bids_ai.simulate.plan import MODALITIES, Plan, Run, make_plan, subjects


def planned(n_subjects: int = 2, sessions: int | None = None, modalities=MODALITIES, **options) -> Plan:
    settings = {"size": "small", "n_regions": None, "seed": 1, "ragged": False, "lesion": False} | options
    return make_plan(n_subjects, sessions, modalities, **settings)


def test_variants_come_by_turns():
    people = subjects(5)
    assert [person.label for person in people] == ["01", "02", "03", "04", "05"]
    assert [person.slice_timing for person in people] == [True, False, True, False, True]
    assert [person.oblique for person in people] == [False, True, False, True, False]
    assert [person.sessions for person in people] == [[], ["1", "2"], [], ["1", "2"], []]
    assert people[0].runs == (Run(run="1", non_steady=2), Run(run="2"))
    assert people[1].runs == (Run(session="1"), Run(session="2", repositioned=True))
    assert [person.t1w_session for person in people[:2]] == [None, "1"]


def test_a_subject_does_not_depend_on_the_others():
    assert subjects(12)[:3] == subjects(3)
    assert len({person.age for person in subjects(12)}) > 4


def test_sessions_hold_for_everybody():
    for person in subjects(2, 3):
        assert person.sessions == ["1", "2", "3"]
        assert [(run.session, run.run) for run in person.runs] == [(s, r) for s in "123" for r in "12"]
        assert [run.repositioned for run in person.runs] == [False] * 2 + [True] * 4
        assert person.t1w_session == "1"
    assert all(person.sessions == [] and len(person.runs) == 2 for person in subjects(2, 1))


def test_ragged_cohort_lacks_dwi_in_every_second_subject():
    people = planned(4, ragged=True)
    assert ["dwi" in person.modalities for person in people.subjects] == [True, False, True, False]
    assert people.modalities == list(MODALITIES)
    assert all(set(MODALITIES) - set(person.modalities) <= {"dwi"} for person in people.subjects)


def test_lesion_is_in_the_first_subject():
    assert [person.resected for person in planned(3, lesion=True).subjects] == [True, False, False]


def test_modalities_come_in_one_order_and_any_case():
    assert planned(modalities=("BOLD", "T1w")).modalities == ["t1w", "bold"]


def test_everything_wrong_is_said_at_once():
    with pytest.raises(InputError) as refused:
        planned(0, 0, ("t1w", "seeg", "bald"), size="big", n_regions=7, seed=-1, ragged=True)
    lines = str(refused.value).splitlines()
    assert lines[:4] == [
        "--subjects: 1 or more wanted, got 0.",
        "--sessions: 1 or more wanted, got 0.",
        "--regions: 8 or more wanted, got 7.",
        "--seed: 0 or more wanted, got -1.",
    ]
    assert lines[4].endswith("got 'seeg'. Did you mean ieeg?")
    assert lines[5].endswith("got 'bald'. Did you mean bold?")
    assert "add dwi to --modalities" in lines[6]
    assert "tiny, small, full" in lines[7]


def test_size_gives_the_regions_unless_they_are_asked_for():
    assert planned().n_regions == 24
    assert planned(n_regions=50).n_regions == 50
