export type { ProxyDeps } from './compose.ts';
export { type ProxyConfig, ProxyConfigSchema } from './config.ts';
export { openProxyDriver, type ProxyDriverDeps } from './open-driver.ts';
export { startProxy } from './server.ts';
