"""Strict fakes of providers and engines: real HTTP servers on loopback that make small real clips.

They ship with the product, so that adapters, crash tests, the demo and load tests run without a rented
account. `python -m models.providers.fake --provider replicate` serves one; in a test:

    async with running(FakeSettings(provider="replicate", latency_s=0.05, key="k")) as fake:
        fake.script("lost_answer")
        ...
        assert fake.ledger[0]["status"] == "succeeded"

One base URL serves what a provider spreads over several hosts:

    Replicate  https://api.replicate.com/v1/…   {url}/v1/…  (and the same without /v1)
    fal        https://queue.fal.run/…          {url}/…
               https://rest.fal.ai/…            {url}/…  and {url}/rest/…  (storage/…, .well-known/jwks.json)
    results    *.replicate.delivery, *.fal.media  {url}/_delivery/{call}/{name}, without a key

`faults.FITS` lists what can be scripted. The other end of webhooks is `receiver.receiving()`. Schemas of
rented models lie in `schemas/*.yaml`, written apart from the request maps on the cards, so that each checks
the other. Clips keep shape, frame rate and playing time; they are small unless `FakeSettings.full_size` is
set. Where a model's frame rate is not published the fake takes 24, which need not be what the card supposes.

How to add a family (an engine, a provider):

1. A module with a function `routes(fake: Fake) -> list[Route]`, and one entry in `families.FAMILIES`.
2. A `Dialect` (see `desk`): whether a request is authorised, and how each refusal is worded and shaped.
3. Routes made by `Desk(fake, dialect).route(path, method, operation, endpoint)`. The desk counts the
   request, asks for the key, and plays the faults that fit the operation before and after the endpoint.
   Name operations as the others do: submit, look, cancel, list, upload, download, model, check.
4. The submit endpoint checks the body, then `call = fake.accept(request, endpoint=…, body=…, shape=…)`.
   Everything else is read from the call: `call.status(fake.now())`, `fake.cancel(request, call)`,
   `call.progress(now)`, `call.why` (`Ending`: why it fails, for the family to word).
5. The result: `await fake.deliver(request, call)` answers with the clip and plays the faults of downloads;
   or a URL without a key: `fake.result_url(call)`, whose route the core serves.
6. Webhooks, where there are any: `webhooks.post(fake, call, letter)`; see `replicate`.
"""
