import { chmod, rename, rm, writeFile } from 'node:fs/promises';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { hashSync } from 'bcryptjs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parseHtpasswd } from '../../src/access/htpasswd.ts';
import { PasswordThread } from '../../src/access/password-thread.ts';
import { ConfigError, UnavailableError } from '../../src/core/index.ts';
import { testLogger } from '../helpers/logger.ts';
import {
  ask,
  basic,
  entry,
  htpasswdLine,
  ManualClock,
  openTestAccess,
  rule,
  wordOf,
  writeHtpasswd,
} from './fixture.ts';

const asks = '401 Basic realm="Shoal"';
const rules = [rule(['authenticated'], ['**'], ['pull'])];

async function openUsers(text: string, deps: Parameters<typeof openTestAccess>[1] = {}) {
  const file = await writeHtpasswd(text);
  const access = await openTestAccess({ htpasswd: { file, realm: 'Shoal' }, rules }, deps);
  const login = async (user: string, password: string) => wordOf(await ask(access, basic(user, password), entry));
  return { file, access, login };
}

describe('parseHtpasswd', () => {
  const hash = hashSync('secret', 4);

  it('takes bcrypt of all three names, comments, empty lines and both line ends', () => {
    const variants = ['2a', '2b', '2y'].map((name) => hash.replace(/^\$2./, `$${name}`));
    const text = `# users\n\na:${variants[0]}\r\n  b:${variants[1]}  \n#x:plain\nc d:${variants[2]}`;
    const { hashes } = parseHtpasswd(text, 'f');
    expect([...hashes]).toEqual([
      ['a', variants[0]],
      ['b', variants[1]],
      ['c d', variants[2]],
    ]);
  });

  it.each([
    ['alice', /f:2: expected user:hash/],
    [`:${hash}`, /f:2: expected user:hash/],
    ['alice:', /f:2: expected a bcrypt hash for "alice".*got nothing/],
    ['alice:secret', /f:2: .*got crypt or plain text: set it with htpasswd -B/],
    ['alice:$apr1$abcdefgh$0123456789012345678901', /f:2: .*got MD5/],
    ['alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=', /f:2: .*got SHA-1/],
    ['alice:$6$salt$hash', /f:2: .*got SHA-2 crypt/],
    [`alice:${hash.slice(0, -1)}`, /f:2: .*got a bcrypt hash that is damaged/],
    [`alice:${hash}:x`, /f:2: .*damaged/],
    [`alice:${hash.replace('$04$', '$03$')}`, /f:2: expected a bcrypt cost of 4 to 15 for "alice", got 3/],
    [`alice:${hash.replace('$04$', '$31$')}`, /f:2: .*got 31/],
    [`anonymous:${hash}`, /f:2: no user can be called "anonymous"/],
    [`token:${hash}`, /f:2: no user can be called "token"/],
    [`a\u0007b:${hash}`, /f:2: .*control character/],
    [`first:${hash}`, /f:2: the user "first" is on line 1 already/],
  ])('names the line of %j', (line, message) => {
    const read = () => parseHtpasswd(`first:${hash}\n${line}\n`, 'f');
    expect(read).toThrow(ConfigError);
    expect(read).toThrow(message);
    // What stands behind the colon may be a password.
    if (line.includes('secret')) expect(read).not.toThrow(/secret/);
  });

  it('names every line that is wrong, and not more than anybody reads', () => {
    const text = Array.from({ length: 50 }, (_value, index) => `user${index}:x`).join('\n');
    expect(() => parseHtpasswd(text, 'f')).toThrow(/f:1: [\s\S]*f:20: [\s\S]*and 30 more/);
  });

  it('has a decoy that costs as much as the dearest user, another one each time', () => {
    const text = `a:${hashSync('x', 4)}\nb:${hashSync('x', 6)}`;
    const { decoy } = parseHtpasswd(text, 'f');
    expect(decoy).toMatch(/^\$2b\$06\$[./A-Za-z0-9]{53}$/);
    expect(parseHtpasswd(text, 'f').decoy).not.toBe(decoy);
    expect(parseHtpasswd('', 'f').decoy).toMatch(/^\$2b\$10\$/);
  });
});

