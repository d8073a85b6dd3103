export * from './create.ts';
export type { P2pDriverDeps } from './handlers.ts';
