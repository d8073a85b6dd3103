import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BenchRunError } from '../lib/errors.ts';
import { becomesTrue, monotonicMs } from '../lib/monotonic.ts';
import { makeRandomBlob, type RandomBlob } from '../lib/random-file.ts';
import type { RemoteChild } from '../lib/remote-child.ts';
import type { PreparedSwarm, Scene, SwarmEngine, SwarmProcess } from './engine.ts';
import { CONTROL, type HostPull, hostName, originName } from './engine.ts';
import type { HostCalls } from './host-calls.ts';
import { sampleIntervalMs, warmHosts } from './settings.ts';
import { type ConfigOverride, type PlannedProgram, planPrograms } from './shoal-config.ts';
import { ShoalProgram } from './shoal-programs.ts';

const REPOSITORY = 'bench/blob';
const READY_TIMEOUT_MS = 180_000;
/** How long the origins may take to copy the blob to the backend, and the tracker to know of it. */
const SETTLE_TIMEOUT_MS = 60_000;
const SENT_METRICS = ['shoal_swarm_sent_bytes_total', 'shoal_origin_sent_bytes_total'];

/** Shoal itself: every program as it is delivered, in namespaces. */
export class ShoalEngine implements SwarmEngine {
  readonly label: string;
  readonly #command: readonly string[];
  readonly #overrides: readonly ConfigOverride[];

  /** @param checkout the folder with the `bin/shoal.js` to be measured */
  constructor(options: { label: string; checkout: string; overrides: readonly ConfigOverride[] }) {
    this.label = options.label;
    this.#command = [process.execPath, join(options.checkout, 'bin', 'shoal.js')];
    this.#overrides = options.overrides;
  }

