import { randomBytes } from 'node:crypto';
import { type Digest, type Repository, systemClock } from '../core/index.ts';
import type { CallContext, StorageDriver } from '../driver/index.ts';
import {
  findQuarantineEntry,
  formatPath,
  formatQuarantinePath,
  type QuarantineEntry,
  type QuarantinePath,
} from '../pathparser/index.ts';
import { isNotFound, listNamesIfAny } from './storage-lookup.ts';

/**
 * How a registry heals what garbage collection was too quick to put aside (docs/garbage-collection.md): whatever is not at
 * its place is looked for in the quarantine, and moved back. What is at its place costs nothing more; what is nowhere
 * costs one listing.
 */

/**
 * Rounds of looking at the place and into the quarantine. Each further one means that something was moved between the two
 * looks, and a collector moves a thing once a run.
 */
const ROUNDS_MAX = 5;

/** Whether this storage can have a quarantine: a driver that knows only the registry's layout cannot. */
function keepsQuarantine({ capabilities }: StorageDriver): boolean {
  return capabilities.anyPath && capabilities.write;
}

/** Looks for something; where it is not, `restore` is called, and when that says that it may be back, looks again. */
export async function healing<T>(
  driver: StorageDriver,
  look: () => Promise<T | undefined>,
  restore: () => Promise<boolean>,
): Promise<T | undefined> {
  for (let round = 1; ; round += 1) {
    const found = await look();
    if (found !== undefined || round === ROUNDS_MAX || !keepsQuarantine(driver)) return found;
    if (!(await restore())) return undefined;
  }
}

/** Moves the bytes of a blob back to their place. @returns whether they may be there now */
export function restoreBlob(driver: StorageDriver, digest: Digest, context: CallContext): Promise<boolean> {
  const directory = { kind: 'quarantined-blob', digest } as const;
  const placeOf = (what: QuarantineEntry['what']) =>
    what === 'data' ? formatPath({ kind: 'blob-data', digest }) : undefined;
  return restore(driver, directory, placeOf, context);
}

/** Moves links of these kinds back to their places in a repository. @returns whether one of them may be there now */
export function restoreLinks(
  driver: StorageDriver,
  kinds: readonly QuarantineEntry['what'][],
  digest: Digest,
  context: CallContext & { readonly repository: Repository },
): Promise<boolean> {
  const { repository } = context;
  const placeOf = (what: QuarantineEntry['what']) => {
    if ((what !== 'layer' && what !== 'revision') || !kinds.includes(what)) return undefined;
    return formatPath({ kind: `${what}-link`, repository, digest });
  };
  return restore(driver, { kind: 'quarantined-link', repository, digest }, placeOf, context);
}

/**
 * Throws away what the quarantine has of a link that is being deleted; `again` takes the link itself out of its place
 * once more, when somebody may have moved it back meanwhile.
 * @returns whether there was anything
 */
export async function dropQuarantinedLinks(
  driver: StorageDriver,
  kind: QuarantineEntry['what'],
  digest: Digest,
  context: CallContext & { readonly repository: Repository; readonly again: () => Promise<boolean> },
): Promise<boolean> {
  const { repository, again } = context;
  let dropped = false;
  for (let round = 1; keepsQuarantine(driver) && round <= ROUNDS_MAX; round += 1) {
    const entries = await entriesOf(driver, { kind: 'quarantined-link', repository, digest }, context);
    const own = entries.filter((entry) => entry.what === kind);
    for (const entry of own) {
      const path = formatQuarantinePath({ kind: 'quarantined-link-entry', repository, digest, entry });
      dropped = (await unlessGone(driver.delete(path, context))) || dropped;
    }
    if (entries.length > 0) dropped = (await again()) || dropped;
    if (own.length === 0) break;
  }
  return dropped;
}

async function restore(
  driver: StorageDriver,
  directory: Extract<QuarantinePath, { kind: 'quarantined-link' | 'quarantined-blob' }>,
  placeOf: (what: QuarantineEntry['what']) => string | undefined,
  context: CallContext,
): Promise<boolean> {
  const entries = await entriesOf(driver, directory, context);
  // Somebody has moved something back since this caller looked at its place, perhaps.
  let mayBeBack = entries.some(({ what }) => what === 'restored');
  // The newest of each is enough; a collector removes the others.
  const newest = new Map(entries.sort((a, b) => a.atMs - b.atMs).map((entry) => [entry.what, entry]));
  for (const entry of newest.values()) {
    const place = placeOf(entry.what);
    if (place === undefined) continue;
    mayBeBack = true;
    // The note comes first: whoever looks here after the move, having missed the thing at its place before, learns of it.
    const note: QuarantineEntry = {
      what: 'restored',
      atMs: systemClock.nowMs(),
      id: randomBytes(8).toString('hex'),
    };
    await driver.putContent(formatQuarantinePath(entryPath(directory, note)), new Uint8Array(0), context);
    await unlessGone(driver.move(formatQuarantinePath(entryPath(directory, entry)), place, context));
  }
  return mayBeBack;
}

function entryPath(
  directory: Extract<QuarantinePath, { kind: 'quarantined-link' | 'quarantined-blob' }>,
  entry: QuarantineEntry,
): QuarantinePath {
  return directory.kind === 'quarantined-link'
    ? { ...directory, kind: 'quarantined-link-entry', entry }
    : { ...directory, kind: 'quarantined-blob-entry', entry };
}

async function entriesOf(
  driver: StorageDriver,
  directory: QuarantinePath,
  context: CallContext,
): Promise<QuarantineEntry[]> {
  const entries: QuarantineEntry[] = [];
  for await (const name of listNamesIfAny(driver, formatQuarantinePath(directory), {}, context)) {
    const entry = findQuarantineEntry(name);
    if (entry !== undefined) entries.push(entry);
  }
  return entries;
}

/** `false` when what the call is about is gone already: somebody else was quicker. */
async function unlessGone(call: Promise<void>): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}
