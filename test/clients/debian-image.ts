import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../helpers/command.ts';

/** Top-level folders of the root filesystem, one layer a line; the last line takes the rest. */
const layers: readonly (readonly string[])[] = [['usr/lib'], ['usr/share'], ['var'], []];

/**
 * A real image: a Debian root filesystem made with debootstrap, in four layers, as an OCI layout with the tag `v1`.
 * Made once on a machine and kept in the folder for temporary files. @returns the layout's folder
 */
export async function debianImage(): Promise<string> {
  const layout = join(tmpdir(), 'shoal-test-debian-image');
  if (existsSync(join(layout, 'index.json'))) return layout;
  const work = `${layout}.${process.pid}`;
  await rm(work, { recursive: true, force: true });
  await mkdir(work, { recursive: true });
  try {
    await makeImage(work);
    // Another test file may have been faster: its image is as good.
    await rename(join(work, 'image'), layout).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return layout;
}

async function makeImage(work: string): Promise<void> {
  const root = join(work, 'root');
  await run('debootstrap', ['--variant=minbase', '--include=perl', 'stable', root, await debianMirror()]);
  const image = join(work, 'image');
  await run('umoci', ['init', '--layout', image]);
  await run('umoci', ['new', '--image', `${image}:v1`]);
  for (const [position, paths] of layers.entries()) {
    const tar = join(work, `layer${position}.tar`);
    await run('tar', ['-C', root, '-cf', tar, '--sort=name', ...membersOf(paths)]);
    await run('umoci', ['raw', 'add-layer', '--image', `${image}:v1`, tar]);
    await rm(tar);
  }
}

function membersOf(paths: readonly string[]): string[] {
  if (paths.length > 0) return [...paths];
  const elsewhere = layers.flat().map((path) => `--exclude=./${path}`);
  return [...elsewhere, '--exclude=./dev', '--exclude=./proc', '--exclude=./sys', '.'];
}

/** The mirror that this machine's own packages come from. */
async function debianMirror(): Promise<string> {
  const sites = await run('apt-get', ['indextargets', '--format', '$(SITE)', 'Created-By: Packages']);
  const site = sites.split('\n')[0];
  if (site === undefined || site === '') throw new Error('apt names no mirror: is /etc/apt/sources.list empty?');
  return site;
}
