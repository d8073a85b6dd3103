import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A program from npm that tests run against. It has a folder with a lockfile of its own, so that Shoal does not depend on it. */
export interface NpmTool {
  readonly name: string;
  readonly folder: string;
  /** Relative to the folder; there when the tool is. */
  readonly file: string;
  /** What is not tested without it. */
  readonly tests: string;
}

const toolsFolder = join(dirname(dirname(fileURLToPath(import.meta.url))), 'test', 'tools');

/** Every such program that a test may ask for. */
export const npmTools: readonly NpmTool[] = [
  {
    name: 'azurite',
    folder: join(toolsFolder, 'azurite'),
    file: 'node_modules/azurite/dist/src/blob/main.js',
    tests: 'the azure driver',
  },
];

/** Those that are not installed. */
export function missingTools(): NpmTool[] {
  return npmTools.filter(({ folder, file }) => !existsSync(join(folder, file)));
}
