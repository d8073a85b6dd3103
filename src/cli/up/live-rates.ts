import { formatSize } from '../values.ts';
import { percent, shareOfPeers } from './report.ts';
import { type AgentBytes, difference } from './statistics.ts';

/** What is watched of one agent. */
export interface WatchedAgent {
  readonly name: string;
  read(signal: AbortSignal): Promise<AgentBytes>;
}

/** How {@link watchRates} writes and ends. */
export interface WatchOptions {
  readonly agents: readonly WatchedAgent[];
  readonly write: (line: string) => void;
  readonly everyMs: number;
  readonly signal: AbortSignal;
}

/** Writes a line whenever agents have moved something since the last look. Resolves when the signal aborts. */
export async function watchRates({ agents, write, everyMs, signal }: WatchOptions): Promise<void> {
  let before = await readAll(agents, signal);
  let beforeMs = performance.now();
  while (!signal.aborted) {
    await untilNext(everyMs, signal);
    if (signal.aborted) return;
    const now = await readAll(agents, signal);
    const nowMs = performance.now();
    const line = describeRates(before, now, (nowMs - beforeMs) / 1000);
    if (line !== '') write(line);
    before = now;
    beforeMs = nowMs;
  }
}

/** Rates of all agents that moved something; empty when none did. */
export function describeRates(
  before: ReadonlyMap<string, AgentBytes>,
  after: ReadonlyMap<string, AgentBytes>,
  seconds: number,
): string {
  const parts: string[] = [];
  for (const [name, bytes] of after) {
    const earlier = before.get(name);
    if (earlier === undefined) continue; // It did not answer last time: there is nothing to compare with.
    const moved = difference(bytes, earlier);
    const fetched = moved.fromPeersBytes + moved.fromOriginsBytes;
    if (fetched <= 0) continue;
    const share = percent(shareOfPeers(moved.fromPeersBytes, moved.fromOriginsBytes));
    parts.push(`${name} ${formatSize(Math.round(fetched / seconds))}/s (${share} from peers)`);
  }
  return parts.join('   ');
}

async function readAll(agents: readonly WatchedAgent[], signal: AbortSignal): Promise<Map<string, AgentBytes>> {
  const readings = new Map<string, AgentBytes>();
  await Promise.all(
    agents.map(async (agent) => {
      try {
        readings.set(agent.name, await agent.read(signal));
      } catch {
        // An agent that has ended is named once, where its process is watched; here it only shows no rate.
      }
    }),
  );
  return readings;
}

async function untilNext(everyMs: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, everyMs);
    signal.addEventListener('abort', end, { once: true });
  });
}
