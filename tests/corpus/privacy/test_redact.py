"""Redaction: planted secrets in real files, what is kept, and that syntax stays."""

from __future__ import annotations

import ast
import base64
import json
import random
import re
import string
import sys
import sysconfig
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codekiln.corpus.privacy import anchors, judge, secrets
from codekiln.corpus.privacy.redact import KINDS, redact
from codekiln.corpus.privacy.settings import PrivacySettings
from codekiln.tokenizer import special

NONE = PrivacySettings(secrets=False, emails=False, ip_addresses=False)
EVERY = PrivacySettings(phones=True)
TOKEN = "aB3xQ9zK2mW7vR5tY1uP8sD4fG6hJ0lNcEoI"
ALNUM = string.ascii_letters + string.digits
UPPER, DIGITS = string.ascii_uppercase, string.digits
URLSAFE = ALNUM + "-_"


def some(chance: random.Random, alphabet: str, length: int) -> str:
    return "".join(chance.choices(alphabet, k=length))


def hexadecimal(chance: random.Random, length: int) -> str:
    return some(chance, "0123456789abcdef", length)


def jwt(chance: random.Random) -> str:
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').decode().rstrip("=")
    claims = json.dumps({"sub": some(chance, ALNUM, 12), "iat": chance.randrange(10**9)})
    body = base64.urlsafe_b64encode(claims.encode()).decode().rstrip("=")
    return f"{head}.{body}.{some(chance, URLSAFE, 43)}"


def pem(chance: random.Random) -> str:
    """The lines between the first and the last line of a private key."""
    return "\n".join(some(chance, ALNUM + "+/", 64) for _ in range(8))


def mixed(chance: random.Random, length: int) -> str:
    """A password with small and capital letters, digits and signs."""
    parts = [some(chance, kind, 1) for kind in (string.ascii_lowercase, string.digits, "!#^*+~?")]
    parts += some(chance, "bcdfghjkmnpqrtvwxzBCDFGHJKLMNPQRTVWXZ23456789", length - len(parts))
    chance.shuffle(parts)
    return "".join(parts)


# kind of secret: (how it is planted, the secret itself, what stands there afterwards)
PLANTS = {
    "aws id": lambda c: ('id = "{}"', "AKIA" + some(c, UPPER + "234567", 16), "KEY"),
    "aws secret": lambda c: ('aws_secret_access_key = "{}"', some(c, ALNUM + "+/", 40), "KEY"),
    "google": lambda c: ("var k = '{}';", "AIza" + some(c, URLSAFE, 35), "KEY"),
    "azure": lambda c: ("x=1;AccountKey={};", some(c, ALNUM + "+/", 86) + "==", "KEY"),
    "github": lambda c: ("git clone https://{}@github.com/a/b", "ghp_" + some(c, ALNUM, 36), "KEY"),
    "github pat": lambda c: (
        "t: {}", "github_pat_" + some(c, ALNUM, 22) + "_" + some(c, ALNUM, 59), "KEY"),
    "gitlab": lambda c: ("PRIVATE-TOKEN: {}", "glpat-" + some(c, URLSAFE, 20), "KEY"),
    "slack": lambda c: (
        '"{}"', f"xoxb-{some(c, DIGITS, 12)}-{some(c, DIGITS, 13)}-{some(c, ALNUM, 24)}", "KEY"),
    "slack hook": lambda c: (
        "https://hooks.slack.com/services/{}",
        f"T{some(c, UPPER, 8)}/B{some(c, UPPER, 8)}/{some(c, ALNUM, 24)}", "KEY"),
    "stripe": lambda c: ("stripe.key = '{}'", "sk_live_" + some(c, ALNUM, 24), "KEY"),
    "openai": lambda c: ('"{}"', "sk-proj-" + some(c, ALNUM, 47) + "9Aa", "KEY"),
    "jwt": lambda c: ("Cookie: session={}", jwt(c), "KEY"),
    "private key": lambda c: (
        "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----", pem(c), "KEY"),
    "url": lambda c: (
        "postgres://app:{}@db.acme.io/x", re.sub("[#?]", "_", mixed(c, 12)), "PASSWORD"),
    "npm": lambda c: ("//registry.npmjs.org/:_authToken={}", "npm_" + some(c, ALNUM, 36), "KEY"),
    "pypi": lambda c: ("password = {}", "pypi-AgEIcHlwaS5vcmc" + some(c, URLSAFE, 120), "KEY"),
    "sendgrid": lambda c: ('"{}"', f"SG.{some(c, URLSAFE, 22)}.{some(c, URLSAFE, 43)}", "KEY"),
    "telegram": lambda c: (
        "bot {}", f"{c.randrange(10**9, 10**10)}:AA{some(c, URLSAFE, 33)}", "KEY"),
    "hugging face": lambda c: ("login({})", "hf_" + some(c, ALNUM, 34), "KEY"),
    "password": lambda c: ('db.password = "{}"', mixed(c, 14), "PASSWORD"),
    "json password": lambda c: ('{{"password": "{}"}}', mixed(c, 12), "PASSWORD"),
    "env": lambda c: ("\nSECRET_KEY={}\n", some(c, ALNUM, 40), "KEY"),
    "api key": lambda c: ("apiKey: '{}',", hexadecimal(c, 40), "KEY"),
    "bearer": lambda c: ("Authorization: Bearer {}", some(c, ALNUM, 40), "KEY"),
    "e-mail": lambda c: ("# by Ann <{}>", "a" + some(c, ALNUM, 8) + "@posteo.de", "EMAIL"),
    "ipv4": lambda c: (
        'host = "{}"', f"93.184.{c.randrange(20, 255)}.{c.randrange(1, 255)}", "IP_ADDRESS"),
    "ipv6": lambda c: (
        "ping6 {}", f"2606:4700:{hexadecimal(c, 4)}::{hexadecimal(c, 4)}", "IP_ADDRESS"),
    "phone": lambda c: ("tel:{}", f"+49 30 {some(c, DIGITS, 4)} {some(c, DIGITS, 4)}", "PHONE"),
}  # fmt: skip


