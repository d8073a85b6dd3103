export * from './cluster.ts';
export * from './listener.ts';
export * from './load-config.ts';
export * from './log.ts';
export * from './reference.ts';
export { maskSecrets } from './secrets.ts';
export * from './sections.ts';
