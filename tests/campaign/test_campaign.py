"""A few tries of each campaign; and no failure is hidden by the runner or the report."""

import os
import signal
import time

import pytest

from tests.campaign.campaign import Campaign, Tally
from tests.campaign.campaigns import CAMPAIGNS
from tests.campaign.report import Conditions, report
from tests.campaign.runner import Runner, source_of_chance

CONDITIONS = Conditions(seed=7, share=1.0, offline=True)


CASES = [
    pytest.param(
        campaign,
        id=campaign.kind.replace(" ", "-"),
        marks=(pytest.mark.slow,) if campaign.slow else (),
    )
    for campaign in CAMPAIGNS
]
# Python 3.12 warns of a fork where other tests have left threads.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.mark.parametrize("campaign", CASES)
def test_no_try_fails(campaign, tmp_path):
    if missing := campaign.needs():
        pytest.skip(missing)
    folder = tmp_path / "tries"
    folder.mkdir()
    chance = source_of_chance(0, campaign)
    assert list(campaign.tries(folder, campaign.short, chance)) == [None] * campaign.short


def test_kinds_differ():
    assert len({campaign.kind for campaign in CAMPAIGNS}) == len(CAMPAIGNS)


def made_up(tries, **more):
    return Campaign("a kind", "anything", tries, full=4, short=1, **more)


def verdicts(folder, count, chance):
    assert not list(folder.iterdir())
    for i in range(count):
        (folder / str(i)).touch()
        yield None if i % 2 else f"try {i} broke"


def run(campaign, count=4, minutes=1.0):
    return Runner(seed=0, minutes=minutes).run(campaign, count)


def test_failures_are_counted():
    tally = run(made_up(verdicts))
    assert (tally.tries, tally.failures) == (4, ("try 0 broke", "try 2 broke"))
    assert tally.missing is None
    assert 1 < tally.peak < 10_000


def test_chance_follows_the_seed():
    def draw(folder, count, chance):
        yield str(chance.random())

    first = run(made_up(draw), 1)
    assert first.failures == run(made_up(draw), 1).failures
    assert first.failures != Runner(seed=1, minutes=1).run(made_up(draw), 1).failures


def test_a_crash_is_a_failure():
    def crash(folder, count, chance):
        yield None
        os.kill(os.getpid(), signal.SIGKILL)

    tally = run(made_up(crash))
    assert tally.tries == 1
    (failure,) = tally.failures
    assert failure == "try 1 ended the campaign with code -9"


def test_an_exception_is_a_failure():
    def raises(folder, count, chance):
        yield None
        raise ZeroDivisionError("in the campaign")

    failures = run(made_up(raises)).failures
    assert "ZeroDivisionError: in the campaign" in failures[0]


def test_fewer_tries_than_asked_for_are_a_failure():
    def two(folder, count, chance):
        yield from (None, None)

    assert run(made_up(two)).failures == ("only 2 of 4 tries were made",)


def test_time_is_bounded():
    def slow(folder, count, chance):
        for _ in range(count):
            time.sleep(0.2)
            yield None

    tally = run(made_up(slow), 100, minutes=0.005)
    assert 2 <= tally.tries < 10
    assert tally.missing == f"{tally.tries} of 100 tries in 0.005 minutes"
    assert not tally.failures


def test_what_is_not_possible_here_is_said():
    tally = run(made_up(verdicts, needs=lambda: "not root"))
    assert (tally.tries, tally.missing) == (0, "not root")
    assert "- a kind: not root" in report([tally], CONDITIONS)


def test_report_shows_every_count_and_failure():
    tallies = [
        Tally("kills", "a lost row", 200, (), 1.0),
        Tally("pictures", "a crash", 50_000, ("seed 3: `x` | <b>\n\x1b[31m", "y" * 1_000), 1.0),
        Tally("tables", "a crash", 30, tuple(f"table {i}" for i in range(30)), 1.0),
    ]
    page = report(tallies, CONDITIONS)
    assert "**50,230 tries, 32 failures.**" in page
    assert "| kills | a lost row | 200 | 0 |" in page
    assert "| pictures | a crash | 50,000 | 2 |" in page
    assert "| tables | a crash | 30 | 30 |" in page
    assert "- `seed 3: 'x' | <b> \\x1b[31m`\n" in page
    assert f"- `{'y' * 400}…`" in page
    assert "- `table 19`\n- and 10 more" in page
    assert "seed 7" in page
    assert "without a network" in page
    assert "None." not in page


def test_report_without_failures_says_so():
    page = report([Tally("kills", "a lost row", 200, (), 1.0)], Conditions(0, 0.1, offline=False))
    assert "**200 tries, 0 failures.**" in page
    assert "## Failures\n\nNone." in page
    assert "Only 10.0% of the tries were made." in page
    assert "with the machine's network" in page
