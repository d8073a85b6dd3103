import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { renderPages } from '../../scripts/docs-pages.ts';
import { allRoles } from '../../src/cli/roles.ts';

const root = join(import.meta.dirname, '../..');

interface Package {
  readonly dependencies: Record<string, string>;
  readonly devDependencies: Record<string, string>;
  readonly optionalDependencies: Record<string, string>;
}

describe('the documentation', () => {
  it('has pages that say what the code says (else run: node scripts/generate-docs.ts)', {
    timeout: 60_000,
  }, async () => {
    for (const [name, text] of await renderPages()) {
      expect(await readFile(join(root, 'docs', name), 'utf8'), name).toBe(text);
    }
  });

  it('says of every dependency what it is for', async () => {
    const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as Package;
    const page = await readFile(join(root, 'docs/dependencies.md'), 'utf8');
    const named = new Set([...page.matchAll(/`([^`]+)`/g)].map(([, name]) => name));
    const { dependencies, devDependencies, optionalDependencies } = manifest;
    const missing = Object.keys({ ...dependencies, ...devDependencies, ...optionalDependencies });
    expect(missing.filter((name) => !named.has(name))).toEqual([]);
  });

  it('names every folder of src in the architecture', async () => {
    const page = await readFile(join(root, 'docs/architecture.md'), 'utf8');
    const files = await readdir(join(root, 'src'), { recursive: true, withFileTypes: true });
    const paths = files.filter((entry) => entry.isFile()).map((entry) => relative(join(root, 'src'), entry.parentPath));
    const folders = new Set(paths.map((path) => path.split('/')[0]));
    expect([...folders].filter((name) => !page.includes(`${name}/`))).toEqual([]);
  });

  it('links only to files that are there', async () => {
    const docs = (await readdir(join(root, 'docs'))).map((name) => join('docs', name));
    for (const page of ['README.md', 'deploy/README.md', ...docs]) {
      const text = await readFile(join(root, page), 'utf8');
      const links = [...text.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map(([, link]) => link ?? '');
      const broken = links.filter((link) => !/^[a-z]+:/.test(link) && !existsSync(resolve(root, dirname(page), link)));
      expect(broken, page).toEqual([]);
    }
  });
});

describe('the samples of deploy/config', () => {
  it.each(allRoles.map((role) => role.name))('are right for %s', async (name) => {
    const role = await allRoles.find((entry) => entry.name === name)!.open();
    const file = join(root, 'deploy/config', `${name}.yaml`);
    await expect(role.load({ file })).resolves.toBeDefined();
  });

  it('are one for each program, and no more', async () => {
    const files = await readdir(join(root, 'deploy/config'));
    expect(files.toSorted()).toEqual(allRoles.map(({ name }) => `${name}.yaml`).toSorted());
  });
});
