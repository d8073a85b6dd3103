export { type RegistryConfig, RegistryConfigSchema, registryOptionsOf } from './config.ts';
export { renderErrorTable } from './error-mapper.ts';
export { type RegistryOptions, registerRegistry, type UploadOptions } from './registry.ts';
