export { type SwarmConfig, SwarmConfigSchema } from './config.ts';
export * from './metainfo-generator.ts';
export { openSwarm, type SwarmDeps } from './open-swarm.ts';
export type * from './swarm.ts';
export { addSwarmMetrics } from './swarm-metrics.ts';
