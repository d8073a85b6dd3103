import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../src/core/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { startReceiver } from './receiver.ts';
import { quick, runNotifications } from './running-notifications.ts';
import { eventOf, numbers, requestIds } from './sample-events.ts';

describe('notifications that are delivered', () => {
  it('come in order, several in a request, as distribution sends them', async () => {
    const receiver = await startReceiver();
    const { sink, metric } = await runNotifications({ endpoints: [{ name: 'a', url: receiver.url, batchSize: 20 }] });
    for (const id of numbers(0, 100)) sink.publish(eventOf(id));
    await expect.poll(() => requestIds(receiver.taken)).toEqual(numbers(0, 100));
    expect(receiver.requests.length).toBeLessThan(20);
    expect(Math.max(...receiver.requests.map(({ events }) => events.length))).toBe(20);
    expect(receiver.requests[0]!.headers['content-type']).toBe('application/vnd.docker.distribution.events.v2+json');
    expect(new Set(receiver.taken.map(({ id }) => id)).size).toBe(100);
    await expect.poll(() => metric('events_total', { endpoint: 'a', result: 'delivered' })).toBe(100);
    expect(await metric('events_total', { endpoint: 'a', result: 'queued' })).toBe(100);
    expect(await metric('requests_total', { endpoint: 'a', status: '200' })).toBe(receiver.requests.length);
    expect(await metric('pending', { endpoint: 'a' })).toBe(0);
    expect(await metric('oldest_seconds')).toBe(0);
  });

  it('leave out what an endpoint ignores', async () => {
    const receiver = await startReceiver();
    const ignore = { mediaTypes: ['application/octet-stream'], actions: ['pull'] };
    const endpoints = [
      { name: 'a', url: `${receiver.url}/a`, ignore },
      { name: 'b', url: `${receiver.url}/b` },
      { name: 'c', url: `${receiver.url}/c`, disabled: true },
    ];
    const { sink, metric } = await runNotifications({ endpoints });
    sink.publish(eventOf('blob'));
    sink.publish(eventOf('pull', { action: 'pull', mediaType: 'text/x' }));
    sink.publish(eventOf('manifest', { kind: 'manifest', mediaType: 'text/x' }));
    // Of what was deleted nobody knows the media type.
    sink.publish(eventOf('delete', { action: 'delete' }));
    const idsAt = (path: string) => {
      return receiver.requests.filter((request) => request.path === path).flatMap(({ events }) => requestIds(events));
    };
    await expect.poll(() => idsAt('/hook/b')).toEqual(['blob', 'pull', 'manifest', 'delete']);
    await expect.poll(() => idsAt('/hook/a')).toEqual(['manifest', 'delete']);
    expect(idsAt('/hook/c')).toEqual([]);
    expect(await metric('events_total', { endpoint: 'c' })).toBe(0);
    // The same event is the same for everybody.
    const byId = Map.groupBy(receiver.taken, ({ id }) => id);
    expect([...byId.values()].map(({ length }) => length).toSorted()).toEqual([1, 1, 2, 2]);
  });

  it('stay queued while an endpoint is disabled, and go when it is removed', async () => {
    const directory = await makeTempDir();
    const receiver = await startReceiver({ answer: () => 503 });
    const endpoint = { name: 'a', url: receiver.url, ...quick };
    const first = await runNotifications({ directory, endpoints: [endpoint] });
    first.sink.publish(eventOf('1'));
    await first.stop();
    const second = await runNotifications({ directory, endpoints: [{ ...endpoint, disabled: true }] });
    expect(await second.metric('pending', { endpoint: 'a' })).toBe(1);
    await second.stop();
    receiver.answer = () => 200;
    const third = await runNotifications({ directory, endpoints: [{ ...endpoint, name: 'b' }] });
    await third.stop();
    const fourth = await runNotifications({ directory, endpoints: [endpoint] });
    expect(await fourth.metric('pending')).toBe(0);
    expect(receiver.taken).toEqual([]);
  });
});

