import type { FastifyReply } from 'fastify';
import { Counter, Histogram, type Registry } from 'prom-client';
import type { RouteKind } from './router.ts';

/** Seconds; pulls of large blobs take minutes. */
const DURATION_BUCKETS = [0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300];

/** Counts and times the requests of a registry. */
export class RegistryMetrics {
  readonly #requests: Counter<'route' | 'method' | 'status'>;
  readonly #duration: Histogram<'route' | 'method'>;

  /** @param registry where the metrics are shown; it must not have them yet */
  constructor(registry: Registry) {
    this.#requests = new Counter({
      name: 'shoal_registry_requests_total',
      help: 'Requests to the registry API, by route, method and status; status "aborted" when the answer broke off.',
      labelNames: ['route', 'method', 'status'],
      registers: [registry],
    });
    this.#duration = new Histogram({
      name: 'shoal_registry_request_duration_seconds',
      help: 'Seconds from the request line to the last byte of the answer, by route and method.',
      labelNames: ['route', 'method'],
      buckets: DURATION_BUCKETS,
      registers: [registry],
    });
  }

  /** Notes a request that is over. @param kind `undefined` when its path was none of the API */
  observe(kind: RouteKind | undefined, method: string, reply: FastifyReply): void {
    const route = kind ?? 'unknown';
    const status = reply.raw.writableFinished ? String(reply.statusCode) : 'aborted';
    this.#requests.inc({ route, method, status });
    this.#duration.observe({ route, method }, reply.elapsedTime / 1000);
  }
}
