import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Value } from 'typebox/value';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ConfigError } from '../../src/core/index.ts';
import { OriginConfigSchema } from '../../src/origin/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { freePorts, makeBlob, openBackend, startOrigin } from './fixture.ts';
import { makeFlaky } from './flaky-driver.ts';
import { openOrigin } from './origin-parts.ts';

describe('the settings of an origin', () => {
  const least = { listen: {}, castore: { directory: '/var/lib/shoal/origin' }, backend: {}, writeBack: {} };

  it('need no more than a folder', () => {
    const config = Value.Default(OriginConfigSchema, structuredClone(least));
    expect(Value.Errors(OriginConfigSchema, config)).toEqual([]);
    expect(config).toMatchObject({
      listen: { host: 'localhost', port: 15002 },
      members: [],
      backend: { driver: 'filesystem', parameters: {} },
      writeBack: { concurrency: 4, replicaDelayMs: 60_000, maxBackoffMs: 300_000 },
    });
  });

  it.each([
    ['an unknown key', { colour: 'blue' }],
    ['a member that is no URL', { members: ['origin-1:15002'] }],
    ['a member with a path', { members: ['http://origin-1:15002/origin'] }],
    ['no worker', { writeBack: { concurrency: 0 } }],
    ['a port that is none', { listen: { port: 70_000 } }],
  ])('are refused with %s', (_name, fault) => {
    const config = Value.Default(OriginConfigSchema, { ...structuredClone(least), ...fault });
    expect(Value.Check(OriginConfigSchema, config)).toBe(false);
  });

  it('are refused when the origin is not among its members', async () => {
    const directory = await makeTempDir();
    const backend = await openBackend(join(directory, 'backend'));
    const started = openOrigin({ directory, backend, port: 15999, memberPorts: [15998] });
    await expect(started).rejects.toThrow(
      'selfUrl http://127.0.0.1:15999 is not among members (http://127.0.0.1:15998)',
    );
    await expect(started).rejects.toBeInstanceOf(ConfigError);
  });

  it('name the port that is taken; what was begun is let go of', async () => {
    const directory = await makeTempDir();
    const backend = await openBackend(join(directory, 'backend'));
    const [port] = (await freePorts(1)) as [number];
    const other = createServer().listen(port, '127.0.0.1');
    await once(other, 'listening');
    onTestFinished(() => void other.close());
    const started = openOrigin({ directory, backend, port });
    await expect(started).rejects.toThrow(`port ${port} for the origin is taken`);
    other.close();
    await once(other, 'close');
    const origin = await startOrigin({ directory, backend, port });
    const blob = makeBlob(10);
    await origin.client.upload(blob.digest, blob.source, {});
  });
});

describe('the health of an origin', () => {
  it('is good while it runs, though the backend is down', async () => {
    const directory = await makeTempDir();
    const { driver, controls } = makeFlaky(await openBackend(join(directory, 'backend')));
    controls.down = true;
    const origin = await startOrigin({ directory, backend: driver });
    for (const path of ['healthz', 'readyz', 'metrics']) {
      expect((await fetch(`${origin.url}/${path}`)).status).toBe(200);
    }
  });
});
