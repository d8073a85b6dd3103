import type { Writable } from 'node:stream';
import { type CaseOutcome, defaultDriverFactory, type VerifyReport, verifyDriver } from '../driver/index.ts';
import { registerClusterDriver } from './cluster-driver.ts';
import { readDriverParameters } from './driver-parameters.ts';
import { InterruptedError } from './errors.ts';
import { watchShutdown } from './shutdown.ts';

/** How a driver is verified from the command line. */
export interface RunVerifyOptions {
  readonly name: string;
  /** `key=value`, or a YAML file of parameters. */
  readonly params: readonly string[];
  readonly largeBytes: number;
  readonly json: boolean;
}

/**
 * Runs the conformance suite on a driver: a line for each case, and a sum.
 * @returns the exit status: 0 when all cases passed, 1 else
 * @throws InterruptedError at a signal; ConfigError; what the storage throws before the first case
 */
export async function runVerify(
  options: RunVerifyOptions,
  { out, err }: { readonly out: Writable; readonly err: Writable },
): Promise<number> {
  const parameters = await readDriverParameters(options.params);
  await using parts = new AsyncDisposableStack();
  const factory = defaultDriverFactory();
  registerClusterDriver(factory, parts);
  const watch = watchShutdown({ onSecond: () => process.exit(130) });
  const lines = options.json ? err : out;
  let group = '';
  const onCase = (outcome: CaseOutcome) => {
    if (outcome.group !== group) lines.write(`${outcome.group}\n`);
    group = outcome.group;
    lines.write(lineOf(outcome));
  };
  try {
    const report = await verifyDriver({
      open: () => factory.create(options.name, parameters),
      largeBytes: options.largeBytes,
      onCase,
      signal: watch.signal,
    });
    out.write(options.json ? `${JSON.stringify(jsonOf(report), undefined, 2)}\n` : `\n${sumOf(report)}\n`);
    return report.cases.some(({ error }) => error !== undefined) ? 1 : 0;
  } catch (error) {
    if (!watch.signal.aborted) throw error;
    throw new InterruptedError('broken off between two cases', {}, { cause: error });
  } finally {
    watch.close();
  }
}

function lineOf({ name, seconds, error }: CaseOutcome): string {
  const line = `  ${error === undefined ? 'passed' : 'FAILED'}  ${`${seconds.toFixed(2)} s`.padStart(8)}  ${name}\n`;
  if (error === undefined) return line;
  const [first = '', ...rest] = error.message.split('\n');
  return `${line}${[first, ...rest.slice(0, 8)].map((text) => `            ${text}\n`).join('')}`;
}

function sumOf({ driverName, profile, outlivesRestart, cases }: VerifyReport): string {
  const failed = cases.filter(({ error }) => error !== undefined).length;
  const lines = [
    `${driverName}, ${profile} profile: ${cases.length - failed} passed, ${failed} failed, 0 skipped`,
    ...(profile === 'full' && !outlivesRestart
      ? ['what it stores ends with it, so cases with a restart went on without one']
      : []),
  ];
  return lines.join('\n');
}

function jsonOf({ cases, ...report }: VerifyReport): object {
  return { ...report, cases: cases.map(({ error, ...one }) => ({ ...one, passed: !error, error: error?.message })) };
}
