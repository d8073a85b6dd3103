import { Counter, Histogram, type Registry } from 'prom-client';

/** What the build-index counts. */
export interface BuildIndexMetrics {
  /** Counts a request that was answered: `ok`, or the code of its error, and how long it took. */
  answered(route: string, result: string, seconds: number): void;
}

/** Registers the metrics of the build-index in its program's registry. */
export function createBuildIndexMetrics(registry: Registry): BuildIndexMetrics {
  const registers = [registry];
  const requests = new Counter({
    name: 'shoal_build_index_requests_total',
    help: 'Requests by route (method and path) and result: ok, or the code of the error.',
    labelNames: ['route', 'result'],
    registers,
  });
  const duration = new Histogram({
    name: 'shoal_build_index_request_seconds',
    help: 'Time from a request that has arrived to its answer, by route.',
    labelNames: ['route'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  });
  return {
    answered: (route, result, seconds) => {
      requests.inc({ route, result });
      duration.observe({ route }, seconds);
    },
  };
}
