import { gzipSync } from 'node:zlib';
import { type Digest, type DigestAlgorithm, hashBytes, mediaTypes } from '../../src/core/index.ts';
import { bytesOf, descriptorOf } from './client.ts';

/** A manifest that is pushed. */
export interface DataSetManifest {
  readonly bytes: Buffer;
  readonly digest: Digest;
  readonly mediaType: string;
  /** Set for those that a referrers answer has to list. */
  readonly subject?: Digest;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly tags: readonly string[];
}

/** Content that belongs together: it is pushed, listed, read and deleted as a whole. */
export interface DataSet {
  readonly algorithm: DigestAlgorithm;
  readonly blobs: readonly Buffer[];
  /** What others need comes first. */
  readonly manifests: readonly DataSetManifest[];
  /** Tags are set by parameters of the PUT by digest, instead of by one PUT each. */
  readonly tagsByParameter: boolean;
}

/** Builds one data set. */
class Builder {
  readonly algorithm: DigestAlgorithm;
  readonly #blobs = new Map<Digest, Buffer>();
  readonly #manifests: DataSetManifest[] = [];

  constructor(algorithm: DigestAlgorithm = 'sha256') {
    this.algorithm = algorithm;
  }

  /** Adds a blob; gives its descriptor. */
  blob(mediaType: string, bytes: Buffer, more: object = {}): object {
    this.#blobs.set(hashBytes(bytes, this.algorithm), bytes);
    return { ...descriptorOf(mediaType, bytes, this.algorithm), ...more };
  }

  /** An image of one platform with two layers; `more` replaces its fields. */
  image(architecture: string, more: object = {}, layerType: string = mediaTypes.ociLayerTarGzip): object {
    const layers = ['lower', 'upper'].map((seed) => {
      const bytes = bytesOf(`${seed} layer of ${architecture}`, 300);
      return this.blob(layerType, layerType.endsWith('gzip') ? gzipSync(bytes) : bytes);
    });
    const config = this.blob(mediaTypes.ociConfig, Buffer.from(JSON.stringify({ os: 'linux', architecture })));
    return { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers, ...more };
  }

  /** A manifest of something else than an image; `more` replaces its fields. */
  artifact(artifactType: string, more: object = {}): object {
    return {
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      artifactType,
      config: this.empty(),
      layers: [this.blob(artifactType, bytesOf(artifactType, 100))],
      ...more,
    };
  }

  /** The descriptor of empty JSON. */
  empty(more: object = {}): object {
    return this.blob(mediaTypes.ociEmpty, Buffer.from('{}'), more);
  }

  /** Adds a manifest; gives its descriptor. The media type is the field's, else `mediaType`. */
  manifest(document: object, tags: readonly string[] = [], mediaType?: string): object {
    const fields = document as {
      mediaType?: string;
      subject?: { digest: Digest };
      artifactType?: string;
      config?: { mediaType: string };
      annotations?: Record<string, string>;
    };
    const bytes = Buffer.from(JSON.stringify(document));
    const type = mediaType ?? fields.mediaType ?? '';
    const artifactType = fields.artifactType ?? fields.config?.mediaType;
    this.#manifests.push({
      bytes,
      digest: hashBytes(bytes, this.algorithm),
      mediaType: type,
      ...(fields.subject === undefined ? {} : { subject: fields.subject.digest }),
      ...(artifactType === undefined ? {} : { artifactType }),
      ...(fields.annotations === undefined ? {} : { annotations: fields.annotations }),
      tags,
    });
    return descriptorOf(type, bytes, this.algorithm);
  }

  built(more: { readonly tagsByParameter?: boolean } = {}): DataSet {
    const { algorithm } = this;
    return {
      algorithm,
      blobs: [...this.#blobs.values()],
      manifests: this.#manifests,
      tagsByParameter: more.tagsByParameter === true,
    };
  }
}

