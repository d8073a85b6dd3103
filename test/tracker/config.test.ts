import { Compile } from 'typebox/compile';
import * as Value from 'typebox/value';
import { describe, expect, it } from 'vitest';
import { ConfigError, systemClock } from '../../src/core/index.ts';
import {
  MemoryPeerStore,
  openPeerStore,
  type PeerStoreConfig,
  PeerStoreConfigSchema,
  TrackerConfigSchema,
} from '../../src/tracker/index.ts';
import { testLogger } from '../helpers/logger.ts';

const validator = Compile(TrackerConfigSchema);
const filled = (part: object) => Value.Default(TrackerConfigSchema, part);

/** The schemas of all settings, with the path of each. */
function* settings(schema: object, path = ''): Generator<[string, Record<string, unknown>]> {
  for (const [key, child] of Object.entries((schema as { properties?: Record<string, object> }).properties ?? {})) {
    yield [`${path}${key}`, child as Record<string, unknown>];
    yield* settings(child, `${path}${key}.`);
  }
}

describe('TrackerConfigSchema', () => {
  it('has a default for everything that is not optional', () => {
    const config = filled({});
    expect(validator.Errors(config)).toEqual([]);
    expect(config).toMatchObject({
      listen: { host: 'localhost', port: 15003 },
      announceIntervalMs: 3_000,
      idleAnnounceIntervalMs: 60_000,
      zoneShare: 0.5,
      originWires: 60,
      peerStore: { type: 'memory' },
      origins: [],
    });
  });

  it('describes every setting, and limits every number', () => {
    for (const [path, schema] of settings(TrackerConfigSchema)) {
      expect(schema['description'], path).toMatch(/\.$/);
      if (schema['type'] !== 'integer' && schema['type'] !== 'number') continue;
      expect(schema['minimum'], path).toBeTypeOf('number');
      expect(schema['maximum'], path).toBeTypeOf('number');
    }
  });

  it.each([
    [{ origins: ['http://10.0.0.5:15002', 'https://origin.example'] }],
    [{ publicUrl: 'https://tracker.example/shoal/' }],
    [{ peerStore: { type: 'redis', url: 'redis://user:word@redis.example:6379/2' } }],
    [{ peerStore: { type: 'redis', url: 'rediss://[fd00::1]:6380' } }],
  ])('takes %j', (part) => {
    expect(validator.Errors(filled(part))).toEqual([]);
  });

  it.each([
    [{ port: 15003 }],
    [{ origins: ['10.0.0.5:15002'] }],
    [{ origins: ['ftp://10.0.0.5'] }],
    [{ publicUrl: 'tracker.example' }],
    [{ announceIntervalMs: 0 }],
    [{ announceIntervalMs: '3s' }],
    [{ listen: { port: 65_536 } }],
    [{ peerStore: { type: 'disk' } }],
    [{ peerStore: { type: 'redis', url: 'http://redis.example' } }],
    [{ peerStore: { keyPrefix: 'a b' } }],
    [{ zoneShare: 1.5 }],
    [{ zoneShare: -0.1 }],
    [{ originWires: 0 }],
  ])('refuses %j', (part) => {
    expect(validator.Check(filled(part))).toBe(false);
  });
});

describe('openPeerStore', () => {
  const deps = { clock: systemClock, random: Math.random, logger: testLogger() };
  const config = (part: object) => Value.Default(PeerStoreConfigSchema, part) as PeerStoreConfig;

  it('opens a store in memory unless told otherwise', async () => {
    const store = await openPeerStore(config({}), deps);
    expect(store).toBeInstanceOf(MemoryPeerStore);
    await store.close();
  });

  it('says what is missing for redis', async () => {
    const call = openPeerStore(config({ type: 'redis' }), deps);
    await expect(call).rejects.toBeInstanceOf(ConfigError);
    await expect(call).rejects.toThrow(/peerStore\.url is missing/);
  });
});