  async prepare(scene: Scene): Promise<PreparedSwarm> {
    const token = randomBytes(32).toString('hex');
    const { directory } = scene.workbench;
    const tokenFile = join(directory, 'token');
    await writeFile(tokenFile, token, { mode: 0o600 });
    await mkdir(join(directory, 'backend'));
    const { hosts, origins, degree } = scene.settings;
    const addressOf = (name: string) => scene.network.addressOf(name);
    const plan = planPrograms({
      directory,
      tokenFile,
      controlAddress: addressOf(CONTROL),
      originAddresses: Array.from({ length: origins }, (_, index) => addressOf(originName(index))),
      hostAddresses: Array.from({ length: hosts }, (_, index) => addressOf(hostName(index))),
      ...(degree === undefined ? {} : { degree }),
      overrides: this.#overrides,
    });
    const swarm = new ShoalSwarm(scene, plan, { token, command: this.#command });
    await swarm.start();
    await swarm.warmUp();
    await swarm.share();
    return swarm;
  }
}

interface Member {
  readonly planned: PlannedProgram;
  readonly program: ShoalProgram;
  readonly client: RemoteChild<HostCalls>;
}

class ShoalSwarm implements PreparedSwarm {
  readonly #scene: Scene;
  readonly #plan: ReturnType<typeof planPrograms>;
  readonly #token: string;
  readonly #command: readonly string[];
  readonly #clients = new Map<string, RemoteChild<HostCalls>>();
  #agents: Member[] = [];
  #origins: Member[] = [];
  #control: Member[] = [];

  constructor(
    scene: Scene,
    plan: ReturnType<typeof planPrograms>,
    options: { token: string; command: readonly string[] },
  ) {
    this.#scene = scene;
    this.#plan = plan;
    this.#token = options.token;
    this.#command = options.command;
  }

  get processes(): SwarmProcess[] {
    const of = (members: readonly Member[], kind: 'agent' | 'origin' | 'control') =>
      members.map(({ program }) => ({ name: program.name, kind, pid: program.pid }));
    const clients = [...this.#clients.values()].map(({ name, pid }) => ({ name, kind: 'client' as const, pid }));
    return [...of(this.#agents, 'agent'), ...of(this.#origins, 'origin'), ...of(this.#control, 'control'), ...clients];
  }

  /** Starts everything, and waits until it is ready. */
  async start(): Promise<void> {
    const { tracker, buildIndex, proxy, origins, agents } = this.#plan;
    const startAll = (programs: readonly PlannedProgram[], hostOf: (index: number) => string) =>
      Promise.all(programs.map((planned, index) => this.#startOne(planned, hostOf(index))));
    this.#control = await startAll([tracker, buildIndex, proxy], () => CONTROL);
    this.#origins = await startAll(origins, originName);
    this.#agents = await startAll(agents, hostName);
    const all = [...this.#control, ...this.#origins, ...this.#agents];
    await Promise.all(all.map((member) => this.#untilReady(member)));
  }

  /** Has all hosts pull other blobs, so that code is compiled, and memory is there, before the clock starts. */
  async warmUp(): Promise<void> {
    const { settings, workbench } = this.#scene;
    const hosts = this.#agents.map((_, host) => host);
    for (let index = 0; index < settings.warmUp.blobs; index++) {
      const folder = join(workbench.directory, `warm-up-${index}`);
      await mkdir(folder);
      const blob = await makeRandomBlob(folder, settings.warmUp.bytes);
      await this.#push(blob);
      await Promise.all(hosts.map((host) => this.#pull(host, blob, monotonicMs())));
      await Promise.all(hosts.map((host) => this.committed(host)));
    }
  }

  /** Pushes the blob, lets the warm hosts pull it, and waits until the backend has it and the tracker knows of it. */
  async share(): Promise<void> {
    const { blob, settings } = this.#scene;
    const [tracker] = this.#control;
    const known = () => this.#sumOf([tracker!], ['shoal_tracker_swarms']);
    const before = await known();
    await this.#push(blob);
    await Promise.all(warmHosts(settings).map((host) => this.pull(host, monotonicMs())));
    await this.#until('the tracker knows of the blob', async () => (await known()) > before);
  }

  pull(host: number, atMs: number): Promise<HostPull> {
    return this.#pull(host, this.#scene.blob, atMs);
  }

  async #push({ file, digest }: RandomBlob): Promise<void> {
    const [, , proxy] = this.#control;
    await proxy!.client.call('push', { base: proxy!.planned.url, repository: REPOSITORY, file, digest });
    await this.#until('the origins have copied the blob to the backend', async () => {
      const queued = await this.#sumOf(this.#origins, ['shoal_origin_write_back_queue']);
      return queued === 0;
    });
  }

  async #pull(host: number, blob: RandomBlob, atMs: number): Promise<HostPull> {
    const { client, planned, program } = this.#agents[host]!;
    const { deadlineMs } = this.#scene;
    // Later than the run gives up: then the host counts as unfinished.
    const timeoutMs = deadlineMs + 10_000;
    const sampleMs = sampleIntervalMs(this.#scene.settings);
    const params = { base: planned.url, repository: REPOSITORY, digest: blob.digest, token: this.#token, sampleMs };
    try {
      return await client.call('pull', { ...params, atMs, timeoutMs });
    } catch (cause) {
      throw new BenchRunError(`${planned.name}: ${(cause as Error).message}\n${await program.log()}`, {}, { cause });
    }
  }

  progress(host: number): Promise<{ bytes: number }> {
    return this.#agents[host]!.client.call('progress', {});
  }

  async committed(host: number): Promise<number | undefined> {
    return (await this.#agents[host]!.client.call('committed', {})).afterMs;
  }

  kill(host: number): Promise<void> {
    return this.#agents[host]!.program.kill();
  }

  originSentBytes(): Promise<number> {
    return this.#sumOf(this.#origins, SENT_METRICS);
  }

  async #startOne(planned: PlannedProgram, host: string): Promise<Member> {
    const { workbench } = this.#scene;
    const { name, role, config } = planned;
    const command = this.#scene.network.commandOn(host, [...(this.#command as [string, ...string[]]), role]);
    const start = await ShoalProgram.start({ name, command, config, directory: workbench.directory });
    return { planned, program: workbench.keep(start), client: this.#clientOn(host) };
  }

  /** One client a namespace, whatever runs there. */
  #clientOn(host: string): RemoteChild<HostCalls> {
    const known = this.#clients.get(host);
    if (known !== undefined) return known;
    const script = fileURLToPath(new URL('host-client.ts', import.meta.url));
    const command = this.#scene.network.commandOn(host, [process.execPath, script]);
    const client = this.#scene.workbench.startRemote<HostCalls>(`client-${host}`, command);
    this.#clients.set(host, client);
    return client;
  }

  async #untilReady({ planned, program, client }: Member): Promise<void> {
    try {
      await client.call('ready', { url: planned.url, timeoutMs: READY_TIMEOUT_MS });
    } catch (cause) {
      const message = `${planned.name} did not become ready: ${(cause as Error).message}\n${await program.log()}`;
      throw new BenchRunError(message, {}, { cause });
    }
  }

  async #sumOf(members: readonly Member[], names: readonly string[]): Promise<number> {
    const answers = await Promise.all(
      members.map(({ client, planned }) => client.call('metrics', { url: planned.url, names })),
    );
    return answers.flatMap((answer) => Object.values(answer)).reduce((sum, value) => sum + value, 0);
  }

  async #until(what: string, ask: () => Promise<boolean>): Promise<void> {
    const { signal } = this.#scene.workbench;
    if (await becomesTrue(ask, { timeoutMs: SETTLE_TIMEOUT_MS, everyMs: 100, signal })) return;
    throw new BenchRunError(`waited ${SETTLE_TIMEOUT_MS} ms in vain until ${what}`);
  }
}
