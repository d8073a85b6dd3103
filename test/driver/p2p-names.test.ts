import { describe, expect, it } from 'vitest';
import { hashBytes, ManifestBlobUnknownError, parseTag, UnavailableError } from '../../src/core/index.ts';
import { InvalidPathError, PathNotFoundError, UnsupportedError } from '../../src/driver/index.ts';
import { formatPath, REPOSITORIES_PATH } from '../../src/pathparser/index.ts';
import { absent, app, filledScene, forApp, layer, manifest, p2pScene, paths, v1 } from './p2p-scene.ts';

describe('p2p driver: links', () => {
  it('has a link where the build-index has one, and nowhere else', async () => {
    const { driver } = await filledScene();
    expect((await driver.getContent(paths.layerLink())).toString()).toBe(layer);
    expect((await driver.getContent(paths.revisionLink())).toString()).toBe(manifest);
    expect((await driver.stat(paths.layerLink())).size).toBe(layer.length);
    expect((await driver.stat(paths.revision())).isDirectory).toBe(true);
    for (const path of [
      paths.layerLink(absent),
      paths.layerLink(manifest),
      paths.revisionLink(layer),
      paths.layer(absent),
    ]) {
      await expect(driver.stat(path)).rejects.toThrow(PathNotFoundError);
    }
  });

  it('makes links, whose content must be the digest of the path', async () => {
    const { cluster, driver } = await p2pScene();
    await driver.putContent(paths.layerLink(), Buffer.from(layer), forApp);
    await driver.putContent(paths.revisionLink(), Buffer.from(manifest), forApp);
    expect([...cluster.index.links.keys()]).toEqual([`${app}@${layer}`, `${app}@${manifest}`]);
    for (const content of ['', absent, `${layer}\n`]) {
      await expect(driver.putContent(paths.layerLink(), Buffer.from(content))).rejects.toThrow(InvalidPathError);
    }
  });

  it.each(['link', 'directory'])('takes links away by their %s', async (what) => {
    const { cluster, driver } = await filledScene();
    await driver.delete(what === 'link' ? paths.layerLink() : paths.layer());
    await driver.delete(what === 'link' ? paths.revisionLink() : paths.revision());
    expect(cluster.index.links.size).toBe(0);
    await expect(driver.getContent(paths.layerLink())).rejects.toThrow(PathNotFoundError);
    await expect(driver.delete(paths.layer())).rejects.toThrow(PathNotFoundError);
    await expect(driver.stat(paths.blob(), forApp)).rejects.toThrow(PathNotFoundError);
  });

  it('mounts a layer by its link alone', async () => {
    const { cluster, driver } = await filledScene();
    const other = formatPath({ kind: 'layer-link', repository: 'team/other' as typeof app, digest: layer });
    await driver.putContent(other, Buffer.from(layer));
    expect((await driver.stat(paths.blob(), { repository: 'team/other' as typeof app })).size).toBe(20);
    expect(cluster.origin.uploads).toEqual([]);
  });
});

