#!/usr/bin/env python3
"""Writes table.json from LiteLLM's published price table.

    pip download --no-deps litellm
    pip download --no-deps litellm==1.74.0
    pip download --no-deps litellm==1.80.0
    python3 generate.py litellm-VERSION-….whl litellm-1.74.0-….whl litellm-1.80.0-….whl > table.json

Models that the first does not name any more come from the others, in that order: proxies still serve them, and ledgers still hold
them. 1.80.0 is last, since it is wrong about what older models cost that 1.74.0 has.

Keeps models that are billed by the token, of providers whose own names are unambiguous, in US dollars per million tokens.
What a class or a tier costs that the source does not name is left out: the ledger then knows no cost, rather than a wrong one.
"""

import json
import re
import sys
import zipfile
from decimal import Decimal

# LiteLLM's provider: ours, and the prefix that its names carry there
PROVIDERS = {
    "anthropic": ("anthropic", ""),
    "openai": ("openai", ""),
    "text-completion-openai": ("openai", ""),
    "gemini": ("gemini", "gemini/"),
    "xai": ("xai", "xai/"),
    "deepseek": ("deepseek", "deepseek/"),
    "mistral": ("mistral", "mistral/"),
    "cohere_chat": ("cohere", ""),
    "bedrock": ("bedrock", "bedrock/"),
    "bedrock_converse": ("bedrock", ""),
    "vertex_ai-anthropic_models": ("vertex_ai", "vertex_ai/"),
}
MODES = {"chat", "responses", "completion", "embedding"}
CLASSES = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cache_read": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
    "cache_write_1h": "cache_creation_input_token_cost_above_1hr",
    "reasoning": "output_cost_per_reasoning_token",
}
ABOVE = re.compile(r"_above_(\d+)k_tokens$")


def per_million(price):
    price = Decimal(price) * 1_000_000
    # six digits behind the point are whole picodollars per token, which is as exact as a cost is kept
    if price < 0 or price != price.quantize(Decimal("0.000001")):
        raise ValueError(price)
    text = format(price.normalize(), "f")
    return text


def rates(entry, tier):
    """The prices of one service tier, with those of longer contexts beneath."""
    suffix = f"_{tier}" if tier else ""
    found, above = {}, {}
    for name, key in CLASSES.items():
        if key + suffix in entry:
            found[name] = per_million(entry[key + suffix])
        for field, price in entry.items():
            if not field.startswith(key + "_above_") or not field.endswith(suffix):
                continue
            match = ABOVE.search(field[: len(field) - len(suffix)] if suffix else field)
            if match and field == f"{key}_above_{match[1]}k_tokens{suffix}":
                above.setdefault(int(match[1]) * 1000, {})[name] = per_million(price)
    if found.get("reasoning") == found.get("output"):
        found.pop("reasoning", None)
    if above:
        found["above"] = [{"tokens": str(tokens), **above[tokens]} for tokens in sorted(above)]
    return found


def model(entry, provider):
    found = rates(entry, "")
    search = entry.get("search_context_cost_per_query", {}).get("search_context_size_medium")
    if search is not None and provider in ("anthropic", "vertex_ai"):
        found["web_search"] = format(Decimal(search).normalize(), "f")
    for ours, theirs in (("batch", "batches"), ("priority", "priority"), ("flex", "flex")):
        tier = rates(entry, theirs)
        # Anthropic halves every class in batches, the hour's writes too, which the source does not list
        if provider == "anthropic" and ours == "batch" and tier and "cache_write_1h" in found:
            tier.setdefault("cache_write_1h", per_million(entry[CLASSES["cache_write_1h"]] / 2))
        if "input" in tier:
            found[ours] = tier
    extra = entry.get("provider_specific_entry", {})
    for name in ("us", "fast"):
        if name in extra and provider == "anthropic":
            found["times_" + name] = format(Decimal(extra[name]).normalize(), "f")
    return found


def read(wheel):
    """The version of a wheel, and its models by provider."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("model_prices_and_context_window_backup.json"))
        source = json.loads(archive.read(name), parse_float=Decimal)
    version = wheel.rsplit("/", 1)[-1].split("-")[1]
    models, left_out = {}, 0
    for key, entry in source.items():
        provider, prefix = PROVIDERS.get(entry.get("litellm_provider"), (None, ""))
        name = key.removeprefix(prefix) if provider else key
        if not provider or entry.get("mode") not in MODES or "input_cost_per_token" not in entry or "/" in name:
            continue
        # Vertex answers with Anthropic's own names too, and then cannot be told from it
        if provider == "vertex_ai" and "@" not in name:
            continue
        # prices that depend on more than these classes
        if "tiered_pricing" in entry or any("off_peak" in field for field in entry):
            left_out += 1
            continue
        try:
            found = model(entry, provider)
        except ValueError:
            left_out += 1
            continue
        if Decimal(found["input"]) == 0 and Decimal(found.get("output", 0)) == 0:
            left_out += 1
            continue
        models.setdefault(provider, {})[name] = found
    print(f"{version}: {sum(map(len, models.values()))} models, {left_out} left out", file=sys.stderr)
    return version, models


def main(wheels):
    versions, models = [], {}
    for wheel in wheels:
        version, found = read(wheel)
        versions.append(version)
        for provider, entries in found.items():
            for name, entry in entries.items():
                # a name that a provider gave up; those of resellers may be anybody's by now, and sound is priced apart
                retired = provider in ("anthropic", "openai") and not re.search("audio|realtime", name)
                if len(versions) == 1 or retired:
                    models.setdefault(provider, {}).setdefault(name, entry)
    versions = " and ".join(versions)
    about = f"LiteLLM {versions}, model_prices_and_context_window_backup.json, MIT License, Copyright (c) 2023 Berri AI"
    print('{\n"source": %s,\n"models": {' % json.dumps(about))
    groups = []
    for provider in sorted(models):
        lines = [f" {json.dumps(name)}: {compact(models[provider][name])}" for name in sorted(models[provider])]
        groups.append(f"{json.dumps(provider)}: {{\n" + ",\n".join(lines) + "\n}")
    print(",\n".join(groups) + "\n}}")


def compact(value):
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{compact(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(compact, value)) + "]"
    return value


main(sys.argv[1:])
