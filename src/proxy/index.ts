export type { ProxyDeps } from './compose.ts';
export { type ProxyConfig, ProxyConfigSchema } from './config.ts';
export { startProxy } from './server.ts';