def standard_library() -> list[tuple[str, str]]:
    folder = Path(sysconfig.get_paths()["stdlib"])
    files = [*sorted(folder.glob("*.py")), *sorted(folder.glob("[a-m]*/*.py"))]
    return [(str(f), f.read_text(encoding="utf-8", errors="replace")) for f in files]


def test_planted_secrets_are_found_in_real_files() -> None:
    chance = random.Random(0)
    hosts = [text for _, text in standard_library() if len(text) < 60_000]
    rounds = 25
    missed: dict[str, int] = {}
    for name, plant in PLANTS.items():
        for _ in range(rounds):
            shape, secret, kind = plant(chance)
            lines = chance.choice(hosts).splitlines(keepends=True)
            planted = shape.format(secret) + "\n"
            lines.insert(chance.randrange(len(lines) + 1), planted)
            found = redact("".join(lines), EVERY)
            if secret in found.text:
                missed[name] = missed.get(name, 0) + 1
            else:
                assert shape.format(f"<{kind}>") + "\n" in found.text
    total = rounds * len(PLANTS)
    print(f"{total - sum(missed.values())} of {total} found; missed: {missed}", file=sys.stderr)
    assert sum(missed.values()) <= 0.03 * total  # random values may look like words or series


def test_the_standard_library_holds_next_to_no_secrets() -> None:
    files = standard_library()
    size = sum(len(text) for _, text in files)
    only = PrivacySettings(emails=False, ip_addresses=False)
    hits = [(path, hit) for path, text in files for hit in redact(text, only).hits]
    print(f"{len(hits)} secrets in {size / 1e6:.1f} MB: {hits}", file=sys.stderr)
    assert len(hits) <= 1.0 * size / 1e6


