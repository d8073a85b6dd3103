"""A stock libtorrent client that answers calls: what Shoal's swarm is compared with.

Its own settings throughout, but only TCP, and only the peers that it is told of. One JSON object a line on standard input
(id, method, params), one a line on standard output (id, and result or error); it ends when standard input does. The methods
are those of stock-calls.ts.
"""
import json
import os
import queue
import sys
import threading
import time

import libtorrent as lt

POLL_SECONDS = 0.005


def read_lines(lines):
    for line in sys.stdin:
        lines.put(json.loads(line))
    os._exit(0)  # The parent is gone.


def answer(call, result):
    print(json.dumps({"id": call["id"], "result": result}), flush=True)


class Client:
    def __init__(self):
        self.session = None
        self.handle = None
        self.started = None  # The call that waits for the end.
        self.peers_dialled = False

    def load(self, params):
        self.session = lt.session({
            "listen_interfaces": "%s:%d" % (params["host"], params["port"]),
            "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
            "enable_outgoing_utp": False, "enable_incoming_utp": False,
            "allow_multiple_connections_per_ip": True,
        })
        torrent = lt.add_torrent_params()
        torrent.ti = lt.torrent_info(params["torrent"])
        torrent.save_path = params["directory"]
        torrent.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
        if params["seed"]:
            torrent.flags |= lt.torrent_flags.seed_mode
        self.handle = self.session.add_torrent(torrent)
        busy = (lt.torrent_status.checking_files, lt.torrent_status.checking_resume_data)
        while self.handle.status().state in busy:
            time.sleep(POLL_SECONDS)

    def progress(self):
        status = self.handle.status()
        return {
            "haveBytes": status.total_done,
            "receivedBytes": status.total_payload_download,
            "sentBytes": status.total_payload_upload,
        }

    def turn(self):
        """Dials at the agreed time, and tells when all is there."""
        if self.started is None:
            return
        at_ms = self.started["params"]["atMs"]
        now_ms = time.monotonic_ns() / 1e6
        if not self.peers_dialled:
            if now_ms < at_ms:
                return
            for peer in self.started["params"]["peers"]:
                self.handle.connect_peer((peer["host"], peer["port"]))
            self.peers_dialled = True
        if self.handle.status(0).is_seeding:
            answer(self.started, {"lastByteMs": time.monotonic_ns() / 1e6 - at_ms})
            self.started = None

    def take(self, call):
        if call["method"] == "load":
            self.load(call["params"])
            answer(call, {})
        elif call["method"] == "start":
            self.started = call
        elif call["method"] == "progress":
            answer(call, self.progress())
        else:
            print(json.dumps({"id": call["id"], "error": "no method " + call["method"]}), flush=True)


def main():
    lines = queue.Queue()
    threading.Thread(target=read_lines, args=(lines,), daemon=True).start()
    client = Client()
    while True:
        try:
            client.take(lines.get(timeout=POLL_SECONDS if client.started else 1))
        except queue.Empty:
            pass
        client.turn()


main()
