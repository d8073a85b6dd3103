import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UnavailableError } from '../core/index.ts';
import { type DurableFiles, makeIfMissing } from './durable.ts';
import { fileErrorCode, isMissing } from './files.ts';

/**
 * One process at a time has a store open.
 *
 * Each process first makes a claim, a file under a name of its own, and then looks for others. Of two that claim at once, the
 * one that looks last sees the other, so never both go on; in the worst case both give up, and say so. A claim whose process
 * is gone counts for nothing, so that a store opens after a kill. There is no file that is taken over, hence no race for it.
 *
 * The name has the process id, when that process began, and which boot of the machine it was: a process id alone would be
 * taken for alive once another process gets it, as in a container, where it is 1 every time. Processes that cannot see each
 * other (two containers, two machines) cannot be told apart this way: do not give them one folder.
 */
export class ProcessClaim {
  readonly #files: DurableFiles;
  readonly #path: string;

  private constructor(files: DurableFiles, path: string) {
    this.#files = files;
    this.#path = path;
  }

  /** Claims the store for this process. @throws UnavailableError naming the process that has it open */
  static async make(files: DurableFiles, directory: string): Promise<ProcessClaim> {
    await makeIfMissing(files.ops, directory);
    const boot = await bootId();
    const name = `${process.pid}.${(await startOf(process.pid)) ?? 0}.${boot}.${randomBytes(4).toString('hex')}`;
    const claim = new ProcessClaim(files, join(directory, name));
    await files.touch(claim.#path);
    for (const other of await files.list(directory)) {
      if (other === name) continue;
      const pid = await livingHolder(other, boot);
      if (pid !== undefined) {
        await claim.release();
        throw new UnavailableError(
          `the store ${join(directory, '..')} is open in process ${pid}: stop that process, or give this one a folder of its own`,
          { directory: join(directory, '..'), pid },
        );
      }
      await files.removeIfThere(join(directory, other));
    }
    return claim;
  }

  async release(): Promise<void> {
    await this.#files.removeIfThere(this.#path);
  }
}

/** The process that made a claim, when it still runs. */
async function livingHolder(claim: string, boot: string): Promise<number | undefined> {
  const [pidText, started, claimBoot] = claim.split('.');
  const pid = Number(pidText);
  if (!Number.isSafeInteger(pid) || pid <= 0 || claimBoot !== boot) return undefined;
  if (!isAlive(pid)) return undefined;
  const startedNow = await startOf(pid);
  return startedNow === undefined || String(startedNow) === started ? pid : undefined;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it runs, under another user.
    return fileErrorCode(error) === 'EPERM';
  }
}

/**
 * When a process began, in clock ticks since the machine booted; 0 for one that is dead and not yet waited for; `undefined`
 * where the system does not tell. proc_pid_stat(5): fields 3 and 22, counted after the name, which may hold anything.
 */
async function startOf(pid: number): Promise<number | undefined> {
  const text = await readProc(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' ? 0 : Number(fields[19]);
}

/** Which boot of the machine this is; the same text everywhere where the system does not tell. */
async function bootId(): Promise<string> {
  const text = await readProc('/proc/sys/kernel/random/boot_id');
  return text === undefined ? 'boot' : text.slice(0, 8);
}

async function readProc(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    // ESRCH: the process ended between open and read.
    if (isMissing(error) || fileErrorCode(error) === 'ESRCH') return undefined;
    throw error;
  }
}
