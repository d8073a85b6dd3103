import { RegistryProgram } from '../http/index.ts';
import { composeProxy, type ProxyDeps } from './compose.ts';
import type { ProxyConfig } from './config.ts';

/**
 * Starts a proxy: a read-write registry that hands blobs to the origins, and tags and links to the build-index.
 * The caller closes it. @throws ConfigError
 */
export function startProxy(config: ProxyConfig, deps: ProxyDeps): Promise<RegistryProgram> {
  return RegistryProgram.start('proxy', config.listen, (parts) => composeProxy(config, deps, parts));
}
