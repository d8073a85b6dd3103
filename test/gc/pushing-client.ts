import { type Digest, hashBytes, mediaTypes } from '../../src/core/index.ts';
import { bytesOf, descriptorOf, type TestAnswer, TestClient } from '../registry/client.ts';

/** An image or index that a registry has acknowledged, with everything that it consists of. */
interface Acknowledged {
  readonly digest: Digest;
  readonly bytes: Buffer;
  readonly blobs: readonly Buffer[];
  readonly children: readonly Acknowledged[];
  readonly referrers: Acknowledged[];
}

const REPOSITORIES = ['team/app', 'team/app/nested', 'other'] as const;
const TAGS = 3;
/** Layers that all clients share, so that one lets go what another one needs. */
const SHARED_LAYERS = 12;

/**
 * A client that pushes, tags, deletes and pulls on several replicas of one registry, and knows what was acknowledged. It
 * throws as soon as something of that cannot be had.
 */
export class PushingClient {
  readonly #name: string;
  readonly #replicas: readonly TestClient[];
  readonly #random: () => number;
  /** A push that takes longer than that may be refused, or lose what it has found at its beginning. */
  readonly #quarantineMs: number;
  readonly #tags = new Map<string, Acknowledged>();
  readonly #doubtful: Acknowledged[] = [];
  #count = 0;
  pushes = 0;
  pulls = 0;
  refused = 0;

  constructor(
    name: string,
    options: { readonly urls: readonly string[]; readonly random: () => number; readonly quarantineMs: number },
  ) {
    this.#name = name;
    this.#replicas = options.urls.map((url) => new TestClient(url));
    this.#random = options.random;
    this.#quarantineMs = options.quarantineMs;
  }

  /** Does things until it is told to stop. */
  async runUntil(stopped: () => boolean): Promise<void> {
    while (!stopped()) {
      const choice = this.#random();
      if (choice < 0.35) await this.#pushImage();
      else if (choice < 0.5) await this.#pushIndex();
      else if (choice < 0.6) await this.#pushReferrer();
      else if (choice < 0.7) await this.#retag();
      else if (choice < 0.8) await this.#forget();
      else await this.#pullOne();
    }
  }

  /** Pulls everything that was acknowledged and not taken back. */
  async pullAll(): Promise<void> {
    for (const [place, image] of this.#tags) await this.#pull(place, image);
  }

  /** The blobs of what has to stay, those of manifests included. */
  blobs(): Set<Digest> {
    return blobsOf(this.#tags.values());
  }

  /** The blobs of what may stay as well: pushes that took too long for this client to know what came of them. */
  doubtfulBlobs(): Set<Digest> {
    return blobsOf(this.#doubtful);
  }

  async #pushImage(): Promise<void> {
    const repository = this.#repository();
    const tag = this.#tag();
    const startedMs = performance.now();
    const image = await this.#tryImage(repository, tag);
    this.#acknowledge(`${repository}:${tag}`, image, startedMs);
  }

  async #pushIndex(): Promise<void> {
    const repository = this.#repository();
    const tag = this.#tag();
    const startedMs = performance.now();
    const children: Acknowledged[] = [];
    for (let number = 0; number < 2; number += 1) {
      const child = await this.#tryImage(repository, undefined);
      if (child !== undefined) children.push(child);
    }
    const document = {
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: children.map(({ bytes }) => descriptorOf(mediaTypes.ociManifest, bytes)),
      annotations: { of: `${this.#name} ${this.#count++}` },
    };
    const index = await this.#tryManifest(repository, tag, document, { blobs: [], children, startedMs });
    this.#acknowledge(`${repository}:${tag}`, index, startedMs);
  }

  async #pushReferrer(): Promise<void> {
    const [place, subject] = this.#choose() ?? [];
    if (place === undefined || subject === undefined) return;
    const [repository] = splitPlace(place);
    const startedMs = performance.now();
    const descriptor = descriptorOf(mediaTypes.ociManifest, subject.bytes);
    const referrer = await this.#tryImage(repository, undefined, { subject: descriptor });
    if (referrer === undefined) return;
    if (this.#isInTime(startedMs)) subject.referrers.push(referrer);
    else this.#doubtful.push(referrer);
  }

  /** Puts a manifest under another tag; its blobs are there, so nothing but the manifest is sent. */
  async #retag(): Promise<void> {
    const [place, image] = this.#choose() ?? [];
    if (place === undefined || image === undefined) return;
    const [repository] = splitPlace(place);
    const tag = this.#tag();
    const startedMs = performance.now();
    const document = JSON.parse(image.bytes.toString()) as object;
    const again = await this.#tryManifest(repository, tag, document, { ...image, startedMs });
    // Both tags are of one manifest now, with the same referrers.
    this.#acknowledge(`${repository}:${tag}`, again === undefined ? undefined : image, startedMs);
  }

