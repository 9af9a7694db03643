"""The calls of Anthropic's Python SDK."""

import asyncio

import anthropic
from seen import events, paced, raw, told

ASK = {"model": "claude-opus-5", "max_tokens": 1024, "messages": [{"role": "user", "content": "Which ports? 港 🌊"}]}
LONG = {**ASK, "messages": [{"role": "user", "content": "tide table " * 95_000}]}
FAILURES = [400, 401, 402, 403, 404, 408, 413, 422, 429, 500, 503, 504, 529]


def calls(base, run):
    """Each call as the script that it asks the origin for, and the function that makes it."""
    options = {"api_key": "sk-ant-key", "base_url": base, "default_headers": run, "timeout": 20.0}
    client = anthropic.Anthropic(**options)
    once = client.with_options(max_retries=0)

    def create(script, ask=ASK, by=client):
        return raw(by.messages.with_raw_response.create(**ask, extra_headers={"x-script": script}))

    def stream(script, ask=ASK, by=client):
        return events(by.messages.create(**ask, stream=True, extra_headers={"x-script": script}))

    def helper(script):
        with client.messages.stream(**ASK, extra_headers={"x-script": script}) as opened:
            return events(opened, opened.get_final_message)

    def slow(script):
        return paced(client.messages.create(**ASK, stream=True, extra_headers={"x-script": script}))

    def left(script):
        opened = client.messages.create(**ASK, stream=True, extra_headers={"x-script": script})
        first = told(next(iter(opened)))
        opened.close()
        return first

    def late(script):
        hurried = client.with_options(max_retries=1, timeout=1.0)
        return create(script, by=hurried)

    def crowd(script):
        async def one(crowded, number):
            ask = {**ASK, "messages": [{"role": "user", "content": f"{number}" * number}]}
            if number % 2:
                async with crowded.messages.stream(**ask, extra_headers={"x-script": "stream_tools"}) as opened:
                    return told(await opened.get_final_message())
            return told(await crowded.messages.create(**ask, extra_headers={"x-script": script}))

        async def all_of_them():
            async with anthropic.AsyncAnthropic(**options) as crowded:
                return await asyncio.gather(*(one(crowded, number) for number in range(24)))

        return asyncio.run(all_of_them())

    def count(script):
        ask = {"model": ASK["model"], "messages": ASK["messages"]}
        return raw(client.messages.with_raw_response.count_tokens(**ask, extra_headers={"x-script": script}))

    def beta(script):
        return told(
            client.beta.messages.create(
                **ASK, betas=["one-2026-01-01", "two-2026-02-02"], extra_headers={"x-script": script}
            )
        )

    def beta_stream(script):
        asked = {"betas": ["one-2026-01-01"], "extra_headers": {"x-script": script}}
        return events(client.beta.messages.create(**ASK, stream=True, **asked))

    def models(script):
        return [told(model) for model in client.models.list(limit=1, extra_headers={"x-script": script})]

    def batches(script):
        extra = {"extra_headers": {"x-script": script}}
        item = {"custom_id": "a", "params": ASK}
        made = client.messages.batches.create(requests=[item], **extra)
        return {
            "made": told(made),
            "retrieved": told(client.messages.batches.retrieve(made.id, **extra)),
            "results": [told(line) for line in client.messages.batches.results(made.id, **extra)],
        }

    def files(script):
        extra = {"extra_headers": {"x-script": script}}
        kept = client.beta.files.upload(file=("tides.bin", bytes(range(256)) * 1000), **extra)
        content = client.beta.files.download(kept.id, **extra).read()
        return {"kept": told(kept), "content": [len(content), content == bytes(range(256)) * 300]}

    def unknown(script):
        return told(
            client.post(
                "/v1/not/yet?known=%2Fkept&empty=", body={}, cast_to=object, options={"headers": {"x-script": script}}
            )
        )

    yield "echo", create
    yield "long", lambda script: create(script, LONG)
    yield "tools", create
    for script in ["stream", "stream_tools", "stream_odd", "stream_joined", "stream_huge", "stream_error"]:
        yield script, lambda script: {"plain": stream(script), "helper": helper(script)}
    for script in ["stream_cut", "stream_cut_inside", "stream_unfinished"]:
        yield script, lambda script: {"plain": stream(script), "helper": helper(script)}
    yield "stream_slow", slow
    yield "stream_left", left
    for status in FAILURES:
        yield f"status_{status}", lambda script: create(script, by=once)
    yield "html_502", lambda script: create(script, by=once)
    yield "wont_help", create
    for script in ["again_429", "again_529", "again_503_409", "again_told", "again_never"]:
        yield script, create
    yield "again_stream", stream
    yield "stall", late
    yield "crowd", crowd
    yield "count", count
    yield "beta", beta
    yield "beta_stream", beta_stream
    yield "models", models
    yield "batches", batches
    yield "files", files
    yield "unknown", unknown
