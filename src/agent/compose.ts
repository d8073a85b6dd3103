import type { FastifyInstance } from 'fastify';
import { openAccess } from '../access/index.ts';
import { readyWhenAnswered } from '../health/index.ts';
import { createService } from '../http/index.ts';
import { registerRegistry } from '../registry/index.ts';
import type { AgentConfig } from './config.ts';
import { type AgentDriverDeps, openAgentDriver } from './open-driver.ts';
import { addStatisticsRoute } from './statistics-route.ts';

/** What an agent is handed by whoever starts it. */
export interface AgentDeps extends AgentDriverDeps {
  /** Asks to be told the configuration when it has been read again. */
  readonly onReload?: (apply: (config: AgentConfig) => void) => void;
}

/** Builds everything that an agent is made of. What has to be closed is deferred on `parts`, in order. */
export async function composeAgent(
  config: AgentConfig,
  deps: AgentDeps,
  parts: AsyncDisposableStack,
): Promise<FastifyInstance> {
  const { logger, metrics, clusterToken, clock } = deps;
  const { driver, swarm, transferer } = await openAgentDriver(config, deps, parts);
  deps.onReload?.((changed) => swarm.setLimits(changed.swarm));
  const access = config.access && parts.use(await openAccess(config.access, { logger, clock, fetch }));
  const app = createService({
    role: 'agent',
    clusterToken,
    logger,
    metrics,
    // An agent can work when it can learn tags, and meet peers.
    ready: readyWhenAnswered(parts, [
      { role: 'build-index', baseUrls: [config.buildIndex], clusterToken },
      { role: 'tracker', baseUrls: config.trackers, clusterToken },
    ]),
    tls: config.listen.tls,
  });
  deps.onReload?.(() => void app.reloadTls());
  const message = `this agent is read-only: push to ${config.proxyUrl}`;
  await registerRegistry(app, { driver, logger, metrics, access, readOnly: { message } });
  addStatisticsRoute(app, { swarm, transferer });
  return app;
}
