import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { hasPrograms, run } from '../helpers/command.ts';

/**
 * Folders that container clients keep things in. Each is a folder of the host's own, so that clients run with the paths and
 * options that people use, and nothing of this machine is touched. `/etc` begins as a copy.
 */
const ownFolders = ['etc', 'root', 'run', 'opt', 'var/lib', 'var/tmp'];

/**
 * `$1` is the folder that all is kept in, what follows are addresses. Says whether overlay file systems work there, which they do
 * not above some others. Ends with its standard input, or with its parent.
 */
const setUpScript = `
set -eu
folder="$1"; shift
mkdir -p "$folder/try/lower" "$folder/try/upper" "$folder/try/work" "$folder/try/merged"
try="lowerdir=$folder/try/lower,upperdir=$folder/try/upper,workdir=$folder/try/work"
storage=folders
if mount -t overlay -o "$try" overlay "$folder/try/merged" 2>/dev/null; then storage=overlay; fi
cp -a /etc/. "$folder/etc"
for name in ${ownFolders.join(' ')}; do mount --bind "$folder/$name" "/$name"; done
for address in "$@"; do ip address add "$address/32" dev lo; done
if [ $# -gt 0 ]; then ip link set lo up; fi
echo "$storage"
exec cat
`;

/** Whether hosts can be made here: namespaces need root. In CI tests run as root, and fail where they do not. */
export function canIsolate(): boolean {
  const isRoot = process.getuid?.() === 0 || process.env['CI'] === 'true';
  if (!isRoot) console.warn('SKIPPED: tests of container clients make namespaces, which needs root');
  return isRoot && hasPrograms('unshare', 'nsenter', 'ip');
}

/**
 * A host of its own, made of namespaces: own processes, own folders under `/etc`, `/var/lib` and the like, and with addresses
 * also an own network, in which names and ports are free to choose and nothing is reached from outside. All that runs
 * on it ends with it, daemons and what they have started included; also when the test's process is killed.
 */
export class IsolatedHost {
  readonly #directory: string;
  readonly #parent: ChildProcess;
  #firstProcess = '';
  #hasOverlay = false;

  private constructor(directory: string, parent: ChildProcess) {
    this.#directory = directory;
    this.#parent = parent;
  }

  /**
   * Starts a host; the caller calls {@link stop}.
   * @param addresses IP addresses of its loopback interface beside 127.0.0.1; without any it shares this machine's network
   */
  static async start(addresses: readonly string[] = []): Promise<IsolatedHost> {
    const directory = await mkdtemp(join(tmpdir(), 'shoal-host-'));
    for (const name of ownFolders) await mkdir(join(directory, name), { recursive: true });
    const namespaces = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
    if (addresses.length > 0) namespaces.push('--net');
    const script = ['sh', '-c', setUpScript, 'host', directory, ...addresses];
    const parent = spawn('unshare', [...namespaces, ...script], { stdio: ['pipe', 'pipe', 'pipe'] });
    const host = new IsolatedHost(directory, parent);
    try {
      await host.#untilReady();
    } catch (error) {
      await host.stop();
      throw error;
    }
    return host;
  }

  /** Whether layers can be put above each other; else every layer is a copy of those below it. */
  get hasOverlay(): boolean {
    return this.#hasOverlay;
  }

  /** Ends all of its processes and removes all of its files. */
  async stop(): Promise<void> {
    if (this.#parent.exitCode === null && this.#parent.signalCode === null) {
      this.#parent.stdin?.end();
      await once(this.#parent, 'close');
    }
    // The namespaces have gone with their last process, and with them every mount below this folder.
    await rm(this.#directory, { recursive: true, force: true, maxRetries: 5 });
  }

  /** Where this machine sees a file of one of the host's own folders. */
  pathOf(file: string): string {
    if (!ownFolders.some((name) => file.startsWith(`/${name}/`)))
      throw new Error(`${file} is not in the host's folders`);
    return join(this.#directory, file);
  }

  async write(file: string, content: string | Uint8Array): Promise<void> {
    const path = this.pathOf(file);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
  }

  read(file: string): Promise<string> {
    return readFile(this.pathOf(file), 'utf8');
  }

  /** Runs a program to its end, in `/root`. Rejects with what it printed when it fails. */
  run(program: string, args: readonly string[], timeoutMs = 60_000): Promise<string> {
    return run('nsenter', this.#enter(program, args), { timeoutMs });
  }

  /** Starts a program that runs until the host ends; what it writes is the caller's to read. */
  start(program: string, args: readonly string[]): ChildProcess {
    return spawn('nsenter', this.#enter(program, args), { stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /**
   * Starts a daemon and waits for its socket. @throws Error with what it wrote, when it does not open the socket
   */
  async startDaemon(program: string, args: readonly string[], socket: string): Promise<void> {
    const child = this.start(program, args);
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        said = (said + text).slice(-4000);
      });
    }
    const script = `until [ -S ${socket} ]; do sleep 0.05; done`;
    const ended = once(child, 'close').then(() => Promise.reject(new Error(`${program} ended:\n${said}`)));
    ended.catch(() => {}); // Later it ends with the host.
    const opened = this.run('sh', ['-c', script]).catch((cause: unknown) => {
      throw new Error(`${program} did not open ${socket}:\n${said}`, { cause });
    });
    await Promise.race([opened, ended]);
  }

  async #untilReady(): Promise<void> {
    const { pid, stdin, stdout, stderr } = this.#parent;
    stdin?.on('error', () => {}); // It has ended; that shows in what is run next.
    let said = '';
    stderr?.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-4000);
    });
    const storage = await Promise.race([
      once(stdout!.setEncoding('utf8'), 'data').then(([line]) => String(line).trim()),
      once(this.#parent, 'close').then(() => undefined),
    ]);
    if (storage === undefined) throw new Error(`no host could be made; that needs root, and CAP_SYS_ADMIN:\n${said}`);
    this.#hasOverlay = storage === 'overlay';
    this.#firstProcess = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim();
    await this.write('/etc/containers/storage.conf', storageConf(this.#hasOverlay));
  }

  #enter(program: string, args: readonly string[]): string[] {
    const path = `PATH=${process.env['PATH']}:/usr/sbin:/sbin`;
    // What a shell of this machine has set for its own clients is not meant for these. The folder is changed inside: nsenter's
    // own option would open the one outside.
    const snapshotter = `CONTAINERD_SNAPSHOTTER=${this.#hasOverlay ? 'overlayfs' : 'native'}`;
    const environment = ['env', '-i', '--chdir=/root', path, 'HOME=/root', 'LANG=C.UTF-8', snapshotter];
    const target = ['--target', this.#firstProcess, '--mount', '--net', '--pid'];
    return [...target, '--', ...environment, program, ...args];
  }
}

function storageConf(hasOverlay: boolean): string {
  return `[storage]
driver = "${hasOverlay ? 'overlay' : 'vfs'}"
runroot = "/run/containers/storage"
graphroot = "/var/lib/containers/storage"
`;
}
