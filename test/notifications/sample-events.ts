import type { Registry } from 'prom-client';
import { parseDigest, parseRepository } from '../../src/core/index.ts';
import type { RegistryEvent } from '../../src/registry/index.ts';

/** The value of a counter or gauge with these labels; 0 when it was never set. */
export async function metricOf(metrics: Registry, name: string, labels: Record<string, string> = {}): Promise<number> {
  const metric = await metrics.getSingleMetric(`shoal_notifications_${name}`)?.get();
  if (metric === undefined) throw new Error(`there is no metric shoal_notifications_${name}`);
  const matching = metric.values.filter((value) => {
    return Object.entries(labels).every(([label, text]) => (value.labels as Record<string, unknown>)[label] === text);
  });
  return matching.reduce((sum, { value }) => sum + value, 0);
}

/** An event that can be told from others by its request's id. */
export function eventOf(requestId: string, more: Partial<RegistryEvent> = {}): RegistryEvent {
  return {
    action: 'push',
    kind: 'blob',
    repository: parseRepository('team/app'),
    digest: parseDigest(`sha256:${'a'.repeat(64)}`),
    mediaType: 'application/octet-stream',
    sizeBytes: 1234,
    timeMs: Date.now(),
    actor: '',
    request: { id: requestId, addr: '127.0.0.1:1', host: 'registry.example', method: 'PUT', userAgent: 'test' },
    ...more,
  };
}

/** Ids of requests, by which {@link eventOf} has marked the events. */
export function requestIds(events: readonly { readonly request: Readonly<Record<string, unknown>> }[]): string[] {
  return events.map(({ request }) => String(request['id']));
}

/** `first`, `first` + 1 and so on, as texts. */
export function numbers(first: number, count: number): string[] {
  return Array.from({ length: count }, (_, index) => String(first + index));
}
