import type { Command } from 'commander';
import type { CommandResult } from './command-result.ts';
import { parseImageLocation } from './up/image-location.ts';
import { collectTexts, parseFixedPort, parseSize, parseWhole } from './values.ts';

/** The layers have to hold at least a few files. */
const SMALLEST_IMAGE = 64 * 1024;
const AGENTS_MAX = 64;
const IMAGE_BYTES = 256 * 1024 ** 2;

/** `shoal up`: a whole cluster on this machine. */
export function addUpCommand(program: Command, result: CommandResult): void {
  program
    .command('up')
    .description('run a whole cluster on this machine, send an image through it, and show what happens')
    .option('--data <folder>', 'where everything is kept; used again by the next start', '.shoal')
    .option('--agents <number>', 'how many agents', parseAgents, 3)
    .option('--image-size <size>', 'size of the image that is made (default: 256MiB)', parseImageSize)
    .option(
      '--image <image>',
      'use this image instead: oci:DIR, oci:DIR:TAG or docker://HOST/NAME:TAG',
      parseImageLocation,
    )
    .option('--backend <driver>', 'storage driver behind origins and build-index (default: a folder in --data)')
    .option(
      '--backend-params <key=value|file>',
      'its parameter, or a YAML file of them; may be given again',
      collectTexts,
      [],
    )
    .option('--once', 'end when the image is everywhere; status 0 only if every digest matched', false)
    .option('--json', 'write the summary to standard output as JSON', false)
    .option('--proxy-port <port>', 'port of the proxy', parseFixedPort, 15_000)
    .option('--agent-port <port>', 'port of the first agent; the others follow', parseFixedPort, 16_000)
    .option('--origin-port <port>', 'port of the first origin; the second is ten above', parseFixedPort, 15_002)
    .option('--tracker-port <port>', 'port of the tracker', parseFixedPort, 15_003)
    .option('--build-index-port <port>', 'port of the build-index', parseFixedPort, 15_004)
    .action(async (options: UpFlags) => {
      const { data, imageSize, ...rest } = options;
      const { runUp } = await import('./up/run-up.ts');
      result.status = await runUp(
        {
          ...rest,
          image: options.image,
          backend: options.backend,
          dataFolder: data,
          imageSizeBytes: imageSize ?? IMAGE_BYTES,
        },
        { out: process.stdout, err: process.stderr },
      );
    });
}

/** The options as commander hands them over. */
interface UpFlags {
  readonly data: string;
  readonly agents: number;
  readonly imageSize?: number;
  readonly image?: ReturnType<typeof parseImageLocation>;
  readonly backend?: string;
  readonly backendParams: readonly string[];
  readonly once: boolean;
  readonly json: boolean;
  readonly proxyPort: number;
  readonly agentPort: number;
  readonly originPort: number;
  readonly trackerPort: number;
  readonly buildIndexPort: number;
}

function parseImageSize(text: string): number {
  return Math.max(SMALLEST_IMAGE, parseSize(text));
}

function parseAgents(text: string): number {
  return parseWhole(text, 1, AGENTS_MAX, 'a number of agents');
}
