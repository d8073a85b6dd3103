export type { ProxyDeps } from './compose.ts';
export { type ProxyConfig, ProxyConfigSchema } from './config.ts';
export { ProxyServer } from './server.ts';
