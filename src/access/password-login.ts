import { createHmac, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import type { Clock } from '../core/index.ts';
import type { HtpasswdConfig } from './config.ts';
import { type HtpasswdUsers, parseHtpasswd } from './htpasswd.ts';
import { PasswordThread } from './password-thread.ts';
import { waitFor } from './wait.ts';
import { WatchedFile } from './watched-file.ts';

/** What logins with passwords need. */
export interface PasswordLoginDeps {
  readonly logger: Logger;
  readonly clock: Clock;
  /** Checks that wait at most; see {@link PasswordThread}. */
  readonly maxWaiting?: number;
}

/** A successful check counts for this long, for so many pairs of user and password. */
const REMEMBER_MS = 5 * 60 * 1000;
const REMEMBER_MAX = 1000;

/** One state of the file, with what was found out while it was current. */
interface UserTable extends HtpasswdUsers {
  /** Pairs that were right, by their keyed hash. */
  readonly known: LRUCache<string, true>;
  /** Checks under way, by the same: a client that opens five connections costs one check. */
  readonly running: Map<string, Promise<boolean>>;
}

/**
 * Users and passwords of a htpasswd file. What has been right once is remembered for five minutes, as long as the file does
 * not change; what is remembered is a hash with a key that never leaves this process. Whoever opened it closes it.
 */
export class PasswordLogin {
  readonly realm: string;
  readonly #file: WatchedFile<UserTable>;
  readonly #thread: PasswordThread;
  readonly #logger: Logger;
  readonly #key = randomBytes(32);

  private constructor(realm: string, file: WatchedFile<UserTable>, deps: PasswordLoginDeps) {
    this.realm = realm;
    this.#file = file;
    this.#logger = deps.logger;
    this.#thread = new PasswordThread(deps);
  }

  /** @throws ConfigError when the file cannot be read, or has lines that are no bcrypt entries */
  static async open({ file, realm }: HtpasswdConfig, deps: PasswordLoginDeps): Promise<PasswordLogin> {
    const parse = (text: string) => makeTable(parseHtpasswd(text, file), deps.clock);
    const watched = await WatchedFile.open({ file, setting: 'access.htpasswd.file', parse, ...deps });
    return new PasswordLogin(realm, watched, deps);
  }

  /**
   * Whether a user has this password. Takes as long for users that there are not.
   * @throws UnavailableError when too many checks wait already; the signal's reason
   */
  async verify(user: string, password: string, signal: AbortSignal): Promise<boolean> {
    const table = await this.#file.current();
    const key = createHmac('sha256', this.#key).update(`${user}\0${password}`).digest('base64');
    if (table.known.has(key)) return true;
    let running = table.running.get(key);
    if (running === undefined) {
      running = this.#check(table, user, password, key).finally(() => table.running.delete(key));
      table.running.set(key, running);
    }
    return waitFor(running, signal);
  }

  close(): Promise<void> {
    return this.#thread.close();
  }

  async #check(table: UserTable, user: string, password: string, key: string): Promise<boolean> {
    const hash = table.hashes.get(user);
    const matches = await this.#thread.check(password, hash ?? table.decoy);
    const isRight = hash !== undefined && matches;
    if (isRight) table.known.set(key, true);
    else this.#logger.info({ user: user.slice(0, 256) }, 'a login with a wrong user or password was refused');
    return isRight;
  }
}

function makeTable(users: HtpasswdUsers, clock: Clock): UserTable {
  const perf = { now: () => clock.monotonicMs() };
  // Every read of the clock counts: the age of an entry must not lag behind.
  return {
    ...users,
    known: new LRUCache({ max: REMEMBER_MAX, ttl: REMEMBER_MS, ttlResolution: 0, perf }),
    running: new Map(),
  };
}
