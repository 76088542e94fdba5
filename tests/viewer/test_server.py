"""Who may ask a window: a table over every route, against a real server."""

import http.client
import json
import socket
from urllib.parse import urlsplit

import pytest
from corner import window
from test_routes import VALID

from overfocus.core.errors import OverfocusError
from overfocus.viewer.guard import LONGEST, SECURITY
from overfocus.viewer.routes import ROUTES
from overfocus.viewer.server import STATIC, serve

GETS, POSTS = sorted(STATIC), [f"/api/{name}" for name in ROUTES]


class Client:
    """A browser that holds the cookie of a window."""

    def __init__(self, link):
        address = urlsplit(link)
        self.port, self.link = address.port, f"/?{address.query}"
        self.entered = self.ask("GET", self.link, cookie="")
        self.cookie = self.entered[1].get("Set-Cookie", "").partition(";")[0]

    def ask(self, method, path, body=None, cookie=None, **headers):
        """Return status, headers and content. headers: with _ for -, None for none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        content = b"" if body is None else json.dumps(body).encode()
        sent = {"Host": f"127.0.0.1:{self.port}", "Cookie": self.cookie if cookie is None else cookie}
        if method == "POST":
            sent |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in sent.items():
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders(content)
        answer = connection.getresponse()
        found = answer.status, dict(answer.getheaders()), answer.read()
        connection.close()
        return found

    def post(self, path, **more):
        return self.ask("POST", path, VALID[path.removeprefix("/api/")], **more)


@pytest.fixture(scope="module")
def client():
    with serve(window()) as link:
        yield Client(link)


def safe(headers):
    return {name: headers.get(name) for name in SECURITY} == SECURITY


@pytest.mark.parametrize("path", POSTS)
def test_the_page_may_ask(client, path):
    status, headers, content = client.post(path, Sec_Fetch_Site="same-origin", Origin=f"http://127.0.0.1:{client.port}")
    assert (status, headers["Content-Type"], safe(headers)) == (200, "application/json; charset=utf-8", True)
    assert "error" not in json.loads(content)


@pytest.mark.parametrize("path", GETS)
def test_the_page_is_there(client, path):
    status, headers, content = client.ask("GET", path)
    assert (status, safe(headers)) == (200, True)
    assert content


REFUSED = {
    "a name of a stranger": ({"Host": "evil.example"}, 403),
    "a name of a stranger with the port": ({"Host": "evil.example:{port}"}, 403),
    "another port": ({"Host": "127.0.0.1:1"}, 403),
    "no host": ({"Host": None}, 403),
    "another site": ({"Sec_Fetch_Site": "cross-site"}, 403),
    "a page on another port": ({"Sec_Fetch_Site": "same-site"}, 403),
    "another origin": ({"Origin": "http://evil.example"}, 403),
    "an origin on another port": ({"Origin": "http://127.0.0.1:1"}, 403),
    "an origin without a name": ({"Origin": "null"}, 403),
    "no cookie": ({"cookie": ""}, 403),
    "a wrong cookie": ({"cookie": "overfocus-{port}=x"}, 403),
    "a cookie of another window": ({"cookie": "overfocus-1={secret}"}, 403),
    "a cookie that is none": ({"cookie": "\x01;=;;é"}, 403),
}
UNFIT = {
    "a form": ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
    "plain text": ({"Content_Type": "text/plain"}, 415),
    "no type": ({"Content_Type": None}, 415),
    "no length": ({"Content_Length": None}, 411),
    "a negative length": ({"Content_Length": "-1"}, 411),
    "pieces": ({"Transfer_Encoding": "chunked"}, 411),
    "too long": ({"Content_Length": str(LONGEST + 1)}, 413),
    "far too long": ({"Content_Length": "9" * 400}, 413),
}


def filled(headers, client):
    secret = client.cookie.partition("=")[2]
    return {k: v and v.replace("{port}", str(client.port)).replace("{secret}", secret) for k, v in headers.items()}


@pytest.mark.parametrize("why", REFUSED)
@pytest.mark.parametrize("path", [*GETS, *POSTS])
def test_a_stranger_is_refused_everywhere(client, path, why):
    headers, expected = REFUSED[why]
    headers = filled(headers, client)
    status, sent, content = client.post(path, **headers) if path in POSTS else client.ask("GET", path, **headers)
    assert (status, safe(sent)) == (expected, True)
    assert json.loads(content)["error"]
    assert "Set-Cookie" not in sent


@pytest.mark.parametrize("why", UNFIT)
@pytest.mark.parametrize("path", POSTS)
def test_a_body_that_does_not_do_is_refused_unread(client, path, why):
    headers, expected = UNFIT[why]
    status, sent, content = client.post(path, **headers)
    assert (status, safe(sent), sent["Connection"]) == (expected, True, "close")
    assert json.loads(content)["error"]


@pytest.mark.parametrize("path", [*GETS, *POSTS])
@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "HEAD", "TRACE", "X"])
def test_other_methods_are_refused(client, path, method):
    status, headers, _ = client.ask(method, path)
    assert (status, safe(headers)) == (501, True)
    assert not [name for name in headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("path", ["/page.py", "/../../etc/passwd", "/static/page.js", "/api/setup", "/%2e%2e/x"])
def test_there_are_no_other_files(client, path):
    assert client.ask("GET", path)[0] == 404


@pytest.mark.parametrize("path", ["/", "/page.js", "/api/", "/api/__class__", "/api/setup/", "/api/../api/setup"])
def test_there_are_no_other_routes(client, path):
    status, _, content = client.ask("POST", path, {})
    assert (status, "there is no" in json.loads(content)["error"]) == (404, True)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"1", b"{", b"[" * 99999, b'{"index": NaN}', b"\xff", b'{"index": 1e400}']
)
def test_what_is_no_json_is_a_sentence(client, content):
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=20)
    headers = {"Cookie": client.cookie, "Content-Type": "application/json"}
    connection.request("POST", "/api/show", content, headers)
    answer = connection.getresponse()
    assert answer.status == 400
    assert 0 < len(json.loads(answer.read())["error"]) <= 500


def test_the_link_works_once_and_the_cookie_is_for_this_page_alone():
    with serve(window()) as link:
        client = Client(link)
        status, headers, content = client.entered
        assert (status, safe(headers)) == (200, True)
        assert set(headers["Set-Cookie"].split("; ")[1:]) == {"HttpOnly", "SameSite=Strict", "Path=/"}
        assert headers["Set-Cookie"].startswith(f"overfocus-{client.port}=")
        assert b"token" not in content.lower() or client.link.partition("=")[2].encode() not in content
        assert client.ask("GET", client.link, cookie="")[0] == 403
        assert client.ask("GET", "/?token=", cookie="")[0] == 403
        assert client.ask("GET", client.link)[0] == 200


@pytest.mark.parametrize(
    "path", ["/?token=", "/?token=%C3%A9", "/?token=wrong", "/page.js?{right}", "/api/setup?{right}"]
)
def test_a_wrong_token_opens_nothing_and_uses_nothing_up(path):
    with serve(window()) as link:
        query, port = urlsplit(link).query, urlsplit(link).port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", path.replace("{right}", query))
        assert connection.getresponse().status == 403
        assert Client(link).entered[0] == 200


def test_two_windows_are_two():
    with serve(window()) as first, serve(window()) as second:
        one, two = Client(first), Client(second)
        assert one.port != two.port
        assert two.ask("POST", "/api/setup", {}, cookie=one.cookie)[0] == 403
        with pytest.raises(OverfocusError, match=f"port {one.port}"), serve(window(), one.port):
            pass


def test_it_listens_on_this_machine_alone(client):
    address = socket.gethostbyname(socket.gethostname())
    if address.startswith("127."):
        pytest.skip("this machine has no other address")
    with pytest.raises((ConnectionRefusedError, TimeoutError)):
        socket.create_connection((address, client.port), timeout=2)


def test_what_is_no_http_is_refused(client):
    with socket.create_connection(("127.0.0.1", client.port), timeout=20) as line:
        line.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        said = b"".join(iter(lambda: line.recv(9999), b""))
    assert json.loads(said)["error"]


def test_a_fault_of_a_model_is_a_sentence_and_the_window_lives(client, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("oops")

    monkeypatch.setitem(ROUTES, "show", ROUTES["show"]._replace(function=broken))
    status, _, content = client.post("/api/show")
    assert (status, "oops" in json.loads(content)["error"]) == (500, True)
    assert client.post("/api/setup")[0] == 200


def test_after_the_end_nobody_answers():
    with serve(window()) as link:
        client = Client(link)
    with pytest.raises(ConnectionRefusedError):
        client.post("/api/setup")
