import { type Command, InvalidArgumentError } from 'commander';
import type { CommandResult } from './command-result.ts';
import { collectParameters, parseWhole } from './values.ts';

const HOUR_MS = 60 * 60 * 1000;
const unitsMs: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: HOUR_MS, d: 24 * HOUR_MS };
/** More is no number of milliseconds that a date can hold. */
const LONGEST_MS = 36_500 * 24 * HOUR_MS;
const OPERATIONS_MAX = 1_000_000;

const DETAILS = `
What nobody needs any more is not deleted at once: it is moved into quarantine, and a run that finds it there after
--quarantine deletes it. So space comes back with the second run. Registries may go on to serve the same storage, and
bring back by themselves what is asked for meanwhile. See docs/garbage-collection.md.

Durations are a number with s, m, h or d behind it, such as 90m or 7d.

Examples:
  shoal gc --params rootdirectory=/var/lib/registry --dry-run
  shoal gc --params rootdirectory=/var/lib/registry --untagged --grace 7d
`;

/** `shoal gc`: one garbage collection. */
export function addGcCommand(program: Command, result: CommandResult): void {
  program
    .command('gc')
    .description('collect what no repository needs any more, while registries go on')
    .option('--driver <name>', 'storage driver that the registry stores by', 'filesystem')
    .option('--params <key=value>', 'parameter of the driver; may be given again', collectParameters, {})
    .option('--dry-run', 'tell what would be done, and write nothing', false)
    .option('--untagged', 'let manifests go, too, that no tag leads to', false)
    .option('--grace <duration>', 'leave alone what was written within this time (default: 24h)', parseDuration)
    .option('--quarantine <duration>', 'time in quarantine before something is deleted (default: 24h)', parseDuration)
    .option('--max-operations <number>', 'calls of the storage a second at most', parseOperations)
    .option('--json', 'write the whole report to standard output as JSON', false)
    .addHelpText('after', DETAILS)
    .action(async (flags: GcFlags) => {
      const { runGc } = await import('./run-gc.ts');
      const { driver, params, grace = 24 * HOUR_MS, quarantine = 24 * HOUR_MS, maxOperations, ...rest } = flags;
      result.status = await runGc(
        {
          ...rest,
          driverName: driver,
          parameters: params,
          graceMs: grace,
          quarantineMs: quarantine,
          maxOperationsPerSecond: maxOperations,
        },
        { out: process.stdout, err: process.stderr },
      );
    });
}

/** The options as commander hands them over. */
interface GcFlags {
  readonly driver: string;
  readonly params: Readonly<Record<string, string>>;
  readonly dryRun: boolean;
  readonly untagged: boolean;
  readonly grace?: number;
  readonly quarantine?: number;
  readonly maxOperations?: number;
  readonly json: boolean;
}

/** Reads a duration such as `24h`, `90m`, `7d` or `0s`; in milliseconds. @throws InvalidArgumentError */
export function parseDuration(text: string): number {
  const match = /^(\d{1,9}(?:\.\d{1,3})?)([smhd])$/.exec(text.trim());
  const durationMs = Math.round(Number(match?.[1]) * (unitsMs[match?.[2] ?? ''] ?? Number.NaN));
  if (durationMs <= LONGEST_MS) return durationMs;
  throw new InvalidArgumentError(`expected a duration such as 24h, 90m or 7d, got "${text}".`);
}

function parseOperations(text: string): number {
  return parseWhole(text, 1, OPERATIONS_MAX, 'a number');
}
