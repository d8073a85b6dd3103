import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import type { DriverParameters } from '../parameters.ts';
import { DriverConnection } from './connection.ts';
import type { Environment } from './environment.ts';
import { LastLines } from './last-lines.ts';
import { readLines } from './ndjson.ts';
import { type DriverInfo, environmentNames, formatInfo, PROTOCOL, readInfo } from './protocol.ts';

/** How long a program has to be ready. */
export const READY_MS = 10_000;
/** How long it has to end once it is asked to. */
export const END_MS = 10_000;
/** Longest path of a unix socket that every system takes (macOS has 104 with the zero at the end). */
const MAX_SOCKET_PATH = 103;
/** After the program has ended: what it wrote last is on its way still, unless a child of its own holds the pipe. */
const LAST_WORDS_MS = 200;

/** What a driver program is started by. */
export interface LaunchOptions {
  /** Names the driver in errors before it has said its own name. */
  readonly label: string;
  readonly command: readonly [string, ...string[]];
  readonly parameters: DriverParameters;
  /** What the program gets of this program's environment. */
  readonly environment: Environment;
  /** How long the program has to be ready, and to end. */
  readonly readyMs: number;
  readonly endMs: number;
  /** Gets each line that the program writes to standard error. */
  readonly log: (line: string) => void;
}

/** A program did not become a driver; the message says what was expected and what it did. */
export class LaunchError extends Error {
  /** Whether it may go better another time with the same configuration. */
  readonly isTemporary: boolean;

  constructor(message: string, isTemporary: boolean, options?: ErrorOptions) {
    super(message, options);
    this.isTemporary = isTemporary;
  }
}

/**
 * Starts a driver program and waits until it is ready: its line on standard output is there, and `GET /v1/info` says the same.
 * A program that fails to is ended. @throws LaunchError
 */
export async function launchDriver(options: LaunchOptions): Promise<DriverProcess> {
  // Made with mode 0700: nobody else reaches the socket in it.
  const directory = await mkdtemp(join(tmpdir(), 'shoal-driver-'));
  const launched = new DriverProcess(options, directory);
  try {
    await launched.becomeReady();
    return launched;
  } catch (error) {
    await launched.kill();
    if (error instanceof LaunchError) throw error;
    const text = error instanceof Error ? error.message : String(error);
    throw new LaunchError(launched.describe(`did not become ready (${text})`), true, { cause: error });
  }
}

/** A running driver program; whoever launched it closes it. */
export class DriverProcess {
  readonly connection: DriverConnection;
  /** Resolves, with how, when the program has ended. */
  readonly ended: Promise<string>;
  readonly #options: LaunchOptions;
  readonly #directory: string;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #lastLines = new LastLines();
  #info: DriverInfo | undefined;
  #hasEnded = false;

