import { hostname } from 'node:os';
import { Registry } from 'prom-client';
import { describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../src/core/index.ts';
import { notificationsOf } from '../../src/notifications/index.ts';
import { testLogger } from '../helpers/logger.ts';
import { startReceiver } from './receiver.ts';
import { configOf } from './running-notifications.ts';
import { eventOf } from './sample-events.ts';

function deps() {
  return { logger: testLogger(), metrics: new Registry(), clock: systemClock, version: '1' };
}

describe('the notifications of a program', () => {
  it('tell under the name of the machine, and are disposed of with the other parts', async () => {
    const parts = new AsyncDisposableStack();
    onTestFinished(() => parts.disposeAsync());
    const receiver = await startReceiver();
    const notifications = await configOf({ endpoints: [{ name: 'a', url: receiver.url }] });
    const tls = { certFile: 'cert.pem', keyFile: 'key.pem' };
    const sink = await notificationsOf(parts, { listen: { host: 'h', port: 5443, tls }, notifications }, deps());
    sink?.publish(eventOf('1'));
    await expect.poll(() => receiver.taken.length).toBe(1);
    const { source, target } = receiver.taken[0]!;
    expect(source).toEqual({ addr: `${hostname()}:5443`, instanceID: expect.stringMatching(/^[0-9a-f-]{36}$/) });
    expect(target['url']).toMatch(/^https:\/\/registry\.example\//);
    await parts.disposeAsync();
    // The folder is free again.
    await using next = new AsyncDisposableStack();
    expect(await notificationsOf(next, { listen: { host: 'h', port: 1 }, notifications }, deps())).toBeDefined();
  });

  it('are none without settings', async () => {
    const parts = new AsyncDisposableStack();
    const metrics = new Registry();
    expect(await notificationsOf(parts, { listen: { host: 'h', port: 1 } }, { ...deps(), metrics })).toBeUndefined();
    expect(metrics.getMetricsAsArray()).toEqual([]);
  });
});