describe('an endpoint that takes nothing', () => {
  it('gets everything in order once it is there', async () => {
    const gone = await startReceiver();
    await gone.close();
    const { sink, metric } = await runNotifications({ endpoints: [{ name: 'a', url: gone.url, ...quick }] });
    for (const id of numbers(0, 30)) sink.publish(eventOf(id));
    await expect.poll(() => metric('requests_total', { endpoint: 'a', status: 'unreachable' })).toBeGreaterThan(2);
    expect(await metric('pending')).toBe(30);
    const back = await startReceiver({ port: gone.port });
    await expect.poll(() => requestIds(back.taken)).toEqual(numbers(0, 30));
    await expect.poll(() => metric('pending')).toBe(0);
  });

  it.each([500, 502, 429, 408, 401])('is tried again after %i, in the same order', async (status) => {
    let failures = 4;
    const receiver = await startReceiver();
    receiver.answer = () => (failures-- > 0 ? status : 204);
    const endpoint = { name: 'a', url: receiver.url, maxRefusals: 1, ...quick };
    const { sink, metric } = await runNotifications({ endpoints: [endpoint] });
    for (const id of numbers(0, 10)) sink.publish(eventOf(id));
    await expect.poll(() => requestIds(receiver.taken)).toEqual(numbers(0, 10));
    expect(await metric('requests_total', { status: String(status) })).toBe(4);
    expect(await metric('dropped_total')).toBe(0);
  });

  it('is left alone for as long as it asks', async () => {
    const receiver = await startReceiver();
    receiver.answer = (_request, response) => {
      if (receiver.requests.length > 1) return 200;
      response.writeHead(503, { 'retry-after': '1' }).end();
      return undefined;
    };
    const { sink } = await runNotifications({ endpoints: [{ name: 'a', url: receiver.url, ...quick }] });
    sink.publish(eventOf('1'));
    await expect.poll(() => receiver.taken.length, { timeout: 5_000 }).toBe(1);
    const [first, second] = receiver.requests;
    expect(second!.atMs - first!.atMs).toBeGreaterThan(950);
  });

  it('waits longer after each failure, up to the cap', async () => {
    const receiver = await startReceiver({ answer: () => 500 });
    const endpoint = { name: 'a', url: receiver.url, initialBackoffMs: 40, maxBackoffMs: 160 };
    const { sink } = await runNotifications({ endpoints: [endpoint] }, { random: () => 1 });
    sink.publish(eventOf('1'));
    await expect.poll(() => receiver.requests.length, { timeout: 5_000 }).toBe(6);
    const at = receiver.requests.map(({ atMs }) => atMs);
    const waits = at.slice(1).map((atMs, index) => atMs - at[index]!);
    for (const [index, leastMs] of [40, 80, 160, 160, 160].entries()) expect(waits[index]).toBeGreaterThan(leastMs - 5);
    expect(waits[4]).toBeLessThan(320);
  });

  it('is given up when it does not answer in time, and does not hold up another', async () => {
    const silent = await startReceiver({ answer: () => undefined });
    const quickOne = await startReceiver();
    const { sink, metric } = await runNotifications({
      endpoints: [
        { name: 'silent', url: silent.url, timeoutMs: 100, ...quick },
        { name: 'quick', url: quickOne.url },
      ],
    });
    for (const id of numbers(0, 50)) sink.publish(eventOf(id));
    await expect.poll(() => requestIds(quickOne.taken)).toEqual(numbers(0, 50));
    expect(await metric('pending', { endpoint: 'silent' })).toBe(50);
    await expect.poll(() => metric('requests_total', { endpoint: 'silent', status: 'timeout' })).toBeGreaterThan(1);
    silent.answer = () => 200;
    await expect.poll(() => requestIds(silent.taken)).toEqual(numbers(0, 50));
  });

  it('cannot hold a request by dripping its headers', async () => {
    const sockets = new Set<Socket>();
    const dripping = createServer((socket) => {
      sockets.add(socket.on('error', () => undefined));
      socket.write('HTTP/1.1 200 OK\r\n');
      const drip = setInterval(() => socket.write('x-drip: 1\r\n'), 10);
      socket.on('close', () => clearInterval(drip));
    }).listen(0, '127.0.0.1');
    await once(dripping, 'listening');
    onTestFinished(() => {
      for (const socket of sockets) socket.destroy();
      dripping.close();
    });
    const { port } = dripping.address() as { port: number };
    const endpoint = { name: 'a', url: `http://127.0.0.1:${port}`, timeoutMs: 150, ...quick };
    const { sink, metric } = await runNotifications({ endpoints: [endpoint] });
    sink.publish(eventOf('1'));
    await expect.poll(() => metric('requests_total', { status: 'timeout' })).toBeGreaterThan(1);
    expect(await metric('pending')).toBe(1);
  });

  it.each([200, 500])('cannot hold a request by dripping the body of a %i', async (status) => {
    const receiver = await startReceiver();
    receiver.answer = ({ events }, response) => {
      if (events[0]!.request['id'] === '2') return 200;
      if (receiver.requests.length > 2) return 200;
      response.writeHead(status).flushHeaders();
      const drip = setInterval(() => response.write('x'), 10);
      response.on('close', () => clearInterval(drip));
      return undefined;
    };
    const endpoint = { name: 'a', url: receiver.url, timeoutMs: 150, batchSize: 1, ...quick };
    const { sink, metric } = await runNotifications({ endpoints: [endpoint] });
    sink.publish(eventOf('1'));
    sink.publish(eventOf('2'));
    await expect.poll(() => metric('events_total', { result: 'delivered' })).toBe(2);
    // The status has said it all: what is taken is not sent again.
    expect(receiver.requests.length).toBe(status === 200 ? 2 : 4);
  });

  it('has its oldest events dropped beyond the bound, and they are counted', async () => {
    const receiver = await startReceiver({ answer: () => 503 });
    const endpoint = { name: 'a', url: receiver.url, ...quick };
    const { sink, metric } = await runNotifications({ maxQueuedEvents: 20, endpoints: [endpoint] });
    for (const id of numbers(0, 100)) sink.publish(eventOf(id));
    await expect.poll(() => metric('dropped_total', { endpoint: 'a', reason: 'queue_full' })).toBe(80);
    expect(await metric('pending', { endpoint: 'a' })).toBe(20);
    receiver.answer = () => 200;
    await expect.poll(() => requestIds(receiver.taken)).toEqual(numbers(80, 20));
  });

  it('is not told of what is too old', async () => {
    const receiver = await startReceiver({ answer: () => 503 });
    let nowMs = 1_000_000;
    const clock = { ...systemClock, nowMs: () => nowMs };
    const endpoint = { name: 'a', url: receiver.url, ...quick };
    const { sink, metric } = await runNotifications({ maxAgeMs: 60_000, endpoints: [endpoint] }, { clock });
    for (const id of numbers(0, 5)) sink.publish(eventOf(id, { timeMs: nowMs }));
    await expect.poll(() => receiver.requests.length).toBeGreaterThan(1);
    expect(await metric('oldest_seconds')).toBe(0);
    nowMs += 60_001;
    expect(await metric('oldest_seconds')).toBe(60.001);
    sink.publish(eventOf('young', { timeMs: nowMs }));
    // Only now: a request that was on its way has all of them.
    await expect.poll(() => metric('dropped_total', { reason: 'age' })).toBe(5);
    receiver.answer = () => 200;
    await expect.poll(() => requestIds(receiver.taken)).toEqual(['young']);
  });
});

