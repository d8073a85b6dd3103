import { systemClock } from '../core/index.ts';
import { type ProxyConfig, ProxyConfigSchema, startProxy } from '../proxy/index.ts';
import { defineRole } from './role.ts';
import { readVersion } from './version.ts';

/** `shoal proxy`. */
export const proxyRole = defineRole<ProxyConfig>({
  name: 'proxy',
  schema: ProxyConfigSchema,
  start: (config, tools) => startProxy(config, { ...tools, clock: systemClock, version: readVersion() }),
});
