import type { FastifyInstance } from 'fastify';
import type { Swarm, SwarmStatistics } from '../swarm/index.ts';
import type { ReadOnlyTransferer, TransferStatistics } from '../transfer/index.ts';

/** What an agent has moved since its start. */
export interface AgentStatisticsAnswer {
  readonly swarm: SwarmStatistics;
  readonly transfer: TransferStatistics;
}

/** `GET /v1/statistics`, with the cluster token: what the progress of `shoal up` is made of. */
export function addStatisticsRoute(
  app: FastifyInstance,
  { swarm, transferer }: { readonly swarm: Swarm; readonly transferer: ReadOnlyTransferer },
): void {
  app.get('/v1/statistics', async (): Promise<AgentStatisticsAnswer> => {
    return { swarm: swarm.statistics(), transfer: transferer.statistics() };
  });
}