describe('an endpoint that refuses', () => {
  it.each([400, 413, 422, 404])(
    'one event with %i gets all others, in order, and that one is dropped',
    async (status) => {
      const poison = '37';
      const receiver = await startReceiver();
      receiver.answer = ({ events }) => (requestIds(events).includes(poison) ? status : 200);
      const endpoint = { name: 'a', url: receiver.url, batchSize: 32, maxRefusals: 3, ...quick };
      const { sink, metric } = await runNotifications({ endpoints: [endpoint] });
      for (const id of numbers(0, 100)) sink.publish(eventOf(id));
      await expect.poll(() => requestIds(receiver.taken)).toEqual(numbers(0, 100).filter((id) => id !== poison));
      expect(receiver.requests.filter(({ events }) => requestIds(events).join() === poison)).toHaveLength(3);
      expect(await metric('dropped_total', { endpoint: 'a', reason: 'refused' })).toBe(1);
      await expect.poll(() => metric('pending')).toBe(0);
    },
  );

  it('several events loses those only', async () => {
    const poisons = ['0', '1', '50', '99'];
    const receiver = await startReceiver();
    receiver.answer = ({ events }) => (requestIds(events).some((id) => poisons.includes(id)) ? 400 : 200);
    const endpoint = { name: 'a', url: receiver.url, maxRefusals: 2, ...quick };
    const { sink, metric } = await runNotifications({ endpoints: [endpoint] });
    for (const id of numbers(0, 100)) sink.publish(eventOf(id));
    const others = numbers(0, 100).filter((id) => !poisons.includes(id));
    // The last one is dropped after everything else was taken.
    await expect.poll(() => metric('dropped_total', { reason: 'refused' })).toBe(4);
    expect(requestIds(receiver.taken)).toEqual(others);
  });

  it('everything is tried for ever when it is set so', async () => {
    const receiver = await startReceiver({ answer: () => 400 });
    const endpoint = { name: 'a', url: receiver.url, maxRefusals: 0, initialBackoffMs: 1, maxBackoffMs: 1 };
    const { sink, metric } = await runNotifications({ endpoints: [endpoint] });
    sink.publish(eventOf('1'));
    await expect.poll(() => receiver.requests.length).toBeGreaterThan(20);
    expect([await metric('dropped_total'), await metric('pending')]).toEqual([0, 1]);
  });

  it('everything is asked less and less often, so that little is lost before somebody looks', async () => {
    const receiver = await startReceiver({ answer: () => 404 });
    const endpoint = {
      name: 'a',
      url: receiver.url,
      batchSize: 1,
      maxRefusals: 2,
      initialBackoffMs: 10,
      maxBackoffMs: 60_000,
    };
    const { sink, metric } = await runNotifications({ endpoints: [endpoint] });
    for (const id of numbers(0, 10)) sink.publish(eventOf(id));
    await expect.poll(() => metric('dropped_total', { reason: 'refused' })).toBe(2);
    const [first, , third, fourth] = receiver.requests.map(({ atMs }) => atMs);
    // The second event began with the wait at which the first one had arrived.
    expect(fourth! - third!).toBeGreaterThan(3 * 7.5);
    expect(fourth! - first!).toBeGreaterThan(7 * 7.5 - 5);
  });
});

