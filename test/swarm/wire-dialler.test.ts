import { describe, expect, it, onTestFinished } from 'vitest';
import { type Dial, type DialFailure, Dialler } from '../../src/swarm/wire/wire-dialler.ts';

/** Peers that are dialled, and how that goes on is up to the test. */
function setUp(random = () => 0) {
  const dialler = new Dialler(random);
  onTestFinished(() => dialler.close());
  const running: { name: string; done: (failure?: DialFailure) => void }[] = [];
  const log: string[] = [];
  const add = (name: string, cancelled = () => false) => {
    const dial: Dial = {
      connect: (done) => {
        log.push(`dial ${name}`);
        running.push({ name, done });
      },
      cancelled,
      onFailed: (failure) => log.push(`${failure} ${name}`),
      onEnded: () => log.push(`end ${name}`),
    };
    return dialler.add(dial);
  };
  const finish = (name: string, failure?: DialFailure) => {
    const index = running.findIndex((each) => each.name === name);
    running.splice(index, 1)[0]!.done(failure);
  };
  return { dialler, add, finish, log, running };
}

describe('Dialler', () => {
  it('dials four at a time, the rest in order', async () => {
    const { add, finish, log, running } = setUp();
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) add(name);
    expect(log).toEqual(['dial a', 'dial b', 'dial c', 'dial d']);
    finish('b');
    await expect.poll(() => log).toEqual(['dial a', 'dial b', 'dial c', 'dial d', 'end b', 'dial e']);
    finish('a', 'refused');
    await expect.poll(() => log.slice(6)).toEqual(['end a', 'refused a', 'dial f']);
    expect(running).toHaveLength(4);
  });

  it('dials again what closed before its handshake, three times, and lets others go on meanwhile', async () => {
    const { add, finish, log } = setUp();
    for (const name of ['a', 'b', 'c', 'd', 'e']) add(name);
    for (let attempt = 0; attempt < 4; attempt++) {
      await expect.poll(() => log.filter((line) => line === 'dial a').length).toBe(attempt + 1);
      finish('a', 'closed');
      if (attempt === 0) await expect.poll(() => log.includes('dial e')).toBe(true);
      if (attempt === 0) finish('e');
    }
    await expect.poll(() => log.at(-1)).toBe('closed a');
    expect(log.filter((line) => line === 'end a')).toHaveLength(1);
  });

  it('does not dial what is not wanted any more, and counts a dial’s end once', async () => {
    const { add, log, running } = setUp();
    add('a', () => true);
    expect(log).toEqual(['end a']);
    add('b');
    const { done } = running[0]!;
    done();
    done('timeout');
    expect(log).toEqual(['end a', 'dial b', 'end b']);
  });

  it('keeps a bounded number waiting, and none after it was closed', () => {
    const { add, dialler, running } = setUp();
    let taken = 0;
    while (taken < 5_000 && add(`${taken}`)) taken++;
    expect(taken).toBe(4 + 1_024);
    dialler.close();
    running[0]!.done('closed');
    expect([add('late'), running.length]).toEqual([false, 4]);
  });
});
