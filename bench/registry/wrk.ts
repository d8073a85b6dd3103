import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { BenchRunError } from '../lib/errors.ts';

/** What wrk has counted. */
export interface WrkFigures {
  readonly requests: number;
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const run = promisify(execFile);
const UNITS_IN_MS: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1_000, m: 60_000 };

/** Writes a script that has wrk ask for these paths in turn, with these headers. */
export async function writeWrkScript(
  file: string,
  paths: readonly string[],
  headers: Readonly<Record<string, string>> = {},
): Promise<void> {
  const lines = Object.entries(headers).map(([name, value]) => `wrk.headers[${quoted(name)}] = ${quoted(value)}`);
  await writeFile(
    file,
    `${lines.join('\n')}\nlocal paths = {\n${paths.map(quoted).join(',\n')}\n}\nlocal requests, at = {}, 0\n` +
      'function init(args)\n  for i, path in ipairs(paths) do requests[i] = wrk.format("GET", path) end\nend\n' +
      'function request()\n  at = at % #requests + 1\n  return requests[at]\nend\n',
  );
}

/**
 * Runs wrk with one thread for so many seconds.
 * @throws BenchRunError when an answer was none with 2xx, or a connection failed
 */
export async function runWrk(
  baseUrl: string,
  options: {
    readonly script: string;
    readonly connections: number;
    readonly seconds: number;
    readonly signal: AbortSignal;
  },
): Promise<WrkFigures> {
  const { script, connections, seconds, signal } = options;
  const load = [
    '-t1',
    `-c${connections}`,
    `-d${Math.max(1, Math.round(seconds))}s`,
    '--latency',
    '--timeout',
    '30s',
    '-s',
    script,
  ];
  const { stdout } = await run('wrk', [...load, baseUrl], { signal });
  return parseWrk(stdout);
}

/** Reads what wrk prints with `--latency`. @throws BenchRunError */
export function parseWrk(text: string): WrkFigures {
  const faults = /Non-2xx.*|Socket errors:.*/.exec(text);
  const [, requests] = /^\s*(\d+) requests in /m.exec(text) ?? [];
  const [, perSecond] = /^Requests\/sec:\s+([\d.]+)/m.exec(text) ?? [];
  const [p50Ms, p99Ms] = ['50%', '99%'].map((share) => latencyMs(text, share));
  if (faults !== null || !(Number(requests) > 0) || perSecond === undefined || p50Ms === undefined) {
    throw new BenchRunError(`wrk says: ${text.trim()}`);
  }
  return { requests: Number(requests), requestsPerSecond: Number(perSecond), p50Ms, p99Ms: p99Ms ?? p50Ms };
}

function latencyMs(text: string, share: string): number | undefined {
  const [, digits, unit] = new RegExp(`^\\s*${share}\\s+([\\d.]+)(us|ms|s|m)\\s*$`, 'm').exec(text) ?? [];
  return digits === undefined || unit === undefined ? undefined : Number(digits) * UNITS_IN_MS[unit]!;
}

/** As a string of Lua; JSON's escapes are Lua's for what stands in paths and headers. */
function quoted(text: string): string {
  return JSON.stringify(text);
}
