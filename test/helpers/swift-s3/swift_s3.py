#!/usr/bin/python3
"""OpenStack Swift with one replica and its S3 interface, on loopback: a store for the tests of the s3 driver.

usage: swift_s3.py DIR [S3PORT]

DIR is an empty folder, or one of an earlier run, whose data is then there again. Needs Debian's python3-swift, and a file
system with user xattrs (ext4, xfs, tmpfs of Linux 6.6 or later). Reads nothing of /etc/swift. Prints one line of JSON when it
is ready. Ends with SIGTERM; its servers end with it, also when it is killed.

Environment: MIN_PART, the least size of a part in bytes (5242880); MAX_FILE, the largest object of one put (5368709120).
"""
import ctypes
import json
import os
import signal
import socket
import sys
import time
import urllib.request
import warnings

warnings.filterwarnings('ignore')

SERVERS = (('object', 'object-server'), ('container', 'container-server'),
           ('account', 'account-server'), ('proxy', 'proxy-server'))

SWIFT_CONF = """[swift-hash]
swift_hash_path_suffix = test
[storage-policy:0]
name = one
default = yes
[swift-constraints]
max_meta_value_length = 2048
max_file_size = {maxfile}
"""

BACKEND = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {etc}
devices = {srv}
mount_check = false
disable_fallocate = true
fallocate_reserve = 0
container_update_timeout = 10
log_level = WARNING
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
"""

PROXY = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {etc}
log_level = WARNING
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats bulk s3api tempauth copy slo dlo versioned_writes symlink proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:cache]
paste.filter_factory = swift_s3:cache_factory
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
min_segment_size = {minseg}
max_upload_part_num = 10000
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
max_manifest_segments = 10000
max_manifest_size = 8388608
rate_limit_after_segment = 1000000
[filter:dlo]
use = egg:swift#dlo
rate_limit_after_segment = 1000000
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true
[filter:symlink]
use = egg:swift#symlink
"""


class MemoryCache:
    """Stands in for memcached (tempauth refuses to work without a cache). One proxy process, so one dict."""
    def __init__(self):
        self.d = {}

    def set(self, key, value, serialize=True, time=0, min_compress_len=0, **kw):
        self.d[key] = (json.dumps(value), _now() + time if time else None)

    def get(self, key, **kw):
        v, end = self.d.get(key, ('null', None))
        if end is not None and end < _now():
            self.d.pop(key, None)
            return None
        return json.loads(v)

    def incr(self, key, delta=1, time=0, **kw):
        n = max(0, int(self.get(key) or 0) + int(delta))
        self.set(key, n, time=time)
        return n

    def decr(self, key, delta=1, time=0, **kw):
        return self.incr(key, -int(delta), time)

    def delete(self, key, server_key=None, **kw):
        self.d.pop(key, None)

    def set_multi(self, mapping, server_key=None, serialize=True, time=0, min_compress_len=0, **kw):
        for k, v in mapping.items():
            self.set(k, v, time=time)

    def get_multi(self, keys, server_key=None, **kw):
        return [self.get(k) for k in keys]


_now = time.time


def cache_factory(global_conf, **conf):
    cache = MemoryCache()

    def wrap(app):
        def call(env, start_response):
            env['swift.cache'] = cache
            return app(env, start_response)
        return call
    return wrap


def free_ports(n):
    socks = []
    for _ in range(n):
        s = socket.socket(); s.bind(('127.0.0.1', 0)); socks.append(s)
    ports = [s.getsockname()[1] for s in socks]
    for s in socks:
        s.close()
    return ports


def xattr_ok(path):
    p = os.path.join(path, '.xattr')
    open(p, 'w').close()
    try:
        os.setxattr(p, 'user.swift.metadata', b'x' * 3000)
        return True
    except OSError:
        return False
    finally:
        os.unlink(p)


def main():
    t0 = time.time()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: whoever started this may be killed, too
    base = os.path.abspath(sys.argv[1])
    etc, srv, logs = (os.path.join(base, d) for d in ('etc', 'srv', 'log'))
    for d in (etc, os.path.join(srv, 'd1'), logs):
        os.makedirs(d, exist_ok=True)
    if not xattr_ok(srv):
        sys.exit('no user xattrs here: use another folder (ext4, xfs, or tmpfs of Linux 6.6 or later)')
    import pwd
    user = pwd.getpwuid(os.geteuid()).pw_name
    ports = dict(zip((n for n, _ in SERVERS), free_ports(4)))
    if len(sys.argv) > 2:
        ports['proxy'] = int(sys.argv[2])

    with open(os.path.join(etc, 'swift.conf'), 'w') as f:
        f.write(SWIFT_CONF.format(maxfile=os.environ.get('MAX_FILE', '5368709120')))
    for name, _ in SERVERS:
        with open(os.path.join(etc, name + '-server.conf'), 'w') as f:
            f.write((PROXY if name == 'proxy' else BACKEND).format(
                name=name, port=ports[name], user=user, etc=etc, srv=srv,
                minseg=os.environ.get('MIN_PART', '5242880')))

    from swift.common import utils
    utils.set_swift_dir(etc)          # never reads /etc/swift
    from swift.common.ring import RingBuilder
    for name in ('object', 'container', 'account'):
        b = RingBuilder(4, 1, 0)      # part power 4, one replica
        b.add_dev(dict(region=1, zone=1, ip='127.0.0.1', port=ports[name],
                       replication_ip='127.0.0.1', replication_port=ports[name],
                       device='d1', weight=1.0, meta=''))
        b.rebalance()
        b.get_ring().save(os.path.join(etc, name + '.ring.gz'))

    from swift.common.wsgi import run_wsgi
    import swift.obj.server
    parent, kids = os.getpid(), {}
    for name, section in SERVERS:
        pid = os.fork()
        if pid == 0:
            libc.prctl(1, signal.SIGKILL)          # PR_SET_PDEATHSIG
            if os.getppid() != parent:
                os._exit(1)
            log = os.open(os.path.join(logs, name + '.log'), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.dup2(log, 1); os.dup2(log, 2)
            kw = {}
            if name == 'object':
                kw['global_conf_callback'] = swift.obj.server.global_conf_callback
            rc = 1
            try:
                rc = run_wsgi(os.path.join(etc, name + '-server.conf'), section, verbose=True, **kw)
            finally:
                os._exit(rc or 0)
        kids[pid] = name

    def stop(*_):
        for pid in kids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        os._exit(0)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)

    for name in ports:
        for _ in range(600):
            try:
                if name == 'proxy':
                    urllib.request.urlopen('http://127.0.0.1:%d/healthcheck' % ports[name], timeout=1).read()
                else:
                    socket.create_connection(('127.0.0.1', ports[name]), 1).close()
                break
            except OSError:
                time.sleep(0.05)
                p, _st = os.waitpid(-1, os.WNOHANG)
                if p:
                    sys.stderr.write('%s server ended; see %s\n' % (kids.pop(p), logs)); stop()
        else:
            sys.stderr.write('%s server did not answer\n' % name); stop()
    print(json.dumps(dict(ready=True, endpoint='http://127.0.0.1:%d' % ports['proxy'], region='us-east-1',
                          accessKeyId='test:tester', secretAccessKey='testing', pid=parent,
                          children={n: p for p, n in kids.items()}, seconds=round(time.time() - t0, 2))), flush=True)
    p, _st = os.wait()
    sys.stderr.write('%s server ended; see %s\n' % (kids.pop(p), logs))
    stop()


if __name__ == '__main__':
    main()
