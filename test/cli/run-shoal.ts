import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

const shoalFile = join(import.meta.dirname, '../../bin/shoal.js');

/** A `shoal` command on its way. */
export interface ShoalProcess {
  readonly child: ChildProcess;
  /** What it wrote so far. */
  out(): string;
  err(): string;
  /** Resolves when what it wrote to standard error matches; rejects when it ends before that. */
  untilSays(pattern: RegExp): Promise<RegExpMatchArray>;
  /** The same of standard output: two pipes arrive in any order, so what was seen in one says nothing of the other. */
  untilPrints(pattern: RegExp): Promise<RegExpMatchArray>;
  /** The exit status, or the name of the signal. */
  readonly ended: Promise<number | string>;
}

/** Starts the real command line; it is killed when the test is over. Variables of this shell's own SHOAL_… stay out. */
export function startShoal(args: readonly string[], environment: Record<string, string> = {}): ShoalProcess {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('SHOAL_'));
  const child = spawn(process.execPath, [shoalFile, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...Object.fromEntries(own), ...environment },
  });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  const text = { out: '', err: '' };
  const listeners = new Set<() => void>();
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    text.out += part;
    for (const listener of listeners) listener();
  });
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    text.err += part;
    for (const listener of listeners) listener();
  });
  const ended = once(child, 'close').then(([code, signal]: (number | string)[]) => code ?? signal ?? 'unknown');
  const untilMatches = (stream: 'out' | 'err', pattern: RegExp) =>
    new Promise<RegExpMatchArray>((resolve, reject) => {
      const look = () => {
        const match = pattern.exec(text[stream]);
        if (match === null) return;
        listeners.delete(look);
        resolve(match);
      };
      listeners.add(look);
      look();
      ended.then((how) => reject(new Error(`ended (${how}) before it said ${pattern}:\n${text.out}${text.err}`)));
    });
  return {
    child,
    out: () => text.out,
    err: () => text.err,
    ended,
    untilSays: (pattern) => untilMatches('err', pattern),
    untilPrints: (pattern) => untilMatches('out', pattern),
  };
}

/** Runs the real command line to its end. */
export async function runShoal(
  args: readonly string[],
  environment: Record<string, string> = {},
): Promise<{ status: number | string; out: string; err: string }> {
  const shoal = startShoal(args, environment);
  shoal.child.stdin?.end();
  const status = await shoal.ended;
  return { status, out: shoal.out(), err: shoal.err() };
}

/** Ports that nobody has at this moment, each another one. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** The first of `count` ports in a row that nobody has at this moment. */
export async function freePortRange(count: number, step = 1): Promise<number> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const [first] = await freePorts(1);
    if (first === undefined || first + count * step > 65_535) continue;
    const others = Array.from({ length: count - 1 }, (_, index) => first + (index + 1) * step);
    if ((await Promise.all(others.map(isFree))).every(Boolean)) return first;
  }
  throw new Error(`no ${count} free ports in a row`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
