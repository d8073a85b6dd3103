import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { BenchNeedsError } from './errors.ts';

/** The clients that Shoal's swarm is compared with. */
export const stockClients = ['webtorrent', 'libtorrent'] as const;
export type StockClientName = (typeof stockClients)[number];

/** The command that starts one; it answers `StockCalls`. @throws BenchNeedsError when it is not installed */
export async function stockCommand(name: StockClientName): Promise<[string, ...string[]]> {
  if (name === 'webtorrent') return [process.execPath, beside('stock-webtorrent.ts')];
  return [await pythonWithLibtorrent(), '-u', beside('stock-libtorrent.py')];
}

/** Debian's libtorrent goes with Debian's Python, which need not be the first one found. */
async function pythonWithLibtorrent(): Promise<string> {
  for (const python of ['python3', '/usr/bin/python3']) {
    try {
      await promisify(execFile)(python, ['-c', 'import libtorrent']);
      return python;
    } catch {
      // Not this one; when it is none of them, that is said below.
    }
  }
  throw new BenchNeedsError('libtorrent is missing: no python3 here can import it; apt-get install python3-libtorrent');
}

function beside(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}
