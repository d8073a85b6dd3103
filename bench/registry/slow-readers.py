"""Slow readers as one process: many connections with small receive buffers, which Node cannot set.

One JSON object a line on standard input (id, method, params), one a line on standard output (id, and result or error); it
ends when standard input does. The methods are those of transfer-calls.ts.
"""
import json
import socket
import sys
import time

TICKS_PER_SECOND = 2
MAX_HEAD_BYTES = 16 * 1024


class Readers:
    def __init__(self):
        self.sockets = []

    def open(self, params):
        for _ in range(params["readers"]):
            reader = socket.socket()
            # Before it connects, as the window that is offered comes from it.
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, params["receiveBufferBytes"])
            reader.connect(("127.0.0.1", params["port"]))
            request = "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % (params["path"], params["port"])
            reader.sendall(request.encode())
            self.sockets.append(reader)
        for reader in self.sockets:
            reader.settimeout(30)
            self.read_head(reader)
            reader.setblocking(False)
        return {}

    def read_head(self, reader):
        head = b""
        while b"\r\n\r\n" not in head:
            part = reader.recv(512)
            head += part
            if part == b"" or len(head) > MAX_HEAD_BYTES:
                break
        if not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError("a slow reader was answered with %r, expected 200" % head[:80])

    def read(self, params):
        start = time.monotonic()
        received = 0
        ended = set()
        for tick in range(1, int(params["seconds"] * TICKS_PER_SECOND) + 1):
            time.sleep(max(0, start + tick / TICKS_PER_SECOND - time.monotonic()))
            for reader in self.sockets:
                if reader in ended:
                    continue
                try:
                    part = reader.recv(params["bytesPerSecond"] // TICKS_PER_SECOND)
                except BlockingIOError:
                    continue  # Nothing has come since the last turn.
                except OSError:
                    part = b""
                received += len(part)
                if part == b"":
                    ended.add(reader)
        return {"bytes": received, "ended": len(ended)}


def main():
    readers = Readers()
    methods = {"open": readers.open, "read": readers.read}
    for line in sys.stdin:
        call = json.loads(line)
        try:
            answer = {"id": call["id"], "result": methods[call["method"]](call["params"])}
        except Exception as error:  # Whatever it is, whoever has asked is told.
            answer = {"id": call["id"], "error": str(error)}
        print(json.dumps(answer), flush=True)


main()
