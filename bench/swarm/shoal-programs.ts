import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';

/** A program's configuration, section by section. */
export type ProgramConfig = { readonly [key: string]: unknown };

/** One of Shoal's programs in a host's namespace. Its log is kept beside its data. */
export class ShoalProgram {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #logFile: string;
  readonly #exited: Promise<unknown>;

  private constructor(name: string, child: ChildProcess, logFile: string) {
    this.name = name;
    this.#child = child;
    this.#logFile = logFile;
    this.#exited = once(child, 'close').catch(() => {
      // It could not be started: whoever waits for it to be ready says so.
    });
    const log = createWriteStream(logFile, { flags: 'a' });
    child.stderr!.pipe(log);
    // The log is for messages only; without it the run goes on.
    log.on('error', () => child.stderr!.resume());
    child.stdin!.on('error', () => {}); // It may be killed before it reads.
  }

  /** Starts it; `command` is the program and its arguments up to the role. It ends when this process does. */
  static async start(options: {
    name: string;
    command: readonly string[];
    directory: string;
    config: ProgramConfig;
  }): Promise<() => ShoalProgram> {
    const { name, directory } = options;
    const file = join(directory, `${name}.yaml`);
    await writeFile(file, stringify(options.config), { mode: 0o600 });
    const [program, ...args] = [...options.command, '--config', file, '--exit-with-stdin'];
    return () => {
      const child = spawn(program!, args, { stdio: ['pipe', 'ignore', 'pipe'], detached: true });
      return new ShoalProgram(name, child, join(directory, `${name}.log`));
    };
  }

  /** 0 when it could not be started. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Ends it as a power failure would, and waits until it is gone. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  /** The last lines of its log. */
  async log(lines = 12): Promise<string> {
    const text = await readFile(this.#logFile, 'utf8').catch(() => '(no log)');
    return text.trimEnd().split('\n').slice(-lines).join('\n');
  }
}
