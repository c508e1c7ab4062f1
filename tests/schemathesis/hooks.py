"""Supplies what schemathesis cannot know about this server: the IDs of existing rows.

A path parameter generated from the OpenAPI document matches no row, so every response would be 404.
These hooks replace the IDs in a request before it is sent. A request that changes something gets
rows created for it alone, so that no request destroys the rows of another one. A request that only
reads gets one of a few rows created once. One request in four keeps its generated IDs. The hooks do
not change requests of the stateful phase, whose IDs come from earlier responses, or path parameters
that are invalid on purpose.

A new kind of row needs an entry in ROWS, and a link in src/http/openapi/rules.rs that passes on its
ID. An operation that ends the credential it is sent with needs an entry in ENDS_ITS_CREDENTIAL. An
operation whose body must match stored rows needs an entry in BODIES.
"""

import itertools
import json
import os
import re
import time
import urllib.request

import schemathesis
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import TestPhase

BASE = os.environ["COFFER_SCHEMATHESIS_URL"]
TOKEN = os.environ["COFFER_SCHEMATHESIS_TOKEN"]

numbers = itertools.count(1)


def send(method, path, body=None):
    """Sends a request of the hooks, which must succeed, and returns the response body."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(BASE + path, data=data, method=method)
    request.add_header("Authorization", f"Bearer {TOKEN}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def name():
    """Returns an unused name that schemathesis is unlikely to generate."""
    return f"ROW_OF_SCHEMATHESIS_{next(numbers)}"


def environment():
    made = send("POST", "/api/environments", {"name": name()})["environment"]["id"]
    # Gives lists something to show, and reset and delete something to do.
    secret(made)
    var(made)
    return made


def empty_environment():
    return send("POST", "/api/environments", {"name": name()})["environment"]["id"]


def secret(at="development", **members):
    body = {"key": name(), "value": "first", **members}
    made = send("POST", f"/api/environments/{at}/secrets", body)["secret"]["id"]
    send("PATCH", f"/api/secrets/{made}", {"value": "second"})
    return made


def copy_body():
    """Returns a body that copies secrets from an environment other than the one in the path."""
    source = empty_environment()
    keys = [name(), name()]
    for key in keys:
        send("POST", f"/api/environments/{source}/secrets", {"key": key, "value": "v"})
    return {"from": source, "keys": keys, "onConflict": ("fail", "skip", "replace")[next(numbers) % 3]}


def var(at="development"):
    body = {"key": name(), "value": "first"}
    return send("POST", f"/api/environments/{at}/vars", body)["var"]["id"]


PASSWORD = "a password for schemathesis"


def user(**members):
    body = {"email": f"{name()}@example.org", "password": PASSWORD, "allEnvironments": True, **members}
    made = send("POST", "/api/users", body)["user"]
    # Creates a session that can be listed and ended.
    login(made["email"])
    return made["id"]


def login(email):
    return send("POST", "/api/auth/login", {"email": email, "password": PASSWORD})["token"]


def session_of_its_own():
    email = f"{name()}@example.org"
    send("POST", "/api/users", {"email": email, "password": PASSWORD, "environmentIds": []})
    return login(email)


def session(of):
    return send("GET", f"/api/users/{of}/sessions")["sessions"][0]["id"]


def service_account():
    body = {"name": f"row-{next(numbers)}", "role": "operator", "allEnvironments": True}
    return send("POST", "/api/admin/service-accounts", body)["serviceAccount"]["id"]


def token():
    body = {"name": name(), "role": "viewer", "environmentIds": []}
    return send("POST", "/api/admin/tokens", body)["tokenRecord"]["id"]


def unneeded_key():
    """Returns a wrapping key that can be retired, because nothing is wrapped under it any more."""
    status = send("GET", "/api/admin/keys")
    while not any(key["state"] == "retiring" and not key["wrapped"] for key in status["keys"]):
        if status["rotation"] is None or status["rotation"]["finishedAt"] is not None:
            send("POST", "/api/admin/keys/rotate")
        time.sleep(0.01)
        status = send("GET", "/api/admin/keys")
    return next(key["id"] for key in status["keys"] if key["state"] == "retiring" and not key["wrapped"])


def existing_environments():
    return [one["id"] for one in send("GET", "/api/environments")["environments"]][:2]


# A path prefix, the parameter in it, and the functions that create such a row, used in turn.
ROWS = [
    ("/api/environments/{environment}", "environment", [environment, empty_environment]),
    ("/api/secrets/{id}", "id", [secret, lambda: secret(neverReveal=True)]),
    ("/api/vars/{id}", "id", [var]),
    ("/api/users/{id}", "id", [user, lambda: user(role="operator")]),
    ("/api/admin/service-accounts/{id}", "id", [service_account]),
    ("/api/admin/tokens/{id}", "id", [token]),
    ("/api/admin/keys/{id}", "id", [unneeded_key]),
]

# Operations that end the credential they are sent with: method and path, and a function that
# creates a credential for one such request, because all other requests still need the main one.
# Operations on a row in the path need no entry: the hooks never supply the row of the main token.
ENDS_ITS_CREDENTIAL = {("POST", "/api/auth/logout"): session_of_its_own}


def login_body():
    email = f"{name()}@example.org"
    send("POST", "/api/users", {"email": email, "password": PASSWORD, "allEnvironments": True})
    return {"email": email, "password": PASSWORD}


def dotenv():
    """Returns a `.env` file, because generated text hardly ever is one."""
    return f"# drawn\nexport {name()}=x # y\n{name()}='a\nb'\n"


# Alternates between a list and a text.
SECRET_IMPORTS = itertools.cycle([
    lambda: {
        "secrets": [{"key": name(), "value": "x"}, {"key": name(), "value": "y", "neverReveal": True}],
        "onConflict": "replace",
    },
    lambda: {"dotenv": dotenv(), "neverReveal": True, "onConflict": "replace"},
])
VAR_IMPORTS = itertools.cycle([
    lambda: {"vars": [{"key": name(), "value": "x"}], "onConflict": "skip"},
    lambda: {"dotenv": dotenv(), "onConflict": "skip"},
])

# Operations that refuse nearly every generated body, although it matches the schema: method and
# path, and a function that returns an acceptable body. It replaces every second valid body.
BODIES = {
    ("POST", "/api/auth/login"): login_body,
    ("POST", "/api/environments/{environment}/secrets/copy"): copy_body,
    ("POST", "/api/users"): lambda: {
        "email": f"{name()}@example.org",
        "password": PASSWORD,
        "environmentIds": existing_environments(),
    },
    ("POST", "/api/admin/service-accounts"): lambda: {
        "name": f"body-{next(numbers)}",
        "environmentIds": existing_environments(),
    },
    ("POST", "/api/admin/tokens"): lambda: {
        "name": name(),
        "role": "viewer",
        "ownerServiceAccountId": service_account(),
        "environmentIds": existing_environments(),
        "expiresInDays": 30,
    },
    ("POST", "/api/environments/{environment}/secrets/import"): lambda: next(SECRET_IMPORTS)(),
    ("POST", "/api/environments/{environment}/vars/import"): lambda: next(VAR_IMPORTS)(),
    ("PATCH", "/api/users/{id}"): lambda: {
        "role": "operator",
        "environmentIds": existing_environments(),
    },
    ("PATCH", "/api/admin/service-accounts/{id}"): lambda: {
        "role": "viewer",
        "environmentIds": existing_environments(),
    },
}

made_once = {}


def row(prefix, makers, changes):
    turn = next(numbers) % len(makers)
    if changes:
        return makers[turn]()
    if (prefix, turn) not in made_once:
        made_once[prefix, turn] = makers[turn]()
    return made_once[prefix, turn]


def wrong_on_purpose(case, location):
    return case.meta is None or case.meta.is_negative_at(location)


TAGS = re.compile(r'\*|(W/)?"[!#-~]*"([ \t]*,[ \t]*(W/)?"[!#-~]*")*')


def fix_if_match(case):
    """Restores the quotes that the coverage phase strips from the If-Match of all its cases."""
    given = (case.headers or {}).get("If-Match")
    if given is None or case.meta is None or case.meta.phase.name != TestPhase.COVERAGE:
        return
    its_own = case.meta.phase.data.parameter == "If-Match" and case.meta.generation.mode.is_negative
    if not its_own and not TAGS.fullmatch(given):
        case.headers["If-Match"] = ('"2"', '"1", "2"', "*", 'W/"2"')[next(numbers) % 4]


def avoid_replays(case):
    """Makes the idempotency key of a stateful request unique, so that it is never a replay.

    A replay shows the row as it was created, even if it has been deleted since. A later request for
    that row would then look like lost data.
    """
    key = (case.headers or {}).get("Idempotency-Key")
    stateful = case.meta is not None and case.meta.phase.name == TestPhase.STATEFUL
    if key and stateful and not wrong_on_purpose(case, ParameterLocation.HEADER):
        case.headers["Idempotency-Key"] = f"{key[:180]}-{next(numbers)}"


@schemathesis.hook
def before_call(context, case, kwargs):
    fix_if_match(case)
    avoid_replays(case)
    operation = (case.method.upper(), case.operation.path)
    # A credential that is invalid on purpose is kept.
    good = (case.headers or {}).get("Authorization") == f"Bearer {TOKEN}"
    if operation in ENDS_ITS_CREDENTIAL and good:
        case.headers["Authorization"] = f"Bearer {ENDS_ITS_CREDENTIAL[operation]()}"
    if operation in BODIES and not wrong_on_purpose(case, ParameterLocation.BODY):
        # A login succeeds only for an existing user.
        if operation == ("POST", "/api/auth/login") or next(numbers) % 2:
            case.body = BODIES[operation]()
    if case.meta is None or case.meta.phase.name == TestPhase.STATEFUL:
        return
    if wrong_on_purpose(case, ParameterLocation.PATH) or next(numbers) % 4 == 0:
        return
    if case.operation.path.endswith("/bundle"):
        # The first start has enrolled this workload.
        case.path_parameters["environment"] = "development"
        if not wrong_on_purpose(case, ParameterLocation.QUERY):
            case.query["workload"] = "local"
        return
    given_out = False
    for prefix, parameter, makers in ROWS:
        if case.operation.path == prefix or case.operation.path.startswith(prefix + "/"):
            case.path_parameters[parameter] = row(prefix, makers, case.method.upper() != "GET")
            given_out = True
    if given_out and "session" in case.path_parameters:
        case.path_parameters["session"] = session(case.path_parameters["id"])
    if "version" in case.path_parameters:
        case.path_parameters["version"] = 1 + next(numbers) % 2


@schemathesis.hook
def map_case(context, case):
    # `If-Match` and `version` exclude each other, and OpenAPI cannot express that.
    if "If-Match" in (case.headers or {}) and "version" in (case.query or {}):
        del case.query["version"]
    return case
