"""The calls of OpenAI's Python SDK."""

import asyncio

import openai
from seen import events, paced, raw, told

ASK = {
    "model": "gpt-6-mini",
    "messages": [{"role": "user", "content": "Which ports? 港 🌊"}],
    "max_completion_tokens": 900,
}
LONG = {**ASK, "messages": [{"role": "user", "content": "tide table " * 95_000}]}
FAILURES = [400, 401, 403, 404, 409, 422, 429, 500, 503]


def calls(base, run):
    """Each call as the script that it asks the origin for, and the function that makes it."""
    options = {
        "api_key": "sk-key",
        "organization": "harbour",
        "base_url": f"{base}/v1",
        "default_headers": run,
        "timeout": 20.0,
    }
    client = openai.OpenAI(**options)
    once = client.with_options(max_retries=0)

    def create(script, ask=ASK, by=client):
        return raw(by.chat.completions.with_raw_response.create(**ask, extra_headers={"x-script": script}))

    def stream(script, **more):
        return events(client.chat.completions.create(**ASK, stream=True, **more, extra_headers={"x-script": script}))

    def counted(script):
        return stream(script, stream_options={"include_usage": True})

    def helper(script):
        with client.chat.completions.stream(**ASK, extra_headers={"x-script": script}) as opened:
            return events(opened, opened.get_final_completion)

    def slow(script):
        return paced(client.chat.completions.create(**ASK, stream=True, extra_headers={"x-script": script}))

    def left(script):
        opened = client.chat.completions.create(**ASK, stream=True, extra_headers={"x-script": script})
        first = told(next(iter(opened)))
        opened.close()
        return first

    def late(script):
        return create(script, by=client.with_options(max_retries=1, timeout=1.0))

    def respond(script):
        asked = {
            "model": ASK["model"],
            "input": "Which ports?",
            "max_output_tokens": 64,
            "extra_headers": {"x-script": script},
        }
        return raw(client.responses.with_raw_response.create(**asked))

    def response_stream(script):
        asked = {"model": ASK["model"], "input": "Which ports?", "extra_headers": {"x-script": script}}
        return events(client.responses.create(**asked, stream=True))

    def response_helper(script):
        asked = {"model": ASK["model"], "input": "Which ports?", "extra_headers": {"x-script": script}}
        with client.responses.stream(**asked) as opened:
            return events(opened, opened.get_final_response)

    def complete(script):
        asked = {
            "model": "gpt-3.5-turbo-instruct",
            "prompt": "Harw",
            "max_tokens": 5,
            "extra_headers": {"x-script": script},
        }
        return told(client.completions.create(**asked))

    def completion_stream(script):
        asked = {"model": "gpt-3.5-turbo-instruct", "prompt": "Harw", "extra_headers": {"x-script": script}}
        return events(client.completions.create(**asked, stream=True))

    def embed(script):
        return told(
            client.embeddings.create(model="text-embedding-4", input=["Harwich"], extra_headers={"x-script": script})
        )

    def crowd(script):
        async def one(crowded, number):
            ask = {**ASK, "messages": [{"role": "user", "content": f"{number}" * number}]}
            if number % 2:
                opened = await crowded.chat.completions.create(**ask, stream=True, extra_headers={"x-script": "stream"})
                return [told(chunk) async for chunk in opened]
            return told(await crowded.chat.completions.create(**ask, extra_headers={"x-script": script}))

        async def all_of_them():
            async with openai.AsyncOpenAI(**options) as crowded:
                return await asyncio.gather(*(one(crowded, number) for number in range(24)))

        return asyncio.run(all_of_them())

    def models(script):
        return [told(model) for model in client.models.list(extra_headers={"x-script": script})]

    def speech(script):
        asked = {"model": "tts-1", "voice": "alloy", "input": "Harwich", "extra_headers": {"x-script": script}}
        content = client.audio.speech.create(**asked).read()
        return [len(content), content == bytes(range(256)) * 300]

    def files(script):
        content = ("tides.bin", bytes(range(256)) * 1000)
        return told(client.files.create(file=content, purpose="user_data", extra_headers={"x-script": script}))

    yield "echo", create
    yield "several", lambda script: create(script, {**ASK, "n": 3})
    yield "long", lambda script: create(script, LONG)
    for script in ["stream", "stream_odd", "stream_cut", "stream_error"]:
        yield script, lambda script: {"plain": stream(script), "counted": counted(script), "helper": helper(script)}
    yield "stream_slow", slow
    yield "stream_left", left
    yield "respond", respond
    yield "response_stream", response_stream
    yield "response_stream_odd", response_helper
    yield "response_stream_cut", response_stream
    yield "complete", complete
    yield "completion_stream", completion_stream
    yield "embed", embed
    for status in FAILURES:
        yield f"status_{status}", lambda script: create(script, by=once)
    yield "html_502", lambda script: create(script, by=once)
    yield "detail_401", lambda script: create(script, by=once)
    yield "wont_help", create
    yield "wait_long", create
    for script in ["again_429", "again_500", "again_never"]:
        yield script, create
    yield "stall", late
    yield "crowd", crowd
    yield "models", models
    yield "speech", speech
    yield "files", files
