"""Runs the calls of one Python SDK against a base URL and prints what it saw, as one JSON document.

`client.py anthropic|openai BASE RUN`. The calls are in `client_anthropic.py` and `client_openai.py`.
"""

import importlib
import json
import sys

from seen import failure


def main():
    family, base, run = sys.argv[1:]
    calls = importlib.import_module(f"client_{family}").calls(base, {"x-run": run})
    seen = {}
    for script, call in calls:
        try:
            seen[script] = call(script)
        except Exception as error:
            seen[script] = failure(error)
    print(json.dumps(seen, ensure_ascii=False).replace(base, "BASE"))


if __name__ == "__main__":
    main()
