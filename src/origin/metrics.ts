import { Counter, Gauge, type Registry } from 'prom-client';

/** What an origin counts. */
export interface OriginMetrics {
  readonly uploads: Counter<'result'>;
  readonly writeBacks: Counter<'result'>;
  readonly backendReads: Counter<'kind'>;
  readonly fills: Counter<'result'>;
  readonly sentBytes: Counter<'via'>;
}

/** Makes the metrics of one origin in `registry`. `queue` is asked at each scrape. */
export function createOriginMetrics(
  registry: Registry,
  queue: () => { readonly jobs: number; readonly oldestSeconds: number },
): OriginMetrics {
  const registers = [registry];
  new Gauge({
    name: 'shoal_origin_write_back_queue',
    help: 'Blobs on disk that are still to be copied to the backend.',
    registers,
    collect() {
      this.set(queue().jobs);
    },
  });
  new Gauge({
    name: 'shoal_origin_write_back_oldest_seconds',
    help: 'Age of the oldest job of the write-back queue; 0 when it is empty.',
    registers,
    collect() {
      this.set(queue().oldestSeconds);
    },
  });
  return {
    uploads: new Counter({
      name: 'shoal_origin_uploads_total',
      help: 'Uploads by result: acknowledged, replica (a copy from another origin), mismatch, failed.',
      labelNames: ['result'],
      registers,
    }),
    writeBacks: new Counter({
      name: 'shoal_origin_write_back_total',
      help: 'Tries of write-backs by result: written, present (the backend had the blob), failed.',
      labelNames: ['result'],
      registers,
    }),
    backendReads: new Counter<'kind'>({
      name: 'shoal_origin_backend_reads_total',
      help: 'Reads of the backend by kind: stat, data, metainfo.',
      labelNames: ['kind'],
      registers,
    }),
    fills: new Counter({
      name: 'shoal_origin_fills_total',
      help: 'Cold blobs brought to the local disk by result: backend, origin (where the bytes came from), failed.',
      labelNames: ['result'],
      registers,
    }),
    sentBytes: new Counter({
      name: 'shoal_origin_sent_bytes_total',
      help: 'Bytes of blobs sent, by way.',
      labelNames: ['via'],
      registers,
    }),
  };
}
