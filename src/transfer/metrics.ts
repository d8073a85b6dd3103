import { Counter, Histogram, Registry } from 'prom-client';
import type { TransferLedger } from './transfer-ledger.ts';

/** How a read of a blob ended up: from the local store, by the swarm, over HTTP from the origins, or not at all. */
export type ReadResult = 'cache' | 'swarm' | 'origin-http' | 'not-found' | 'failed';

/** From a hit in the local store to a blob that an origin has to fetch first. */
const FIRST_BYTE_BUCKETS_SECONDS = [0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 60];

/** The metrics of a transferer. Without a registry they are counted and shown nowhere. */
export class TransferMetrics {
  readonly #reads: Counter<'result'>;
  readonly #firstByte: Histogram;
  readonly #stale: Counter<'what'>;

  constructor(ledger: TransferLedger, registry: Registry = new Registry()) {
    const registers = [registry];
    this.#reads = new Counter({
      name: 'shoal_blob_reads_total',
      help: 'Reads of blobs, by how they were answered.',
      labelNames: ['result'],
      registers,
    });
    this.#firstByte = new Histogram({
      name: 'shoal_blob_first_byte_seconds',
      help: 'From the begin of a read of a blob to its first verified byte.',
      buckets: FIRST_BYTE_BUCKETS_SECONDS,
      registers,
    });
    this.#stale = new Counter({
      name: 'shoal_stale_answers_total',
      help: 'Tags and links answered from memory because the build-index did not answer.',
      labelNames: ['what'],
      registers,
    });
    new Counter({
      name: 'shoal_blob_read_bytes_total',
      help: 'Bytes of blobs by where they came from.',
      labelNames: ['source'],
      registers,
      collect() {
        const statistics = ledger.statistics();
        this.reset();
        this.inc({ source: 'cache' }, statistics.cacheBytes);
        this.inc({ source: 'peer' }, statistics.fromPeersBytes);
        this.inc({ source: 'origin' }, statistics.fromOriginsBytes);
        this.inc({ source: 'origin-http' }, statistics.suppliedBytes);
      },
    });
  }

  countRead(result: ReadResult): void {
    this.#reads.inc({ result });
  }

  observeFirstByte(seconds: number): void {
    this.#firstByte.observe(seconds);
  }

  countStale(what: 'tag' | 'link'): void {
    this.#stale.inc({ what });
  }
}
