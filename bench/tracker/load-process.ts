/** A part of the fleet as a process: makes hosts, and has them announce when it is told. Ends with its standard input. */
import { setTimeout as sleep } from 'node:timers/promises';
import { BenchRunError } from '../lib/errors.ts';
import { monotonicMs, untilMs } from '../lib/monotonic.ts';
import { serveCalls } from '../lib/remote-calls.ts';
import type { FleetPart, LoadCalls, Phase, PhaseFigures } from './load-calls.ts';
import { VirtualHost } from './virtual-host.ts';

/** One announce and the moment at which it is due. */
interface Due {
  readonly atMs: number;
  readonly host: VirtualHost;
}

/** An end that a tracker in trouble still reaches: what has no answer by then has failed. */
const PATIENCE_MS = 20_000;

let fleet: FleetPart | undefined;
let hosts: VirtualHost[] = [];

/** What one phase has come to so far. */
class Tally {
  readonly #latenciesMs: number[] = [];
  readonly #answeredInMs: number[] = [];
  readonly #startMs: number;
  readonly #cpuBefore = process.cpuUsage();
  #failed = 0;
  #askedForAll = 0;
  #receivedBytes = 0;
  #lastMs = 0;
  #underWay = 0;

  constructor(startMs: number) {
    this.#startMs = startMs;
  }

  get underWay(): number {
    return this.#underWay;
  }

  async send({ atMs, host }: Due, { kind, changed }: Phase): Promise<void> {
    this.#underWay++;
    const sentMs = monotonicMs();
    try {
      const answered = await (kind === 'arrive' ? host.arrive() : host.goOn(changed));
      const endMs = monotonicMs();
      this.#latenciesMs.push(endMs - atMs);
      this.#answeredInMs.push(endMs - sentMs);
      this.#lastMs = endMs - this.#startMs;
      this.#receivedBytes += answered.bytes;
      if (!answered.ok) this.#failed++;
      if (answered.askedForAll) this.#askedForAll++;
    } catch {
      this.#failed++; // Counted: the result says how many failed.
    }
    this.#underWay--;
  }

  figures(): PhaseFigures {
    const { user, system } = process.cpuUsage(this.#cpuBefore);
    return {
      latenciesMs: this.#latenciesMs.map(rounded),
      answeredInMs: this.#answeredInMs.map(rounded),
      failed: this.#failed + this.#underWay,
      askedForAll: this.#askedForAll,
      receivedBytes: this.#receivedBytes,
      lastMs: this.#lastMs,
      cpuSeconds: (user + system) / 1e6,
    };
  }
}

/** Sends each announce when it is due, whether others have been answered or not (an open loop). */
async function run(phase: Phase): Promise<PhaseFigures> {
  if (fleet === undefined) throw new BenchRunError('run was called before prepare');
  const due = dueIn(phase, fleet.hosts);
  await untilMs(phase.startMs - 1);
  const tally = new Tally(phase.startMs);
  for (let next = 0; next < due.length; ) {
    for (; next < due.length && due[next]!.atMs <= monotonicMs(); next++) void tally.send(due[next]!, phase);
    await sleep(1);
  }
  const endMs = monotonicMs() + PATIENCE_MS;
  while (tally.underWay > 0 && monotonicMs() < endMs) await sleep(5);
  return tally.figures();
}

function dueIn({ startMs, spreadMs, everyMs, durationMs }: Phase, fleetHosts: number): Due[] {
  const due: Due[] = [];
  for (const host of hosts) {
    const firstMs = startMs + (spreadMs * host.number) / fleetHosts;
    if (everyMs === 0) due.push({ atMs: firstMs, host });
    else for (let atMs = firstMs; atMs < startMs + durationMs; atMs += everyMs) due.push({ atMs, host });
  }
  return due.sort((one, other) => one.atMs - other.atMs);
}

function rounded(ms: number): number {
  return Math.round(ms * 100) / 100;
}

serveCalls<LoadCalls>({
  prepare: async (part) => {
    for (const host of hosts) host.close();
    fleet = part;
    hosts = [];
    for (let number = part.part; number < part.hosts; number += part.of) hosts.push(new VirtualHost(number, part));
    return null;
  },
  run,
});
