import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { type ReceivedEvent, startReceiver } from './receiver.ts';
import { quick, runNotifications } from './running-notifications.ts';
import { numbers, requestIds } from './sample-events.ts';

const program = fileURLToPath(new URL('./crash-child.ts', import.meta.url));
const ROUNDS = 3;
const EACH = 200;

describe('a program that is killed in the middle of its deliveries', () => {
  it('loses nothing that was queued, and keeps the order', async () => {
    const directory = await makeTempDir();
    const receiver = await startReceiver();
    const taken: ReceivedEvent[] = [];
    let requests = 0;
    // Every third request fails, and answers take a while: some are on their way at the kill.
    receiver.answer = ({ events }, response) => {
      requests += 1;
      if (requests % 3 === 0) return 503;
      setTimeout(() => {
        taken.push(...events);
        response.writeHead(200).end();
      }, 3);
      return undefined;
    };
    const queued: string[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const first = round * 1_000_000;
      queued.push(...numbers(first, await killAfter([directory, receiver.url, String(first)], EACH)));
    }
    const { metric } = await runNotifications({ directory, endpoints: [{ name: 'a', url: receiver.url, ...quick }] });
    await expect.poll(() => metric('pending'), { timeout: 20_000 }).toBe(0);
    const arrived = new Set(requestIds(taken));
    expect(queued.length).toBeGreaterThanOrEqual(ROUNDS * EACH);
    expect(queued.filter((id) => !arrived.has(id))).toEqual([]);
    expect([...arrived]).toEqual([...arrived].toSorted((a, b) => Number(a) - Number(b)));
    // The same event has the same id each time, so that a receiver can tell.
    expect(new Set(taken.map(({ id }) => id)).size).toBe(arrived.size);
  });
});

/** Starts the program and kills it once it has queued `least` events. @returns how many those were, as far as it has said */
async function killAfter(args: readonly string[], least: number): Promise<number> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  onTestFinished(() => void child.kill('SIGKILL'));
  let queued = 0;
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) queued = Number(line);
    if (queued >= least) child.kill('SIGKILL');
  });
  expect(await exited).toEqual([null, 'SIGKILL']);
  return queued;
}
