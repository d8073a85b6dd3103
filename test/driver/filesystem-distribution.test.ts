import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { ConflictError, defaultDriverFactory, type StorageDriver } from '../../src/driver/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { list } from './filesystem-scene.ts';

const layer = Buffer.alloc(100_000, 'layer');
const manifest = Buffer.from('{"schemaVersion":2}');
const layerHex = hexOf(layer);
const manifestHex = hexOf(manifest);
const top = '/docker/registry/v2';
const repository = `${top}/repositories/library/alpine`;

/** Files as docker-registry 2.8 and 3 write them (registry/storage/paths.go), an upload in the middle included. */
const layout: Readonly<Record<string, string | Buffer>> = {
  [blobPath(layerHex)]: layer,
  [blobPath(manifestHex)]: manifest,
  [`${repository}/_layers/sha256/${layerHex}/link`]: `sha256:${layerHex}`,
  [`${repository}/_manifests/revisions/sha256/${manifestHex}/link`]: `sha256:${manifestHex}`,
  [`${repository}/_manifests/tags/latest/current/link`]: `sha256:${manifestHex}`,
  [`${repository}/_manifests/tags/latest/index/sha256/${manifestHex}/link`]: `sha256:${manifestHex}`,
  [`${repository}/_uploads/b5e3/data`]: 'the bytes so far, in place',
  [`${repository}/_uploads/b5e3/startedat`]: '2024-01-01T00:00:00Z',
  [`${repository}/_uploads/b5e3/hashstates/sha256/0`]: 'state',
  [`${repository}/_uploads/c6f4/data`]: '',
  [`${repository}/_uploads/c6f4/startedat`]: '2024-01-01T00:00:00Z',
  '/scheduler-state.json': '{}',
};

function hexOf(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

function blobPath(hex: string): string {
  return `${top}/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`;
}

async function openLayout(): Promise<{ readonly driver: StorageDriver; readonly root: string }> {
  const root = await makeTempDir();
  for (const [path, content] of Object.entries(layout)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), content);
  }
  return { driver: await defaultDriverFactory().create('filesystem', { rootdirectory: root }), root };
}

describe('the filesystem driver on a folder that distribution has written', () => {
  it('lists and walks it as it is', async () => {
    const { driver, root } = await openLayout();
    expect(await list(driver, '/')).toEqual(['/docker', '/scheduler-state.json']);
    expect(await list(driver, `${repository}/_manifests/tags`)).toEqual([`${repository}/_manifests/tags/latest`]);
    const files: string[] = [];
    for await (const info of driver.walk('/')) if (!info.isDirectory) files.push(info.path);
    expect(files.toSorted()).toEqual(Object.keys(layout).toSorted());
    expect((await readdir(root)).sort()).toEqual(['docker', 'scheduler-state.json']);
  });

  it('reads every file of it', async () => {
    const { driver } = await openLayout();
    for (const [path, content] of Object.entries(layout)) {
      expect(await driver.getContent(path)).toEqual(Buffer.from(content));
      expect((await driver.stat(path)).size).toBe(content.length);
    }
    const range = await driver.reader(blobPath(layerHex), { offset: 99_990, length: 100 });
    expect(await buffer(range)).toEqual(layer.subarray(99_990));
  });

  it('goes on with an upload that has no bytes yet, and refuses one that has', async () => {
    const { driver, root } = await openLayout();
    await expect(driver.writer(`${repository}/_uploads/b5e3/data`, { append: true })).rejects.toBeInstanceOf(
      ConflictError,
    );
    const data = `${repository}/_uploads/c6f4/data`;
    const writer = await driver.writer(data, { append: true });
    await writer.write(layer);
    await writer.commit();
    await writer.close();
    await driver.move(data, `${top}/blobs/sha256/00/00/data`);
    expect(await readFile(join(root, top, 'blobs/sha256/00/00/data'))).toEqual(layer);
    await driver.delete(dirname(data));
    expect(await list(driver, `${repository}/_uploads`)).toEqual([`${repository}/_uploads/b5e3`]);
  });

  it('writes what distribution will find', async () => {
    const { driver, root } = await openLayout();
    const link = `${repository}/_manifests/tags/v2/current/link`;
    await driver.putContent(link, Buffer.from(`sha256:${manifestHex}`));
    expect(await readFile(join(root, link), 'utf8')).toBe(`sha256:${manifestHex}`);
    expect(await readdir(dirname(join(root, link)))).toEqual(['link']);
  });
});
