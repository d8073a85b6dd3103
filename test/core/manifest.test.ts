import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  hashBytes,
  InvalidManifestError,
  MANIFEST_MAX_BYTES,
  mediaTypes,
  parseManifest,
  requiredDescriptors,
} from '../../src/core/index.ts';

type Json = Record<string, unknown>;

const digestOf = (text: string) => hashBytes(Buffer.from(text));
const descriptor = (mediaType: string, text: string, more: Json = {}) => {
  return { mediaType, digest: digestOf(text), size: text.length, ...more };
};
const bytesOf = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));

const config = descriptor(mediaTypes.ociConfig, '{}');
const layer = descriptor(mediaTypes.ociLayerTarGzip, 'layer');
const child = descriptor(mediaTypes.ociManifest, 'child', { platform: { os: 'linux', architecture: 'amd64' } });
const image = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [layer] };
const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [child] };

describe('an image', () => {
  it('is read with config, layers and annotations', () => {
    const manifest = parseManifest(bytesOf({ ...image, annotations: { a: 'b' } }));
    expect(manifest).toMatchObject({
      mediaType: mediaTypes.ociManifest,
      kind: 'image',
      config: { mediaType: mediaTypes.ociConfig, digest: config.digest, sizeBytes: 2, nonDistributable: false },
      layers: [{ mediaType: mediaTypes.ociLayerTarGzip, digest: layer.digest, sizeBytes: 5 }],
      manifests: [],
      subject: undefined,
      artifactType: mediaTypes.ociConfig,
      annotations: { a: 'b' },
    });
  });

  it.each([
    ['the field', image, undefined, mediaTypes.ociManifest],
    [
      'the header, when there is no field',
      { ...image, mediaType: undefined },
      mediaTypes.ociManifest,
      mediaTypes.ociManifest,
    ],
    [
      'an empty field and the header',
      { ...image, mediaType: '' },
      mediaTypes.dockerManifest,
      mediaTypes.dockerManifest,
    ],
    ['its shape, when there is neither', { ...image, mediaType: undefined }, undefined, mediaTypes.ociManifest],
    [
      'both, when they agree',
      { ...image, mediaType: mediaTypes.dockerManifest },
      mediaTypes.dockerManifest,
      mediaTypes.dockerManifest,
    ],
  ])('takes its media type from %s', (_what, document, contentType, expected) => {
    expect(parseManifest(bytesOf(document), contentType).mediaType).toBe(expected);
  });

  it('names its artifact type itself, or by its config', () => {
    const artifact = { ...image, config: descriptor(mediaTypes.ociEmpty, '{}'), artifactType: 'application/x.sbom' };
    expect(parseManifest(bytesOf(artifact)).artifactType).toBe('application/x.sbom');
    expect(parseManifest(bytesOf({ ...artifact, artifactType: '' })).artifactType).toBe(mediaTypes.ociEmpty);
  });

  it('needs its config and all layers but those that stay elsewhere, and never its subject', () => {
    const foreign = descriptor(mediaTypes.dockerForeignLayer, 'windows', { urls: ['https://example.org/w'] });
    const restricted = descriptor('application/vnd.oci.image.layer.nondistributable.v1.tar+zstd', 'restricted');
    const subject = descriptor(mediaTypes.ociManifest, 'subject');
    const manifest = parseManifest(bytesOf({ ...image, layers: [foreign, layer, restricted], subject }));
    expect(manifest.layers.map((entry) => entry.nonDistributable)).toEqual([true, false, true]);
    expect(requiredDescriptors(manifest).map((entry) => entry.digest)).toEqual([config.digest, layer.digest]);
    expect(manifest.subject?.digest).toBe(subject.digest);
  });

  it('may have no layers and sha512 digests', () => {
    const digest = hashBytes(Buffer.from('{}'), 'sha512');
    const manifest = parseManifest(bytesOf({ ...image, layers: [], config: { ...config, digest } }));
    expect(requiredDescriptors(manifest).map((entry) => entry.digest)).toEqual([digest]);
  });
});

describe('an index', () => {
  it('needs its children', () => {
    const manifest = parseManifest(bytesOf(index));
    expect(manifest).toMatchObject({ kind: 'index', config: undefined, layers: [], artifactType: undefined });
    expect(requiredDescriptors(manifest).map((entry) => entry.digest)).toEqual([child.digest]);
  });

  it.each([
    ['a Docker list', { ...index, mediaType: mediaTypes.dockerManifestList }, mediaTypes.dockerManifestList],
    ['one without a media type', { ...index, mediaType: undefined }, mediaTypes.ociIndex],
    ['one without children', { ...index, manifests: [] }, mediaTypes.ociIndex],
  ])('may be %s', (_what, document, mediaType) => {
    expect(parseManifest(bytesOf(document))).toMatchObject({ kind: 'index', mediaType });
  });

  it('may have a subject and an artifact type', () => {
    const subject = descriptor(mediaTypes.ociManifest, 'subject');
    const manifest = parseManifest(bytesOf({ ...index, subject, artifactType: 'application/x.list' }));
    expect(manifest).toMatchObject({ subject: { digest: subject.digest }, artifactType: 'application/x.list' });
  });
});

