#!/usr/bin/env python3
"""A storage driver for Shoal, as a program of its own: objects in a folder.

Needs Python 3.8 and nothing else. It is whole, and meant to be read beside docs/writing-a-driver.md; the protocol is
docs/driver-protocol.md. Install it as `registry-storage-folder` on the PATH, and configure the registry with the driver
`ipc:folder` and the parameter `rootdirectory`.

    <rootdirectory>/objects/a/b             the object /a/b
    <rootdirectory>/unfinished/a/b/~bytes   what a writer of /a/b was closed with, without a commit
    <rootdirectory>/tmp/<id>                files in the making; a crash may leave some, which nobody sees
"""
import fcntl
import hashlib
import hmac
import json
import os
import re
import shutil
import signal
import socketserver
import sys
import threading
import time
import uuid
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

INFO = {
    "protocol": 1,
    "version": "1.0",
    "name": "folder",
    "capabilities": {"write": True, "anyPath": True, "conditionalPut": True},
    "writerIdleSeconds": 600,
}
STATUS = {
    "BAD_REQUEST": 400, "INVALID_PATH": 400, "INVALID_OFFSET": 400, "UNAUTHORIZED": 401, "PERMISSION": 403,
    "PATH_NOT_FOUND": 404, "NOT_A_FILE": 409, "NOT_A_DIRECTORY": 409, "CONFLICT": 409, "WRITER_CLOSED": 410,
    "PRECONDITION_FAILED": 412, "STORAGE_INTERNAL": 500, "UNSUPPORTED": 501, "STORAGE_UNAVAILABLE": 503,
    "STORAGE_FULL": 507,
}
CHUNK = 256 * 1024
VALID_PATH = re.compile(r"(/(?!\.{1,2}(/|\Z))[A-Za-z0-9._-]{1,255})+\Z")


class DriverError(Exception):
    """What the registry gets as {code, message, path, retryable}."""

    def __init__(self, code, path, message):
        super().__init__(message)
        self.code, self.path, self.message = code, path, message


def missing(path):
    return DriverError("PATH_NOT_FOUND", path, "path not found")


def from_system(error, path):
    """The system's errors in the words of the protocol."""
    import errno
    code = {
        errno.ENOENT: "PATH_NOT_FOUND", errno.ENOTDIR: "PATH_NOT_FOUND", errno.EISDIR: "NOT_A_FILE",
        errno.ENOSPC: "STORAGE_FULL", errno.EDQUOT: "STORAGE_FULL", errno.EACCES: "PERMISSION",
        errno.EPERM: "PERMISSION", errno.EROFS: "PERMISSION", errno.EMFILE: "STORAGE_UNAVAILABLE",
        errno.ENFILE: "STORAGE_UNAVAILABLE", errno.EBUSY: "STORAGE_UNAVAILABLE",
    }.get(error.errno, "STORAGE_INTERNAL")
    return DriverError(code, path, error.strerror or str(error))


def order(path):
    """Everything below /a comes before /a-b: the order of a walk, in which the slash is the first of all characters."""
    return path.replace("/", "\0")