describe('p2p driver: tags', () => {
  it('puts, gets and deletes tags', async () => {
    const { cluster, driver } = await filledScene();
    const v2 = parseTag('v2');
    const entry = formatPath({ kind: 'tag-index-link', repository: app, tag: v2, digest: manifest });
    await driver.putContent(entry, Buffer.from(manifest), forApp);
    expect(cluster.requests()).toEqual([]);
    await driver.putContent(paths.tagLink(v2), Buffer.from(manifest), forApp);
    expect((await driver.getContent(paths.tagLink(v2))).toString()).toBe(manifest);
    const info = await driver.stat(paths.tagLink(v2));
    expect(info.size).toBe(manifest.length);
    expect(Date.now() - info.modTime.getTime()).toBeLessThan(60_000);
    expect((await driver.stat(paths.tag(v2))).isDirectory).toBe(true);
    await driver.delete(paths.tag(v2));
    await expect(driver.getContent(paths.tagLink(v2))).rejects.toThrow(PathNotFoundError);
    await expect(driver.stat(paths.tag(v2))).rejects.toThrow(PathNotFoundError);
    await expect(driver.delete(paths.tag(v2))).rejects.toThrow(PathNotFoundError);
  });

  it('refuses links that name no digest, or another one than their path', async () => {
    const { driver } = await filledScene();
    await expect(driver.putContent(paths.tagLink(), Buffer.from('latest'))).rejects.toThrow(InvalidPathError);
    const entry = formatPath({ kind: 'tag-index-link', repository: app, tag: v1, digest: manifest });
    await expect(driver.putContent(entry, Buffer.from(layer))).rejects.toThrow(InvalidPathError);
  });

  it('passes on what the manifest lacks, and that nobody answers', async () => {
    const { cluster, driver } = await filledScene();
    await expect(driver.putContent(paths.tagLink(), Buffer.from(absent))).rejects.toThrow(ManifestBlobUnknownError);
    cluster.index.service.down = true;
    await expect(driver.putContent(paths.tagLink(), Buffer.from(manifest))).rejects.toThrow(UnavailableError);
  });

  it('lists tags in order, page by page', async () => {
    const { cluster, driver } = await filledScene();
    for (const tag of ['b', 'a', 'c', 'B']) cluster.index.tag(app, tag, manifest);
    const names = async (page: { after?: string; limit?: number }) =>
      (await Array.fromAsync(driver.list(paths.tags, page))).map((path) => path.slice(paths.tags.length + 1));
    expect(await names({})).toEqual(['B', 'a', 'b', 'c', 'v1']);
    expect(await names({ after: `${paths.tags}/a`, limit: 2 })).toEqual(['b', 'c']);
    expect(await names({ after: `${paths.tags}/aa` })).toEqual(['b', 'c', 'v1']);
    expect(await names({ limit: 0 })).toEqual([]);
    expect(await names({ after: '/a' })).toEqual(['B', 'a', 'b', 'c', 'v1']);
    expect(await names({ after: '/z' })).toEqual([]);
  });

  it('does not list the tags of a repository that nobody knows, and lists none where there are none', async () => {
    const { cluster, driver } = await p2pScene();
    await expect(Array.fromAsync(driver.list(paths.tags))).rejects.toThrow(PathNotFoundError);
    await expect(driver.stat(paths.tags)).rejects.toThrow(PathNotFoundError);
    cluster.index.link(app, 'layer', layer);
    expect(await Array.fromAsync(driver.list(paths.tags))).toEqual([]);
  });

  it('walks tags', async () => {
    const { driver } = await filledScene();
    const walked = await Array.fromAsync(driver.walk(paths.tags));
    expect(walked.map(({ path }) => path.slice(paths.tags.length))).toEqual(['/v1', '/v1/current', '/v1/current/link']);
  });
});

describe('p2p driver: referrers', () => {
  const sha512 = hashBytes(Buffer.from('a referrer'), 'sha512');
  const referrers = { kind: 'referrers', repository: app, subject: manifest } as const;
  const link = (digest = layer) => formatPath({ kind: 'referrer-link', repository: app, subject: manifest, digest });

  it('keeps, lists and deletes them by algorithm', async () => {
    const { driver } = await filledScene();
    await driver.putContent(link(sha512), Buffer.from(sha512));
    const top = formatPath(referrers);
    expect(await Array.fromAsync(driver.list(top))).toEqual([`${top}/sha256`, `${top}/sha512`]);
    const sha256s = formatPath({ ...referrers, algorithm: 'sha256' });
    expect(await Array.fromAsync(driver.list(sha256s))).toEqual([link().replace(/\/link$/, '')]);
    expect((await driver.getContent(link())).toString()).toBe(layer);
    await driver.delete(link().replace(/\/link$/, ''));
    await expect(driver.getContent(link())).rejects.toThrow(PathNotFoundError);
    await expect(driver.delete(link())).rejects.toThrow(PathNotFoundError);
    await expect(Array.fromAsync(driver.list(sha256s))).rejects.toThrow(PathNotFoundError);
    expect(await Array.fromAsync(driver.list(top))).toEqual([`${top}/sha512`]);
  });

  it('has no directory for a subject that nobody names', async () => {
    const { driver } = await filledScene();
    const path = formatPath({ ...referrers, subject: absent });
    await expect(Array.fromAsync(driver.list(path))).rejects.toThrow(PathNotFoundError);
    await expect(driver.stat(path)).rejects.toThrow(PathNotFoundError);
  });
});

