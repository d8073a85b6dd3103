import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hashBytes } from '../../src/core/index.ts';
import { bytesOf } from './client.ts';
import { memoryDriver, serveRegistry } from './running-registry.ts';

/** What a client does with an upload, at one of two registries on the same storage: neither has the other's memory. */
type Step =
  | { readonly kind: 'append' | 'stream'; readonly at: 0 | 1; readonly length: number }
  | { readonly kind: 'wrong offset'; readonly at: 0 | 1; readonly offset: number }
  | { readonly kind: 'status'; readonly at: 0 | 1 };

const at = fc.constantFrom(0 as const, 1 as const);
const steps: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constantFrom('append' as const, 'stream' as const),
    at,
    length: fc.integer({ min: 1, max: 3000 }),
  }),
  fc.record({ kind: fc.constant('wrong offset' as const), at, offset: fc.nat(5000) }),
  fc.record({ kind: fc.constant('status' as const), at }),
);

describe('an upload', () => {
  it('becomes exactly the bytes that were acknowledged, whatever came in between', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(steps, { maxLength: 12 }),
        at,
        fc.constantFrom('sha256' as const, 'sha512' as const),
        async (all, end, algorithm) => {
          const driver = await memoryDriver();
          const clients = [(await serveRegistry(driver)).client, (await serveRegistry(driver)).client] as const;
          const location = await clients[0].begin('a');
          let model = Buffer.alloc(0);
          for (const [index, step] of all.entries()) {
            const client = clients[step.at];
            if (step.kind === 'status') {
              const status = await client.call('GET', location);
              expect(status.headers.get('range')).toBe(`0-${Math.max(0, model.length - 1)}`);
            } else if (step.kind === 'wrong offset') {
              if (step.offset === model.length) continue;
              const headers = { 'content-range': `${step.offset}-${step.offset}` };
              expect((await client.call('PATCH', location, { body: 'x', headers })).status).toBe(416);
            } else {
              const body = bytesOf(`step ${index}`, step.length);
              const headers: Record<string, string> =
                step.kind === 'stream' ? {} : { 'content-range': `${model.length}-${model.length + body.length - 1}` };
              expect((await client.call('PATCH', location, { body, headers })).status).toBe(202);
              model = Buffer.concat([model, body]);
            }
          }
          const digest = hashBytes(model, algorithm);
          expect((await clients[end].call('PUT', `${location}?digest=${digest}`)).status).toBe(201);
          const blob = await clients[end].call('GET', `/v2/a/blobs/${digest}`);
          expect(blob.body.equals(model)).toBe(true);
        },
      ),
      { numRuns: 40 },
    );
  });
});
