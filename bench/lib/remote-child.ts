import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { BenchRunError } from './errors.ts';
import type { AnswerLine, Calls } from './remote-calls.ts';

/** Of what a child says on standard error, the end is kept for messages. */
const KEPT_ERROR_CHARACTERS = 4_000;

/**
 * A process that answers calls (see `serveCalls`), and ends when its standard input does. It has a process group of its own,
 * so that Ctrl-C reaches this program alone, which then ends it. Whoever starts it calls {@link kill}.
 */
export class RemoteChild<C extends Calls> {
  readonly name: string;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #calls = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #exited: Promise<void>;
  #next = 0;
  #errors = '';
  #ended: Error | undefined;

  /** @param command the program and its arguments */
  constructor(name: string, command: readonly [string, ...string[]]) {
    this.name = name;
    const [program, ...args] = command;
    this.#child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    this.#exited = once(this.#child, 'close').then(
      () => this.#end(new BenchRunError(`${name} ended: ${this.#errors.trim() || 'without a word'}`)),
      (cause: unknown) => this.#end(new BenchRunError(`${name} cannot be started: ${program}`, {}, { cause })),
    );
    // A child that has ended takes no more calls; those that wait are told by #end.
    this.#child.stdin.on('error', () => {});
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-KEPT_ERROR_CHARACTERS);
    });
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#answered(line));
  }

  /** 0 when it could not be started. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** @throws BenchRunError when the child answers with an error, or ends before it answers */
  call<M extends keyof C & string>(method: M, params: C[M]['params']): Promise<C[M]['result']> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const id = this.#next++;
    const call = Promise.withResolvers<unknown>();
    this.#calls.set(id, call);
    this.#child.stdin.write(`${JSON.stringify({ id, method, params })}\n`);
    return call.promise;
  }

  /** Ends it at once; calls that wait reject. Resolves when it is gone. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  #answered(line: string): void {
    let answer: AnswerLine;
    try {
      answer = JSON.parse(line) as AnswerLine;
    } catch {
      this.#errors += `${line}\n`; // Not ours: something that the program printed.
      return;
    }
    const call = this.#calls.get(answer.id);
    this.#calls.delete(answer.id);
    if ('error' in answer) call?.reject(new BenchRunError(`${this.name}: ${answer.error}`));
    else call?.resolve(answer.result);
  }

  #end(error: Error): void {
    this.#ended = error;
    for (const call of this.#calls.values()) call.reject(error);
    this.#calls.clear();
  }
}
