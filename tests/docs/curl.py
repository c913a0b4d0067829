"""As much of curl as the documents use, for machines that have none."""

from __future__ import annotations

import argparse
import sys
import urllib.error
import urllib.request


def main() -> None:
    """One request; the answer goes to the standard output as it comes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-s", "--silent", action="store_true")
    parser.add_argument("-N", "--no-buffer", action="store_true")
    parser.add_argument("-H", "--header", action="append", default=[])
    parser.add_argument("-d", "--data")
    parser.add_argument("url")
    options = parser.parse_args()
    headers = dict(line.split(": ", 1) for line in options.header)
    data = None if options.data is None else options.data.encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        reply = opener.open(urllib.request.Request(options.url, data, headers), timeout=60)
    except urllib.error.HTTPError as error:
        reply = error
    except urllib.error.URLError:
        sys.exit(7)
    with reply:
        while piece := reply.read1(65536):
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
