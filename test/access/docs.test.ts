import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import Type from 'typebox';
import { describe, expect, it } from 'vitest';
import { AccessConfigSchema } from '../../src/access/index.ts';
import { findPattern } from '../../src/access/repository-pattern.ts';
import { ruleFaults } from '../../src/access/rules.ts';
import { loadConfig } from '../../src/config/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';

const page = await readFile(join(import.meta.dirname, '../../docs/access.md'), 'utf8');

describe('docs/access.md', () => {
  it('has examples that are right', async () => {
    const schema = Type.Object({ access: AccessConfigSchema }, { additionalProperties: false });
    const blocks = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) => text ?? '');
    expect(blocks.length).toBeGreaterThan(3);
    for (const block of blocks) {
      const file = join(await makeTempDir(), 'config.yaml');
      await writeFile(file, block.startsWith('access:') ? block : `access:\n${block}`);
      const { access } = await loadConfig(schema, { file });
      expect(ruleFaults(access.rules)).toEqual([]);
    }
  });

  it('has a table of patterns that match what it says', () => {
    const rows = [...page.matchAll(/^\| (`[a-z*/-]+`) \| (`.*`) \| (.*) \|$/gm)];
    expect(rows.length).toBe(5);
    const namesOf = (cell = '') => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name ?? '');
    for (const [, text, matching, others] of rows) {
      const pattern = findPattern(namesOf(text)[0] ?? '');
      expect(namesOf(matching).filter((name) => !pattern?.matches(name))).toEqual([]);
      expect(namesOf(others).filter((name) => pattern?.matches(name) !== false)).toEqual([]);
    }
  });
});