describe('logins with passwords', () => {
  it('let in the user with the right password, and nobody else', async () => {
    const { access, login } = await openUsers(htpasswdLine('alice', 'sécret:1') + htpasswdLine('bob', ''));
    expect(await login('alice', 'sécret:1')).toBe('alice');
    expect(await login('bob', '')).toBe('bob');
    for (const [user, password] of [
      ['alice', 'secret:1'],
      ['alice', ''],
      ['alice', 'sécret:1 '],
      ['Alice', 'sécret:1'],
      ['bob', 'x'],
      ['carol', 'sécret:1'],
      ['', 'sécret:1'],
      ['__proto__', 'x'],
    ] as const) {
      expect(await login(user, password), user).toBe(asks);
    }
    expect(wordOf(await ask(access, undefined, entry))).toBe(asks);
    expect(wordOf(await ask(access, 'Bearer x.y.z', entry))).toBe(asks);
    expect(wordOf(await ask(access, 'nonsense', entry))).toBe(asks);
  });

  it('work as long for a user that there is not', async () => {
    // Dear enough to tell a check from none.
    const { login } = await openUsers(htpasswdLine('alice', 'secret', 9));
    await login('warm', 'up');
    const timeOf = async (user: string, password: string) => {
      const begin = performance.now();
      expect(await login(user, password)).toBe(asks);
      return performance.now() - begin;
    };
    const known: number[] = [];
    const unknown: number[] = [];
    for (let round = 0; round < 5; round += 1) {
      known.push(await timeOf('alice', `wrong ${round}`));
      unknown.push(await timeOf(`nobody${round}`, 'wrong'));
    }
    expect(Math.min(...unknown)).toBeGreaterThan(Math.min(...known) / 3);
  });

  it('remember what was right for five minutes, so that not every request costs a check', async () => {
    const clock = new ManualClock();
    const { access, login } = await openUsers(htpasswdLine('alice', 'secret', 10), { clock, maxWaitingPasswords: 1 });
    expect(await login('alice', 'secret')).toBe('alice');
    const signal = new AbortController().signal;
    /** With one check under way and one waiting, another would be turned away. */
    const whileBusy = async (task: () => Promise<void>) => {
      const busy = [1, 2].map((value) => access.admit(basic('alice', `wrong ${value}`), entry, signal));
      const ended = Promise.allSettled(busy);
      await task();
      await ended;
    };
    clock.advance(5 * 60_000 - 1);
    await whileBusy(async () => expect(await login('alice', 'secret')).toBe('alice'));
    // Only the pair as a whole is remembered.
    await whileBusy(async () => expect(login('alice', 'Secret')).rejects.toThrow(UnavailableError));
    clock.advance(2);
    await whileBusy(async () => expect(login('alice', 'secret')).rejects.toThrow(UnavailableError));
    expect(await login('alice', 'secret')).toBe('alice');
  });

  it('follow the file: new users, changed passwords, and users that are gone', async () => {
    const clock = new ManualClock();
    const { file, login } = await openUsers(htpasswdLine('alice', 'old') + htpasswdLine('bob', 'bob'), { clock });
    expect(await login('alice', 'old')).toBe('alice');
    expect(await login('bob', 'bob')).toBe('bob');
    await writeFile(file, htpasswdLine('alice', 'new') + htpasswdLine('carol', 'carol'));
    clock.advance(1000);
    // Remembered before, and right no more.
    expect(await login('alice', 'old')).toBe(asks);
    expect(await login('bob', 'bob')).toBe(asks);
    expect(await login('alice', 'new')).toBe('alice');
    expect(await login('carol', 'carol')).toBe('carol');
  });

  it('follow a file that another one is put in the place of, with the same size and time', async () => {
    const clock = new ManualClock();
    const { file, login } = await openUsers(htpasswdLine('alice', 'old'), { clock });
    await writeFile(`${file}.new`, htpasswdLine('alice', 'new'));
    await rename(`${file}.new`, file);
    clock.advance(1000);
    expect(await login('alice', 'new')).toBe('alice');
    expect(await login('alice', 'old')).toBe(asks);
  });

  it.each([
    ['is broken', (file: string) => writeFile(file, 'alice:plain\n')],
    ['is gone', (file: string) => rm(file)],
    ['can be written by everybody', (file: string) => chmod(file, 0o666)],
  ])('stay as they were while the file %s', async (_name, breakFile) => {
    const clock = new ManualClock();
    const { file, login } = await openUsers(htpasswdLine('alice', 'old'), { clock });
    await breakFile(file);
    clock.advance(1000);
    expect(await login('alice', 'old')).toBe('alice');
    await rm(file, { force: true });
    await writeFile(file, htpasswdLine('alice', 'new'));
    clock.advance(1000);
    expect(await login('alice', 'new')).toBe('alice');
    expect(await login('alice', 'old')).toBe(asks);
  });

  it.each([
    ['is missing', async (file: string) => rm(file), /access\.htpasswd\.file: cannot read .*ENOENT/],
    ['is broken', async (file: string) => writeFile(file, 'alice:plain'), /:1: .*bcrypt/],
    ['can be written by everybody', async (file: string) => chmod(file, 0o646), /everybody can write/],
  ])('do not open when the file %s', async (_name, breakFile, message) => {
    const file = await writeHtpasswd(htpasswdLine('alice', 'old'));
    await breakFile(file);
    const opened = openTestAccess({ htpasswd: { file, realm: 'Shoal' }, rules });
    await expect(opened).rejects.toThrow(ConfigError);
    await expect(opened).rejects.toThrow(message);
  });

  it('turn a flood of wrong passwords away, while those who were right before get in at once', async () => {
    const { access, login } = await openUsers(htpasswdLine('alice', 'secret', 10), { maxWaitingPasswords: 5 });
    expect(await login('alice', 'secret')).toBe('alice');
    const delay = monitorEventLoopDelay({ resolution: 5 });
    delay.enable();
    const signal = new AbortController().signal;
    const flood = Array.from({ length: 500 }, (_value, index) =>
      access.admit(basic('alice', `wrong ${index}`), entry, signal).then(
        () => 'admitted',
        (error: unknown) => (error instanceof UnavailableError ? 'turned away' : wordOfError(error)),
      ),
    );
    expect(await login('alice', 'secret')).toBe('alice');
    const outcomes = await Promise.all(flood);
    delay.disable();
    expect(outcomes.filter((word) => word === 'turned away')).toHaveLength(500 - 6);
    expect(outcomes.filter((word) => word === 'AuthenticationRequiredError')).toHaveLength(6);
    // One check alone takes longer than this where it is computed in the way of everything else.
    expect(delay.percentile(50) / 1e6).toBeLessThan(40);
  });

  it('check the same pair once when it comes on many connections at the same time', async () => {
    const { login } = await openUsers(htpasswdLine('alice', 'secret', 8), { maxWaitingPasswords: 1 });
    const words = await Promise.all(Array.from({ length: 20 }, () => login('alice', 'secret')));
    expect(new Set(words)).toEqual(new Set(['alice']));
  });

  it('end the wait of a client that goes away, and of no other', async () => {
    const { access, login } = await openUsers(htpasswdLine('alice', 'secret', 9));
    const leaving = new AbortController();
    const left = access.admit(basic('alice', 'secret'), entry, leaving.signal);
    const stays = login('alice', 'secret');
    leaving.abort(new Error('left'));
    await expect(left).rejects.toThrow('left');
    expect(await stays).toBe('alice');
    await expect(access.admit(basic('alice', 'x'), entry, leaving.signal)).rejects.toThrow('left');
  });

  it('fail what waits when they are closed', async () => {
    const { access } = await openUsers(htpasswdLine('alice', 'secret', 12));
    const signal = new AbortController().signal;
    const waiting = [1, 2].map((value) => access.admit(basic('alice', `${value}`), entry, signal));
    const settled = Promise.allSettled(waiting);
    await new Promise(setImmediate);
    await access[Symbol.asyncDispose]();
    for (const result of await settled) {
      expect(result).toMatchObject({ status: 'rejected', reason: expect.any(UnavailableError) });
    }
  });
});

describe('PasswordThread', () => {
  it('starts again after its thread has ended', async () => {
    const thread = new PasswordThread({ logger: testLogger() });
    onTestFinished(() => thread.close());
    const hash = hashSync('x', 4);
    expect(await thread.check('x', hash)).toBe(true);
    // A hash that is no text ends the thread.
    await expect(thread.check('x', 7 as never)).rejects.toThrow(UnavailableError);
    expect(await thread.check('x', hash)).toBe(true);
    expect(await thread.check('y', hash)).toBe(false);
    await thread.close();
    await expect(thread.check('x', hash)).rejects.toThrow(UnavailableError);
  });
});

function wordOfError(error: unknown): string {
  return error instanceof Error ? error.name : String(error);
}