describe('p2p driver: repositories', () => {
  const under = (name: string) => `${REPOSITORIES_PATH}/${name}`;

  it('shows directories in the names of repositories, in order, page by page', async () => {
    const { cluster, driver } = await p2pScene();
    for (const name of ['app-extra', 'app/x', 'app/y/z', 'b', 'a0']) cluster.index.repositories.add(name);
    const list = async (path: string, page = {}) =>
      (await Array.fromAsync(driver.list(path, page))).map((child) => child.slice(path.length + 1));
    expect(await list(REPOSITORIES_PATH)).toEqual(['a0', 'app', 'app-extra', 'b']);
    expect(await list(REPOSITORIES_PATH, { after: under('app') })).toEqual(['app-extra', 'b']);
    expect(await list(REPOSITORIES_PATH, { after: under('a0'), limit: 1 })).toEqual(['app']);
    expect(await list(under('app'))).toEqual(['x', 'y']);
    cluster.index.repositories.add('app');
    cluster.index.repositories.add('app/0');
    expect(await list(under('app'))).toEqual(['0', '_layers', '_manifests', 'x', 'y']);
    expect(await list(under('app'), { after: under('app/_layers'), limit: 2 })).toEqual(['_manifests', 'x']);
    expect(await list(under('app'), { after: under('app/y') })).toEqual([]);
    expect(await list(under('b'))).toEqual(['_layers', '_manifests']);
  });

  it('knows which directories are there', async () => {
    const { cluster, driver } = await p2pScene();
    cluster.index.repositories.add('app/x');
    for (const name of ['app', 'app/x', 'app/x/_manifests', 'app/x/_layers', 'app/x/_manifests/tags']) {
      expect((await driver.stat(under(name))).isDirectory).toBe(true);
    }
    for (const name of ['ap', 'app/xx', 'app/_manifests', 'app/_layers']) {
      await expect(driver.stat(under(name))).rejects.toThrow(PathNotFoundError);
    }
    await expect(Array.fromAsync(driver.list(under('ap')))).rejects.toThrow(PathNotFoundError);
    await expect(Array.fromAsync(driver.list(under('ap'), { after: under('ap/x') }))).rejects.toThrow(
      PathNotFoundError,
    );
  });

  it('deletes a repository with all that it links', async () => {
    const { cluster, driver } = await filledScene();
    await driver.stat(paths.blob(), forApp);
    await driver.delete(under(app));
    expect(cluster.index.repositories.size).toBe(0);
    await expect(driver.stat(paths.blob(), forApp)).rejects.toThrow(PathNotFoundError);
    await expect(driver.delete(under(app))).rejects.toThrow(PathNotFoundError);
  });

  it('walks nothing that it cannot list whole, not even the part that it could', async () => {
    const { driver } = await filledScene();
    for (const path of [REPOSITORIES_PATH, under(app)]) {
      const seen: string[] = [];
      const walk = async () => {
        for await (const info of driver.walk(path)) seen.push(info.path);
      };
      await expect(walk()).rejects.toThrow(UnsupportedError);
      expect(seen).toEqual([]);
    }
  });
});
