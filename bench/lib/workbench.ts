import { existsSync, readlinkSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { listNamespaces, NAMESPACE_PREFIX, Network, type NetworkHost, removeNamespaces } from './network.ts';
import type { Calls } from './remote-calls.ts';
import { RemoteChild } from './remote-child.ts';
import { removeTouchedMemory, TouchedMemory } from './touched-memory.ts';

/** Something that runs until it is killed. */
interface Killable {
  kill(): Promise<void>;
}

/**
 * What one run leaves on the machine while it lasts: a temporary folder, processes, a network. Whoever opens it closes it;
 * an aborted signal ends its processes at once, so that whatever waits for them fails.
 */
export class Workbench {
  readonly directory: string;
  readonly signal: AbortSignal;
  readonly #running = new Set<Killable>();
  readonly #onAbort = () => void this.#killAll();
  #network: Network | undefined;
  #memory: TouchedMemory | undefined;

  private constructor(directory: string, signal: AbortSignal) {
    this.directory = directory;
    this.signal = signal;
    signal.addEventListener('abort', this.#onAbort);
  }

  /** @param parent the folder in which the temporary folder is made */
  static async open(signal: AbortSignal, parent: string = tmpdir()): Promise<Workbench> {
    signal.throwIfAborted();
    return new Workbench(await mkdtemp(join(parent, `${NAMESPACE_PREFIX}${process.pid}-`)), signal);
  }

  /** Makes the network, once. @throws BenchNeedsError */
  async openNetwork(hosts: readonly NetworkHost[]): Promise<Network> {
    this.#network = await Network.open(hosts);
    this.signal.throwIfAborted();
    return this.#network;
  }

  /** Starts a process that answers calls. It is ended with the rest. */
  startRemote<C extends Calls>(name: string, command: readonly [string, ...string[]]): RemoteChild<C> {
    return this.keep(() => new RemoteChild<C>(name, command));
  }

  /** Starts anything else, and ends it with the rest. */
  keep<K extends Killable>(start: () => K): K {
    this.signal.throwIfAborted();
    const started = start();
    this.#running.add(started);
    return started;
  }

  /** Has memory ready that was touched; {@link giveMemory} follows, once, right before the measurement. */
  async takeMemory(bytes: number): Promise<void> {
    this.#memory = await TouchedMemory.take(bytes, this.signal);
  }

  /** Gives that memory back as fast as it is taken. */
  giveMemory(): void {
    this.#memory?.giveBack();
  }

  async close(): Promise<void> {
    this.#memory?.close();
    this.signal.removeEventListener('abort', this.#onAbort);
    await this.#killAll();
    await this.#network?.close();
    await rm(this.directory, { recursive: true, force: true });
  }

  async #killAll(): Promise<void> {
    await Promise.all([...this.#running].map((running) => running.kill()));
  }
}

/**
 * Removes what benches left that were killed: namespaces with their processes, and temporary folders. Those of benches that
 * still run stay.
 * @returns the names of what was removed
 */
export async function removeLeftovers(parent: string = tmpdir()): Promise<string[]> {
  const removed: string[] = [];
  const isLeft = (name: string) => name.startsWith(NAMESPACE_PREFIX) && !isBench(ownerOf(name));
  if (process.getuid?.() === 0 && existsSync('/run/netns')) {
    for (const name of (await listNamespaces(NAMESPACE_PREFIX)).filter(isLeft)) {
      await removeNamespaces(name);
      removed.push(name);
    }
  }
  for (const name of (await readdir(parent)).filter(isLeft)) {
    await rm(join(parent, name), { recursive: true, force: true });
    removed.push(join(parent, name));
  }
  removed.push(...(await removeTouchedMemory(isLeft)));
  return removed;
}

function ownerOf(name: string): number {
  return Number(/^(\d+)-/.exec(name.slice(NAMESPACE_PREFIX.length))?.[1] ?? 0);
}

/** Whether a process may be one of these benches, which all run in Node: its id may have gone to another program since. */
function isBench(pid: number): boolean {
  try {
    return basename(readlinkSync(`/proc/${pid}/exe`)) === 'node';
  } catch {
    return false; // There is no such process.
  }
}
