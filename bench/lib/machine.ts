import { readFile } from 'node:fs/promises';
import { availableParallelism, cpus, release, totalmem } from 'node:os';

/** What a figure cannot be read without. Nothing here names the machine or its owner. */
export interface MachineFacts {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly node: string;
  /** The version in package.json. */
  readonly shoal: string;
}

/** The machine that this runs on. */
export async function machineFacts(): Promise<MachineFacts> {
  const manifest = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
    shoal: (JSON.parse(manifest) as { version: string }).version,
  };
}
