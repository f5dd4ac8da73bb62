"""A verifier with PyJWT, as a service in Python would write it.

Reads one token a line on standard input and answers one JSON object a line. The key set is fetched at most
once per Cache-Control lifetime: an unknown kid is refused, not a reason to fetch again.
"""

import json
import re
import sys
import time
import urllib.request

import jwt


class KeySet:
    def __init__(self, url):
        self.url = url
        self.keys = {}
        self.fresh_until = 0.0

    def key(self, kid):
        if time.monotonic() >= self.fresh_until:
            self.fetch()
        return self.keys.get(kid)

    def fetch(self):
        asked = time.monotonic()
        with urllib.request.urlopen(self.url, timeout=5) as answer:
            body = json.load(answer)
            cache_control = answer.headers.get("cache-control", "")
        max_age = re.search(r"max-age=(\d+)", cache_control)
        # Without a lifetime nothing may be kept.
        self.fresh_until = asked + (int(max_age.group(1)) if max_age else 0)
        self.keys = {entry["kid"]: jwt.PyJWK(entry) for entry in body["keys"]}


def main(url, issuer, audience):
    keys = KeySet(url)
    for line in sys.stdin:
        token = line.strip()
        try:
            header = jwt.get_unverified_header(token)
            if header.get("typ", "").lower() != "at+jwt":
                raise jwt.InvalidTokenError("typ")
            key = keys.key(header.get("kid"))
            if key is None:
                raise jwt.InvalidTokenError("unknown kid")
            claims = jwt.decode(
                token,
                key.key,
                algorithms=["ES256", "ES384", "EdDSA", "PS256"],
                issuer=issuer,
                audience=audience,
                options={"require": ["exp", "iat", "iss", "aud", "sub", "jti"]},
            )
            answer = {"ok": True, "sub": claims["sub"], "kid": header.get("kid")}
        except Exception as error:  # every refusal is an answer, never a crash
            answer = {"ok": False, "why": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


main(*sys.argv[1:])
