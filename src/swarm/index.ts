export { type SwarmConfig, SwarmConfigSchema } from './config.ts';
export { openSwarm, type SwarmDeps } from './host-swarm.ts';
export * from './metainfo-generator.ts';
export type * from './swarm.ts';
export { addSwarmMetrics } from './swarm-metrics.ts';
