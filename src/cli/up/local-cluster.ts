import { readClusterToken } from '../../config/index.ts';
import { ProgramFailedError } from '../errors.ts';
import { ChildProgram } from './child-program.ts';
import type { DataFolder } from './data-folder.ts';
import type { PlannedProgram } from './plan.ts';

/** A cold start of ten Node processes on a small machine has to fit. */
const READY_TIMEOUT_MS = 60_000;
/** What programs get to end; they bound themselves to less. */
const STOP_TIMEOUT_MS = 12_000;

/** What {@link LocalCluster.start} needs. */
export interface LocalClusterOptions {
  readonly data: DataFolder;
  readonly programs: readonly PlannedProgram[];
  readonly signal: AbortSignal;
  /** Hears each program that became ready, and each that ended without being asked. */
  readonly write: (line: string) => void;
}

/** All programs of `shoal up`, each in a process of its own. The owner stops it. */
export class LocalCluster {
  readonly clusterToken: string;
  readonly #children: readonly ChildProgram[];

  private constructor(clusterToken: string, children: readonly ChildProgram[]) {
    this.clusterToken = clusterToken;
    this.#children = children;
  }

  /** Starts all programs and waits until each is ready. @throws ProgramFailedError; then none is left running */
  static async start(options: LocalClusterOptions): Promise<LocalCluster> {
    const { data, programs, signal, write } = options;
    const clusterToken = await readClusterToken({ tokenFile: data.tokenFile });
    const children: ChildProgram[] = [];
    const cluster = new LocalCluster(clusterToken, children);
    let starting = true;
    try {
      for (const program of programs) {
        const { name } = program;
        const onDeath = (how: string) => {
          if (!starting) write(`${name} ended (${how}); the others go on. Its log is ${data.logOf(name)}`);
        };
        children.push(
          await ChildProgram.start({ program, configFile: data.configOf(name), logFile: data.logOf(name), onDeath }),
        );
      }
      await untilAllReady(children, signal, write);
      starting = false;
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  /** Asks all to end, and waits for them. */
  async stop(): Promise<void> {
    await Promise.all(this.#children.map((child) => child.stop(STOP_TIMEOUT_MS)));
  }

  /** Ends all at once, without asking. */
  kill(): void {
    for (const child of this.#children) child.kill();
  }
}

async function untilAllReady(
  children: readonly ChildProgram[],
  signal: AbortSignal,
  write: (line: string) => void,
): Promise<void> {
  // The first failure ends the wait for the others.
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const waits = children.map(async (child) => {
    try {
      await child.untilReady(READY_TIMEOUT_MS, either);
    } catch (error) {
      failed.abort(error);
      throw error;
    }
    write(`  ${child.program.name.padEnd(12)} ready at ${child.program.url}`);
  });
  const outcomes = await Promise.allSettled(waits);
  const reasons = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as unknown] : []));
  if (reasons.length === 0) return;
  // Those that only waited were ended with the reason of the first; it is the one to tell.
  throw reasons.find((reason) => reason instanceof ProgramFailedError) ?? reasons[0];
}
