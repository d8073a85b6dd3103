export { type OriginConfig, OriginConfigSchema } from './config.ts';
export { type OriginDeps, OriginServer } from './server.ts';
