import { ServiceClient } from '../../http/index.ts';

/** Route of an agent that tells what it has moved since its start; asks for the cluster token. */
const STATISTICS_PATH = '/v1/statistics';

/** Bytes that an agent has moved since its start. */
export interface AgentBytes {
  /** From other agents. */
  readonly fromPeersBytes: number;
  /** From origins, in the swarm and over HTTP. */
  readonly fromOriginsBytes: number;
  /** Sent to other peers. */
  readonly sentBytes: number;
}

/** Asks one agent for its figures. The owner closes it. */
export class AgentStatistics {
  readonly #client: ServiceClient;

  constructor(options: { url: string; clusterToken: string }) {
    this.#client = new ServiceClient({ role: 'agent', baseUrl: options.url, clusterToken: options.clusterToken });
  }

  async read(signal?: AbortSignal): Promise<AgentBytes> {
    const answer = await this.#client.json<{
      transfer: { fromPeersBytes: number; fromOriginsBytes: number; suppliedBytes: number };
      swarm: { sentBytes: number };
    }>({ method: 'GET', path: STATISTICS_PATH, signal });
    return {
      fromPeersBytes: answer.transfer.fromPeersBytes,
      fromOriginsBytes: answer.transfer.fromOriginsBytes + answer.transfer.suppliedBytes,
      sentBytes: answer.swarm.sentBytes,
    };
  }

  async close(): Promise<void> {
    await this.#client.close();
  }
}

/** What was moved between two readings. */
export function difference(after: AgentBytes, before: AgentBytes): AgentBytes {
  return {
    fromPeersBytes: after.fromPeersBytes - before.fromPeersBytes,
    fromOriginsBytes: after.fromOriginsBytes - before.fromOriginsBytes,
    sentBytes: after.sentBytes - before.sentBytes,
  };
}
