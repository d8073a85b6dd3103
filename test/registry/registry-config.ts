import { Value } from 'typebox/value';
import { type RegistryConfig, RegistryConfigSchema } from '../../src/registry/index.ts';

/** The settings of a registry: the defaults, but for what a test sets. */
export function registryConfig(settings: Partial<RegistryConfig> = {}): RegistryConfig {
  return { ...Value.Create(RegistryConfigSchema), ...settings };
}
