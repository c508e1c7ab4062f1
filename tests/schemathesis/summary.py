"""Reads the record of all requests and says what it shows.

    summary.py openapi.json record.har

Fails when an operation was never done (no 2xx), when an answer was a 5xx, or
when a request of ours got no answer at all.
"""

import collections
import json
import re
import sys
from urllib.parse import urlsplit

# Operations that need not have been done: method and path, and why.
MAY_NEVER_BE_DONE = {
    ("POST", "/api/auth/register"): "the hooks make a user before schemathesis gets to it",
}


def main(description, record):
    with open(description, encoding="utf-8") as file:
        paths = json.load(file)["paths"]
    with open(record, encoding="utf-8") as file:
        entries = json.load(file)["log"]["entries"]

    # Literal paths first: /a/b before /a/{id}.
    def pattern(path):
        parts = ["[^/]*" if part.startswith("{") else re.escape(part) for part in path.split("/")]
        return re.compile("/".join(parts))

    routes = [(pattern(path), path) for path in sorted(paths, key=lambda path: path.count("{"))]
    seen = {
        (method.upper(), path): collections.Counter()
        for path, item in paths.items()
        for method in item
    }
    problems = []
    for entry in entries:
        method, url = entry["request"]["method"], entry["request"]["url"]
        status = entry["response"]["status"]
        place = urlsplit(url).path
        if not 200 <= status < 500:
            problems.append(f"{method} {place} answered {status or 'nothing'}")
        route = next((path for regex, path in routes if regex.fullmatch(place)), None)
        if (method, route) in seen:
            seen[method, route][status] += 1
    for (method, path), statuses in sorted(seen.items(), key=lambda one: one[0][::-1]):
        done = any(200 <= status < 300 for status in statuses)
        if not done and (method, path) not in MAY_NEVER_BE_DONE:
            problems.append(f"{method} {path} was never done: {dict(statuses)}")
        shown = " ".join(f"{status}:{count}" for status, count in sorted(statuses.items()))
        print(f"  {method:6} {path:55} {shown}")
    for problem in problems:
        print(problem, file=sys.stderr)
    done = sum(count for statuses in seen.values() for status, count in statuses.items() if status < 300)
    print(
        f"schemathesis: {len(seen)} operations, {len(entries)} requests, {done} of them done, "
        f"{len(problems)} problems"
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
