import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';

/** What every metric of a program is labelled with. */
export interface MetricsOptions {
  /** The program, such as `agent`. */
  readonly role: string;
  readonly version: string;
}

/**
 * A metrics registry of its own for one program: the process's own figures, and `shoal_build_info`.
 * Parts add theirs to it; `/metrics` shows it.
 */
export function createMetrics({ role, version }: MetricsOptions): Registry {
  const registry = new Registry();
  registry.setDefaultLabels({ role });
  collectDefaultMetrics({ register: registry });
  new Gauge({
    name: 'shoal_build_info',
    help: 'Always 1; the labels say which program and version this is.',
    labelNames: ['version', 'node'],
    registers: [registry],
  }).set({ version, node: process.versions.node }, 1);
  return registry;
}

/** A local store, as {@link addStoreMetrics} reads it. */
export interface MeasuredStore {
  usage(): { readonly blobBytes: number; readonly unfinishedBytes: number; readonly capacityBytes: number };
}

/** Shows how full a local store is. */
export function addStoreMetrics(registry: Registry, store: MeasuredStore): void {
  new Gauge({
    name: 'shoal_store_bytes',
    help: 'Bytes on disk: whole blobs, unfinished uploads and downloads, and how many of both there may be.',
    labelNames: ['kind'],
    registers: [registry],
    collect() {
      const usage = store.usage();
      this.set({ kind: 'blobs' }, usage.blobBytes);
      this.set({ kind: 'unfinished' }, usage.unfinishedBytes);
      this.set({ kind: 'capacity' }, usage.capacityBytes);
    },
  });
}
