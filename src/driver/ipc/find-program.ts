import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { delimiter, isAbsolute, join } from 'node:path';
import { ConfigError } from '../../core/index.ts';

// The second is what distribution's code looked for in 2014, while its documentation named the first.
const prefixes = ['registry-storage-', 'registry-storagedriver-'];

/** The program of a storage by its name. @throws ConfigError when there is none on the PATH */
export async function findDriverProgram(name: string, searchPath: string | undefined): Promise<string> {
  const wanted = prefixes.map((prefix) => `${prefix}${name}`);
  const found = await findOnPath(wanted, searchPath);
  if (found !== undefined) return found;
  throw new ConfigError(
    `storage driver ipc: no program for "${name}"; expected ${wanted.join(' or ')} on the PATH, which is ${searchPath}. ` +
      'Install it there, or name the program by the parameter exec',
    { driver: 'ipc', name },
  );
}

/** The program that a configuration names. @throws ConfigError when it is not there, or cannot be run */
export async function findProgram(program: string, searchPath: string | undefined): Promise<string> {
  if (isAbsolute(program)) {
    if (await isProgram(program)) return program;
    throw new ConfigError(`storage driver ipc: ${program} is no program: expected a file that may be executed`);
  }
  // What the working directory holds must not decide which program gets the keys of a storage.
  if (program.includes('/')) {
    throw new ConfigError(
      `storage driver ipc: parameter "exec": expected an absolute path or a name on the PATH, got "${program}"`,
    );
  }
  const found = await findOnPath([program], searchPath);
  if (found !== undefined) return found;
  throw new ConfigError(`storage driver ipc: no program "${program}" on the PATH, which is ${searchPath}`);
}

/** The first of these names in any folder of the PATH; folders that depend on the working directory do not count. */
async function findOnPath(names: readonly string[], searchPath = ''): Promise<string | undefined> {
  const folders = searchPath.split(delimiter).filter(isAbsolute);
  for (const name of names) {
    for (const folder of folders) {
      const place = join(folder, name);
      if (await isProgram(place)) return place;
    }
  }
  return undefined;
}

async function isProgram(place: string): Promise<boolean> {
  try {
    await access(place, constants.X_OK);
    return (await stat(place)).isFile();
  } catch {
    return false; // Not there, or not for us: the caller says what was looked for.
  }
}
