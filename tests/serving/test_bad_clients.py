"""Clients that break the rules: the server says so, or shrugs, and lives."""

from __future__ import annotations

import http.client
import json
import socket
import time

import pytest

from codekiln.serving.app import Limits

LONG = {
    "model": "tiny",
    "prompt": "x",
    "max_tokens": 450,
    "temperature": 0,
    "logit_bias": {"97": 100},
}


def post(address: str, body: bytes, headers: dict[str, str] | None = None):
    host = address.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=30)
    connection.request("POST", "/v1/completions", body, headers or {})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def get(address: str, path: str):
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"model": "tiny", "prompt": "x"', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"model": "tiny", "prompt": "x", "temperature": NaN}', "NaN is not a JSON value"),
        (b'{"model": "tiny", "prompt": "x", "temperature": 1e999}', "Invalid 'temperature'"),
        (b'{"model": "tiny", "prompt": "\\ud83d"}', "surrogates"),
        (b'{"model": "\\uD83D", "prompt": "x"}', "surrogates"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b"{}", "Missing required parameter: 'model'"),
        (b'{"model": "tiny"}', "Missing required parameter: 'prompt'"),
        (b'{"model": "tiny", "prompt": null}', "Missing required parameter: 'prompt'"),
        (b'{"model": "tiny", "prompt": "x", "seed": 99999999999999999999}', "Invalid 'seed'"),
        (b'{"model": "tiny", "prompt": "x", "max_tokens": 1.5}', "Invalid 'max_tokens'"),
        (b'{"model": "tiny", "prompt": "x", "stream": "yes"}', "Invalid 'stream'"),
        (b'{"model": "tiny", "prompt": ["a", 1]}', "'prompt' must be"),
    ],
)
def test_a_body_that_is_no_request_is_400_in_openais_form(address, body, words):
    status, answer = post(address, body)
    assert status == 400
    assert words in answer["error"]["message"]
    assert set(answer["error"]) == {"message", "type", "param", "code"}


def test_null_stands_for_the_default_of_an_optional_field(address):
    body = {"model": "tiny", "prompt": "x", "suffix": None, "stop": None, "max_tokens": 1}
    status, _ = post(address, json.dumps(body).encode())
    assert status == 200


def test_paths_and_methods_that_do_not_exist_are_json_too(address):
    status, answer = get(address, "/v1/nothing")
    assert (status, answer["error"]["message"]) == (404, "Not Found.")
    status, answer = get(address, "/v1/completions")
    assert (status, answer["error"]["type"]) == (405, "invalid_request_error")


def test_a_giant_body_is_413_before_it_is_read(serving, engine):
    with serving(engine, limits=Limits(body_bytes=1000)) as address:
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(
                b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000000\r\n\r\n{"
            )
            assert connection.recv(100).startswith(b"HTTP/1.1 413")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(
                b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            connection.sendall(b"7d0\r\n" + b"x" * 2000 + b"\r\n")  # no end announced
            assert connection.recv(100).startswith(b"HTTP/1.1 413")
        status, _ = post(address, b'{"model": "tiny", "prompt": "x"}')
        assert status == 200


def wait_until_free(address: str) -> None:
    for _ in range(100):
        if get(address, "/health")[1]["running"] == 0:
            return
        time.sleep(0.05)
    pytest.fail("the request of a client that left is still running")


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_vanishes_ends_its_generation(serving, slow_engine, stream):
    with serving(slow_engine) as address:
        host, port = address.removeprefix("http://").split(":")
        body = json.dumps({**LONG, "stream": stream}).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        connection = socket.create_connection((host, int(port)), timeout=30)
        connection.sendall(head.encode() + body)
        if stream:
            connection.recv(10)
        started = time.monotonic()
        while get(address, "/health")[1]["running"] == 0:
            assert time.monotonic() - started < 5
        connection.close()
        wait_until_free(address)
        assert time.monotonic() - started < 8  # all tokens would take 9 seconds
        assert post(address, b'{"model": "tiny", "prompt": "x"}')[0] == 200


def test_clients_that_vanish_while_they_wait_never_start(serving, slow_engine):
    with serving(slow_engine, limits=Limits(threads=1, queue_length=8)) as address:
        host, port = address.removeprefix("http://").split(":")
        body = json.dumps(LONG).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        connections = [socket.create_connection((host, int(port)), timeout=30) for _ in range(6)]
        for connection in connections:
            connection.sendall(head.encode() + body)
        started = time.monotonic()
        while get(address, "/health")[1]["waiting"] < 5:
            assert time.monotonic() - started < 5
        for connection in connections:
            connection.close()
        wait_until_free(address)
        assert time.monotonic() - started < 30  # the six would take 54 seconds
        assert get(address, "/health")[1]["waiting"] == 0


def test_health_answers_while_models_generate(serving, slow_engine):
    with serving(slow_engine, api_key="k", limits=Limits(threads=2)) as address:
        host = address.removeprefix("http://")
        connections = [http.client.HTTPConnection(host, timeout=30) for _ in range(3)]
        body = json.dumps({**LONG, "max_tokens": 60}).encode()
        for connection in connections:
            connection.request("POST", "/v1/completions", body, {"Authorization": "Bearer k"})
        seen = set()
        for _ in range(20):
            status, state = get(address, "/health")
            assert status == 200
            seen.add((state["running"], state["waiting"]))
            time.sleep(0.02)
        assert (2, 1) in seen
        for connection in connections:
            assert connection.getresponse().status == 200


def test_a_fault_of_ours_is_500_without_its_inside_and_the_server_lives(serving, engine, caplog):
    class Broken(type(engine)):
        def generate(self, ids, sampling):
            raise ValueError("secret path")

    with serving(Broken(engine.model, engine.tokenizer)) as address:
        status, answer = post(address, b'{"model": "tiny", "prompt": "x"}')
        assert (status, answer["error"]["type"]) == (500, "server_error")
        assert "secret" not in answer["error"]["message"]
        assert "secret path" in caplog.text  # it is in the log
        assert get(address, "/health")[0] == 200


def test_the_interface_describes_itself(address):
    status, description = get(address, "/openapi.json")
    assert status == 200
    body = description["paths"]["/v1/completions"]["post"]["requestBody"]
    fields = body["content"]["application/json"]["schema"]["properties"]
    assert {"prompt", "suffix", "context", "truncate"} <= set(fields)
