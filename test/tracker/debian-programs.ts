import { accessSync, constants } from 'node:fs';

/**
 * Whether a Debian program is on this machine. One that is missing is said aloud, so that a skip is never silent; in CI it
 * is an error, so that a skip never passes for a success.
 */
export function hasProgram(path: string, debianPackage: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch (cause) {
    const message = `${path} is missing: apt-get install ${debianPackage}`;
    if (process.env['CI'] === 'true') throw new Error(message, { cause });
    console.warn(`SKIPPED: ${message}`);
    return false;
  }
}
