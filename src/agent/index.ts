export type { AgentDeps } from './compose.ts';
export { type AgentConfig, AgentConfigSchema } from './config.ts';
export { type AgentDriverDeps, openAgentDriver } from './open-driver.ts';
export { startAgent } from './server.ts';
export type { AgentStatisticsAnswer } from './statistics-route.ts';
