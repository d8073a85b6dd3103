import type { PlannedProgram } from './plan.ts';
import { openProgress, type ProgressStream, type ProgressTask } from './progress.ts';
import { RegistryClient } from './registry-client.ts';
import { type AgentResult, shareOfPeers } from './report.ts';
import { AgentStatistics, difference } from './statistics.ts';
import { type PullRequest, pullImage } from './transfer-image.ts';

/** What {@link pullEverywhere} needs. */
export interface PullEverywhereOptions {
  readonly agents: readonly PlannedProgram[];
  readonly request: PullRequest;
  /** Of the whole image; for the bars. */
  readonly bytes: number;
  readonly clusterToken: string;
  readonly signal: AbortSignal;
  readonly stream: ProgressStream;
}

/** Pulls one image on all agents at the same time. An agent that fails is in the results; only the signal throws. */
export async function pullEverywhere(options: PullEverywhereOptions): Promise<AgentResult[]> {
  const progress = openProgress(options.stream);
  try {
    const tasks = options.agents.map((agent) => progress.task(agent.name, options.bytes));
    return await Promise.all(options.agents.map((agent, index) => pullOn(agent, options, tasks[index]!)));
  } finally {
    progress.stop();
  }
}

async function pullOn(agent: PlannedProgram, options: PullEverywhereOptions, task: ProgressTask): Promise<AgentResult> {
  const { request, signal, clusterToken } = options;
  const client = new RegistryClient({ url: agent.url, signal });
  const statistics = new AgentStatistics({ url: agent.url, clusterToken });
  try {
    const before = await statistics.read(signal);
    const startMs = performance.now();
    const outcome = await attempt(() => pullImage(client, request, (count) => task.add(count)), signal);
    const seconds = (performance.now() - startMs) / 1000;
    const moved = difference(await statistics.read(signal), before);
    task.done(outcome.error === undefined ? 'digests match' : 'failed');
    return {
      name: agent.name,
      url: agent.url,
      seconds,
      bytesPerSecond: outcome.bytes / seconds,
      fromPeersBytes: moved.fromPeersBytes,
      fromOriginsBytes: moved.fromOriginsBytes,
      sharePeers: shareOfPeers(moved.fromPeersBytes, moved.fromOriginsBytes),
      digestOk: outcome.error === undefined,
      ...(outcome.error === undefined ? {} : { error: outcome.error }),
    };
  } catch (error) {
    signal.throwIfAborted();
    task.done('failed');
    return failedResult(agent, error);
  } finally {
    await Promise.all([client.close(), statistics.close()]);
  }
}

/** Runs a pull; what goes wrong with it is a result. */
async function attempt(pull: () => Promise<number>, signal: AbortSignal): Promise<{ bytes: number; error?: string }> {
  try {
    return { bytes: await pull() };
  } catch (error) {
    signal.throwIfAborted();
    return { bytes: 0, error: messageOf(error) };
  }
}

/** An agent that does not even answer for its figures. */
function failedResult({ name, url }: PlannedProgram, error: unknown): AgentResult {
  const nothing = { seconds: 0, bytesPerSecond: 0, fromPeersBytes: 0, fromOriginsBytes: 0, sharePeers: 0 };
  return { name, url, ...nothing, digestOk: false, error: messageOf(error) };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
