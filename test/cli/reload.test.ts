import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { stringify } from 'yaml';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { freePorts, startShoal } from './run-shoal.ts';

/** The file of an agent whose cluster is down, and how to write another limit into it. */
async function agentConfig(): Promise<{ file: string; write: (egress: unknown) => Promise<void> }> {
  const directory = await makeTempDir();
  const tokenFile = join(directory, 'token');
  await writeFile(tokenFile, 'x'.repeat(40), { mode: 0o600 });
  const [port] = await freePorts(1);
  const file = join(directory, 'agent.yaml');
  const write = (egressBytesPerSecond: unknown) =>
    writeFile(
      file,
      stringify({
        listen: { host: '127.0.0.1', port },
        castore: { directory: join(directory, 'store') },
        cluster: { tokenFile },
        swarm: { egressBytesPerSecond },
      }),
    );
  return { file, write };
}

it('reads its configuration again at SIGHUP, and keeps the former one when the new one has faults', async () => {
  const { file, write } = await agentConfig();
  await write(1_000_000);
  const agent = startShoal(['agent', '--config', file, '--exit-with-stdin']);
  await agent.untilSays(/agent listens/);
  await write(2_000_000);
  agent.child.kill('SIGHUP');
  await agent.untilSays(/the configuration has been read again/);
  await write('plenty');
  agent.child.kill('SIGHUP');
  const [said] = await agent.untilSays(/.*the former one stays.*/);
  expect(said).toMatch(/swarm\.egressBytesPerSecond: expected .*got/);
  agent.child.kill('SIGTERM');
  expect(await agent.ended).toBe(0);
});
