"""Runs schemathesis against a service over the demonstration's world: `python run.py TRUEUP REPORTS [ARGUMENTS]`.

The world is made anew for each run, so that the same seed meets the same things. Arguments go to schemathesis.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).parent


def started(demo):
    """The address that signs in, as soon as it is printed."""
    printed = []
    for line in demo.stdout:
        printed.append(line)
        found = re.search(r"(http://127\.0\.0\.1:\d+)/#(\S+)", line)
        if found:
            threading.Thread(target=demo.stdout.read, daemon=True).start()
            return found[1], dict(urllib.parse.parse_qsl(found[2]))
    sys.exit("the demonstration ended: " + "".join(printed[-20:]))


def token_of(base, who):
    """A token with every right of the visitor."""

    def post(path, body, headers):
        headers = {"Content-Type": "application/json", **headers}
        request = urllib.request.Request(base + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            cookie = (answer.headers.get("Set-Cookie") or "").split(";")[0]
            return json.load(answer), cookie

    session, cookie = post("/api/v1/session", who, {})
    wish = {"name": "schemathesis", "rights": session["rights"]}
    headers = {"Cookie": cookie, "X-CSRF-Token": session["csrf_token"]}
    token, _ = post("/api/v1/organizations/default/tokens", wish, headers)
    return token


def main():
    program, reports, *arguments = sys.argv[1:]
    reports = str(pathlib.Path(reports).resolve())
    pathlib.Path(reports).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "--data-dir", folder, "demo", "--listen", "127.0.0.1:0"]
        with open(f"{reports}/service.log", "w") as log:
            demo = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            base, who = started(demo)
            token = token_of(base, who)
            environment = {
                **os.environ,
                "TRUEUP_TOKEN": token["token"],
                "TRUEUP_TOKEN_ID": token["id"],
                "SCHEMATHESIS_HOOKS": "hooks",
                "PYTHONPATH": str(HERE),
                "PYTHONDONTWRITEBYTECODE": "1",
            }
            schemathesis = str(pathlib.Path(sys.executable).parent / "schemathesis")
            command = [schemathesis, "--config-file", str(HERE / "schemathesis.toml")]
            command += ["run", f"{base}/api/v1/openapi.json", "--report", "ndjson,json", "--report-dir", reports]
            return subprocess.call([*command, *arguments], cwd=reports, env=environment)
        finally:
            demo.terminate()
            demo.wait(30)


sys.exit(main())
