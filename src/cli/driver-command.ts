import type { Command } from 'commander';
import type { CommandResult } from './command-result.ts';
import { collectTexts, parseSize } from './values.ts';

const MIB = 1024 * 1024;

const VERIFY_DETAILS = `
The suite writes to the storage, and deletes all that it finds there: it begins only where nothing is stored. What a driver
does not declare among its capabilities, it has to refuse; nothing else is left out.

Examples:
  shoal driver verify filesystem --params rootdirectory=/tmp/verify
  shoal driver verify s3 --params s3.yaml --large-size 12MiB
  shoal driver verify p2p --params constructor=rw --params config=/etc/shoal/proxy.yaml

The driver p2p is that of a proxy (constructor=rw) or an agent (constructor=ro) of a running cluster. What it pushes are small
blobs and tags of repositories conformance/..., which stay there.
`;

const SERVE_DETAILS = `
A registry starts this itself: its storage driver "ipc" runs a program, hands it the parameters on standard input, and
speaks to it over a unix socket (docs/driver-protocol.md). A program of two lines makes a driver of one's own name of it,
as registry-storage-NAME on the PATH:

  #!/bin/sh
  exec shoal driver serve filesystem

With --standalone nothing starts it but you, or a service manager: REGISTRY_STORAGE_SOCKET (an absolute path) and
REGISTRY_STORAGE_TOKEN have to be in the environment, parameters come from --params alone, and SIGTERM ends it.

Examples:
  shoal driver serve filesystem --standalone --params rootdirectory=/var/lib/registry
  shoal driver serve filesystem --standalone --params /etc/shoal/storage.yaml
`;

interface VerifyFlags {
  readonly params: readonly string[];
  readonly largeSize: number;
  readonly json: boolean;
}

interface ServeFlags {
  readonly params: readonly string[];
  readonly standalone: boolean;
}

/** `shoal driver`: what has to do with storage drivers alone. */
export function addDriverCommand(program: Command, result: CommandResult): void {
  const driver = program
    .command('driver')
    .description('storage drivers: what they are, and whether they keep the contract');
  driver
    .command('list')
    .description('the names of the storage drivers')
    .action(async () => {
      const { defaultDriverFactory } = await import('../driver/index.ts');
      process.stdout.write(`${defaultDriverFactory().names().join('\n')}\n`);
    });
  driver
    .command('verify')
    .description('run the conformance suite on a driver; status 1 when a case fails')
    .argument('<name>', 'storage driver')
    .option('--params <key=value|file>', 'parameter, or a YAML file of them; may be given again', collectTexts, [])
    .option(
      '--large-size <size>',
      'of a large object; a bit more than two parts of what stores in parts',
      parseSize,
      4 * MIB,
    )
    .option('--json', 'write the result to standard output as JSON', false)
    .addHelpText('after', VERIFY_DETAILS)
    .action(async (name: string, { params, largeSize, json }: VerifyFlags) => {
      const { runVerify } = await import('./run-verify.ts');
      const streams = { out: process.stdout, err: process.stderr };
      result.status = await runVerify({ name, params, largeBytes: largeSize, json }, streams);
    });
  driver
    .command('serve')
    .description('be the program behind the storage driver "ipc"')
    .argument('<name>', 'storage driver to serve')
    .option(
      '--params <key=value|file>',
      'parameter, or a YAML file of them; may be given again; standard input goes over them',
      collectTexts,
      [],
    )
    .option('--standalone', 'started by hand or by a service manager: leave standard input alone', false)
    .addHelpText('after', SERVE_DETAILS)
    .action(async (name: string, { params, standalone }: ServeFlags) => {
      const { runServeDriver } = await import('./run-serve-driver.ts');
      await runServeDriver({ name, parameters: params, isStandalone: standalone });
    });
}
