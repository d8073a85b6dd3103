/** The HTTP client of one host: a process of its own in the host's namespace, started before the clock is. */
import { openAsBlob } from 'node:fs';
import { becomesTrue } from '../lib/monotonic.ts';
import { serveCalls } from '../lib/remote-calls.ts';
import { BlobPull } from './blob-pull.ts';
import type { HostCalls } from './host-calls.ts';
import { sumOfMetric } from './prometheus.ts';

let pull: BlobPull | undefined;

serveCalls<HostCalls>({
  ready: async ({ url, timeoutMs }) => {
    // Until it listens, connections are refused: that is an answer too.
    const isReady = () =>
      fetch(`${url}/readyz`).then(
        ({ status }) => status === 200,
        () => false,
      );
    if (!(await becomesTrue(isReady, { timeoutMs }))) throw new Error(`${url} was not ready within ${timeoutMs} ms`);
    return {};
  },
  push: async ({ base, repository, file, digest }) => {
    const begun = await expectStatus(fetch(`${base}/v2/${repository}/blobs/uploads/`, { method: 'POST' }), 202);
    const body = await openAsBlob(file);
    const patched = await expectStatus(fetch(locationOf(base, begun), { method: 'PATCH', body }), 202);
    const url = new URL(locationOf(base, patched));
    url.searchParams.set('digest', digest);
    await expectStatus(fetch(url, { method: 'PUT' }), 201);
    return {};
  },
  metrics: async ({ url, names }) => {
    const text = await (await expectStatus(fetch(`${url}/metrics`), 200)).text();
    return Object.fromEntries(names.map((name) => [name, sumOfMetric(text, name)]));
  },
  pull: (params) => {
    pull = new BlobPull(params);
    return pull.run();
  },
  committed: async () => {
    const afterMs = await pull?.committed;
    return afterMs === undefined ? {} : { afterMs };
  },
  progress: async () => ({ bytes: pull?.readBytes ?? 0 }),
});

async function expectStatus(answering: Promise<Response>, status: number): Promise<Response> {
  const response = await answering;
  if (response.status === status) return response;
  throw new Error(`${response.url} answered ${response.status}, expected ${status}: ${await response.text()}`);
}

function locationOf(base: string, response: Response): string {
  return new URL(response.headers.get('location') ?? '', base).href;
}