def sync_directory(place):
    handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Folder:
    """The storage itself. What changes names is done under one lock; what moves bytes is not."""

    def __init__(self, root):
        self.root = os.path.abspath(root)
        self.objects, self.unfinished, self.tmp = (os.path.join(self.root, n) for n in ("objects", "unfinished", "tmp"))
        for place in (self.objects, self.unfinished, self.tmp):
            os.makedirs(place, exist_ok=True)
        sync_directory(self.root)
        self.mutex, self.depth = threading.RLock(), 0

    @contextmanager
    def lock(self):
        """Keeps the other threads out, and other programs that use the folder. It ends with the process, however that ends."""
        with self.mutex:
            if self.depth > 0:  # This thread has the file's lock already; a second one would wait for it for ever.
                yield
                return
            with open(os.path.join(self.root, "lock"), "w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                self.depth += 1
                try:
                    yield
                finally:
                    self.depth -= 1

    def place(self, path, root=None):
        return (root or self.objects) + ("" if path == "/" else path)

    def open(self, path):
        place = self.place(path)
        try:
            if os.path.isdir(place):
                raise DriverError("NOT_A_FILE", path, "a directory, not a file")
            return open(place, "rb", buffering=0)
        except OSError as error:
            raise from_system(error, path)

    def stat(self, path):
        try:
            found = os.stat(self.place(path))
        except OSError as error:
            raise from_system(error, path)
        if os.path.stat.S_ISDIR(found.st_mode):
            return {"path": path, "size": 0, "modTimeMs": found.st_mtime_ns // 10**6, "isDirectory": True}
        return {"path": path, "size": found.st_size, "modTimeMs": found.st_mtime_ns // 10**6, "isDirectory": False,
                "revision": revision(found)}

    def children(self, path):
        place = self.place(path)
        if os.path.isfile(place):
            raise DriverError("NOT_A_DIRECTORY", path, "a file, not a directory")
        try:
            names = sorted(os.listdir(place))
        except OSError as error:
            raise from_system(error, path)
        return [("" if path == "/" else path) + "/" + name for name in names]

    def walk(self, path, start_after):
        for child in self.children(path):
            below = (start_after + "/").startswith(child + "/")
            behind = order(child) > order(start_after)
            if not behind and not below:
                continue
            try:
                info = self.stat(child)
                if behind:
                    yield info
                if info["isDirectory"]:
                    yield from self.walk(child, start_after)
            except DriverError as error:
                # It has gone since it was listed.
                if error.code not in ("PATH_NOT_FOUND", "NOT_A_DIRECTORY"):
                    raise

    def require_free(self, path):
        """A name is free when nothing is there, or an object, or directories with nothing in them."""
        place = self.place(path)
        parent = os.path.dirname(place)
        while not os.path.lexists(parent):
            parent = os.path.dirname(parent)
        if not os.path.isdir(parent):
            raise DriverError("NOT_A_DIRECTORY", path, "a file, not a directory")
        if os.path.isdir(place):
            if any(files for _, _, files in os.walk(place)):
                raise DriverError("NOT_A_FILE", path, "a directory, not a file")
            shutil.rmtree(place)

    def show(self, file, path, if_absent=False, if_match=None):
        """Makes a finished and synced file visible, in one step for everybody who looks."""
        place = self.place(path)
        with self.lock():
            self.require_free(path)
            old = os.stat(place) if os.path.lexists(place) else None
            if (if_absent and old) or (if_match is not None and (not old or revision(old) != if_match)):
                raise DriverError("PRECONDITION_FAILED", path, "something else is there")
            if old and os.stat(file).st_mtime_ns // 10**6 <= old.st_mtime_ns // 10**6:
                later = (old.st_mtime_ns // 10**6 + 1) * 10**6
                os.utime(file, ns=(later, later))
            parent = os.path.dirname(place)
            os.makedirs(parent, exist_ok=True)
            os.replace(file, place)
            # The name lasts when its directory is synced, and those above it, which may be new.
            while parent != self.root:
                sync_directory(parent)
                parent = os.path.dirname(parent)

    def put(self, path, content, if_absent, if_match):
        file = os.path.join(self.tmp, uuid.uuid4().hex)
        try:
            with open(file, "xb") as handle:
                handle.write(content)
                handle.flush()
                os.fsync(handle.fileno())
            self.show(file, path, if_absent, if_match)
        finally:
            unlink_if_there(file)

    def move(self, source, destination):
        with self.lock():
            self.open(source).close()
            if source == destination:
                return
            self.show(self.place(source), destination)
            self.prune(os.path.dirname(self.place(source)), self.objects)

    def delete(self, path):
        with self.lock():
            found = False
            for root in (self.unfinished, self.objects):
                place = self.place(path, root)
                if not os.path.lexists(place):
                    continue
                found = True
                # First out of sight as a whole, then file by file.
                gone = os.path.join(self.tmp, uuid.uuid4().hex)
                os.rename(place, gone)
                sync_directory(os.path.dirname(place))
                self.prune(os.path.dirname(place), root)
                if os.path.isdir(gone):
                    shutil.rmtree(gone)
                else:
                    os.unlink(gone)
        if not found:
            raise missing(path)

    def prune(self, place, root):
        """Removes directories that are left empty."""
        try:
            while place != root:
                os.rmdir(place)
                place = os.path.dirname(place)
        except OSError:
            pass  # In use.


def revision(found):
    return f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"


def unlink_if_there(file):
    try:
        os.unlink(file)
    except FileNotFoundError:
        pass


class Writer:
    """One object in the making. A new one grows in tmp; one that goes on grows where the bytes were left."""

    def __init__(self, folder, path, append):
        self.folder, self.path, self.lock, self.used = folder, path, threading.Lock(), time.monotonic()
        self.kept = folder.place(path, folder.unfinished) + "/~bytes"
        with folder.lock():
            folder.require_free(path)
            is_kept = append and os.path.exists(self.kept)
            if append and not is_kept and folder.stat(path)["size"] > 0:
                raise DriverError("CONFLICT", path, "committed and not empty, cannot be appended to")
            if not append:
                unlink_if_there(self.kept)
            self.place = self.kept if is_kept else os.path.join(folder.tmp, uuid.uuid4().hex)
            self.handle = open(self.place, "r+b" if is_kept else "x+b", buffering=0)
            try:
                # One writer at a time goes on with the same bytes; the lock goes with the process.
                fcntl.flock(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.handle.close()
                raise DriverError("CONFLICT", path, "another writer appends to it now")
            self.size = self.handle.seek(0, os.SEEK_END)

    def write(self, offset, source, length):
        if offset != self.size:
            raise DriverError("CONFLICT", self.path, f"the writer is at byte {self.size}, expected {offset}")
        while length > 0:
            chunk = source.read(min(CHUNK, length))
            if not chunk:
                raise ConnectionError("the body ended early")
            length -= len(chunk)
            view = memoryview(chunk)
            while view:
                view = view[self.handle.write(view):]
            self.size += len(chunk)

    def require_own(self):
        """Somebody may have deleted the bytes, or begun anew, since."""
        try:
            if os.stat(self.place).st_ino == os.fstat(self.handle.fileno()).st_ino:
                return
        except FileNotFoundError:
            pass
        raise DriverError("CONFLICT", self.path, "another writer has taken or removed the unfinished bytes")

    def commit(self):
        os.fsync(self.handle.fileno())
        with self.folder.lock():
            self.require_own()
            self.folder.show(self.place, self.path)
            if self.place == self.kept:
                self.folder.prune(os.path.dirname(self.kept), self.folder.unfinished)
        self.handle.close()

    def close(self):
        try:
            os.fsync(self.handle.fileno())
            with self.folder.lock():
                self.require_own()
                if self.place == self.kept:
                    return
                parent = os.path.dirname(self.kept)
                os.makedirs(parent, exist_ok=True)
                os.replace(self.place, self.kept)
                while parent != self.folder.root:
                    sync_directory(parent)
                    parent = os.path.dirname(parent)
        finally:
            self.handle.close()

    def cancel(self):
        with self.folder.lock():
            unlink_if_there(self.place)
            unlink_if_there(self.kept)
            self.folder.prune(os.path.dirname(self.kept), self.folder.unfinished)
        self.size = 0
        self.handle.close()


class Handler(BaseHTTPRequestHandler):
    """One connection of the registry; each has a thread."""

    protocol_version = "HTTP/1.1"
    wbufsize = 64 * 1024
    folder, token, writers = None, "", {}

    def log_message(self, *_):
        pass

    def address_string(self):
        return "registry"

    def answer(self):
        url = urlsplit(self.path)
        self.query = {key: values[0] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
        self.body_left = int(self.headers.get("content-length", 0))
        self.has_begun = False
        words = url.path.split("/")[1:]
        self.writer_id = words[2] if words[:2] == ["v1", "writers"] and len(words) > 2 else ""
        call = "/".join("ID" if word and word == self.writer_id else word for word in words)
        try:
            if not self.is_allowed():
                raise DriverError("UNAUTHORIZED", "/", "the token is missing or wrong")
            serve = CALLS.get(f"{self.command} {call}")
            if serve is None:
                raise DriverError("BAD_REQUEST", "/", f"{self.command} {url.path} is no call of this protocol")
            serve(self)
            self.rfile.read(self.body_left)
        except (ConnectionError, TimeoutError):
            self.close_connection = True  # The registry has gone, or has broken off the call.
        except DriverError as error:
            self.fail(error)
        except OSError as error:
            self.fail(from_system(error, self.query.get("path", "/")))
        except Exception as error:  # A defect: the registry gets its text, the log all of it.
            import traceback
            traceback.print_exc()
            self.fail(DriverError("STORAGE_INTERNAL", self.query.get("path", "/"), repr(error)))

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = answer

    def is_allowed(self):
        given = self.headers.get("authorization", "").encode()
        digests = [hashlib.sha256(text).digest() for text in (given, f"Bearer {self.token}".encode())]
        return hmac.compare_digest(*digests)

    def fail(self, error):
        # What is left of the request would look like the next one.
        self.close_connection = True
        if self.has_begun:
            return  # Cut off: an answer that ends well would pass for whole.
        retryable = error.code == "STORAGE_UNAVAILABLE"
        self.send_json({"code": error.code, "message": error.message, "path": error.path, "retryable": retryable},
                       STATUS[error.code])

    def begin(self, status, **headers):
        self.has_begun = True
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()

    def send_json(self, value, status=200):
        body = json.dumps(value).encode()
        self.begin(status, content_type="application/json", content_length=len(body))
        self.wfile.write(body)

    def done(self):
        self.begin(204)

    def send_lines(self, items):
        items = iter(items)
        first = next(items, None)  # An error before the first line is an ordinary answer.
        self.begin(200, content_type="application/x-ndjson", transfer_encoding="chunked")
        try:
            while first is not None:
                self.send_line(first)
                first = next(items, None)
            self.send_line({"complete": True})
        except DriverError as error:
            self.send_line({"error": {"code": error.code, "message": error.message, "path": error.path}})
        self.wfile.write(b"0\r\n\r\n")

    def send_line(self, value):
        line = json.dumps(value).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))

    def object_path(self, name="path", root=False):
        path = self.query.get(name, "")
        if (path == "/" and root) or (len(path) <= 1024 and VALID_PATH.match(path)):
            return path
        raise DriverError("INVALID_PATH", path, "invalid path")

    def body(self):
        content = self.rfile.read(self.body_left)
        if len(content) < self.body_left:
            raise ConnectionError("the body ended early")
        self.body_left = 0
        return content

    # The calls.

    def info(self):
        self.send_json(INFO)

    def get_content(self):
        self.send_file(0, None)

    def stream(self):
        self.send_file(int(self.query.get("offset", 0)), self.query.get("length"))

    def send_file(self, offset, length):
        with self.folder.open(self.object_path()) as file:
            # An object is never written to, only replaced: its size cannot change.
            size = max(0, os.fstat(file.fileno()).st_size - offset)
            size = size if length is None else min(size, int(length))
            self.begin(200, content_type="application/octet-stream", content_length=size)
            self.wfile.flush()
            if size > 0:
                sent = self.connection.sendfile(file, offset, size)
                if sent < size:
                    raise ConnectionError("the file is shorter than it was")

    def put_content(self):
        path = self.object_path()
        content = self.body()
        self.folder.put(path, content, self.query.get("ifAbsent") == "true", self.query.get("ifMatch"))
        self.done()

    def stat(self):
        self.send_json(self.folder.stat(self.object_path(root=True)))

    def list(self):
        children = self.folder.children(self.object_path(root=True))
        after, limit = self.query.get("after", ""), self.query.get("limit")
        behind = [{"path": child} for child in children if order(child) > order(after)]
        self.send_lines(behind if limit is None else behind[: int(limit)])

    def walk(self):
        self.send_lines(self.folder.walk(self.object_path(root=True), self.query.get("startAfter", "")))

    def move(self):
        self.folder.move(self.object_path("source"), self.object_path("destination"))
        self.done()

    def delete(self):
        self.folder.delete(self.object_path())
        self.done()

    def redirect_url(self):
        self.send_json({"url": None})

    def open_writer(self):
        writer = Writer(self.folder, self.object_path(), self.query.get("append") == "true")
        writer_id = uuid.uuid4().hex
        self.writers[writer_id] = writer
        self.send_json({"id": writer_id, "size": writer.size}, 201)

    def use_writer(self, work, ends):
        writer = self.writers.get(self.writer_id)
        if writer is None:
            raise DriverError("WRITER_CLOSED", "/", "gone, or was never here")
        with writer.lock:
            writer.used = time.monotonic()
            work(writer)
            if ends:
                self.writers.pop(self.writer_id, None)
            self.send_json({"size": writer.size})

    def look_at_writer(self):
        self.use_writer(lambda writer: None, False)

    def write(self):
        length, self.body_left = self.body_left, 0
        self.use_writer(lambda writer: writer.write(int(self.headers["x-offset"]), self.rfile, length), False)

    def commit(self):
        self.use_writer(Writer.commit, True)

    def close_writer(self):
        try:
            self.use_writer(Writer.close, True)
        finally:
            self.writers.pop(self.writer_id, None)

    def cancel(self):
        self.use_writer(Writer.cancel, True)


CALLS = {
    "GET v1/info": Handler.info,
    "GET v1/health": Handler.info,
    "GET v1/content": Handler.get_content,
    "PUT v1/content": Handler.put_content,
    "GET v1/stream": Handler.stream,
    "POST v1/writers": Handler.open_writer,
    "GET v1/writers/ID": Handler.look_at_writer,
    "PATCH v1/writers/ID": Handler.write,
    "POST v1/writers/ID/commit": Handler.commit,
    "POST v1/writers/ID/close": Handler.close_writer,
    "DELETE v1/writers/ID": Handler.cancel,
    "GET v1/stat": Handler.stat,
    "GET v1/list": Handler.list,
    "GET v1/walk": Handler.walk,
    "POST v1/move": Handler.move,
    "DELETE v1/object": Handler.delete,
    "POST v1/redirect-url": Handler.redirect_url,
}


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 1024


def close_idle_writers():
    """The client of a writer that nobody calls has gone; its bytes stay for the next one."""
    while True:
        time.sleep(10)
        for writer_id, writer in list(Handler.writers.items()):
            with writer.lock:
                if time.monotonic() - writer.used > INFO["writerIdleSeconds"] and Handler.writers.pop(writer_id, None):
                    close_quietly(writer)


def close_quietly(writer):
    try:
        writer.close()
    except (DriverError, OSError, ValueError) as error:
        print(f"a writer could not be closed: {error}", file=sys.stderr, flush=True)


def main():
    parameters = json.loads(sys.stdin.buffer.readline())
    unknown = sorted(set(parameters) - {"rootdirectory"})
    if "rootdirectory" not in parameters or unknown:
        sys.exit(f"expected the parameter rootdirectory and no other, got {', '.join(parameters) or 'none'}")
    Handler.folder = Folder(parameters["rootdirectory"])
    Handler.token = os.environ["REGISTRY_STORAGE_TOKEN"]
    server = Server(os.environ["REGISTRY_STORAGE_SOCKET"], Handler)
    for work in (server.serve_forever, close_idle_writers):
        threading.Thread(target=work, daemon=True).start()
    print(json.dumps(INFO), flush=True)

    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())

    def wait_for_registry():
        while sys.stdin.buffer.read(4096):
            pass
        asked.set()  # The registry has gone, however it went.

    threading.Thread(target=wait_for_registry, daemon=True).start()
    asked.wait()
    for writer in list(Handler.writers.values()):
        if writer.lock.acquire(timeout=5):
            close_quietly(writer)
    try:
        # The directory was made for the socket, and whoever made it may be gone.
        os.unlink(os.environ["REGISTRY_STORAGE_SOCKET"])
        os.rmdir(os.path.dirname(os.environ["REGISTRY_STORAGE_SOCKET"]))
    except OSError:
        pass
    os._exit(0)  # Threads that still send to clients are cut off; nothing of theirs is unfinished.


if __name__ == "__main__":
    main()
