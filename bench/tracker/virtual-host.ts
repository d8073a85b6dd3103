import { createHash } from 'node:crypto';
import { trackerRoutes } from '../../src/tracker/protocol.ts';
import { AnnounceConnection } from './announce-connection.ts';
import type { FleetPart } from './load-calls.ts';

/** What an announce came to. */
export interface Answered {
  readonly ok: boolean;
  readonly askedForAll: boolean;
  readonly bytes: number;
}

/** The swarm id of a blob of a fleet. */
function swarmOf(fleet: string, blob: number): string {
  return sha1(`${fleet} blob ${blob}`);
}

/**
 * One host of the fleet, with a connection and announces of its own, as `AnnounceLoop` would send them: everything at first,
 * then what has changed. Whoever makes it closes it.
 */
export class VirtualHost {
  readonly number: number;
  readonly #connection: AnnounceConnection;
  readonly #head: string;
  readonly #swarms: readonly string[];
  #sequence = 0;
  #turn = 0;
  #knownThere = false;

  constructor(number: number, fleet: FleetPart) {
    this.number = number;
    this.#connection = new AnnounceConnection(fleet.port, trackerRoutes.announce, fleet.token);
    const peerId = sha1(`${fleet.name} host ${number}`);
    const address = `10.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}`;
    this.#head = `{"peerId":"${peerId}","port":7000,"host":"${address}","origin":${number < 5},`;
    const from = Math.floor((number * fleet.blobs) / fleet.hosts);
    this.#swarms = Array.from({ length: fleet.swarmsPerHost }, (_, index) => {
      return swarmOf(fleet.name, (from + index) % fleet.blobs);
    });
  }

  /** Reports all swarms, and asks for four peers in each. */
  arrive(): Promise<Answered> {
    const swarms = this.#swarms.map(
      (id) => `{"swarmId":"${id}","infoHash":"${id}","complete":false,"eighths":0,"want":4}`,
    );
    return this.#announce('"full":true,', swarms);
  }

  /** Reports `changed` swarms with another eighth, and asks for two peers in one of them; all to a tracker that asks for all. */
  goOn(changed: number): Promise<Answered> {
    if (!this.#knownThere) return this.arrive();
    this.#turn++;
    const swarms = Array.from({ length: changed }, (_, index) => {
      const id = this.#swarms[(this.#turn * changed + index) % this.#swarms.length]!;
      const state = `"complete":false,"eighths":${this.#turn % 8},"want":${index === 0 ? 2 : 0}`;
      return `{"swarmId":"${id}","infoHash":"${id}",${state}}`;
    });
    return this.#announce('', swarms);
  }

  close(): void {
    this.#connection.close();
  }

  async #announce(full: string, swarms: readonly string[]): Promise<Answered> {
    const since = this.#sequence++;
    const numbers = `"sequence":${this.#sequence},"since":${since},`;
    const body = `${this.#head}${numbers}${full}"swarms":[${swarms.join(',')}]}`;
    const { status, start, bytes } = await this.#connection.post(body);
    const ok = status === 200 && start.startsWith('{"intervalMs":');
    const askedForAll = start.startsWith('"full":true', start.indexOf(',') + 1);
    this.#knownThere = ok && !askedForAll;
    return { ok, askedForAll, bytes };
  }
}

function sha1(text: string): string {
  return createHash('sha1').update(text).digest('hex');
}
