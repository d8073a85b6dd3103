import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

/** A process that works on a store, and prints a line after each step that the store has acknowledged. */
export interface StoreProcess {
  readonly pid: number;
  /** Lines so far. */
  readonly lines: readonly string[];
  /** Resolves when a line has come; rejects when the process ends without it. */
  line(text: string): Promise<void>;
  kill(): Promise<void>;
  /** Resolves with the signal or status with which it ended. */
  readonly ended: Promise<string | number>;
}

const program = fileURLToPath(new URL('crash-child.ts', import.meta.url));

/** Starts `crash-child.ts`; killed with the test. */
export async function startChild(directory: string, ...args: string[]): Promise<StoreProcess> {
  const child = spawn(process.execPath, [program, directory, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = endOf(child);
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line);
    for (const look of waiting) look();
  });
  const kill = async () => {
    child.kill('SIGKILL');
    await ended;
  };
  onTestFinished(kill);
  await once(child, 'spawn');
  return {
    pid: child.pid!,
    lines,
    line: (text) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (lines.includes(text)) resolve();
        };
        waiting.add(look);
        look();
        void ended.then((how) => reject(new Error(`the process ended (${how}) before it said ${text}`)));
      }),
    kill,
    ended,
  };
}

async function endOf(child: ChildProcess): Promise<string | number> {
  const [code, signal] = await once(child, 'close');
  return signal ?? code;
}