@pytest.mark.parametrize(
    "text",
    [
        'password = "password"', 'password = os.environ["PASSWORD"]', "password = get_password()",
        'PASSWORD = "changeme1"', 'PASSWORD_FIELD = "input2password"', 'password: "${DB_PASSWORD}"',
        'token = "access_token"', 'token_url = "https://a.org/x9/y8/z7q6w5e4r3t2"',
        'secret = "your-secret-key-1234567890"', 'api_key = "xxxxxxxxxxxxxxxxxxxxxxxx"',
        '"integrity": "sha512-9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"',
        "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
        'api_key = "0123456789abcdef0123456789abcdef"',
        "AKIAIOSFODNN7EXAMPLE", "https://user:password@host.org", "https://{u}:{password}@host.org",
        "me@example.com", "a@b.example", "root@localhost", "noreply@github.com", "icon@2x.png",
        "git@github.com:a/b.git", "lodash@4.17.21", "@decorator\ndef f(): ...", "x = a@b.T",
        "ssh://me@host.org/x", "127.0.0.1 10.1.2.3 192.168.0.1 0.0.0.0 255.255.255.0 224.0.0.1",
        "1.2.3.4", "8.8.8.8", "version 93.184.20.34", "v93.184.20.34", "1.3.6.1.4.1.311.60.2",
        "192.0.2.77 203.0.113.9", "std::cafe 12:30:2001:10 a::b", "::1 fe80::1 2001:db8::1",
        "2085::2093", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\nXXXXXXXX\nXXXXXXXX\nXXXXXXXX\nXXXXXXXXXXXXXXXXXXXXXXXXX\n"
        "-----END RSA PRIVATE KEY-----", "def test_sk_test_live(): pass", "risk-free-", "",
        "x", "@", ".", ":", "+",
    ],
)  # fmt: skip
def test_what_is_kept(text: str) -> None:
    assert redact(text) is not None
    assert redact(text).text is text, redact(text).hits


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("mail me@acme.org.", "mail <EMAIL>."),
        ("邮箱me@163.com，é", "邮箱<EMAIL>，é"),
        ("mailto:me@acme.org?x", "mailto:<EMAIL>?x"),
        ("ftp://me:Xk29!pqz@acme.org/a", "ftp://me:<PASSWORD>@acme.org/a"),
        ("ping 93.184.216.34:80", "ping <IP_ADDRESS>:80"),
        ("[2606:4700:4700::1111]:53", "[<IP_ADDRESS>]:53"),
        ('k = {"api_key": "9f86d081884c7d659a2feaa0c55ad015"}', 'k = {"api_key": "<KEY>"}'),
        ("token: str = '9f86d081884c7d659a2feaa0c55ad015'", "token: str = '<KEY>'"),
        ("<password>kq8!zRwx2</password>", "<password><PASSWORD></password>"),
    ],
)
def test_what_stands_there_afterwards(text: str, wanted: str) -> None:
    found = redact(text)
    assert found.text == wanted
    assert redact(wanted).text is wanted


def test_a_private_key_in_string_literals_loses_every_piece() -> None:
    lines = pem(random.Random(1)).splitlines()
    body = "".join(f'    "{line}\\n"\n' for line in lines)
    frame = 'k = ("-----BEGIN PRIVATE KEY-----\\n"\n{}    "-----END PRIVATE KEY-----")\n'
    found = redact(frame.format(body))
    assert found.text == frame.format('    "<KEY>\\n"\n' * len(lines))
    one_line = "-----BEGIN PRIVATE KEY-----\\n{}\\n-----END PRIVATE KEY-----\\n"
    packed = json.dumps({"private_key": one_line.replace("\\n", "\n").format("\n".join(lines))})
    assert json.loads(redact(packed).text) == {
        "private_key": one_line.replace("\\n", "\n").format("<KEY>")
    }


def test_hits_say_where_and_never_what() -> None:
    text = "ü " + "ghp_" + TOKEN + " x@acme.org"
    found = redact(text)
    assert [(h.kind, h.rule) for h in found.hits] == [
        ("KEY", "GitHub token"), ("EMAIL", "e-mail address"),
    ]  # fmt: skip
    assert text[found.hits[0].start : found.hits[0].end] == "ghp_" + TOKEN
    assert found.hits[0].preview == "ghp_… (40 characters)"
    assert found.hits[1].preview == "x… (10 characters)"
    assert dict(found.counts) == {"KEY": 1, "EMAIL": 1}


def test_settings_and_markup() -> None:
    text = "<a>x@acme.org 93.184.216.34 +49 30 12345678</a>"
    assert redact(text, NONE).text is text
    markup = redact(text, language="html").text
    assert markup == "<a>&lt;EMAIL&gt; &lt;IP_ADDRESS&gt; +49 30 12345678</a>"
    assert redact(text, EVERY).text == "<a><EMAIL> <IP_ADDRESS> <PHONE></a>"
    assert redact("+12", EVERY).hits == ()


def test_placeholders_are_no_special_tokens() -> None:
    known = [v for v in vars(special).values() if isinstance(v, str) and v.startswith("<")]
    assert len(known) > 5
    assert not {f"<{kind}>" for kind in KINDS} & set(known)


