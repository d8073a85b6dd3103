import { type AgentConfig, AgentConfigSchema, startAgent } from '../agent/index.ts';
import { systemClock } from '../core/index.ts';
import { defineRole } from './role.ts';

/** `shoal agent`. */
export const agentRole = defineRole<AgentConfig>({
  name: 'agent',
  schema: AgentConfigSchema,
  start: (config, tools) => startAgent(config, { ...tools, clock: systemClock, random: Math.random }),
});