/** Every data set of the OCI conformance suite but `sparse`, which it leaves out by itself; and those of Docker. */
export const dataSets: Readonly<Record<string, () => DataSet>> = {
  'an image': () => single((set) => set.image('amd64')),
  'an image of layers that are not compressed': () => single((set) => set.image('amd64', {}, mediaTypes.ociLayerTar)),
  'an image without a mediaType field': () => {
    const set = new Builder();
    set.manifest(without(set.image('amd64'), 'mediaType'), ['v1'], mediaTypes.ociManifest);
    return set.built();
  },
  'a large manifest': () =>
    single((set) => {
      const entries = Array.from({ length: 390 }, (_, index) => [`key${index}`, 'x'.repeat(10_000)]);
      return set.image('amd64', { annotations: Object.fromEntries(entries) });
    }),
  'an index': () => single((set) => index(platforms(set))),
  'an index without a mediaType field': () => {
    const set = new Builder();
    set.manifest(without(index(platforms(set)), 'mediaType'), ['v1'], mediaTypes.ociIndex);
    return set.built();
  },
  'an index of indexes': () => single((set) => index([set.manifest(index(platforms(set)))])),
  'an empty index': () => single(() => index([])),
  'an artifact': () => single((set) => set.artifact('application/x.test')),
  'an index of artifacts': () =>
    single((set) =>
      index([set.manifest(set.artifact('application/x.one')), set.manifest(set.artifact('application/x.two'))], {
        artifactType: 'application/x.both',
      }),
    ),
  'an artifact without content': () => single((set) => set.artifact('application/x.test', { layers: [set.empty()] })),
  'artifacts with a subject': () => {
    const set = new Builder();
    const subject = set.manifest(set.image('amd64'), ['v1']);
    const annotations = { 'org.example.format': 'json' };
    set.manifest(set.artifact('application/x.signature', { subject, annotations }), ['signature']);
    set.manifest(set.artifact('application/x.bill', { subject, annotations: { 'org.example.n': '1' } }), ['bill']);
    set.manifest(set.artifact('application/x.bill', { subject }));
    return set.built();
  },
  'an index with a subject': () => {
    const set = new Builder();
    const subject = set.manifest(index(platforms(set)), ['v1']);
    const parts = [set.manifest(set.artifact('application/x.part'))];
    set.manifest(index(parts, { artifactType: 'application/x.parts', subject, annotations: { a: 'b' } }), ['parts']);
    set.manifest(index([], { subject }));
    return set.built();
  },
  'an artifact whose subject is missing': () =>
    single((set) => {
      const subject = descriptorOf(mediaTypes.ociManifest, Buffer.from('is not here'));
      return set.artifact('application/x.signature', { subject });
    }),
  'data in descriptors': () =>
    single((set) => {
      const empty = set.empty({ data: Buffer.from('{}').toString('base64') });
      return set.artifact('application/x.test', { config: empty, layers: [empty] });
    }),
  'layers that are not distributed': () =>
    single((set) => {
      const type = 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip';
      const absent = ['one', 'two'].map((seed) => {
        return { ...descriptorOf(type, bytesOf(seed, 10)), urls: [`https://store.example.org/${seed}`] };
      });
      const { layers } = set.image('amd64') as { layers: object[] };
      return set.image('amd64', { layers: [...absent, layers[1]] });
    }),
  'fields that nobody knows': () =>
    single((set) => {
      const layer = set.blob(mediaTypes.ociLayerTar, bytesOf('custom', 100), { 'org.example.layer': [1, null] });
      return set.image('amd64', { layers: [layer], 'org.example.custom': { list: [1, 'two', null] } });
    }),
  'an image without layers': () => single((set) => set.image('amd64', { layers: [] })),
  'an image by sha512': () => single((set) => set.image('amd64'), { algorithm: 'sha512', tags: [] }),
  'an index by sha512': () => single((set) => index(platforms(set)), { algorithm: 'sha512', tags: [] }),
  'tags by parameters of a PUT by sha256': () =>
    single((set) => set.image('amd64'), { tags: twelveTags, tagsByParameter: true }),
  'tags by parameters of a PUT by sha512': () =>
    single((set) => set.image('amd64'), { algorithm: 'sha512', tags: twelveTags, tagsByParameter: true }),
  'a Docker image (schema 2)': () => single((set) => set.image('amd64', { mediaType: mediaTypes.dockerManifest })),
  'a Docker manifest list': () => single((set) => index(platforms(set), { mediaType: mediaTypes.dockerManifestList })),
};

const twelveTags = Array.from({ length: 12 }, (_, position) => `tag${position}`);

/** A data set whose last manifest is tagged. */
function single(
  build: (set: Builder) => object,
  options: { algorithm?: DigestAlgorithm; tags?: readonly string[]; tagsByParameter?: boolean } = {},
): DataSet {
  const set = new Builder(options.algorithm);
  set.manifest(build(set), options.tags ?? ['v1']);
  return set.built({ tagsByParameter: options.tagsByParameter === true });
}

function platforms(set: Builder): object[] {
  return ['amd64', 'arm64'].map((architecture) => {
    return { ...set.manifest(set.image(architecture)), platform: { os: 'linux', architecture } };
  });
}

function index(manifests: readonly object[], more: object = {}): object {
  return { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests, ...more };
}

function without(document: object, field: string): object {
  return Object.fromEntries(Object.entries(document).filter(([key]) => key !== field));
}
