import { spawnSync } from 'node:child_process';
import { cp, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeTempDir } from '../helpers/temp-dir.ts';

const root = join(import.meta.dirname, '../..');

interface CruiseReport {
  readonly summary: {
    readonly totalCruised: number;
    readonly violations: readonly { readonly from: string; readonly rule: { readonly name: string } }[];
  };
}

/** Runs the tool as `npm run arrows` does, with its report as data. */
function cruise(folder: string): CruiseReport {
  const tool = join(root, 'node_modules/dependency-cruiser/bin/dependency-cruiser.mjs');
  const args = [tool, '--config', '.dependency-cruiser.cjs', '--output-type', 'json', 'src', 'bin'];
  const options = { cwd: folder, encoding: 'utf8', maxBuffer: 256 * 1024 ** 2 } as const;
  const { stdout, stderr } = spawnSync(process.execPath, args, options);
  expect(stdout, stderr).not.toBe('');
  return JSON.parse(stdout) as CruiseReport;
}

/** A copy of what the tool looks at, in which rules can be broken without disturbing anybody. */
async function copyProject(): Promise<string> {
  const folder = await makeTempDir();
  for (const name of ['src', 'bin', 'package.json', 'tsconfig.json', '.dependency-cruiser.cjs']) {
    await cp(join(root, name), join(folder, name), { recursive: true });
  }
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

describe('the check of the arrows between folders', { timeout: 120_000 }, () => {
  it('sees the modules, and what breaks a rule', async () => {
    const folder = await copyProject();
    await writeFile(join(folder, 'src/core/planted.ts'), "import '../driver/errors.ts';\n");
    await writeFile(join(folder, 'src/registry/planted.ts'), "import '../http/index.ts';\n");
    const { summary } = cruise(folder);
    // A cruiser that cannot read TypeScript reports no violations in no modules.
    expect(summary.totalCruised).toBeGreaterThan(30);
    const broken = summary.violations.map(({ from, rule }) => `${from}: ${rule.name}`);
    expect(broken).toContain('src/core/planted.ts: core-needs-nothing');
    expect(broken).toContain('src/core/planted.ts: enter-through-index');
    expect(broken).toContain('src/registry/planted.ts: registry-needs-driver');
    expect(broken.filter((line) => !line.includes('planted.ts'))).toEqual([]);
  });
});
