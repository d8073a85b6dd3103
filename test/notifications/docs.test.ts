import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import Type from 'typebox';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/index.ts';
import { NotificationsConfigSchema } from '../../src/notifications/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';

const page = await readFile(join(import.meta.dirname, '../../docs/notifications.md'), 'utf8');

describe('the page on notifications', () => {
  it('has an example that is a configuration', async () => {
    const file = join(await makeTempDir(), 'example.yaml');
    await writeFile(file, /```yaml\n(.*?)```/s.exec(page)?.[1] ?? '');
    const schema = Type.Object({ notifications: NotificationsConfigSchema }, { additionalProperties: false });
    const { notifications } = await loadConfig(schema, { file });
    expect(notifications.endpoints.map(({ name }) => name)).toEqual(['ci', 'audit']);
  });

  it('lists every setting of an endpoint with its default', () => {
    const { properties } = NotificationsConfigSchema.properties.endpoints.items;
    const { ignore, ...plain } = properties;
    const nested = Object.entries(ignore.properties).map(([key, schema]) => [`ignore.${key}`, schema] as const);
    const expected = [...Object.entries(plain), ...nested].map(([key, schema]) => {
      const value = (schema as { default?: unknown }).default;
      return `\`${key}\` ${value === undefined ? '' : `\`${JSON.stringify(value)}\``}`;
    });
    const section = page.slice(page.indexOf('## Endpoints'), page.indexOf('## When the disk fails'));
    const listed = [...section.matchAll(/^\| (`[^|]*`) \| ([^|]*?) ?\|/gm)].map(([, key, value]) => `${key} ${value}`);
    expect(listed.toSorted()).toEqual(expected.toSorted());
  });
});
