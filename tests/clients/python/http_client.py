"""requests or httpx, a session for each connection: http_client.py requests|httpx|httpx-h2 URL CONNECTIONS PAUSE_MS"""

import sys

import loop


def with_requests(url):
    import requests

    session = requests.Session()

    def ask():
        try:
            answer = session.get(url, timeout=10)
        except requests.exceptions.ChunkedEncodingError as error:
            return f"cut {error}"
        except requests.exceptions.ConnectionError as error:
            closed = "RemoteDisconnected" in repr(error)
            return "closed" if closed else f"lost {error}"
        except requests.exceptions.RequestException as error:
            return f"lost {error!r}"
        return loop.outcome(answer.status_code, answer.headers.get)

    return ask


def with_httpx(url, http2):
    import httpx

    client = httpx.Client(http1=not http2, http2=http2, timeout=10)

    def ask():
        try:
            answer = client.get(url)
        except httpx.RemoteProtocolError as error:
            text = str(error)
            if "peer closed connection" in text:
                return f"cut {text}"
            return "closed" if "without sending a response" in text else f"lost {text}"
        except httpx.HTTPError as error:
            return f"lost {error!r}"
        return loop.outcome(answer.status_code, answer.headers.get)

    return ask


def main():
    library, url, connections, pause = sys.argv[1:]
    makers = {
        "requests": lambda: with_requests(url),
        "httpx": lambda: with_httpx(url, False),
        "httpx-h2": lambda: with_httpx(url, True),
    }
    loop.run(int(connections), int(pause) / 1000, makers[library])


main()
