import { RegistryProgram } from '../http/index.ts';
import { type AgentDeps, composeAgent } from './compose.ts';
import type { AgentConfig } from './config.ts';

/** Starts an agent: a read-only registry on the host's loopback, in front of the swarm. The caller closes it. @throws ConfigError */
export function startAgent(config: AgentConfig, deps: AgentDeps): Promise<RegistryProgram> {
  return RegistryProgram.start('agent', config.listen, (parts) => composeAgent(config, deps, parts));
}