def test_python_stays_python() -> None:
    """Redacting with every rule leaves all real files parsable, and only constants changed."""
    changed = 0
    for _, text in standard_library():
        found = redact(text, EVERY)
        if found.hits:
            try:
                before = ast.parse(text)
            except (SyntaxError, ValueError):
                continue
            after = ast.parse(found.text)
            shapes = [
                [type(node) for node in ast.walk(tree) if not isinstance(node, ast.Constant)]
                for tree in (before, after)
            ]
            assert shapes[0] == shapes[1]
            changed += 1
    assert changed > 20


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=20),
            st.sampled_from(
                ["@", "a@b.com", "://u:p1x!z@", "password='Xk29!pqz'",
                 "-----BEGIN PRIVATE KEY-----",
                 "93.184.216.34", "2606:4700::1:1", "eyJhbGciOi", "token: ", "é", "\ud800", "\n"]
            ),
        ),
        max_size=12,
    ).map("".join)
)  # fmt: skip
def test_any_text_is_redacted_once(text: str) -> None:
    found = redact(text, EVERY)
    again = redact(found.text, EVERY)
    for kind in KINDS:  # a value beside another may come to stand alone, but nothing is lost
        assert again.text.count(f"<{kind}>") >= found.text.count(f"<{kind}>")
    rebuilt, done = [], 0
    for hit in found.hits:
        rebuilt += [text[done : hit.start], f"<{hit.kind}>"]
        done = hit.end
    assert "".join([*rebuilt, text[done:]]) == found.text


@pytest.mark.parametrize(
    "unit",
    ["-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\\n\"'", "eyJhbG", "a@b.", "://a:b",
     "password='", "token=\n", "1.2.3.", "93.184.216.", "2001:", "sk-A1", "xoxb-1", "@@", "secret:",
     "SG.a", "Bearer a", "+1 2 ", "-----BEGIN PRIVATE KEY-----\n" + "A" * 64 + "\n"],
)  # fmt: skip
def test_no_text_takes_quadratic_time(unit: str) -> None:
    def seconds(size: int) -> float:
        started = time.process_time()
        redact(unit * (size // len(unit)), EVERY)
        return time.process_time() - started

    assert seconds(1 << 20) < 4.0  # a quadratic one would take minutes


def test_the_sieve_passes_every_anchor() -> None:
    """Against a plain search for each anchor, over the border of a chunk too."""
    chance = random.Random(2)
    wanted = [b"abcd", b"xyz1", b"://q"]
    data = bytearray(chance.choices(b"abcdxyz1:/qABCD \n", k=3 * anchors.CHUNK))
    data[anchors.CHUNK - 2 : anchors.CHUNK + 2] = b"ABCD"
    data[-4:] = b"xyZ1"
    places = set(anchors.Sieve(map(anchors.fold, wanted)).places(bytes(data)))
    truth = {
        m.start() for one in wanted for m in re.finditer(b"(?i)" + re.escape(one), bytes(data))
    }
    assert truth <= places
    assert anchors.CHUNK - 2 in places
    assert len(data) - 4 in places
    assert anchors.expand("a#")[0] == b"a0"
    assert list(anchors.Sieve([b"abcd"]).places(b"abc")) == []


def test_every_form_of_the_table_finds_an_example_of_itself() -> None:
    """Anchors and offsets against the patterns: strings made from the patterns are found."""
    strategy = [
        (form.name, st.from_regex(form.pattern.pattern.decode("ascii"), fullmatch=True))
        for checks in secrets._sieve()[1].values()
        for form in checks
        if isinstance(form, secrets._Form)
    ]
    seen = dict(strategy)
    assert len(seen) >= 45

    @settings(max_examples=200, deadline=None)
    @given(st.data(), st.sampled_from(sorted(seen)))
    def check(data: st.DataObject, name: str) -> None:
        text = data.draw(seen[name])
        pattern = next(f.pattern for c in secrets._sieve()[1].values() for f in c
                       if isinstance(f, secrets._Form) and f.name == name)  # fmt: skip
        raw = text.encode("utf-8", "surrogatepass")
        match = pattern.search(raw)
        if match and not judge.is_series(match["v" if "v" in pattern.groupindex else 0]):
            assert any(rule == name for *_, rule in secrets.find(raw)), (name, text)

    check()
