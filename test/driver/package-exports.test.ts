import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { makeTempDir } from '../helpers/temp-dir.ts';

it('gives the suite and the contract to a project of its own', async () => {
  const project = await makeTempDir();
  await mkdir(join(project, 'node_modules'));
  await symlink(join(import.meta.dirname, '../..'), join(project, 'node_modules', 'shoal'));
  const program = `
    import { storageDriverConformance } from 'shoal/driver/conformance';
    import { defaultDriverFactory, verifyDriver } from 'shoal/driver';
    const open = () => defaultDriverFactory().create('inmemory', {});
    const signal = new AbortController().signal;
    const { cases } = await verifyDriver({ open, largeBytes: 300_000, onCase() {}, signal });
    console.log(typeof storageDriverConformance, cases.every(({ error }) => error === undefined));
  `;
  await writeFile(join(project, 'program.mjs'), program);
  const child = spawn(process.execPath, ['program.mjs'], { cwd: project, stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => (text += part));
  const [status] = await once(child, 'close');
  expect([status, text.trim()]).toEqual([0, 'function true']);
});
