"""Summarizes the record of all requests.

    summary.py openapi.json record.har

Fails if an operation never succeeded (no 2xx), if a response was a 5xx, or if a request got no
response.
"""

import collections
import json
import re
import sys
from urllib.parse import urlsplit

# Operations that need not succeed: method and path, and the reason.
MAY_NEVER_SUCCEED = {
    ("POST", "/api/auth/register"): "the hooks create a user before schemathesis sends it",
}


def main(description, record):
    with open(description, encoding="utf-8") as file:
        paths = json.load(file)["paths"]
    with open(record, encoding="utf-8") as file:
        entries = json.load(file)["log"]["entries"]

    # Literal paths come first: /a/b before /a/{id}.
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
            problems.append(f"{method} {place} returned {status or 'no response'}")
        route = next((path for regex, path in routes if regex.fullmatch(place)), None)
        if (method, route) in seen:
            seen[method, route][status] += 1
    for (method, path), statuses in sorted(seen.items(), key=lambda one: one[0][::-1]):
        done = any(200 <= status < 300 for status in statuses)
        if not done and (method, path) not in MAY_NEVER_SUCCEED:
            problems.append(f"{method} {path} never succeeded: {dict(statuses)}")
        shown = " ".join(f"{status}:{count}" for status, count in sorted(statuses.items()))
        print(f"  {method:6} {path:55} {shown}")
    for problem in problems:
        print(problem, file=sys.stderr)
    done = sum(count for statuses in seen.values() for status, count in statuses.items() if status < 300)
    print(
        f"schemathesis: {len(seen)} operations, {len(entries)} requests, {done} successful, "
        f"{len(problems)} problems"
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
