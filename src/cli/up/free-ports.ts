import { createServer } from 'node:net';
import { ConfigError } from '../../core/index.ts';
import { asPortTaken } from '../../http/index.ts';
import type { PlannedProgram } from './plan.ts';

/** Both loopback addresses: a program that has only one of them would answer some clients in our place. */
const LOOPBACK = ['127.0.0.1', '::1'] as const;

/**
 * Checks that every port is free and asked for once.
 * @throws ConfigError with a line for each port that is not, naming role, port and option
 */
export async function checkPorts(programs: readonly PlannedProgram[]): Promise<void> {
  const faults: string[] = [];
  const owners = new Map<number, PlannedProgram>();
  for (const program of programs) {
    const { name, port, portOption } = program;
    const other = owners.get(port);
    owners.set(port, program);
    if (other !== undefined) {
      faults.push(`port ${port} is meant for both ${other.name} and ${name}; choose another with ${portOption}`);
    } else if (port > 65_535) {
      faults.push(`${name} would get port ${port}, but the last one is 65535; choose a lower one with ${portOption}`);
    } else {
      const fault = await portFault(program);
      if (fault !== undefined) faults.push(fault);
    }
  }
  if (faults.length > 0) throw new ConfigError(faults.join('\n'), { faults });
}

async function portFault({ name, port, portOption }: PlannedProgram): Promise<string | undefined> {
  for (const host of LOOPBACK) {
    const error = await tryListen(host, port);
    if (error === undefined) continue;
    const taken = asPortTaken(error, name, port, portOption);
    if (taken !== undefined) return taken.message;
    if (error.code === 'EACCES')
      return `port ${port} for the ${name} needs root; choose one from 1024 on with ${portOption}`;
    // No IPv6 on this machine: 127.0.0.1 has to do.
  }
  return undefined;
}

async function tryListen(host: string, port: number): Promise<NodeJS.ErrnoException | undefined> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', (error) => resolve(error));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}
