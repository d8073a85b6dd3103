import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** A program of the system that tests run against, and the Debian package that brings it. */
export interface SystemProgram {
  readonly command: string;
  readonly debianPackage: string;
  /** For what is no command: a file that is there when the package is. */
  readonly file?: string;
  /** What is not tested without it. */
  readonly tests: string;
}

/** Every program that a test may ask for. */
export const systemPrograms: readonly SystemProgram[] = [
  { command: 'skopeo', debianPackage: 'skopeo', tests: 'pushes and pulls with skopeo' },
  { command: 'buildah', debianPackage: 'buildah', tests: 'images built and pushed with buildah' },
  { command: 'podman', debianPackage: 'podman', tests: 'pulls with podman' },
  { command: 'dockerd', debianPackage: 'docker.io', tests: 'pushes and pulls with Docker' },
  { command: 'containerd', debianPackage: 'containerd', tests: 'pulls with containerd' },
  { command: 'runc', debianPackage: 'runc', tests: 'containers run from pulled images' },
  { command: 'umoci', debianPackage: 'umoci', tests: 'images made by another tool' },
  { command: 'debootstrap', debianPackage: 'debootstrap', tests: 'images of a real system' },
  { command: 'docker-registry', debianPackage: 'docker-registry', tests: 'folders shared with distribution; mirrors' },
  { command: 'nginx', debianPackage: 'nginx-light', tests: 'blobs that nginx sends' },
  { command: 'openssl', debianPackage: 'openssl', tests: 'certificates and keys' },
  { command: 'redis-server', debianPackage: 'redis-server', tests: "the tracker's Redis peer store" },
  { command: 'aria2c', debianPackage: 'aria2', tests: 'foreign BitTorrent clients' },
  { command: 'unshare', debianPackage: 'util-linux', tests: 'container clients on hosts of their own' },
  { command: 'nsenter', debianPackage: 'util-linux', tests: 'container clients on hosts of their own' },
  { command: 'ip', debianPackage: 'iproute2', tests: 'hosts with addresses and link rates of their own' },
  { command: 'tc', debianPackage: 'iproute2', tests: 'hosts with addresses and link rates of their own' },
  { command: 'go', debianPackage: 'golang-go', tests: 'the storage driver that is a program in Go' },
  {
    command: "Python's swift",
    debianPackage: 'python3-swift',
    file: '/usr/share/doc/python3-swift',
    tests: 'the s3 driver on a store that others have made',
  },
  {
    command: "Python's libtorrent",
    debianPackage: 'python3-libtorrent',
    file: '/usr/share/doc/python3-libtorrent',
    tests: 'benchmarks beside libtorrent',
  },
];

/** Those that are not on this machine's PATH (or where Debian keeps its system programs). */
export function missingPrograms(path = process.env['PATH'] ?? ''): SystemProgram[] {
  const folders = [...path.split(delimiter).filter((folder) => folder !== ''), '/usr/sbin', '/sbin'];
  return systemPrograms.filter(({ command, file }) => {
    return file === undefined ? !folders.some((folder) => isExecutable(join(folder, command))) : !existsSync(file);
  });
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false; // Not there, or not for us: either way it cannot be run.
  }
}
