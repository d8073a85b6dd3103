import { basename } from 'node:path';
import { ConfigError } from '../core/index.ts';
import type { DurableFiles } from './durable.ts';
import type { Layout } from './layout.ts';

/** The layout that this version reads and writes. */
const FORMAT = 'shoal-castore/1';

/**
 * Whether a folder is a store of this format; `false` when it is empty, and may become one by {@link writeFormat}.
 *
 * A folder that holds other things is refused: opening a store removes what is not whole, which must not hit somebody's files.
 * @throws ConfigError
 */
export async function isStore(files: DurableFiles, layout: Layout): Promise<boolean> {
  const found = await files.findFile(layout.format);
  if (found === undefined) {
    await refuseForeignFiles(files, layout);
    return false;
  }
  const text = found.toString('utf8').trim();
  if (text === FORMAT) return true;
  throw new ConfigError(
    `the store ${layout.root} has format ${JSON.stringify(text.slice(0, 80))}, expected "${FORMAT}": ` +
      `use the version of Shoal that wrote it, or an empty folder`,
    { directory: layout.root },
  );
}

/** Makes an empty folder into a store. */
export async function writeFormat(files: DurableFiles, layout: Layout): Promise<void> {
  await files.writeFile(layout.format, Buffer.from(`${FORMAT}\n`));
}

async function refuseForeignFiles(files: DurableFiles, layout: Layout): Promise<void> {
  // Left by a first start that was killed, and, lost+found, by mkfs at the top of a disk.
  const ours = [basename(layout.claims), basename(layout.temp), 'lost+found'];
  const foreign = (await files.list(layout.root)).filter((name) => !ours.includes(name));
  if (foreign.length === 0) return;
  throw new ConfigError(
    `${layout.root} holds ${JSON.stringify(foreign[0])} and no "format" file, so it is not a store: use an empty folder`,
    { directory: layout.root },
  );
}