const refused: readonly (readonly [string, unknown, string?])[] = [
  ['no bytes', ''],
  ['no JSON', '{'],
  ['two documents', '{}{}'],
  ['an array', []],
  ['null', 'null'],
  ['a text', '"x"'],
  ['an empty object', {}],
  ['schema 1', { ...image, schemaVersion: 1 }],
  ['a schema version as text', { ...image, schemaVersion: '2' }],
  ['no schema version', { ...image, schemaVersion: undefined }],
  ['manifests beside layers', { ...image, manifests: [child] }],
  ['manifests beside layers in an index', { ...index, layers: [layer] }],
  ['manifests beside a config', { ...index, config }],
  ['manifests beside layers without a media type', { schemaVersion: 2, config, layers: [layer], manifests: [child] }],
  ['empty manifests beside empty layers', { schemaVersion: 2, layers: [], manifests: [] }],
  ['an index that came as an image', index, mediaTypes.ociManifest],
  ['an image that came as an index', image, mediaTypes.ociIndex],
  ['an image without a media type that came as an index', { ...image, mediaType: undefined }, mediaTypes.ociIndex],
  ['an unknown media type', { ...image, mediaType: 'application/json' }],
  ['an unknown header', { ...image, mediaType: undefined }, 'application/octet-stream'],
  [
    'schema 1 by its header',
    { ...image, mediaType: undefined },
    'application/vnd.docker.distribution.manifest.v1+prettyjws',
  ],
  ['a media type that is no text', { ...image, mediaType: 7 }],
  ['no config', { ...image, config: undefined }],
  ['a config that is null', { ...image, config: null }],
  ['a config that is an array', { ...image, config: [config] }],
  ['a config without a media type', { ...image, config: { ...config, mediaType: undefined } }],
  ['no layers', { ...image, layers: undefined }],
  ['layers that are an object', { ...image, layers: { 0: layer } }],
  ['a layer that is null', { ...image, layers: [null] }],
  ['a layer that is a text', { ...image, layers: [layer.digest] }],
  ['a layer without a digest', { ...image, layers: [{ ...layer, digest: undefined }] }],
  ['a layer with a short digest', { ...image, layers: [{ ...layer, digest: 'sha256:abc' }] }],
  ['a layer with an md5', { ...image, layers: [{ ...layer, digest: `md5:${'0'.repeat(32)}` }] }],
  ['a layer with an upper-case digest', { ...image, layers: [{ ...layer, digest: layer.digest.toUpperCase() }] }],
  ['a layer without a size', { ...image, layers: [{ ...layer, size: undefined }] }],
  ['a layer with a negative size', { ...image, layers: [{ ...layer, size: -1 }] }],
  ['a layer of half a byte', { ...image, layers: [{ ...layer, size: 0.5 }] }],
  ['a layer with a size as text', { ...image, layers: [{ ...layer, size: '5' }] }],
  ['a layer with a size past exact numbers', { ...image, layers: [{ ...layer, size: 2 ** 53 }] }],
  ['manifests that are an object', { ...index, manifests: {} }],
  ['an index without manifests', { ...index, manifests: undefined }],
  ['a child that is null', { ...index, manifests: [null] }],
  ['a subject that is a text', { ...image, subject: layer.digest }],
  ['a subject without a digest', { ...image, subject: { mediaType: mediaTypes.ociManifest, size: 1 } }],
  ['annotations that are an array', { ...image, annotations: ['a'] }],
  ['an annotation that is a number', { ...image, annotations: { a: 1 } }],
  ['an artifact type that is a number', { ...image, artifactType: 1 }],
];

describe('what is no manifest', () => {
  const cases = refused.map(([what, document, contentType]) => ({ what, document, contentType }));

  it.each(cases)('$what', ({ document, contentType }) => {
    expect(() => parseManifest(bytesOf(document), contentType)).toThrow(InvalidManifestError);
  });

  it('bytes that are no UTF-8', () => {
    expect(() => parseManifest(Buffer.from([0x7b, 0xff, 0x7d]))).toThrow(InvalidManifestError);
  });

  it('arrays in arrays, a million deep', () => {
    expect(() => parseManifest(Buffer.alloc(1_000_000, '['))).toThrow(InvalidManifestError);
  });

  it('more than 4 MiB, to the byte', () => {
    const text = JSON.stringify(image);
    const padded = (length: number) => Buffer.from(text.padEnd(length, ' '));
    expect(parseManifest(padded(MANIFEST_MAX_BYTES)).kind).toBe('image');
    expect(() => parseManifest(padded(MANIFEST_MAX_BYTES + 1))).toThrow(/4194305 bytes, at most 4194304/);
  });

  it('any JSON: the typed error or a manifest, never anything else', () => {
    const field = fc.oneof(
      fc.jsonValue(),
      fc.constantFrom<unknown>(config, [layer], [child], 2, ...Object.values(mediaTypes)),
    );
    const document = fc.dictionary(
      fc.constantFrom(
        'schemaVersion',
        'mediaType',
        'config',
        'layers',
        'manifests',
        'subject',
        'artifactType',
        'annotations',
      ),
      field,
    );
    fc.assert(
      fc.property(document, fc.boolean(), (fields, valid) => {
        const bytes = bytesOf(valid ? { ...image, ...fields } : fields);
        try {
          expect(['image', 'index']).toContain(parseManifest(bytes).kind);
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidManifestError);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
