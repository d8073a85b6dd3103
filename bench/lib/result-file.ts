import { mkdir, writeFile } from 'node:fs/promises';
import { basename, dirname, isAbsolute } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type MachineFacts, machineFacts } from './machine.ts';

/** What every result of a benchmark begins with; the figures stand beside it. */
export interface ResultHead {
  readonly bench: string;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly command: string;
  readonly machine: MachineFacts;
}

/** The head of a result that begins now. `bench` is its name, such as `swarm`; the command line is that of this process. */
export async function resultHead(bench: string, now: Date): Promise<ResultHead> {
  const words = process.argv.slice(2).map(withoutFolders);
  const command = [`node bench/${bench}/main.ts`, ...words].join(' ');
  return { bench, startedAt: now.toISOString(), command, machine: await machineFacts() };
}

/** Folders of one machine say nothing elsewhere: of an absolute path the last part is kept. */
function withoutFolders(word: string): string {
  return word
    .split(',')
    .map((part) => {
      const [, before = '', path = ''] = /^([a-z-]+[:=])?(.*)$/s.exec(part) ?? [];
      return isAbsolute(path) ? `${before}${basename(path)}` : part;
    })
    .join(',');
}

/** `bench/results/<name>-<date>.json` in this checkout. */
export function defaultResultFile(head: ResultHead): string {
  const date = head.startedAt.slice(0, 19).replaceAll(':', '').replace('T', '-');
  return fileURLToPath(new URL(`../results/${head.bench}-${date}.json`, import.meta.url));
}

/** Writes a result as JSON, and makes its folder when that is missing. */
export async function writeResult(file: string, result: ResultHead): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, `${JSON.stringify(result, undefined, 2)}\n`);
}
