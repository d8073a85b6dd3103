import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';

type Config = { readonly [key: string]: unknown };

const shoal = fileURLToPath(new URL('../../bin/shoal.js', import.meta.url));
const START_TIMEOUT_MS = 90_000;

/** What a test cluster is made of; each section is merged into the configuration of that role. */
export interface TestClusterOptions {
  readonly agents?: number;
  readonly origins?: number;
  /** Proxies that know of each other, as behind one address. */
  readonly proxies?: number;
  readonly agent?: Config;
  readonly origin?: Config;
  readonly proxy?: Config;
}

/** A real cluster: each role a process of its own, on free ports of this machine, all data under one temporary folder. */
export class TestCluster {
  readonly directory: string;
  readonly token = randomBytes(32).toString('hex');
  readonly agents: TestProgram[] = [];
  readonly origins: TestProgram[] = [];
  readonly proxies: TestProgram[] = [];
  tracker!: TestProgram;
  buildIndex!: TestProgram;

  private constructor(directory: string) {
    this.directory = directory;
  }

  /** Starts all roles and waits until each is ready. The caller calls {@link stop}. */
  static async start(options: TestClusterOptions = {}): Promise<TestCluster> {
    const cluster = new TestCluster(await mkdtemp(join(tmpdir(), 'shoal-cluster-')));
    try {
      await cluster.#configure(options);
      await Promise.all(cluster.all.map((program) => program.start()));
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  get all(): TestProgram[] {
    return [this.tracker, ...this.origins, this.buildIndex, ...this.proxies, ...this.agents];
  }

  /** The first of the proxies. */
  get proxy(): TestProgram {
    return this.proxies[0]!;
  }

  /** The folder in which the backend driver keeps everything, in distribution's layout. */
  get backend(): string {
    return join(this.directory, 'backend');
  }

  get authorization(): { authorization: string } {
    return { authorization: `Bearer ${this.token}` };
  }

  async stop(): Promise<void> {
    await Promise.all(this.all.filter((program) => program !== undefined).map((program) => program.kill()));
    await rm(this.directory, { recursive: true, force: true });
  }

  async #configure(options: TestClusterOptions): Promise<void> {
    await mkdir(this.backend, { recursive: true });
    const tokenFile = join(this.directory, 'token');
    await writeFile(tokenFile, this.token, { mode: 0o600 });
    const [agentCount, originCount] = [options.agents ?? 3, options.origins ?? 2];
    const proxyCount = options.proxies ?? 1;
    const ports = await freePorts(2 + agentCount + originCount + proxyCount);
    const take = () => ({ host: '127.0.0.1', port: ports.pop()! });
    const [tracker, buildIndex] = [take(), take()];
    const proxies = Array.from({ length: proxyCount }, take);
    const origins = Array.from({ length: originCount }, take);
    const urls = {
      trackers: [urlOf(tracker)],
      origins: origins.map(urlOf),
      buildIndex: urlOf(buildIndex),
    };
    const cluster = { tokenFile };
    const backend = { driver: 'filesystem', parameters: { rootdirectory: this.backend } };
    const add = (name: string, role: string, listen: { port: number }, config: Config) => {
      return new TestProgram({
        name,
        role,
        port: listen.port,
        directory: this.directory,
        config: { listen, cluster, ...config },
      });
    };
    this.tracker = add('tracker', 'tracker', tracker, { origins: urls.origins, announceIntervalMs: 500 });
    this.buildIndex = add('build-index', 'build-index', buildIndex, { backend, origins: urls.origins });
    proxies.forEach((listen, index) => {
      const name = index === 0 ? 'proxy' : `proxy${index}`;
      const members = proxyCount === 1 ? {} : { proxies: proxies.map(urlOf), selfUrl: urlOf(listen) };
      this.proxies.push(
        add(name, 'proxy', listen, {
          origins: urls.origins,
          buildIndex: urls.buildIndex,
          castore: this.#store(name),
          ...members,
          ...options.proxy,
        }),
      );
    });
    origins.forEach((listen, index) => {
      const castore = this.#store(`origin${index}`);
      const members = { members: urls.origins, selfUrl: urlOf(listen), trackers: urls.trackers };
      this.origins.push(add(`origin${index}`, 'origin', listen, { ...members, backend, castore, ...options.origin }));
    });
    for (let index = 0; index < agentCount; index++) {
      const castore = this.#store(`agent${index}`);
      const config = { ...urls, castore, proxyUrl: this.proxy.url, ...options.agent };
      this.agents.push(add(`agent${index}`, 'agent', take(), config));
    }
  }

  #store(name: string): Config {
    return { directory: join(this.directory, name), capacityBytes: 8 * 2 ** 30 };
  }
}

/** One role of a test cluster. Its log is kept beside its data, and printed when it does not start. */
export class TestProgram {
  readonly name: string;
  readonly port: number;
  readonly #role: string;
  readonly #directory: string;
  readonly #config: Config;
  #child: ChildProcess | undefined;

  constructor(options: { name: string; role: string; port: number; directory: string; config: Config }) {
    this.name = options.name;
    this.port = options.port;
    this.#role = options.role;
    this.#directory = options.directory;
    this.#config = options.config;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** `127.0.0.1:port`, as container tools name a registry. */
  get registry(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** The folder of its local blobs. */
  get store(): string {
    return join(this.#directory, this.name);
  }

  /** Its configuration; written when it starts. */
  get configFile(): string {
    return join(this.#directory, `${this.name}.yaml`);
  }

  get processId(): number {
    return this.#child!.pid!;
  }

  /** Starts the process and waits until it is ready. `changes` are merged into its configuration for this run. */
  async start(changes: Config = {}): Promise<void> {
    const { configFile } = this;
    await writeFile(configFile, stringify({ ...this.#config, ...changes, log: { level: 'debug' } }), { mode: 0o600 });
    const child = spawn(process.execPath, [shoal, this.#role, '--config', configFile, '--exit-with-stdin'], {
      stdio: ['pipe', 'ignore', 'pipe'],
    });
    child.stdin.on('error', () => {});
    child.stderr.pipe(createWriteStream(this.#logFile, { flags: 'a' }));
    this.#child = child;
    await this.#untilReady(child);
  }

  /** Ends the process as a power failure would. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  /** The last lines of its log. */
  async log(lines = 20): Promise<string> {
    const text = await readFile(this.#logFile, 'utf8').catch(() => '(no log)');
    return text.split('\n').slice(-lines).join('\n');
  }

  get #logFile(): string {
    return join(this.#directory, `${this.name}.log`);
  }

  async #untilReady(child: ChildProcess): Promise<void> {
    const endMs = Date.now() + START_TIMEOUT_MS;
    while (Date.now() < endMs) {
      if (child.exitCode !== null) break;
      const answer = await fetch(`${this.url}/readyz`).catch(() => undefined); // Not listening yet.
      if (answer?.status === 200) return;
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
    throw new Error(`${this.name} did not become ready:\n${await this.log()}`);
  }
}

function urlOf(listen: { host: string; port: number }): string {
  return `http://${listen.host}:${listen.port}`;
}

/** Ports that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
