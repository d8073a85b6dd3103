import type { Stats } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { hasCode } from './errno.ts';

/** What is at a place, a symbolic link as such; `undefined` when nothing is. */
export async function findFile(place: string): Promise<Stats | undefined> {
  try {
    return await lstat(place);
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}
