import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../src/core/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { startReceiver } from './receiver.ts';
import { configOf, quick, runNotifications } from './running-notifications.ts';
import { eventOf } from './sample-events.ts';

const url = 'http://127.0.0.1:1/hook';

describe('the settings of notifications', () => {
  it('need a folder, and an endpoint a name and a URL', async () => {
    const config = await configOf({ directory: '/queue', endpoints: [{ name: 'a', url }] });
    expect(config).toEqual({
      directory: '/queue',
      maxQueuedEvents: 100_000,
      maxQueuedBytes: 256 * 1024 ** 2,
      endpoints: [
        {
          name: 'a',
          url,
          headers: {},
          headerFiles: {},
          timeoutMs: 5_000,
          initialBackoffMs: 1_000,
          maxBackoffMs: 60_000,
          maxRefusals: 10,
          batchSize: 50,
          includeReferences: false,
          ignore: { mediaTypes: [], actions: [] },
          disabled: false,
        },
      ],
    });
  });

  it.each([
    [{ name: 'a', url: 'ftp://host/' }],
    [{ name: 'a', url: 'http://user:password@host/' }],
    [{ name: 'a', url: 'http://host/a b' }],
    [{ name: 'a', url: 'host:80' }],
    [{ name: '', url }],
    [{ name: 'a b', url }],
    [{ name: 'a', url, ignore: { actions: ['read'] } }],
    [{ name: 'a', url, batchSize: 0 }],
    [{ name: 'a', url, timeout: 5 }],
  ])('refuse %j', async (endpoint) => {
    await expect(configOf({ endpoints: [endpoint] })).rejects.toBeInstanceOf(ConfigError);
  });

  it.each<[string, Record<string, unknown>]>([
    ['headers.Authorization holds a secret', { headers: { Authorization: 'Bearer x' } }],
    ['headers.cookie holds a secret', { headers: { cookie: 'x' } }],
    ['headers.a b: this is not the name', { headers: { 'a b': 'x' } }],
    ['headers.Host: this header is set by the connection', { headers: { Host: 'x' } }],
    ['headers.x-a: its value has characters', { headers: { 'x-a': 'x\r\ny: z' } }],
    ['headers.X-A: this header is there twice', { headers: { 'x-a': '1', 'X-A': '2' } }],
    ['headerFiles.x-a: cannot read /nowhere/at/all: ENOENT', { headerFiles: { 'x-a': '/nowhere/at/all' } }],
    ['expected no more than its maxBackoffMs', { initialBackoffMs: 100, maxBackoffMs: 10 }],
  ])('are refused at the start: %s', async (message, more) => {
    const failure = runNotifications({ endpoints: [{ name: 'a', url, ...more }] });
    await expect(failure).rejects.toThrow(message);
    await expect(failure).rejects.toBeInstanceOf(ConfigError);
  });

  it('refuse two endpoints of one name', async () => {
    const endpoints = [
      { name: 'a', url },
      { name: 'a', url },
    ];
    await expect(runNotifications({ endpoints })).rejects.toThrow('the name a is there twice');
  });

  it('take secrets from files, and read them again when the receiver does not accept them', async () => {
    const file = join(await makeTempDir(), 'token');
    await writeFile(file, 'Bearer old\n', { mode: 0o600 });
    const receiver = await startReceiver({
      answer: ({ headers }) => (headers.authorization === 'Bearer new' ? 200 : 401),
    });
    const headers = { 'X-Team': 'registry', 'Content-Type': 'application/json' };
    const endpoint = {
      name: 'a',
      url: `${receiver.url}?from=shoal`,
      headers,
      headerFiles: { Authorization: file },
      ...quick,
    };
    const { sink } = await runNotifications({ endpoints: [endpoint] });
    sink.publish(eventOf('1'));
    await expect.poll(() => receiver.requests.length).toBeGreaterThan(1);
    await writeFile(file, 'Bearer new\n');
    await expect.poll(() => receiver.taken.length).toBe(1);
    expect(receiver.requests[0]).toMatchObject({
      method: 'POST',
      path: '/hook?from=shoal',
      headers: {
        authorization: 'Bearer old',
        'x-team': 'registry',
        'content-type': 'application/json',
        'user-agent': 'shoal/1.2.3',
      },
    });
  });

  it('refuse a file of secrets that others can write to, and never show what is in one', async () => {
    const file = join(await makeTempDir(), 'token');
    await writeFile(file, 'Bearer töken-of-mine');
    const start = () => runNotifications({ endpoints: [{ name: 'a', url, headerFiles: { authorization: file } }] });
    const shown = await start().catch((error: Error) => error.message);
    expect(shown).toContain('headerFiles.authorization: its value has characters other than visible ASCII');
    expect(shown).not.toContain('ken-of-mine');
    await chmod(file, 0o666);
    await expect(start()).rejects.toThrow('can be written by others (mode 0666)');
  });
});
