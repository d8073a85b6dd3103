import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { hashBytes, mediaTypes } from '../../src/core/index.ts';
import { descriptorOf, TestClient } from './client.ts';
import { expectWellFormed } from './fuzz-oracle.ts';
import { fuzzDigests, rawRequest } from './fuzz-requests.ts';
import { RawConnection } from './raw-connection.ts';
import { memoryDriver } from './running-registry.ts';
import { startServedRegistry } from './served-registry.ts';

const RUNS = 10_000;
/** What is wrong is said without giving back what was sent. */
const ANSWER_MAX_BYTES = 8_192;

const config = Buffer.from('{}');
const layer = Buffer.from('a layer');

/** JSON text, as it is written: numbers that no program keeps, keys twice, texts that are no Unicode. */
const scalar = fc.oneof(
  fc.constantFrom('null', 'true', '0', '-0', '2', '2.0', '1e400', '-1e-400', '9007199254740993', '1'.repeat(400)),
  fc.constantFrom('""', '"\\ud800"', '"\\u0000"', '"__proto__"', '[]', '{}', '[null]', '[[]]', '{"":""}'),
  fc.json({ maxDepth: 3 }),
);
const mediaType = fc.oneof(
  fc.constantFrom<string>(...Object.values(mediaTypes), 'a/b', '', 'text/html\\r\\nx: y').map((type) => `"${type}"`),
  scalar,
);
const descriptor = fc.oneof(
  { weight: 3, arbitrary: fc.constant(JSON.stringify(descriptorOf(mediaTypes.ociLayerTar, layer))) },
  { weight: 1, arbitrary: fc.constant(JSON.stringify(descriptorOf(mediaTypes.ociConfig, config))) },
  { weight: 1, arbitrary: fc.constant(JSON.stringify(descriptorOf(mediaTypes.ociLayerTar, Buffer.from('absent')))) },
  {
    weight: 2,
    arbitrary: object(
      fc.tuple(fc.constant('mediaType'), mediaType),
      fc.tuple(
        fc.constant('digest'),
        fc.oneof(
          fuzzDigests.map((text) => JSON.stringify(text)),
          scalar,
        ),
      ),
      fc.tuple(fc.constant('size'), scalar),
      fc.tuple(fc.constantFrom('urls', 'data', 'platform', 'annotations', 'x'), scalar),
    ),
  },
  { weight: 1, arbitrary: scalar },
);
const list = fc.oneof(
  { weight: 4, arbitrary: fc.array(descriptor, { maxLength: 3 }).map((entries) => `[${entries.join(',')}]`) },
  { weight: 1, arbitrary: scalar },
);
const annotations = fc.oneof(
  fc.dictionary(fc.string(), fc.string()).map((entries) => JSON.stringify(entries)),
  scalar,
);

const document = object(
  fc.tuple(
    fc.constant('schemaVersion'),
    fc.oneof({ weight: 6, arbitrary: fc.constant('2') }, { weight: 1, arbitrary: scalar }),
  ),
  fc.tuple(fc.constant('mediaType'), mediaType),
  fc.tuple(fc.constantFrom('config', 'subject'), descriptor),
  fc.tuple(fc.constantFrom('layers', 'manifests'), list),
  fc.tuple(fc.constant('annotations'), annotations),
  fc.tuple(fc.constantFrom('artifactType', 'x', '__proto__', 'constructor', 'schemaVersion', 'layers'), scalar),
);

/** An image that would be taken, with some of its fields replaced or added: most of what is refused is refused late. */
const nearly = fc
  .array(
    fc.tuple(
      fc.constantFrom(
        'schemaVersion',
        'mediaType',
        'config',
        'layers',
        'subject',
        'annotations',
        'manifests',
        'artifactType',
      ),
      fc.oneof(scalar, descriptor, list, mediaType),
    ),
    { maxLength: 2 },
  )
  .map((changes) => {
    const fields = new Map([
      ['schemaVersion', '2'],
      ['mediaType', `"${mediaTypes.ociManifest}"`],
      ['config', JSON.stringify(descriptorOf(mediaTypes.ociConfig, config))],
      ['layers', `[${JSON.stringify(descriptorOf(mediaTypes.ociLayerTar, layer))}]`],
      ...changes,
    ]);
    return `{${[...fields].map(([key, value]) => `"${key}":${value}`).join(',')}}`;
  });

const wrongBytes = fc
  .tuple(nearly, fc.nat(), fc.constantFrom(0x80, 0xc0, 0xff, 0xed, 0x00))
  .map(([text, place, byte]) => {
    const bytes = Buffer.from(text);
    bytes[place % bytes.length] = byte;
    return bytes;
  });
