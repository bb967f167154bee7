"""Votes and what they add up to, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from models.errors import InvalidRequest, JobNotFound, NotReady
from policies.calibration import Belief, Ledger, Tally, liked
from router.jobs.records import Ballot, Vote

ELO, REFERENCE = 1100.0, 1200.0


@pytest.fixture
def voting(store, steps):
    """Completes clips and votes on them."""

    class Voting:
        async def clip(self, model="alpha", tenant="acme", **changes):
            job = await steps.create(tenant=tenant)
            run = await steps.run(job.id)
            await steps.complete(job.id, run.fence, key=f"out/{job.id}.mp4")
            ballot = Ballot(job.id, model, "local", "portrait", ELO, REFERENCE, "learned")
            return replace(ballot, **changes)

        async def thumb(self, ballot, rating=1, tenant="acme", comment=""):
            await store.vote(Vote(tenant, ballot, rating, comment=comment))

        async def prefer(self, better, worse, tenant="acme"):
            await store.vote(Vote(tenant, better, 1, over=worse))

        async def belief(self, model="alpha", use_case="portrait"):
            return (await store.learned()).beliefs.get((model, use_case), Belief())

    return Voting()


async def test_a_vote_needs_a_clip_and_a_thumb_of_its_owner(store, steps, voting):
    job = await steps.create()
    with pytest.raises(NotReady):
        await voting.thumb(Ballot(job.id, "alpha", "local", "portrait", ELO, REFERENCE, "learned"))
    ballot = await voting.clip()
    with pytest.raises(InvalidRequest) as caught:
        await voting.thumb(ballot, rating=0)
    assert caught.value.param == "rating"
    with pytest.raises(JobNotFound):
        await voting.thumb(ballot, tenant="globex")
    with pytest.raises(JobNotFound):
        await voting.prefer(ballot, await voting.clip(tenant="globex"))
    assert (await store.learned()).beliefs == {}


async def test_votes_are_counted_as_the_policy_says_and_read_back_by_another_process(
    store, voting, make_store
):
    expected = Belief()
    for rating in (1, 1, -1, 1):
        await voting.thumb(await voting.clip(), rating)
        expected = liked(expected, ELO, REFERENCE, rating > 0)
    again = make_store()
    await again.open()
    try:
        learned = await again.learned()
    finally:
        await again.close()
    belief = learned.beliefs["alpha", "portrait"]
    assert (belief.offset, belief.precision) == pytest.approx((expected.offset, expected.precision))
    assert belief.votes == 4
    assert learned.ledger == Ledger(learned=Tally(3, 4))


async def test_a_later_thumb_takes_the_place_of_the_earlier_exactly(store, voting):
    first, second = await voting.clip(), await voting.clip()
    await voting.thumb(first, 1)
    await voting.thumb(second, -1)
    for rating in (-1, 1, 1, -1):
        await voting.thumb(first, rating, comment="on second thought")
    belief = await voting.belief()
    assert belief.votes == 2
    fresh = liked(liked(Belief(), ELO, REFERENCE, False), ELO, REFERENCE, False)
    assert belief.offset == pytest.approx(fresh.offset)
    assert (await store.learned()).ledger == Ledger(learned=Tally(0, 2))


async def test_the_word_on_a_pair_may_be_turned_round(voting):
    a, b = await voting.clip("alpha"), await voting.clip("beta")
    await voting.prefer(a, b)
    ahead = (await voting.belief("alpha")).offset
    assert ahead > 0 > (await voting.belief("beta")).offset
    await voting.prefer(b, a)
    assert (await voting.belief("alpha")).offset == pytest.approx(-ahead)
    assert (await voting.belief("beta")).offset == pytest.approx(ahead)
    assert (await voting.belief("beta")).votes == 1


async def test_a_thumb_and_a_pair_on_one_clip_both_count(store, voting):
    a, b = await voting.clip("alpha"), await voting.clip("beta")
    await voting.thumb(a)
    await voting.prefer(a, b)
    assert (await voting.belief("alpha")).votes == 2
    assert (await store.learned()).ledger.learned == Tally(1, 1)


async def test_two_clips_of_one_model_teach_nothing(voting):
    await voting.prefer(await voting.clip(), await voting.clip())
    assert await voting.belief() == Belief()


async def test_slices_are_tallied_apart_and_tries_in_neither(store, voting):
    for decided, rating in (("learned", 1), ("hold_out", -1), ("hold_out", 1), ("explore", 1)):
        await voting.thumb(await voting.clip(decided=decided), rating)
    assert (await store.learned()).ledger == Ledger(Tally(1, 1), Tally(1, 2))


async def test_a_vote_without_a_cell_is_kept_and_counts_nowhere(store, voting):
    await voting.thumb(await voting.clip(use_case=None, elo=None))
    learned = await store.learned()
    assert (learned.beliefs, learned.ledger) == ({}, Ledger())


async def test_concurrent_votes_all_count(store, voting, make_store):
    ballots = [await voting.clip() for _ in range(8)]
    second = make_store()
    await second.open()
    try:
        await asyncio.gather(
            *((store if n % 2 else second).vote(Vote("acme", b, 1)) for n, b in enumerate(ballots))
        )
    finally:
        await second.close()
    assert (await voting.belief()).votes == 8
    assert (await store.learned()).ledger.learned == Tally(8, 8)


async def test_a_deleted_job_keeps_its_vote_and_loses_its_words(store, voting):
    ballot = await voting.clip()
    await voting.thumb(ballot, comment="my garden")
    before = await voting.belief()
    await store.delete(ballot.job_id)
    await voting.thumb(await voting.clip("beta"))
    assert await voting.belief() == before
