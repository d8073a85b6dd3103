import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { NotADirectoryError, type StorageDriver, UnsupportedError } from '../../src/driver/index.ts';
import { formatPath, parsePath, type RegistryPath } from '../../src/pathparser/index.ts';
import { app, filledScene, forApp, layer, manifest, paths, v1 } from './p2p-scene.ts';

type Kind = RegistryPath['kind'];

const operations = ['stat', 'getContent', 'reader', 'putContent', 'writer', 'list', 'move', 'delete', 'walk'] as const;
type Operation = (typeof operations)[number];

/** Operations after which a scene is another one. */
const changing: ReadonlySet<Operation> = new Set(['putContent', 'writer', 'move', 'delete']);

/** One path of every kind that is there in the filled scene. */
const pathOfKind: Record<Kind, RegistryPath> = {
  root: { kind: 'root' },
  repositories: { kind: 'repositories' },
  repository: { kind: 'repository', repository: app },
  manifests: { kind: 'manifests', repository: app },
  tags: { kind: 'tags', repository: app },
  uploads: { kind: 'uploads', repository: app },
  layers: { kind: 'layers', repository: app },
  revisions: { kind: 'revisions', repository: app },
  layer: { kind: 'layer', repository: app, digest: layer },
  'layer-link': { kind: 'layer-link', repository: app, digest: layer },
  revision: { kind: 'revision', repository: app, digest: manifest },
  'revision-link': { kind: 'revision-link', repository: app, digest: manifest },
  tag: { kind: 'tag', repository: app, tag: v1 },
  'tag-current': { kind: 'tag-current', repository: app, tag: v1 },
  'tag-current-link': { kind: 'tag-current-link', repository: app, tag: v1 },
  'tag-index': { kind: 'tag-index', repository: app, tag: v1 },
  'tag-index-entry': { kind: 'tag-index-entry', repository: app, tag: v1, digest: manifest },
  'tag-index-link': { kind: 'tag-index-link', repository: app, tag: v1, digest: manifest },
  referrers: { kind: 'referrers', repository: app, subject: manifest },
  referrer: { kind: 'referrer', repository: app, subject: manifest, digest: layer },
  'referrer-link': { kind: 'referrer-link', repository: app, subject: manifest, digest: layer },
  upload: { kind: 'upload', repository: app, uploadId: 'begun' },
  'upload-data': { kind: 'upload-data', repository: app, uploadId: 'begun' },
  'upload-started-at': { kind: 'upload-started-at', repository: app, uploadId: 'begun' },
  'upload-hash-states': { kind: 'upload-hash-states', repository: app, uploadId: 'begun', algorithm: 'sha256' },
  'upload-hash-state': {
    kind: 'upload-hash-state',
    repository: app,
    uploadId: 'begun',
    algorithm: 'sha256',
    offset: 5,
  },
  blobs: { kind: 'blobs' },
  blob: { kind: 'blob', digest: layer },
  'blob-data': { kind: 'blob-data', digest: layer },
  'blob-metainfo': { kind: 'blob-metainfo', digest: layer },
};

/** What fits the path: the content of a link is the digest of its path. */
function contentFor(path: RegistryPath): Buffer {
  if (path.kind === 'tag-current-link') return Buffer.from(manifest);
  if (path.kind === 'blob-data') return Buffer.from('the bytes of a layer');
  return Buffer.from('digest' in path ? path.digest : 'content');
}

const run: Record<Operation, (driver: StorageDriver, path: string) => Promise<unknown>> = {
  stat: (driver, path) => driver.stat(path, forApp),
  getContent: (driver, path) => driver.getContent(path, forApp),
  reader: async (driver, path) => (await driver.reader(path, { offset: 0 }, forApp)).toArray(),
  putContent: (driver, path) => driver.putContent(path, contentFor(parsePath(path)), forApp),
  writer: async (driver, path) => (await driver.writer(path, { append: true }, forApp)).close(),
  list: (driver, path) => Array.fromAsync(driver.list(path, {}, forApp)),
  move: (driver, path) => driver.move(path, paths.blob(), forApp),
  delete: (driver, path) => driver.delete(path, forApp),
  walk: (driver, path) => Array.fromAsync(driver.walk(path, {}, forApp)),
};

/** The table of the documentation: kind → operation → what it does. */
function documentedTable(): Map<string, Record<Operation, string>> {
  const text = readFileSync(new URL('../../docs/p2p-driver.md', import.meta.url), 'utf8');
  const lines = text.split('\n');
  const head = lines.findIndex((line) => line.startsWith('| kind |'));
  const rows = new Map<string, Record<Operation, string>>();
  expect(cellsOf(lines[head]!).slice(1)).toEqual(operations);
  for (const line of lines.slice(head + 2)) {
    if (!line.startsWith('|')) break;
    const [kind, ...cells] = cellsOf(line);
    rows.set(kind!, Object.fromEntries(operations.map((name, index) => [name, cells[index]!])) as never);
  }
  return rows;
}

function cellsOf(line: string): string[] {
  return line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());
}

describe('p2p driver: operations and kinds', () => {
  const table = documentedTable();

  it('documents every kind of path', () => {
    expect([...table.keys()].toSorted()).toEqual(Object.keys(pathOfKind).toSorted());
  });

  for (const operation of operations) {
    it(`does with ${operation} what the documentation's table says, for every kind`, async () => {
      const differences: string[] = [];
      const shared = await filledScene();
      for (const [kind, row] of table) {
        const { driver } = changing.has(operation) && row[operation] !== '–' ? await filledScene() : shared;
        const path = formatPath(pathOfKind[kind as Kind]);
        const outcome = await run[operation](driver, path).then(
          () => 'done',
          (error: unknown) => {
            if (error instanceof UnsupportedError) return '–';
            return error instanceof NotADirectoryError ? 'file' : String(error);
          },
        );
        const documented = row[operation];
        const expected = documented === '–' || documented === 'file' ? documented : 'done';
        if (outcome !== expected) differences.push(`${kind}: documented "${documented}", got ${outcome}`);
      }
      expect(differences).toEqual([]);
    }, 60_000);
  }
});
