import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ConfigError } from '../../src/core/index.ts';
import { EventQueue, type EventQueueOptions } from '../../src/notifications/event-queue.ts';
import { sqliteFault } from '../../src/notifications/queue-database.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';

const all = { maxEvents: 1_000, maxBytes: 1_000_000 };

function open(file: string, options: Partial<EventQueueOptions> = {}): EventQueue {
  const queue = EventQueue.open(file, { ...all, endpoints: ['a', 'b'], ...options });
  onTestFinished(() => queue.close());
  return queue;
}

async function newFile(): Promise<string> {
  return join(await makeTempDir(), 'queue.sqlite');
}

function texts(queue: EventQueue, endpoint: string): string[] {
  return queue.read(endpoint, all).map(({ text }) => text);
}

function event(endpoint: string, text: string, createdAtMs = 1) {
  return { endpoint, text, createdAtMs };
}

describe('EventQueue', () => {
  it('keeps the order of each endpoint, over a restart too', async () => {
    const file = await newFile();
    const first = open(file);
    first.add([event('a', '1'), event('b', '2'), event('a', '3')]);
    first.add([event('a', '4')]);
    expect(first.removeUpTo('a', first.read('a', all)[0]!.seq)).toBe(1);
    first.close();
    const second = open(file);
    expect([texts(second, 'a'), texts(second, 'b')]).toEqual([['3', '4'], ['2']]);
    expect(second.figures('a')).toEqual({ events: 2, bytes: 2, oldestMs: 1 });
  });

  it('reads no more than was asked for, but one event at least', async () => {
    const queue = open(await newFile());
    queue.add(['äää', '22', '3'].map((text) => event('a', text)));
    expect(queue.read('a', { maxEvents: 2, maxBytes: 100 }).map(({ text }) => text)).toEqual(['äää', '22']);
    expect(queue.read('a', { maxEvents: 9, maxBytes: 8 }).map(({ text }) => text)).toEqual(['äää', '22']);
    expect(queue.read('a', { maxEvents: 9, maxBytes: 1 }).map(({ text }) => text)).toEqual(['äää']);
  });

  it('drops the oldest beyond the bounds, of that endpoint only', async () => {
    const queue = open(await newFile(), { maxEvents: 3, maxBytes: 10 });
    expect(queue.add([event('b', 'other'), ...['1', '2', '3', '4'].map((text) => event('a', text))])).toEqual(
      new Map([['a', 1]]),
    );
    expect(queue.add([event('a', '55555555')])).toEqual(new Map([['a', 1]]));
    expect(texts(queue, 'a')).toEqual(['3', '4', '55555555']);
    expect(queue.add([event('a', 'too long for any queue')])).toEqual(new Map([['a', 4]]));
    expect([texts(queue, 'a'), texts(queue, 'b')]).toEqual([[], ['other']]);
    // What was read before the queue ran over does not take along what came after.
    queue.add([event('a', '6')]);
    expect(queue.removeUpTo('a', 4)).toBe(0);
    expect(texts(queue, 'a')).toEqual(['6']);
  });

  it('ends what is too old, from the front on', async () => {
    const queue = open(await newFile());
    queue.add([event('a', '1', 10), event('a', '2', 20), event('a', '3', 15), event('a', '4', 40)]);
    expect([queue.removeOlderThan('a', 10), queue.removeOlderThan('a', 20)]).toEqual([0, 1]);
    // The clock was set back: what stands behind a younger one waits with it.
    expect(texts(queue, 'a')).toEqual(['2', '3', '4']);
    expect([queue.removeOlderThan('a', 41), queue.removeOlderThan('b', 41)]).toEqual([3, 0]);
    queue.add([event('a', '5', 50), event('b', '6', 50)]);
    expect([texts(queue, 'a'), texts(queue, 'b')]).toEqual([['5'], ['6']]);
  });

  it('forgets endpoints that are gone, and says how much went', async () => {
    const file = await newFile();
    const first = open(file);
    first.add([event('a', '1'), event('b', '2')]);
    first.close();
    const second = open(file, { endpoints: ['b', 'c'] });
    expect(second.forgotten).toEqual(new Map([['a', 1]]));
    second.add([event('c', '3')]);
    expect([texts(second, 'b'), texts(second, 'c')]).toEqual([['2'], ['3']]);
    second.close();
    expect(texts(open(file, { endpoints: ['a', 'b', 'c'] }), 'a')).toEqual([]);
  });

  it('adds all or nothing when the disk is full, and counts right afterwards', async () => {
    const queue = open(await newFile(), { maxFileBytes: 200_000 });
    queue.add([event('a', 'small')]);
    const many = Array.from({ length: 100 }, (_, index) => event('a', `${index} ${'x'.repeat(3_000)}`));
    const failure = catchError(() => queue.add(many));
    expect(sqliteFault(failure)).toBe('full');
    expect([texts(queue, 'a'), queue.figures('a').events, queue.figures('a').bytes]).toEqual([['small'], 1, 5]);
    queue.add([event('a', 'next')]);
    expect(texts(queue, 'a')).toEqual(['small', 'next']);
  });

  it('is open once at a time', async () => {
    const file = await newFile();
    const queue = open(file);
    expect(sqliteFault(catchError(() => open(file)))).toBe('busy');
    queue.close();
    expect(texts(open(file), 'a')).toEqual([]);
  });

  it('leaves the file of another version alone', async () => {
    const file = await newFile();
    const other = new DatabaseSync(file);
    other.exec('PRAGMA user_version = 7');
    other.close();
    const failure = catchError(() => open(file));
    expect(failure).toBeInstanceOf(ConfigError);
    expect((failure as Error).message).toContain('version 7, expected 1');
    expect(await readdir(join(file, '..'))).toEqual(['queue.sqlite']);
  });

  it('does what a list does, whatever comes in whatever order', async () => {
    const folder = await makeTempDir();
    let run = 0;
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        run += 1;
        const file = join(folder, `${run}.sqlite`);
        let queue = EventQueue.open(file, { endpoints: ['a', 'b'], maxEvents: 6, maxBytes: 40 });
        const model = new Map<string, string[]>([
          ['a', []],
          ['b', []],
        ]);
        try {
          for (const { kind, endpoint, lengths } of steps) {
            const list = model.get(endpoint)!;
            if (kind === 'add') {
              const added = lengths.map((length, index) => `${index}`.padEnd(length, '.'));
              queue.add(added.map((text) => event(endpoint, text)));
              list.push(...added);
              while (list.length > 6 || list.join('').length > 40) list.shift();
            } else if (kind === 'remove') {
              const batch = queue.read(endpoint, { maxEvents: lengths.length, maxBytes: 1_000 });
              expect(batch.map(({ text }) => text)).toEqual(list.splice(0, lengths.length));
              if (batch.length > 0) expect(queue.removeUpTo(endpoint, batch.at(-1)!.seq)).toBe(batch.length);
            } else {
              queue.close();
              queue = EventQueue.open(file, { endpoints: ['a', 'b'], maxEvents: 6, maxBytes: 40 });
            }
            for (const [name, expected] of model) {
              expect(texts(queue, name)).toEqual(expected);
              expect(queue.figures(name)).toMatchObject({ events: expected.length, bytes: expected.join('').length });
            }
          }
        } finally {
          queue.close();
        }
      }),
      { numRuns: 25 },
    );
  });
});

const step = fc.record({
  kind: fc.constantFrom('add', 'add', 'remove', 'reopen'),
  endpoint: fc.constantFrom('a', 'b'),
  lengths: fc.array(fc.integer({ min: 1, max: 15 }), { minLength: 1, maxLength: 4 }),
});

function catchError(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}
