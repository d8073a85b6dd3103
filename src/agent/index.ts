export type { AgentDeps } from './compose.ts';
export { type AgentConfig, AgentConfigSchema } from './config.ts';
export { startAgent } from './server.ts';
export type { AgentStatisticsAnswer } from './statistics-route.ts';
