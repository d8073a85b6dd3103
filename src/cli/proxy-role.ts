import { systemClock } from '../core/index.ts';
import { type ProxyConfig, ProxyConfigSchema, ProxyServer } from '../proxy/index.ts';
import { defineRole } from './role.ts';

/** `shoal proxy`. */
export const proxyRole = defineRole<ProxyConfig>({
  name: 'proxy',
  schema: ProxyConfigSchema,
  start: (config, tools) => ProxyServer.start(config, { ...tools, clock: systemClock }),
});
