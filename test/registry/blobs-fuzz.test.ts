import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { TestClient } from './client.ts';
import { expectWellFormed } from './fuzz-oracle.ts';
import { fuzzBlob, fuzzDigest, fuzzHeaders, rawRequest } from './fuzz-requests.ts';
import { type RawAnswer, RawConnection } from './raw-connection.ts';
import { memoryDriver } from './running-registry.ts';
import { startServedRegistry } from './served-registry.ts';

const path = `/v2/a/blobs/${fuzzDigest}`;
const SIZE = fuzzBlob.length;
const RUNS = 500;
const BATCH_LENGTH_MAX = 40;

/** One range as the header has it: from, to, or the last so many. */
type Spec = { readonly first: number; readonly last?: number | undefined } | { readonly suffix: number };

const offset = fc.oneof(fc.nat(SIZE + 10), fc.constantFrom(0, SIZE - 1, SIZE, SIZE + 1));
const spec: fc.Arbitrary<Spec> = fc.oneof(
  fc.record({ first: offset, last: fc.option(offset, { nil: undefined }) }),
  fc.record({ suffix: offset }),
);

describe('a blob that is read in any way', () => {
  it('is given whole, in the parts that were asked, or not at all', { timeout: 120_000 }, async () => {
    const connection = await connected();
    const batch = fc.array(fc.array(spec, { minLength: 1, maxLength: 4 }), {
      minLength: 1,
      maxLength: BATCH_LENGTH_MAX,
      size: 'max',
    });
    await fc.assert(
      fc.asyncProperty(batch, async (requests) => {
        for (const specs of requests) {
          const headers = [['Range', `bytes=${specs.map(formatSpec).join(',')}`]] as const;
          connection.write(rawRequest({ method: 'GET', path, headers, body: undefined }));
        }
        for (const specs of requests) expectParts(specs, (await connection.answer())!);
      }),
      { numRuns: RUNS },
    );
  });

  it('answers what the bytes are like that it gives, whatever the headers', { timeout: 120_000 }, async () => {
    const connection = await connected();
    const batch = fc.array(fc.tuple(fc.constantFrom('GET', 'HEAD'), fuzzHeaders), {
      minLength: 1,
      maxLength: BATCH_LENGTH_MAX,
      size: 'max',
    });
    await fc.assert(
      fc.asyncProperty(batch, async (requests) => {
        for (const [method, headers] of requests) {
          connection.write(rawRequest({ method, path, headers, body: undefined }));
        }
        for (const [method] of requests) {
          const answer = (await connection.answer(method))!;
          expectWellFormed(method, answer);
          expect([200, 206, 304, 400, 412, 415, 416]).toContain(answer.status);
          if (answer.status === 200 && method === 'GET') expect(answer.body.equals(fuzzBlob)).toBe(true);
        }
      }),
      { numRuns: RUNS },
    );
  });
});

async function connected(): Promise<RawConnection> {
  const registry = await startServedRegistry(await memoryDriver());
  onTestFinished(() => registry.close());
  await new TestClient(registry.url).putBlob('a', fuzzBlob);
  const connection = await RawConnection.open(registry.port);
  onTestFinished(() => connection.destroy());
  return connection;
}

function formatSpec(one: Spec): string {
  return 'suffix' in one ? `-${one.suffix}` : `${one.first}-${one.last ?? ''}`;
}

/** RFC 9110, section 14, with the two liberties of docs/registry.md: 416 for a lone inverted range, and too much is ignored. */
function expectParts(specs: readonly Spec[], answer: RawAnswer): void {
  const { status, headers, body } = answer;
  const inverted = specs.some((one) => !('suffix' in one) && one.last !== undefined && one.last < one.first);
  const parts = specs.map(partOf).filter((part) => part.length > 0);
  const together = parts.reduce((sum, part) => sum + part.length, 0);
  if (inverted && specs.length > 1) {
    expect([status, body.equals(fuzzBlob)]).toEqual([200, true]);
  } else if (parts.length === 0) {
    expect([status, headers.get('content-range')]).toEqual([416, `bytes */${SIZE}`]);
  } else if (parts.length === 1) {
    expect([status, body.equals(parts[0]!)]).toEqual([206, true]);
  } else if (together > SIZE) {
    expect([status, body.equals(fuzzBlob)]).toEqual([200, true]);
  } else {
    expect(status).toBe(206);
    const boundary = /^multipart\/byteranges; boundary=(.+)$/.exec(headers.get('content-type') ?? '')?.[1];
    const [before, ...between] = body.toString('latin1').split(`--${boundary}`);
    expect([before, between.pop()]).toEqual(['', '--\r\n']);
    const got = between.map((part) => part.slice(part.indexOf('\r\n\r\n') + 4, -2));
    expect(got).toEqual(parts.map((part) => part.toString('latin1')));
  }
}

function partOf(one: Spec): Buffer {
  if ('suffix' in one) return one.suffix === 0 ? Buffer.alloc(0) : fuzzBlob.subarray(Math.max(0, SIZE - one.suffix));
  const { first, last = SIZE - 1 } = one;
  return last < first ? Buffer.alloc(0) : fuzzBlob.subarray(first, last + 1);
}