const body = fc.oneof(
  { weight: 5, arbitrary: nearly.map((text) => Buffer.from(text)) },
  { weight: 5, arbitrary: document.map((text) => Buffer.from(text)) },
  { weight: 1, arbitrary: wrongBytes },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes)) },
  { weight: 1, arbitrary: fc.constantFrom('\ufeff{}', '{', '[]', 'null', '"x"', '2').map((text) => Buffer.from(text)) },
);
const contentType = fc.constantFrom<string | undefined>(
  ...Object.values(mediaTypes),
  mediaTypes.ociManifest,
  `${mediaTypes.ociManifest}; charset=utf-8`,
  undefined,
  'a/b',
);

describe('a registry that is given anything as a manifest', () => {
  it('takes it and gives it back, or says what is wrong', { timeout: 120_000 }, async () => {
    const connection = await connected();
    await fc.assert(
      fc.asyncProperty(body, contentType, fc.constantFrom('tag', 'sha256', 'sha512'), async (bytes, type, by) => {
        const path = pathOf(bytes, by);
        const headers = type === undefined ? [] : [['Content-Type', type] as const];
        connection.write(rawRequest({ method: 'PUT', path, headers, body: bytes }));
        const put = (await connection.answer('PUT'))!;
        expectWellFormed('PUT', put);
        expect([201, 400, 404]).toContain(put.status);
        expect(put.body.length).toBeLessThan(ANSWER_MAX_BYTES);
        if (put.status !== 201) return;
        connection.write(rawRequest({ method: 'GET', path, headers: [], body: undefined }));
        const got = (await connection.answer())!;
        const digest = put.headers.get('docker-content-digest');
        expect([got.status, got.headers.get('docker-content-digest')]).toEqual([200, digest]);
        expect(got.body.equals(bytes)).toBe(true);
      }),
      { numRuns: RUNS },
    );
  });

  it('is not brought down by nesting, wherever it is', { timeout: 120_000 }, async () => {
    const connection = await connected();
    const places = ['schemaVersion', 'mediaType', 'config', 'layers', 'annotations', 'subject', 'size', 'x', ''];
    const brackets = fc.constantFrom(['[', ']'], ['{"a":', '}']);
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...places),
        fc.integer({ min: 1_000, max: 200_000 }),
        brackets,
        async (place, depth, [open = '', close = '']) => {
          const bytes = Buffer.from(documentWith(place, `${open.repeat(depth)}0${close.repeat(depth)}`));
          connection.write(rawRequest({ method: 'PUT', path: '/v2/a/manifests/deep', headers: [], body: bytes }));
          const put = (await connection.answer('PUT'))!;
          expectWellFormed('PUT', put);
          expect(put.status).toBe(place === 'x' ? 201 : 400);
          expect(put.body.length).toBeLessThan(ANSWER_MAX_BYTES);
        },
      ),
      { numRuns: 60 },
    );
  });
});

/** An image that is right but for one place, or nothing but that. */
function documentWith(place: string, text: string): string {
  if (place === '') return text;
  const size = place === 'size' ? text : String(config.length);
  const fields = {
    schemaVersion: '2',
    mediaType: `"${mediaTypes.ociManifest}"`,
    config: `{"mediaType":"${mediaTypes.ociConfig}","digest":"${hashBytes(config)}","size":${size}}`,
    layers: '[]',
    ...(place === 'size' ? {} : { [place]: text }),
  };
  return `{${Object.entries(fields)
    .map(([key, value]) => `"${key}":${value}`)
    .join(',')}}`;
}

async function connected(): Promise<RawConnection> {
  const registry = await startServedRegistry(await memoryDriver());
  onTestFinished(() => registry.close());
  const client = new TestClient(registry.url);
  for (const blob of [config, layer]) await client.putBlob('a', blob);
  const connection = await RawConnection.open(registry.port);
  onTestFinished(() => connection.destroy());
  return connection;
}

function pathOf(bytes: Buffer, by: string): string {
  return `/v2/a/manifests/${by === 'tag' ? 'fuzz' : hashBytes(bytes, by as 'sha256' | 'sha512')}`;
}

/** An object of some of these fields, in any order, now and then with one of them twice. */
function object(...fields: fc.Arbitrary<[string, string]>[]): fc.Arbitrary<string> {
  return fc
    .array(fc.oneof(...fields), { maxLength: 7, size: 'max' })
    .map((entries) => `{${entries.map(([key, value]) => `${JSON.stringify(key)}:${value}`).join(',')}}`);
}