describe('an endpoint that redirects', () => {
  it.each([301, 307, 308])('is followed with %i within itself', async (status) => {
    const receiver = await startReceiver();
    receiver.answer = ({ path }, response) => {
      if (path === '/new/hook') return 200;
      response.writeHead(status, { location: '/new/hook' }).end();
      return undefined;
    };
    const { sink } = await runNotifications({ endpoints: [{ name: 'a', url: receiver.url, ...quick }] });
    sink.publish(eventOf('1'));
    await expect.poll(() => requestIds(receiver.taken)).toEqual(['1']);
    expect(receiver.requests.map(({ method, path }) => `${method} ${path}`)).toEqual(['POST /hook', 'POST /new/hook']);
  });

  it('elsewhere is not followed, and nothing is lost', async () => {
    const elsewhere = await startReceiver();
    const receiver = await startReceiver();
    receiver.answer = (_request, response) => {
      response.writeHead(308, { location: elsewhere.url }).end();
      return undefined;
    };
    const { sink, metric } = await runNotifications({ endpoints: [{ name: 'a', url: receiver.url, ...quick }] });
    sink.publish(eventOf('1'));
    await expect.poll(() => metric('requests_total', { status: '308' })).toBeGreaterThan(2);
    expect([elsewhere.requests.length, await metric('pending')]).toEqual([0, 1]);
  });

  it('in a circle is a failure', async () => {
    const receiver = await startReceiver();
    receiver.answer = (_request, response) => {
      response.writeHead(307, { location: '/hook' }).end();
      return undefined;
    };
    const { sink, metric } = await runNotifications({ endpoints: [{ name: 'a', url: receiver.url, ...quick }] });
    sink.publish(eventOf('1'));
    await expect.poll(() => metric('requests_total', { status: '307' })).toBeGreaterThan(1);
    expect(await metric('pending')).toBe(1);
  });

  it.each([302, 303, 304, 300])('has taken the events with %i', async (status) => {
    const elsewhere = await startReceiver();
    const receiver = await startReceiver();
    receiver.answer = (_request, response) => {
      response.writeHead(status, { location: elsewhere.url }).end();
      return undefined;
    };
    const { sink, metric } = await runNotifications({ endpoints: [{ name: 'a', url: receiver.url, ...quick }] });
    sink.publish(eventOf('1'));
    await expect.poll(() => metric('events_total', { result: 'delivered' })).toBe(1);
    expect([elsewhere.requests.length, receiver.requests.length]).toEqual([0, 1]);
  });
});

describe('notifications that are stopped', () => {
  it('wait for a request that runs, and lose nothing of what comes last', async () => {
    const directory = await makeTempDir();
    const receiver = await startReceiver();
    receiver.answer = (_request, response) => {
      setTimeout(() => response.writeHead(200).end(), 100);
      return undefined;
    };
    const endpoint = { name: 'a', url: receiver.url, batchSize: 1 };
    const first = await runNotifications({ directory, endpoints: [endpoint] });
    first.sink.publish(eventOf('1'));
    await expect.poll(() => receiver.requests.length).toBe(1);
    first.sink.publish(eventOf('2'));
    await first.stop();
    expect(await first.metric('events_total', { result: 'delivered' })).toBe(1);
    receiver.answer = () => 200;
    await runNotifications({ directory, endpoints: [endpoint] });
    await expect.poll(() => receiver.requests.flatMap(({ events }) => requestIds(events))).toEqual(['1', '2']);
  });

  it('do not wait for a receiver that hangs', async () => {
    const directory = await makeTempDir();
    const receiver = await startReceiver({ answer: () => undefined });
    const endpoint = { name: 'a', url: receiver.url, timeoutMs: 60_000 };
    const first = await runNotifications({ directory, endpoints: [endpoint] });
    first.sink.publish(eventOf('1'));
    await expect.poll(() => receiver.requests.length).toBe(1);
    const before = performance.now();
    await first.stop();
    expect(performance.now() - before).toBeLessThan(4_000);
    receiver.answer = () => 200;
    await runNotifications({ directory, endpoints: [endpoint] });
    await expect.poll(() => requestIds(receiver.taken)).toEqual(['1']);
  });
});
