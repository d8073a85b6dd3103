import { type ChildProcess, spawn } from 'node:child_process';
import { open, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { request } from 'undici';
import { ProgramFailedError } from '../errors.ts';
import type { PlannedProgram } from './plan.ts';

/** How one program is started. */
export interface ChildProgramOptions {
  readonly program: PlannedProgram;
  readonly configFile: string;
  readonly logFile: string;
  /** Told once when the process ends without having been asked to. */
  readonly onDeath: (how: string) => void;
}

const READY_POLL_MS = 100;

/**
 * One program of `shoal up` as a process of its own. Its standard input is a pipe that nobody writes to: it ends with this
 * process, however this process ends, and the child then ends itself.
 */
export class ChildProgram {
  readonly program: PlannedProgram;
  readonly logFile: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #listening = false;
  #stopping = false;
  #death: string | undefined;

  private constructor(options: ChildProgramOptions, child: ChildProcess) {
    this.program = options.program;
    this.logFile = options.logFile;
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      const end = (how: string) => {
        if (this.#death !== undefined) return;
        this.#death = how;
        resolve();
        if (!this.#stopping) options.onDeath(how);
      };
      child.once('exit', (code, signal) => end(signal === null ? `exit status ${code}` : `signal ${signal}`));
      child.once('error', (error) => end(error.message));
    });
    child.once('message', () => {
      this.#listening = true;
    });
    // A child that is gone already has closed the other end of the pipe.
    child.stdin?.on('error', () => {});
  }

  /** Starts the process; its log goes to a file, which is appended to. */
  static async start(options: ChildProgramOptions): Promise<ChildProgram> {
    const shoal = fileURLToPath(new URL('../../../bin/shoal.js', import.meta.url));
    const log = await open(options.logFile, 'a', 0o600);
    try {
      const { role } = options.program;
      const child = spawn(process.execPath, [shoal, role, '--config', options.configFile, '--exit-with-stdin'], {
        stdio: ['pipe', log.fd, log.fd, 'ipc'],
        // A group of its own: Ctrl-C in the terminal reaches `shoal up` only, which ends its programs in order.
        detached: true,
      });
      return new ChildProgram(options, child);
    } finally {
      await log.close();
    }
  }

  /**
   * Resolves when the process has said that it listens (before that, another program might answer on its port), and
   * `/readyz` says that it can work. @throws ProgramFailedError when the process ends first, or the time is up
   */
  async untilReady(timeoutMs: number, signal: AbortSignal): Promise<void> {
    const endMs = performance.now() + timeoutMs;
    let reason = 'no answer';
    for (;;) {
      signal.throwIfAborted();
      if (this.#death !== undefined) throw await this.#failed(`ended at its start (${this.#death})`);
      if (performance.now() > endMs) throw await this.#failed(`was not ready within ${timeoutMs / 1000} s: ${reason}`);
      reason = this.#listening ? await this.#whyNotReady(signal) : 'it does not listen yet';
      if (reason === '') return;
      await Promise.race([this.#ended, new Promise((resolve) => setTimeout(resolve, READY_POLL_MS))]);
    }
  }

  /** Asks the process to end, and makes it after `timeoutMs`. */
  async stop(timeoutMs: number): Promise<void> {
    this.#stopping = true;
    if (this.#death !== undefined) return;
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.kill(), timeoutMs);
    await this.#ended;
    clearTimeout(timer);
  }

  /** Ends the process at once. */
  kill(): void {
    this.#stopping = true;
    this.#child.kill('SIGKILL');
  }

  /** @returns an empty text when it is ready */
  async #whyNotReady(signal: AbortSignal): Promise<string> {
    try {
      const url = `http://127.0.0.1:${this.program.port}/readyz`;
      const response = await request(url, { signal, headersTimeout: 5_000, bodyTimeout: 5_000 });
      const text = await response.body.text();
      return response.statusCode === 200 ? '' : ((JSON.parse(text) as { reason?: string }).reason ?? text);
    } catch (error) {
      signal.throwIfAborted();
      return error instanceof Error ? error.message || error.name : String(error);
    }
  }

  async #failed(what: string): Promise<ProgramFailedError> {
    const last = await lastMessage(this.logFile);
    const said = last === undefined ? '' : `; the last that it said: ${last}`;
    return new ProgramFailedError(`${this.program.name} ${what}${said}; its log is ${this.logFile}`, {
      program: this.program.name,
      log: this.logFile,
    });
  }
}

/** The text of the last line of a log: plain, or the message of a JSON line. */
async function lastMessage(file: string): Promise<string | undefined> {
  const line = (await readFile(file, 'utf8')).trimEnd().split('\n').at(-1);
  if (line === undefined || line === '') return undefined;
  try {
    const entry = JSON.parse(line) as { msg?: string; err?: { message?: string } };
    return entry.err?.message ?? entry.msg;
  } catch {
    return line; // A line for people, such as a fault of the configuration.
  }
}
