export * from './metainfo-generator.ts';
export type * from './swarm.ts';