  /** Deletes a tag, or a manifest with all its tags. */
  async #forget(): Promise<void> {
    const [place, image] = this.#choose() ?? [];
    if (place === undefined || image === undefined) return;
    const [repository, tag] = splitPlace(place);
    const whole = this.#random() < 0.5;
    const reference = whole ? image.digest : tag;
    const answer = await this.#call('DELETE', `/v2/${repository}/manifests/${reference}`);
    this.#expect(answer, 202, `the deletion of ${place}`);
    for (const [other, { digest }] of [...this.#tags]) {
      const sameManifest = whole && digest === image.digest && splitPlace(other)[0] === repository;
      if (other === place || sameManifest) this.#tags.delete(other);
    }
  }

  async #pullOne(): Promise<void> {
    const [place, image] = this.#choose() ?? [];
    if (place !== undefined && image !== undefined) await this.#pull(place, image);
  }

  async #pull(place: string, image: Acknowledged): Promise<void> {
    const [repository, tag] = splitPlace(place);
    const head = await this.#call('HEAD', `/v2/${repository}/manifests/${tag}`);
    if (head.headers.get('docker-content-digest') !== image.digest) {
      throw new Error(`${place} is ${head.status} ${head.headers.get('docker-content-digest')}, not ${image.digest}`);
    }
    await this.#pullManifest(repository, image);
    if (image.referrers.length === 0) return;
    const answer = await this.#call('GET', `/v2/${repository}/referrers/${image.digest}`);
    const { manifests } = JSON.parse(answer.body.toString()) as { manifests: { digest: Digest }[] };
    const listed = new Set(manifests.map(({ digest }) => digest));
    for (const referrer of image.referrers) {
      if (!listed.has(referrer.digest)) throw new Error(`${place} lacks the referrer ${referrer.digest}`);
      await this.#pullManifest(repository, referrer);
    }
  }

  async #pullManifest(repository: string, image: Acknowledged): Promise<void> {
    this.pulls += 1;
    await this.#pullBytes(`/v2/${repository}/manifests/${image.digest}`, image.bytes);
    for (const blob of image.blobs) await this.#pullBytes(`/v2/${repository}/blobs/${hashBytes(blob)}`, blob);
    for (const child of image.children) await this.#pullManifest(repository, child);
  }

  async #pullBytes(path: string, bytes: Buffer): Promise<void> {
    const answer = await this.#call('GET', path);
    if (answer.status === 200 && answer.body.equals(bytes)) return;
    throw new Error(
      `${this.#name}: ${path} answered ${answer.status} with ${answer.body.length} of ${bytes.length} bytes`,
    );
  }

  async #tryImage(repository: string, tag: string | undefined, more: object = {}): Promise<Acknowledged | undefined> {
    const startedMs = performance.now();
    const config = Buffer.from(JSON.stringify({ of: `${this.#name} ${this.#count++}` }));
    const numbers = new Set([this.#below(SHARED_LAYERS), this.#below(SHARED_LAYERS)]);
    const layers = [...numbers].map((number) => bytesOf(`layer ${number}`, 2_000 + number * 500));
    for (const blob of [config, ...layers]) await this.#pushBlob(repository, blob);
    const document = {
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: descriptorOf(mediaTypes.ociConfig, config),
      layers: layers.map((layer) => descriptorOf(mediaTypes.ociLayerTar, layer)),
      ...more,
    };
    return this.#tryManifest(repository, tag, document, { blobs: [config, ...layers], children: [], startedMs });
  }

  /** As clients do: what is there is not sent again, then another repository is asked for, and only then it is sent. */
  async #pushBlob(repository: string, blob: Buffer): Promise<void> {
    const digest = hashBytes(blob);
    if ((await this.#call('HEAD', `/v2/${repository}/blobs/${digest}`)).status === 200) return;
    const replica = this.#replica();
    const from = this.#repository();
    const mount = await replica.call('POST', `/v2/${repository}/blobs/uploads/?mount=${digest}&from=${from}`);
    if (mount.status === 201) return;
    this.#expect(mount, 202, 'the begin of an upload');
    const answer = await replica.call('PUT', `${mount.headers.get('location')}?digest=${digest}`, { body: blob });
    this.#expect(answer, 201, 'an upload');
  }

  async #tryManifest(
    repository: string,
    tag: string | undefined,
    document: object,
    parts: Pick<Acknowledged, 'blobs' | 'children'> & { readonly startedMs: number },
  ): Promise<Acknowledged | undefined> {
    const bytes = Buffer.from(JSON.stringify(document));
    const digest = hashBytes(bytes);
    const answer = await this.#replica().putManifest(repository, tag ?? digest, document);
    // What HEAD has said counts for the time of a quarantine; a push that was slower begins anew.
    if (answer.status === 404 && !this.#isInTime(parts.startedMs)) {
      this.refused += 1;
      return undefined;
    }
    this.#expect(answer, 201, `the manifest ${digest}`);
    this.pushes += 1;
    return { digest, bytes, blobs: parts.blobs, children: parts.children, referrers: [] };
  }

  #acknowledge(place: string, image: Acknowledged | undefined, startedMs: number): void {
    if (image !== undefined && this.#isInTime(startedMs)) {
      this.#tags.set(place, image);
      return;
    }
    // Which of both the tag is at now is not known, nor whether all of it is there.
    const before = this.#tags.get(place);
    this.#doubtful.push(...[image, before].filter((either) => either !== undefined));
    this.#tags.delete(place);
  }

  #isInTime(startedMs: number): boolean {
    return performance.now() - startedMs < this.#quarantineMs;
  }

  #expect(answer: TestAnswer, status: number, what: string): void {
    if (answer.status === status) return;
    throw new Error(`${this.#name}: ${what} answered ${answer.status}, expected ${status}: ${answer.body}`);
  }

  #call(method: string, path: string): Promise<TestAnswer> {
    return this.#replica().call(method, path);
  }

  #choose(): readonly [string, Acknowledged] | undefined {
    return [...this.#tags][this.#below(this.#tags.size)];
  }

  #replica(): TestClient {
    return this.#replicas[this.#below(this.#replicas.length)]!;
  }

  #repository(): string {
    return REPOSITORIES[this.#below(REPOSITORIES.length)]!;
  }

  #tag(): string {
    return `${this.#name}-${this.#below(TAGS)}`;
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
}

function splitPlace(place: string): [string, string] {
  const colon = place.indexOf(':');
  return [place.slice(0, colon), place.slice(colon + 1)];
}

function blobsOf(images: Iterable<Acknowledged>): Set<Digest> {
  const all = new Set<Digest>();
  const add = ({ digest, blobs, children, referrers }: Acknowledged) => {
    all.add(digest);
    for (const blob of blobs) all.add(hashBytes(blob));
    for (const other of [...children, ...referrers]) add(other);
  };
  for (const image of images) add(image);
  return all;
}