  constructor(options: LaunchOptions, directory: string) {
    const [program, ...words] = options.command;
    const token = randomBytes(32).toString('hex');
    const socketPath = join(directory, 'driver.sock');
    this.#options = options;
    this.#directory = directory;
    this.connection = new DriverConnection({ socketPath, token, driverName: options.label });
    this.#child = spawn(program, words, {
      stdio: ['pipe', 'pipe', 'pipe'],
      // A group of its own: Ctrl-C at a terminal ends this program, which then ends the driver when it needs it no more.
      detached: true,
      env: {
        ...options.environment,
        [environmentNames.socket]: socketPath,
        [environmentNames.protocol]: String(PROTOCOL),
        [environmentNames.token]: token,
      },
    });
    this.ended = this.#watch();
    void this.#readLog();
    // The parameters go by the pipe: the words and variables of a process can be read by others. The pipe stays open, so
    // that the driver sees by its end when this program is gone, however it went.
    this.#child.stdin.on('error', () => undefined); // It has ended, and `ended` says how.
    this.#child.stdin.write(`${JSON.stringify(options.parameters)}\n`);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** What it has said of itself, once it is ready. */
  get info(): DriverInfo {
    if (this.#info === undefined) throw new Error('the driver program is not ready yet');
    return this.#info;
  }

  /** @throws LaunchError when it is not ready in time */
  async becomeReady(): Promise<void> {
    const { readyMs } = this.#options;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const message = `is not ready after ${readyMs} ms, expected its line on standard output and an answer to GET /v1/info`;
      timer = setTimeout(() => reject(new LaunchError(this.describe(message), true)), readyMs);
    });
    const dead = this.ended.then((how) => {
      throw new LaunchError(this.describe(`ended (${how}) before it was ready`), false);
    });
    try {
      this.#info = await Promise.race([this.#introduce(), late, dead]);
      this.connection.driverName = driverNameOf(this.#info);
    } finally {
      clearTimeout(timer);
      dead.catch(() => undefined);
    }
  }

  /** A sentence about this program, with what it wrote last. */
  describe(what: string): string {
    const { label, command } = this.#options;
    return `${label}: the program ${command[0]} ${what}; ${this.#lastLines.describe()}`;
  }

  /** Asks the program to end, and ends it when it does not. */
  async close(): Promise<void> {
    await this.connection.close(new Error('the driver is closed'));
    this.#child.stdin.end();
    this.#signal('SIGTERM');
    const timer = setTimeout(() => this.#signal('SIGKILL'), this.#options.endMs);
    await this.ended;
    clearTimeout(timer);
  }

  /** Ends the program at once. */
  async kill(): Promise<void> {
    this.#signal('SIGKILL');
    await this.connection.close(new Error('the driver program was ended'));
    await this.ended;
  }

  async #introduce(): Promise<DriverInfo> {
    const line = await this.#firstLine();
    const said = readInfo(parseJson(line));
    if (typeof said === 'string') {
      const expected = `{"protocol":${PROTOCOL},"version":"${PROTOCOL}.0","name":"…","capabilities":{…}}`;
      const message = `did not introduce itself (${said}): expected the line ${expected}, got ${quote(line)}`;
      throw new LaunchError(this.describe(message), false);
    }
    const answered = await this.connection.json({ method: 'GET', call: 'info', path: '/' }, (value) => ({
      info: readInfo(value),
      text: JSON.stringify(value),
    }));
    const agrees = typeof answered.info !== 'string' && formatInfo(answered.info) === formatInfo(said);
    if (!agrees) {
      const message = `says two things of itself: ${quote(line)} in its line, ${quote(answered.text)} at GET /v1/info`;
      throw new LaunchError(this.describe(message), false);
    }
    return said;
  }

  /** The first line of standard output; the rest is read and thrown away, so that the program never waits for a reader. */
  async #firstLine(): Promise<string> {
    const { stdout } = this.#child;
    const lines = readLines(stdout.iterator({ destroyOnReturn: false }))[Symbol.asyncIterator]();
    const { value, done } = await lines.next();
    await lines.return?.();
    stdout.on('error', () => undefined).resume();
    // It has ended, or has closed its standard output and never becomes ready: the others in the race say so.
    return done ? new Promise<never>(() => undefined) : value;
  }

  async #readLog(): Promise<void> {
    try {
      for await (const line of readLines(this.#child.stderr)) {
        this.#lastLines.add(line);
        this.#options.log(line);
      }
    } catch {
      // The pipe broke, or a line was too long: what it says from here on is lost, and it must not wait for a reader.
      this.#child.stderr.resume();
    }
  }

  #watch(): Promise<string> {
    const child = this.#child;
    return new Promise<string>((resolve) => {
      child.once('error', (error) => resolve(`could not be started: ${error.message}`));
      child.once('exit', (code, signal) => {
        this.#hasEnded = true;
        const how = signal === null ? `status ${code}` : `signal ${signal}`;
        const timer = setTimeout(() => resolve(how), LAST_WORDS_MS);
        child.once('close', () => {
          clearTimeout(timer);
          resolve(how);
        });
      });
    }).then(async (how) => {
      await rm(this.#directory, { recursive: true, force: true });
      return how;
    });
  }

  /** To the whole group, so that a script that has not replaced itself does not leave the driver behind. */
  #signal(signal: NodeJS.Signals): void {
    const { pid } = this.#child;
    if (pid === undefined || this.#hasEnded) return;
    try {
      process.kill(-pid, signal);
    } catch {
      // It has ended by itself meanwhile.
    }
  }
}

/** What a driver is called in Shoal whose program has this name. */
export function driverNameOf({ name }: DriverInfo): string {
  return `ipc:${name}`;
}

/** Whether a socket can be made in this machine's folder for temporary files; else in words why not. */
export function findSocketFault(): string | undefined {
  const longest = join(tmpdir(), 'shoal-driver-XXXXXX', 'driver.sock');
  if (Buffer.byteLength(longest) <= MAX_SOCKET_PATH) return undefined;
  return `the folder for temporary files (${tmpdir()}) has too long a path for a unix socket; set TMPDIR to a shorter one`;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // Said by whoever looks at what it is.
  }
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 300));
}
