import { describe, expect, it } from 'vitest';
import { openCaStore } from '../../src/castore/index.ts';
import { storeUploads } from '../../src/proxy/store-uploads.ts';
import { purgeUploads } from '../../src/registry/index.ts';
import { testLogger } from '../helpers/logger.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';

const HOUR_MS = 60 * 60 * 1000;

/** A store on a clock that the test moves, and a purge of its uploads after a day. */
async function scene() {
  let laterMs = 0;
  const clock = { monotonicMs: () => performance.now() + laterMs, nowMs: () => Date.now() + laterMs };
  const store = await openCaStore({ directory: await makeTempDir(), capacityBytes: 2 ** 24, clock });
  const options = { uploads: storeUploads(store.uploads), logger: testLogger(), maxAgeMs: 24 * HOUR_MS, clock };
  return {
    store,
    pass: (hours: number) => {
      laterMs += hours * HOUR_MS;
    },
    purge: () => purgeUploads(options, AbortSignal.timeout(10_000)),
  };
}

describe('the purge of a proxy', () => {
  it('removes uploads by their last write, whichever repository they are for', async () => {
    const { store, pass, purge } = await scene();
    await using _store = store;
    for (const id of ['old', 'resumed']) await (await store.uploads.create(id)).close();
    await store.uploads.putSidecar('begun', 'startedat', Buffer.from('now'));
    pass(20);
    await using writer = await store.uploads.resume('resumed');
    await writer.write(Buffer.from('more'));
    await writer.close();
    expect((await purge()).purged).toBe(0);
    pass(5);
    expect(await purge()).toEqual({ seen: 3, purged: 2, failed: 0, ageUnknown: 0 });
    expect((await Array.fromAsync(store.uploads.list())).map(({ id }) => id)).toEqual(['resumed']);
  });

  it('keeps an upload that a request has open, however old its bytes are', async () => {
    const { store, pass, purge } = await scene();
    await using _store = store;
    const writer = await store.uploads.create('u1');
    pass(1000);
    expect(await purge()).toEqual({ seen: 1, purged: 0, failed: 0, ageUnknown: 0 });
    await writer.close();
    expect((await purge()).purged).toBe(1);
  });
});
